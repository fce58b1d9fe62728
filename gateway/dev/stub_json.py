"""How the stub OpenAI answers a call whose reply is one JSON object, as its script says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.dev import stub_replies as replies
from gateway.dev.stub_asked import Asked
from gateway.dev.stub_script import Script, from_call
from gateway.dev.stub_server import close_connection


def script_of(asked: Asked, text: Any) -> Script:
    """The script of a call, changed by its text when that begins with `[[stub {…}]]`."""
    script = asked.next_script()
    return from_call({"messages": [{"role": "user", "content": text}]}, script)


async def answer_json(
    asked: Asked, script: Script, *, body: bytes, bill: Callable[[bool], None]
) -> None:
    """
    Do what the script says: answer, refuse, hang, or break off half way.

    Args:
        body: The good reply; the script may have another.
        bill: Charges for the call; True says that its reply was cut.
    """
    if script.gate is not None:
        await script.gate.wait()
    if script.latency_s:
        await asyncio.sleep(script.latency_s)
    if script.status != 200:
        said = script.body or replies.error(script.status, code=script.code)
        await _send(asked, script, script.status, said)
        return
    body = script.body or body
    cut = script.closes or script.hangs or script.breaks_after is not None
    if not cut or script.bills_cut:
        bill(cut)
    if script.hangs:
        while (await asked.receive())["type"] != "http.disconnect":
            pass
    if script.breaks_after is not None:
        await _send(asked, script, 200, body, cut_at=len(body) // 2)
    elif not cut:
        await _send(asked, script, 200, body)
    if cut:
        close_connection(asked.scope)


async def _send(
    asked: Asked, script: Script, status: int, body: bytes, *, cut_at: int | None = None
) -> None:
    scripted = {name.lower() for name, _ in script.headers}
    headers = [pair for pair in replies.headers(b"application/json") if pair[0] not in scripted]
    headers += [*script.headers, (b"content-length", b"%d" % len(body))]
    await asked.send({"type": "http.response.start", "status": status, "headers": headers})
    part = body if cut_at is None else body[:cut_at]
    more = cut_at is not None
    await asked.send({"type": "http.response.body", "body": part, "more_body": more})
