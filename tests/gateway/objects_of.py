"""A business for which everything is switched on, its objects, and every call about them."""

from __future__ import annotations

from typing import Any

import httpx2

from gateway.objects import ObjectOperation, kind_of
from metering.switches import SWITCHES
from tests.gateway.storing import own, switch_on
from tests.house import Acme, House

BELOW = {"item_id": "msg_0123456789", "container_file_id": "cfile_0123456789"}
NOUNS = {
    "response": "responses",
    "completion": "chat/completions",
    "conversation": "conversations",
    "file": "files",
    "upload": "uploads",
    "vector_store": "vector_stores",
    "container": "containers",
}
BODIES: dict[str, Any] = {
    "conversations.items.create": {"items": [{"type": "message", "role": "user", "content": "x"}]},
    "files.create": {"files": {"file": ("a.txt", b"abc")}, "data": {"purpose": "assistants"}},
    "uploads.parts": {"files": {"data": ("a.txt", b"abc")}},
    "uploads.complete": {"part_ids": ["part_1"]},
    "containers.files.create": {"files": {"file": ("a.txt", b"abc")}},
}


async def with_everything(house: House, name: str = "Acme") -> Acme:
    """A business for which everything is switched on."""
    acme = await house.business(name=name)
    await switch_on(acme, SWITCHES)
    return acme


async def given(acme: Acme, kind: str) -> str:
    """An object of this kind that OpenAI keeps for the business."""
    objects = acme.house.openai.objects
    id = "vsfb_0123456789" if kind == "file_batch" else objects.put(NOUNS[kind])
    await own(acme, id, kind=kind)
    return id


async def ids_for(acme: Acme, operation: ObjectOperation) -> dict[str, str]:
    """An id for each name in the path, all of them the business's own."""
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    return {
        name: BELOW[name] if name in BELOW else await given(acme, kind_of(name)) for name in names
    }


async def call(acme: Acme, operation: ObjectOperation, ids: dict[str, str]) -> httpx2.Response:
    """The operation, as a client would ask for it."""
    body = BODIES.get(operation.name)
    more: dict[str, Any] = {}
    if body is not None:
        more = body if "files" in body else {"json": body}
    elif operation.fields is not None:
        more = {"json": {}}
    return await acme.house.client.request(
        operation.method, "/v1" + operation.path_of(ids), headers=acme.headers, **more
    )
