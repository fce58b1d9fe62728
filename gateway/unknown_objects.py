"""
What OpenAI says of an id that it does not know.

Somebody else's id is told in the same words, so that nobody can learn which ids there are.
"""

from __future__ import annotations

from gateway.errors import ObjectUnknown
from gateway.references import Named

_WORDS = {
    "batch": "No batch found with id '{id}'.",
    "completion": "Chat completion with id '{id}' not found.",
    "container": "Container with id '{id}' not found.",
    "conversation": "Conversation with id '{id}' not found.",
    "file": "No such File object: {id}",
    "item": "Item with id '{id}' not found. Items are not persisted when `store` is set to false. "
    "Try again with `store` set to true, or remove this item from your input.",
    "model": "The model '{id}' does not exist or you do not have access to it.",
    "prompt": "Prompt with id '{id}' not found.",
    "response": "Response with id '{id}' not found.",
    "upload": "No such Upload object: {id}",
    "vector_store": "Vector store with id '{id}' not found.",
}
_CODES = {"model": "model_not_found"}
_PARAMS = {"file": "id", "upload": "id"}


def unknown_object(named: Named) -> ObjectUnknown:
    """The error about an id in a body, or in a path where its `param` is empty."""
    shown = named.id if named.id.isprintable() else ascii(named.id)
    if named.param == "previous_response_id":
        return ObjectUnknown(
            f"Previous response with id '{shown}' not found.",
            param=named.param,
            code="previous_response_not_found",
        )
    words = _WORDS.get(named.kind, f"No {named.kind.replace('_', ' ')} found with id '{{id}}'.")
    param = named.param or _PARAMS.get(named.kind)
    return ObjectUnknown(words.format(id=shown), param=param, code=_CODES.get(named.kind))
