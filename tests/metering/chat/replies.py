"""Replies to read: recorded streams, events made on the spot, and what a reader makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metering.call import Call
from metering.chat.prompt import estimated_tokens
from metering.chat.reply import ChatReader
from metering.sse import Events

RECORDED = Path(__file__).parents[2] / "recorded"
STREAMS = {path.stem: path.read_bytes() for path in sorted(RECORDED.glob("c*_stream*.sse"))}
ENCODING = "o200k_base"
FIELDS: dict[str, Any] = {"messages": [{"role": "user", "content": "Tell me a story."}]}
PROMPT = estimated_tokens(FIELDS, ENCODING)


def reader(asked: bool = False) -> ChatReader:
    call = Call("chat", "gpt-6-luna", FIELDS, True, 100)
    return ChatReader(call, encoding=ENCODING, asked_for_usage=asked)


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def delta(text: str, index: int = 0, **fields: Any) -> bytes:
    return event(choices=[{"index": index, "delta": {"content": text}}], **fields)


def usage_event(prompt: int = 7, completion: int = 3, **fields: Any) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return event(**{"choices": [], "usage": usage} | fields)


def without_usage_event(stream: bytes) -> bytes:
    return b"".join(e for e in Events().feed(stream) if b'"choices":[],"usage":{' not in e)


def read(chunks: list[bytes], asked: bool = False) -> tuple[bytes, ChatReader]:
    watching = reader(asked)
    passed_on = b"".join(watching.feed(chunk) for chunk in chunks) + watching.finish()
    return passed_on, watching
