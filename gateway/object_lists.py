"""
Lists of objects, from our own table.

OpenAI's lists show what all businesses have, so it is never asked for one. The ids of the
business come from the table, a page at a time, and each object is then asked for by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.errors import RequestRefused
from gateway.objects import OBJECTS, ObjectOperation
from gateway.owning import Owning
from gateway.references import Named
from gateway.unknown_objects import unknown_object
from gateway.upstream_answers import ERROR_BODY_MOST_BYTES, our_fault
from gateway.upstream_errors import UpstreamBroken
from gateway.upstreams import Upstreams
from storage.ids import new_id
from storage.keys import KeyHolder
from storage.owners import Owned

DEFAULT_PAGE = 20
MOST_PAGE = 100
"""Whoever asks for more gets as many, and `has_more`."""

ASKED_AT_ONCE = 8
MOST_ASKED = 500
"""Objects looked at for one page, when a filter leaves few of them over."""

_ONE = {
    "completion": "chat.completions.retrieve",
    "container": "containers.retrieve",
    "file": "files.retrieve",
    "vector_store": "vector_stores.retrieve",
}
_FILTERS = ("purpose", "model", "name")


class ObjectLists:
    """Answers lists for businesses on the shared key."""

    def __init__(self, owning: Owning, upstreams: Upstreams) -> None:
        self._owning = owning
        self._upstreams = upstreams
        by_name = {operation.name: operation for operation in OBJECTS}
        self._one = {kind: by_name[name] for kind, name in _ONE.items()}

    async def page(
        self, operation: ObjectOperation, query: Iterable[tuple[str, str]], holder: KeyHolder
    ) -> bytes:
        """
        One page, in the shape of OpenAI's lists.

        Raises:
            RequestRefused: A limit or an order that is none.
            ObjectUnknown: `after` or `before` is not the business's.
        """
        wanted = dict(query)
        limit, newest_first = _limit(wanted), _newest_first(wanted)
        filters = {name: wanted[name] for name in _FILTERS if name in wanted}
        after = await self._cursor(operation.lists, wanted.get("after"), holder)
        before = await self._cursor(operation.lists, wanted.get("before"), holder)
        shown: list[tuple[str, msgspec.Raw]] = []
        looked_at, more = 0, True
        while more and len(shown) <= limit and looked_at < MOST_ASKED:
            part = await self._owning.page(
                holder.business, operation.lists, limit=limit + 1, after=after, before=before,
                newest_first=newest_first,
            )  # fmt: skip
            more = len(part) > limit
            shown += await self._objects(operation.lists, part, holder, filters)
            looked_at += len(part)
            after = part[-1] if part else after
        return _list(shown[:limit], has_more=more or len(shown) > limit)

    async def _cursor(self, kind: str, id: str | None, holder: KeyHolder) -> Owned | None:
        if id is None:
            return None
        found = (await self._owning.owned(holder.business, [id])).get(id)
        if found is None or found.kind != kind:
            raise unknown_object(Named(id[:200], kind, ""))
        return found

    async def _objects(
        self, kind: str, owned: list[Owned], holder: KeyHolder, filters: dict[str, str]
    ) -> list[tuple[str, msgspec.Raw]]:
        found: list[tuple[str, msgspec.Raw]] = []
        for start in range(0, len(owned), ASKED_AT_ONCE):
            asked = owned[start : start + ASKED_AT_ONCE]
            bodies = await asyncio.gather(*(self._object(kind, one, holder) for one in asked))
            for one, body in zip(asked, bodies, strict=True):
                if body is not None and _matches(body, filters):
                    found.append((one.id, msgspec.Raw(body)))
        return found

    async def _object(self, kind: str, one: Owned, holder: KeyHolder) -> bytes | None:
        """The object as OpenAI has it; None when it has expired there."""
        operation = self._one[kind]
        [parameter] = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
        upstream = self._upstreams.of(holder)
        path = operation.path_of({parameter: one.id})
        endpoint = upstream.endpoint("GET", path, content_type=None)
        async with await upstream.open(endpoint, b"", transaction_id=new_id()) as reply:
            body = await reply.read(ERROR_BODY_MOST_BYTES)
            if reply.status == 404:
                await self._owning.forget(holder.business, one.id)
                return None
            if reply.status != 200:
                raise our_fault(reply.status, body) or UpstreamBroken(
                    f"OpenAI answered {reply.status} for an object of a list"
                )
            return body


def _list(shown: list[tuple[str, msgspec.Raw]], *, has_more: bool) -> bytes:
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [body for _, body in shown],
            "first_id": shown[0][0] if shown else None,
            "last_id": shown[-1][0] if shown else None,
            "has_more": has_more,
        }
    )


def _limit(wanted: dict[str, str]) -> int:
    text = wanted.get("limit", str(DEFAULT_PAGE))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= 10_000):
        raise RequestRefused("limit must be a whole number from 1 to 10000", param="limit")
    return min(int(text), MOST_PAGE)


def _newest_first(wanted: dict[str, str]) -> bool:
    order = wanted.get("order", "desc")
    if order not in ("asc", "desc"):
        raise RequestRefused("order must be asc or desc", param="order")
    return order == "desc"


def _matches(body: bytes, filters: dict[str, str]) -> bool:
    if not filters:
        return True
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return all(said.get(name) == value for name, value in filters.items())
