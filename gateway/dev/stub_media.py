"""What the stub's calls with pictures and sound have alike: a body of parts, a reply, its bill."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.dev import stub_replies as replies
from gateway.dev.stub_asked import Asked, Received
from gateway.dev.stub_refused import Refused
from gateway.dev.stub_script import Script
from gateway.dev.stub_server import close_connection

_BOUNDARY = re.compile(rb'boundary="?([^";]+)"?')
_NAME = re.compile(r'[ ;]name="?([^";]+)"?')


@dataclass(frozen=True)
class Parts:
    """A body of several parts, cut at its boundary."""

    fields: dict[str, Any]
    files: list[tuple[str, bytes]]


def read_json(request: Received) -> dict[str, Any]:
    """
    The fields of a JSON body.

    Raises:
        Refused: It is no object, or names no model.
    """
    try:
        fields = json.loads(request.body)
    except ValueError:
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), str):
        raise Refused(400, "you must provide a model parameter", param="model")
    return fields


def read_parts(request: Received) -> Parts:
    """
    The parts of a multipart body; the last one of a name is taken.

    Raises:
        Refused: It is none, or names no model.
    """
    found = _BOUNDARY.search(request.header(b"content-type"))
    if found is None:
        raise Refused(400, "Could not parse multipart form")
    fields: dict[str, Any] = {}
    files: list[tuple[str, bytes]] = []
    # The first piece is empty, the last one is what stands behind the end.
    for piece in (b"\r\n" + request.body).split(b"\r\n--" + found[1])[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name = _NAME.search(text)
        if name is None:
            raise Refused(400, "Could not parse multipart form")
        if "filename" in text:
            files.append((name[1], data))
        elif name[1].endswith("[]"):
            fields.setdefault(name[1], []).append(data.decode())
        else:
            fields[name[1]] = data.decode()
    if "model" not in fields:
        raise Refused(400, "you must provide a model parameter", param="model")
    return Parts(fields, files)


class MediaReply:
    """One reply on its way: what the script says of every call is done here."""

    def __init__(self, asked: Asked, *, endpoint: str, model: str, streamed: bool) -> None:
        self.script: Script = asked.next_script()
        self._asked = asked
        self._endpoint = endpoint
        self._model = model
        self._streamed = streamed

    async def begins(self) -> bool:
        """Wait and fail as told; whether the call is to be answered."""
        script = self.script
        if script.gate is not None:
            await script.gate.wait()
        if script.latency_s:
            await asyncio.sleep(script.latency_s)
        if script.status != 200:
            body = script.body or replies.error(script.status, code=script.code)
            await self.whole(body, status=script.status)
            return False
        return True

    async def ends_early(self, usage: dict[str, Any], units: dict[str, int]) -> bool:
        """Hang or hang up as told; whether that was the end of it."""
        script = self.script
        if not (script.closes or script.hangs):
            return False
        self.bill(usage, units, cut=True)
        if script.hangs:
            while (await self._asked.receive())["type"] != "http.disconnect":
                pass
        close_connection(self._asked.scope)
        return True

    def bill(self, usage: dict[str, Any], units: dict[str, int], *, cut: bool = False) -> None:
        """Charge for it."""
        if cut and not self.script.bills_cut:
            return
        self._asked.bills.add(
            transaction=self._asked.transaction,
            model=self._model,
            tier="default",
            usage=usage,
            streamed=self._streamed,
            cut=cut,
            endpoint=self._endpoint,
            units={unit: count for unit, count in units.items() if count},
        )

    async def whole(
        self, body: bytes, *, status: int = 200, content_type: bytes = b"application/json"
    ) -> None:
        """Send a reply in one piece; cut in its middle when told so."""
        breaks = self.script.breaks_after is not None and status == 200
        await self._start(status, content_type, len(body))
        if breaks:
            await self._send(body[: len(body) // 2], more=True)
            close_connection(self._asked.scope)
            return
        await self._send(body, more=False)

    async def stream(
        self,
        pieces: list[bytes],
        content_type: bytes,
        usage: dict[str, Any],
        units: dict[str, int],
        last: bytes = b"",
    ) -> None:
        """Send piece by piece; billed after the last one and before `last`, which tells it."""
        await self._start(200, content_type)
        for sent, piece in enumerate(pieces):
            if sent == self.script.breaks_after:
                self.bill(usage, units, cut=True)
                close_connection(self._asked.scope)
                return
            if self.script.between is not None:
                await self.script.between.wait()
            await asyncio.sleep(self.script.delay_s)
            await self._send(piece, more=True)
        self.bill(usage, units)
        if self.script.before_usage is not None:
            await self.script.before_usage.wait()
        await self._send(last, more=False)

    async def _start(self, status: int, content_type: bytes, length: int | None = None) -> None:
        scripted = {name.lower() for name, _ in self.script.headers}
        headers = [pair for pair in replies.headers(content_type) if pair[0] not in scripted]
        headers += self.script.headers
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        start = {"type": "http.response.start", "status": status, "headers": headers}
        await self._asked.send(start)

    async def _send(self, data: bytes, *, more: bool) -> None:
        body = {"type": "http.response.body", "body": data, "more_body": more}
        await self._asked.send(body)


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event, with its type twice as OpenAI sends it."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return f"event: {body['type']}\ndata: {text}\n\n".encode()
