"""`POST /v1/embeddings` of the stub OpenAI: vectors of made-up numbers, billed by the token."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from gateway.dev.stub_asked import Asked
from gateway.dev.stub_json import answer_json, script_of
from gateway.dev.stub_refused import Refused, read_object, unknown_model
from gateway.dev.stub_script import Script
from metering import tokens

MOST_INPUTS = 2048
MOST_TOKENS = 300_000
DIMENSIONS = {"text-embedding-3-large": 3072}
USUAL_DIMENSIONS = 1536


async def embeddings(asked: Asked) -> None:
    """Answer one call."""
    fields = read_object(asked.request.body)
    model = fields["model"]
    if not model.startswith(("text-embedding-", "ft:")):
        raise unknown_model(model)
    inputs = _inputs(fields.get("input"))
    script = script_of(asked, fields["input"])
    used = await asyncio.to_thread(_tokens, inputs, tokens.encoding_for(model), worst=script.worst)
    if not script.worst and used > MOST_TOKENS:
        words = f"Requested {used} tokens, max {MOST_TOKENS} tokens per request"
        raise Refused(400, words, code="max_tokens_per_request")
    usage = dict(script.usage or {"prompt_tokens": used, "total_tokens": used})

    def bill(cut: bool) -> None:
        asked.bills.add(
            transaction=asked.transaction,
            model=script.model or model,
            tier="default",
            usage=usage,
            streamed=False,
            cut=cut,
            endpoint="embeddings",
            units={"input": usage["prompt_tokens"]},
        )

    body = _reply(fields, script, usage=usage, count=len(inputs))
    await answer_json(asked, script, body=body, bill=bill)


def _inputs(value: Any) -> list[Any]:
    """
    The inputs, each a text or a list of token ids.

    Raises:
        Refused: As OpenAI does.
    """
    inputs = value if isinstance(value, list) and value and type(value[0]) is not int else [value]
    if len(inputs) > MOST_INPUTS:
        raise Refused(400, "'$.input' is invalid: array too long.", param="input")
    if not all(isinstance(one, str | list) and one for one in inputs):
        raise Refused(400, "'$.input' is invalid.", param="input")
    return inputs


def _tokens(inputs: list[Any], encoding: str, *, worst: bool) -> int:
    """What is billed; at the worst a token for each byte, and one more for each input."""
    if worst:
        return sum(1 + len(one.encode() if isinstance(one, str) else one) for one in inputs)
    return sum(tokens.count(one, encoding) if isinstance(one, str) else len(one) for one in inputs)


def _reply(
    fields: Mapping[str, Any], script: Script, *, usage: dict[str, Any], count: int
) -> bytes:
    model = str(fields["model"])
    dimensions = fields.get("dimensions") or DIMENSIONS.get(model, USUAL_DIMENSIONS)
    numbers = [(place % 7 - 3) / 256 for place in range(dimensions)]
    vector: Any = numbers
    if fields.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode()
    body: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector} for index in range(count)
        ],
        "model": script.model or model,
    }
    if script.reports_usage:
        body["usage"] = usage
    return json.dumps(body).encode()
