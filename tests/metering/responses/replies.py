"""Responses to read: recorded streams, events made on the spot, and what a reader makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metering.call import Call
from metering.prices import ModelRow
from metering.rates import RateCard
from metering.responses.prompt import estimated_tokens
from metering.responses.reply import ResponsesReader

RECORDED = Path(__file__).parents[2] / "recorded" / "responses"
STREAMS = {path.stem: path.read_bytes() for path in sorted(RECORDED.glob("*.sse"))}
ENCODING = "o200k_base"
FIELDS: dict[str, Any] = {"input": "Tell me a story."}
PROMPT = estimated_tokens(FIELDS, ENCODING)
ROW = RateCard.load().find("gpt-6-sol")


def reader(row: ModelRow = ROW, most_event_bytes: int = 1 << 20) -> ResponsesReader:
    call = Call("responses", "gpt-6-sol", FIELDS, True, 100)
    return ResponsesReader(
        call, encoding=ENCODING, rate=row.rates["default"], most_event_bytes=most_event_bytes
    )


def event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def delta(text: str, index: int = 0, **fields: Any) -> bytes:
    return event("response.output_text.delta", output_index=index, content_index=0, delta=text)


def ended(kind: str = "response.completed", **response: Any) -> bytes:
    return event(kind, response={"id": "resp_1", "model": "gpt-6-sol", **response})


def used(tokens_in: Any = 7, tokens_out: Any = 3, **details: Any) -> dict[str, Any]:
    usage: dict[str, Any] = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    return usage | ({"input_tokens_details": details} if details else {})


def read(chunks: list[bytes], row: ModelRow = ROW) -> tuple[bytes, ResponsesReader]:
    watching = reader(row)
    passed_on = b"".join(watching.feed(chunk) for chunk in chunks) + watching.finish()
    return passed_on, watching


def read_json(reply: Any, row: ModelRow = ROW) -> ResponsesReader:
    watching = reader(row)
    watching.feed_json(reply if isinstance(reply, bytes) else json.dumps(reply).encode())
    return watching
