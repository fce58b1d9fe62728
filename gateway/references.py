"""
The ids of OpenAI's objects that stand anywhere in a body.

A body can name what somebody else made: a response to continue, a file, a vector store, a
container. All of them are found here by their names and by their looks, in one pass, so that
`owning.py` can ask whose they are before anything is forwarded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MOST_IDS = 1000
"""More different ids no call needs; each is looked up."""

KINDS = {
    "resp": "response",
    "chatcmpl": "completion",
    "conv": "conversation",
    "file": "file",
    "upload": "upload",
    "vs": "vector_store",
    "vsfb": "file_batch",
    "cntr": "container",
    "cfile": "container_file",
    "batch": "batch",
    "pmpt": "prompt",
    "skill": "skill",
    "voice": "voice",
    "asst": "assistant",
    "thread": "thread",
    "run": "run",
    "ftjob": "fine_tuning_job",
    "video": "video",
    "sess": "session",
    "vault": "vault",
    "agent": "agent",
    **dict.fromkeys(("msg", "rs", "fc", "ctc", "ws", "fs", "ci", "ig", "mcp", "item"), "item"),
}
"""How an id begins → what it names."""

_ID = re.compile(rf"({'|'.join(KINDS)})[_-][A-Za-z0-9_-]{{6,180}}", re.ASCII)

FIELDS = {
    "previous_response_id": "response",
    "comparison_response_id": "response",
    "response_id": "response",
    "completion_id": "completion",
    "conversation": "conversation",
    "conversation_id": "conversation",
    "file_id": "file",
    "file_ids": "file",
    "input_file_id": "file",
    "training_file": "file",
    "validation_file": "file",
    "upload_id": "upload",
    "vector_store_id": "vector_store",
    "vector_store_ids": "vector_store",
    "container": "container",
    "container_id": "container",
    "item_id": "item",
    "batch_id": "batch",
    "prompt_id": "prompt",
    "skill_id": "skill",
    "voice_id": "voice",
    "assistant_id": "assistant",
    "thread_id": "thread",
    "session_id": "session",
    "tunnel_id": "tunnel",
    "agent_id": "agent",
    "environment_id": "environment",
    "vault_ids": "vault",
    "video_id": "video",
    "character_id": "character",
}
"""Fields whose text is an id, whatever it looks like."""

_ABOVE = FIELDS | {"prompt": "prompt", "voice": "voice"}
"""Fields whose object has an `id`; their text would be a prompt, or a voice's name."""

_NO_ID = frozenset({"auto", "none"})  # Words that OpenAI takes in the place of an id.

# Under these stand texts of the caller's, and ids that only mean something within the call.
_TEXTS = frozenset(
    {"text", "content", "role", "type", "name", "arguments", "instructions", "description"}
    | {"call_id", "tool_call_id", "input", "output", "prompt", "encrypted_content", "summary"}
    | {"user", "safety_identifier", "prompt_cache_key", "refusal", "title", "query", "code"}
)
# These are the app's own affair: schemas, notes, and what a reply said of its sources.
_OPAQUE = frozenset({"parameters", "schema", "metadata", "annotations", "logit_bias", "attributes"})
_ITEM_LISTS = frozenset({"input", "items"})


@dataclass(frozen=True, slots=True)
class Named:
    """An id, what it names, and the field in which it stands."""

    id: str
    kind: str
    param: str


@dataclass(slots=True)
class References:
    """
    What a body names.

    Attributes:
        named: Ids that must be the business's own.
        echoed: Items of earlier replies that come back whole; their `id` names nothing that
            is needed, and OpenAI would look it up.
    """

    named: list[Named] = field(default_factory=list)
    echoed: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.named or self.echoed)


def references_in(fields: dict[str, Any]) -> References:
    """
    Every id that stands in a body, in one pass without recursion.

    Names under which only texts stand are left out, so an ordinary chat costs some
    microseconds, and a text that looks like an id is no id.
    """
    found = References()
    model = fields.get("model")
    if isinstance(model, str) and model.startswith("ft:"):
        found.named.append(Named(model, "model", "model"))
    nodes: list[tuple[str, Any]] = [("", fields)]
    while nodes:
        above, node = nodes.pop()
        if type(node) is dict:
            if above in _ITEM_LISTS and "id" in node:
                _item(node, found)
            for name, value in node.items():
                kind = type(value)
                if kind is str:
                    if name not in _TEXTS:
                        _text(name, value, above, found)
                elif (kind is dict or kind is list) and name not in _OPAQUE:
                    nodes.append((name, value))
        else:
            _list(above, node, nodes, found)
    return found


def _list(name: str, values: list[Any], nodes: list[tuple[str, Any]], found: References) -> None:
    for value in values:
        kind = type(value)
        if kind is dict or kind is list:
            nodes.append((name, value))
        elif kind is str and name not in _TEXTS:
            _text(name, value, "", found)


def _text(name: str, value: str, above: str, found: References) -> None:
    kind = FIELDS.get(name)
    if kind is not None:
        if value not in _NO_ID:
            found.named.append(Named(value[:200], kind, name))
    elif name == "id" and (above in _ITEM_LISTS or above == "tool_calls"):
        return
    elif name == "id" and above in _ABOVE:
        found.named.append(Named(value[:200], _ABOVE[above], above))
    elif len(value) < 200 and (like := _ID.fullmatch(value)):
        found.named.append(Named(value, KINDS[like[1]], name))


def _item(item: dict[str, Any], found: References) -> None:
    """An item of a reply: named by its id alone, or brought back whole."""
    id = item["id"]
    if not isinstance(id, str):
        return
    alone = "type" not in item and "role" not in item
    if item.get("type") == "item_reference" or alone:
        found.named.append(Named(id[:200], "item", "input"))
    else:
        found.echoed.append(item)


_BRACKETS = re.compile(r"[\[\].]+")


def fields_of_form(parts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """
    The text fields of a multipart body, to be walked like those of a JSON one.

    `file_ids[]`, `image[0][file_id]` and `metadata.file_id` count as the last name in them.
    """
    fields: dict[str, Any] = {}
    for name, value in parts:
        names = [part for part in _BRACKETS.split(name) if part and not part.isdigit()]
        fields.setdefault(names[-1] if names else name, []).append(value)
    return fields
