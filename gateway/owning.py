"""
Whose objects a call names, and whose those are that it makes.

What a body names is looked up in one question before anything is forwarded. What OpenAI
keeps of a reply is written down before the first byte of it leaves. When SQL is away, a call
that names or would make objects is refused with 503 and nothing is sent; when it goes away
while OpenAI answers, the reply is withheld, charged nothing, and its object is deleted again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import text

from gateway.errors import RequestRefused
from gateway.identity import hide_identity
from gateway.job_facts import LooksAfter, in_background
from gateway.made_within import MadeWithin, runs_in_containers
from gateway.metered_call import MeteredCall
from gateway.read_call import DECODE_HERE_BYTES
from gateway.references import MOST_IDS, Named, References, references_in
from gateway.unknown_objects import unknown_object
from gateway.upstreams import Upstreams
from metering.call import Call
from metering.switches import SWITCHES
from storage import owners
from storage.database import Database
from storage.errors import RecordsUnavailable, StorageError
from storage.ids import new_id
from storage.keys import KeyHolder
from storage.owners import Owned

log = logging.getLogger(__name__)

ALL_SWITCHES = frozenset(SWITCHES)
_DELETED_AT = {
    "resp": "/responses/",
    "chatcmpl": "/chat/completions/",
    "conv": "/conversations/",
    "file": "/files/",
    "vs": "/vector_stores/",
    "cntr": "/containers/",
}
_KINDS = {"resp": "response", "chatcmpl": "completion", "cntr": "container"}


class Owning:
    """The owners of OpenAI's objects, as calls meet them."""

    def __init__(
        self, database: Database, upstreams: Upstreams, jobs: LooksAfter | None = None
    ) -> None:
        self._database = database
        self._upstreams = upstreams
        self._jobs = jobs

    async def look(self, call: Call, holder: KeyHolder) -> Named | None:
        """
        Prepare a call for its business: switches, identity, what it continues.

        Returns:
            The first id that is not the business's, to be refused once it is known that
            the call is else understood and allowed; None when all are.

        Raises:
            UpstreamNotConfigured, RecordsUnavailable, RequestRefused
        """
        self._upstreams.of(holder)
        call.allowed = ALL_SWITCHES if holder.upstream else holder.switches
        hide_identity(call.fields, endpoint=call.endpoint, business=holder.business)
        if holder.upstream:
            if call.fields.get("previous_response_id") or call.fields.get("conversation"):
                call.before_tokens = None
            return None
        if call.body_bytes > DECODE_HERE_BYTES:
            references = await asyncio.to_thread(references_in, call.fields)
        else:
            references = references_in(call.fields)
        if not references:
            return None
        foreign, found = await self.judge(holder.business, references)
        _continue(call, found)
        return foreign

    async def judge(
        self, business: str, references: References
    ) -> tuple[Named | None, dict[str, Owned]]:
        """
        Look up what a body names; items that come back whole lose an id that is not ours.

        Returns:
            The first id that is not the business's, and all that are.
        """
        ids = {named.id for named in references.named}
        ids.update(item["id"] for item in references.echoed)
        found = await self.owned(business, ids)
        for item in references.echoed:
            if item["id"] not in found:
                del item["id"]
        for named in references.named:
            if named.id not in found or not _fits(found[named.id], named):
                return named, found
        return None, found

    async def owned(self, business: str, ids: Iterable[str]) -> dict[str, Owned]:
        """
        Those of these ids that are the business's; one question for all of them.

        Raises:
            RequestRefused: They are more than any call needs.
            RecordsUnavailable: Nobody can say, so nothing may be forwarded.
        """
        asked = set(ids)
        if len(asked) > MOST_IDS:
            raise RequestRefused(f"the body names {len(asked)} objects; {MOST_IDS} are the most")
        if not asked:
            return {}
        async with self._database.read() as connection:
            return await owners.find(connection, business, asked)

    def refuse(self, named: Named | None) -> None:
        """
        End a call that names what its business does not have.

        Raises:
            ObjectUnknown
        """
        if named is not None:
            raise unknown_object(named)

    async def must_be_there(self, call: Call, holder: KeyHolder) -> None:
        """
        Make sure that an object the call would make could be written down.

        Raises:
            RecordsUnavailable: It could not; nothing is forwarded then.
        """
        if call.fields.get("background") is True or (
            (call.stores or runs_in_containers(call)) and holder.upstream is None
        ):
            await self.ready()

    async def ready(self) -> None:
        """
        Make sure that SQL answers.

        Raises:
            RecordsUnavailable
        """
        async with self._database.read() as connection:
            await connection.execute(text("SELECT 1"))

    def keeps(self, metered: MeteredCall) -> bool:
        """Whether OpenAI keeps something of the reply that needs an owner."""
        call = metered.quote.call
        is_ours = (call.stores or runs_in_containers(call)) and metered.holder.upstream is None
        return is_ours or in_background(metered)

    async def keep(self, metered: MeteredCall) -> None:
        """
        Write down whose the reply is; its id is known by now.

        Raises:
            RecordsUnavailable: It could not be written; OpenAI was told to delete it.
        """
        reader = metered.reader
        if reader is None or reader.upstream_id is None:
            return
        kind = _KINDS.get(_prefix(reader.upstream_id), "response")
        one = made_by(
            metered.holder,
            reader.upstream_id,
            kind,
            feature=metered.quote.labels.feature,
            tokens=reader.usage().tokens if reader.source == "reported" else None,
        )
        try:
            if metered.holder.upstream is None:
                await self.add([one])
            if in_background(metered) and self._jobs is not None:
                await self._jobs.add(metered)
        except StorageError:
            # What is withheld is not charged, and the caller is told another status.
            metered.delivered, metered.http_status, metered.has_job = False, None, False
            if in_background(metered) and self._jobs is not None:
                await self._jobs.cancel(metered)
            await self.delete_at_openai(metered.holder, reader.upstream_id)
            raise

    async def keep_within(self, metered: MeteredCall, made: MadeWithin) -> None:
        """
        Write down whose the items and containers of a reply are.

        Without it the business could not name them later, and nobody else can either.
        """
        feature = metered.quote.labels.feature
        objects = [
            made_by(metered.holder, id, kind, feature=feature) for id, kind in made.found.items()
        ]
        try:
            if objects:
                await self.add(objects)
        except RecordsUnavailable as error:
            log.warning("items_not_owned", extra={"id": metered.id, "error": str(error)[:200]})

    async def add(self, objects: list[Owned]) -> None:
        """Write down who owns these."""
        async with self._database.write() as connection:
            await owners.add(connection, objects)

    async def forget(self, business: str, id: str) -> None:
        """Note that OpenAI has deleted an object."""
        async with self._database.write() as connection:
            await owners.delete(connection, business, id, datetime.now(UTC))

    async def page(
        self,
        business: str,
        kind: str,
        *,
        limit: int,
        after: Owned | None,
        before: Owned | None,
        newest_first: bool,
    ) -> list[Owned]:
        """Objects of a business; see `storage.owners.page`."""
        async with self._database.read() as connection:
            return await owners.page(
                connection,
                business,
                kind,
                limit=limit,
                after=after,
                before=before,
                newest_first=newest_first,
            )

    async def note_tokens(self, metered: MeteredCall) -> None:
        """Note what the reply used, for calls that continue it; without it they hold more."""
        reader = metered.reader
        if reader is None or reader.upstream_id is None or reader.source != "reported":
            return
        try:
            async with self._database.write() as connection:
                await owners.note_tokens(connection, reader.upstream_id, reader.usage().tokens)
        except RecordsUnavailable as error:
            log.warning("tokens_not_noted", extra={"id": metered.id, "error": str(error)[:200]})

    async def delete_at_openai(self, holder: KeyHolder, id: str) -> None:
        """Delete again what could not be given an owner; it is said in the log either way."""
        log.error("object_without_owner", extra={"business": holder.business, "object": id})
        path = _DELETED_AT.get(_prefix(id))
        if path is None or not id.replace("_", "").replace("-", "").isalnum():
            return
        upstream = self._upstreams.of(holder)
        try:
            endpoint = upstream.endpoint("DELETE", path + id)
            async with await upstream.open(endpoint, b"", transaction_id=new_id()) as reply:
                await reply.read(1024 * 1024)
        except Exception as error:
            log.error("object_not_deleted", extra={"object": id, "error": type(error).__name__})


def made_by(
    holder: KeyHolder, id: str, kind: str, *, feature: str | None, tokens: int | None = None
) -> Owned:
    """An object that a key has just made."""
    return Owned(
        id=id,
        kind=kind,
        business=holder.business,
        key_id=holder.key_id,
        feature=feature,
        created_at=datetime.now(UTC),
        tokens=tokens,
    )


def _prefix(id: str) -> str:
    return id.replace("-", "_").partition("_")[0]


def _fits(owned: Owned, named: Named) -> bool:
    """Whether an object is of the kind that the field asks for, as far as kinds matter."""
    return named.kind not in ("response", "conversation") or owned.kind == named.kind


def _continue(call: Call, found: dict[str, Owned]) -> None:
    """Tell the meter what a call begins with beside its body."""
    previous = call.fields.get("previous_response_id")
    if isinstance(previous, str) and previous in found:
        call.before_tokens = found[previous].tokens
    if call.fields.get("conversation"):
        call.before_tokens = None  # It grows on its own; nobody here counts it.
