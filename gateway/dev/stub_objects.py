"""
Objects that the stub OpenAI keeps: responses, files, uploads, conversations, vector stores,
containers and stored completions, in memory and visible to every key, as within a project.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from gateway.dev import stub_replies as replies
from gateway.dev.stub_asked import Asked
from gateway.dev.stub_jobs import Job

Object = dict[str, Any]

_NOUNS = {
    "responses": ("resp_", "response"),
    "chat/completions": ("chatcmpl-", "chat.completion"),
    "conversations": ("conv_", "conversation"),
    "files": ("file-", "file"),
    "uploads": ("upload_", "upload"),
    "vector_stores": ("vs_", "vector_store"),
    "containers": ("cntr_", "container"),
}
_BELOW = {"items": "msg_", "files": "cfile_", "file_batches": "vsfb_", "parts": "part_"}
_PATH = re.compile(rf"/v1/({'|'.join(_NOUNS)})(?:/([^/]+)(?:/([^/]+)(?:/([^/]+)(?:/([^/]+))?)?)?)?")
_MADE = frozenset({"conversations", "files", "uploads", "vector_stores", "containers"})


class Objects:
    """
    What was made, by id; whoever knows an id has the object.

    A test can put objects here itself (`put`), as if a call had made them.

    Attributes:
        headers: That every reply has besides.
        jobs: Responses in the background.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Object] = {}
        self.headers: list[tuple[bytes, bytes]] = []
        self.jobs: dict[str, Job] = {}

    def put(self, noun: str, **fields: Any) -> str:
        """Make an object; its id."""
        prefix, kind = _NOUNS[noun]
        id = str(fields.pop("id", prefix + secrets.token_hex(16)))
        self.kept[id] = {"id": id, "object": kind, "created_at": int(time.time()), **fields}
        return id

    async def answer(self, asked: Asked) -> bool:
        """Answer a request about objects; False when it is about something else."""
        found = _PATH.fullmatch(asked.request.path)
        method = asked.request.method
        if found is None or (method == "POST" and found[2] is None and found[1] not in _MADE):
            return False
        asked.scope.setdefault("state", {})["headers"] = self.headers
        noun, id, below, sub, last = found.groups()
        if id in self.jobs:
            await self._of_job(asked, self.jobs[id], id, below)
            return True
        if id is None:
            said = self._all(noun) if method == "GET" else self._made(noun, asked)
            await _send(asked, 200, said)
        elif id not in self.kept:
            await _send_bytes(asked, 404, replies.error(404, message=f"No such {noun}: {id}"))
        elif below is not None:
            await self._below(asked, noun, id, (below, sub, last))
        elif method == "DELETE":
            del self.kept[id]
            await _send(asked, 200, {"id": id, "object": f"{noun}.deleted", "deleted": True})
        elif "stream" in parse_qs(asked.scope["query_string"].decode()):
            await _events(asked, self.kept[id])
        else:
            if method == "POST":
                self.kept[id] |= _fields(asked)
            await _send(asked, 200, self.kept[id])
        return True

    async def _of_job(self, asked: Asked, job: Job, id: str, below: str | None) -> None:
        if asked.request.method == "DELETE":
            del self.jobs[id]
            await _send(asked, 200, {"id": id, "object": "response.deleted", "deleted": True})
        elif below == "cancel":
            await _send(asked, 200, job.cancel())
        elif "stream" in parse_qs(asked.scope["query_string"].decode()):
            await _events(asked, job.poll())
        else:
            await _send(asked, 200, job.poll())

    def _all(self, noun: str) -> Object:
        prefix, _ = _NOUNS[noun]
        data = [one for one in self.kept.values() if one["id"].startswith(prefix)]
        return {"object": "list", "data": data, "has_more": False}

    def _made(self, noun: str, asked: Asked) -> Object:
        if noun == "containers":
            _bill(asked, "containers.create", "containers")
        return self.kept[self.put(noun, **_fields(asked))]

    async def _below(
        self, asked: Asked, noun: str, id: str, rest: tuple[str, str | None, str | None]
    ) -> None:
        below, sub, last = rest
        if below == "search":
            _bill(asked, "vector_stores.search", "file_searches")
            await _send(asked, 200, {"object": "vector_store.search_results.page", "data": []})
        elif "content" in rest:
            await _send_bytes(asked, 200, b"the content\x00", b"application/octet-stream")
        elif below in ("cancel", "complete"):
            self.kept[id]["status"] = "cancelled" if below == "cancel" else "completed"
            if below == "complete":
                self.kept[id]["file"] = self.kept[self.put("files", purpose="assistants")]
            await _send(asked, 200, self.kept[id])
        elif asked.request.method == "POST" and sub is None:
            given = _fields(asked).get("file_id")
            made = given or _BELOW.get(below, "x_") + secrets.token_hex(12)
            await _send(asked, 200, {"id": made, "object": f"{noun}.{below}"})
        elif sub is None or last is not None:
            await _send(asked, 200, {"object": "list", "data": [], "has_more": False})
        else:
            deleted = asked.request.method == "DELETE"
            await _send(asked, 200, {"id": sub, "object": below, "deleted": deleted})


def _bill(asked: Asked, endpoint: str, unit: str) -> None:
    asked.bills.add(
        transaction=asked.transaction, model="", tier="default", usage={}, streamed=False,
        endpoint=endpoint, units={unit: 1},
    )  # fmt: skip


def _fields(asked: Asked) -> Object:
    """The body, as far as it is JSON; of a form only that there is one."""
    try:
        fields = json.loads(asked.request.body or b"{}")
    except ValueError:
        return {"bytes": len(asked.request.body), "purpose": _purpose(asked.request.body)}
    return fields if isinstance(fields, dict) else {}


def _purpose(form: bytes) -> str:
    found = re.search(rb'name="purpose"\r\n\r\n([^\r]*)', form)
    return found[1].decode() if found else "assistants"


async def _events(asked: Asked, response: Object) -> None:
    events: list[Callable[[], Object]] = [
        lambda: {"type": "response.created", "response": response},
        lambda: {"type": "response.completed", "response": response},
    ]
    body = b"".join(b"data: " + json.dumps(event()).encode() + b"\n\n" for event in events)
    await _send_bytes(asked, 200, body, b"text/event-stream")


async def _send(asked: Asked, status: int, said: Object) -> None:
    await _send_bytes(asked, status, json.dumps(said).encode())


async def _send_bytes(
    asked: Asked, status: int, body: bytes, content_type: bytes = b"application/json"
) -> None:
    more = asked.scope["state"].get("headers", [])
    headers = [*replies.headers(content_type), (b"content-length", b"%d" % len(body)), *more]
    if content_type == b"application/octet-stream":
        headers.append((b"content-disposition", b'attachment; filename="a.bin"'))
    await asked.send({"type": "http.response.start", "status": status, "headers": headers})
    await asked.send({"type": "http.response.body", "body": body})
