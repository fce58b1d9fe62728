"""OpenAI's no to a call, as the stub says it, and the first look at a JSON body."""

from __future__ import annotations

import json
from typing import Any

from gateway.dev import stub_replies as replies


class Refused(Exception):
    """OpenAI's no to a call, with its status and its words."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = replies.error(status, message=message, code=code, param=param)


def read_object(body: bytes) -> dict[str, Any]:
    """
    The fields of a body that names a model.

    Raises:
        Refused: It is not one that OpenAI would answer.
    """
    try:
        fields = json.loads(body)
    except ValueError:
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), str):
        raise Refused(400, "you must provide a model parameter", param="model")
    return fields


def unknown_model(model: str) -> Refused:
    """404, as OpenAI says it."""
    words = f"The model `{model}` does not exist or you do not have access to it."
    return Refused(404, words, code="model_not_found")
