"""Calls to the stub OpenAI: their bodies, and their replies as JSON or events."""

from __future__ import annotations

import json
from typing import Any

import httpx2

HEADERS = {"authorization": "Bearer sk-ours", "x-client-request-id": "t-1"}


def a_call(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    """A chat completion's body."""
    return {"model": "gpt-6-sol", "messages": [{"role": "user", "content": content}], **fields}


def a_stream(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    """The same, streamed, with usage."""
    return a_call(content, stream=True, stream_options={"include_usage": True}, **fields)


def scripted(**script: Any) -> str:
    """A message that tells the stub what to do."""
    return f"[[stub {json.dumps(script)}]] and then some"


async def chat(client: httpx2.AsyncClient, body: Any) -> Any:
    """The JSON of the reply."""
    return (await client.post("/chat/completions", json=body)).json()


async def events(client: httpx2.AsyncClient, body: Any) -> list[Any]:
    """The events of the reply; "[DONE]" as text."""
    response = await client.post("/chat/completions", json=body)
    return events_of(response.text)


def events_of(text: str) -> list[Any]:
    """The events of a stream that was read whole."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]
