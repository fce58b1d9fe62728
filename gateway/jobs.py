"""
Responses in the background: their holds outlive their calls, and are settled when they end.

A row is written before the reply of the call leaves; from then on somebody looks after it,
in whichever gateway runs the loop, until OpenAI says that it has ended. It is settled under
the id of its hold, so that however often that is tried it counts once, and the row goes
when SQL has the transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.background.settler import Settler
from gateway.job_facts import ENDED, WithPrompt, all_of_it, facts_of, holder_of, metered_again
from gateway.metered_call import MeteredCall
from gateway.quote import Quotes
from gateway.settlement import Settlement
from gateway.upstreams import Upstreams
from metering.errors import ModelNotPriced
from metering.meters.meter import Meter
from metering.money import Credits
from metering.rates import RateCard
from metering.usage import Usage
from storage import jobs, owners, transactions
from storage.balances import Balances
from storage.database import Database
from storage.errors import StorageError
from storage.ids import adjusted_id, new_id
from storage.jobs import Job
from storage.keys import KeyHolder

log = logging.getLogger(__name__)

LEASE_S = 6 * 3600.0  # No restart takes so long; a hold that is swept is adjusted later.
LOOK_EVERY_S = 1.0
FIRST_LOOK_S = 2.0
LOOK_MOST_S = 60.0  # Between two looks at one that runs for long.
ENDS_AFTER = timedelta(hours=24)  # What runs longer is charged all that was held.
AT_ONCE = 20  # OpenAI is asked about so many at a time.
REPLY_MOST_BYTES = 64 * 1024 * 1024


class Jobs:
    """Looks after what runs in the background."""

    def __init__(
        self,
        *,
        database: Database,
        balances: Balances,
        settler: Settler,
        upstreams: Upstreams,
        quotes: Quotes,
        meters: Mapping[str, Meter],
        card: Callable[[], RateCard],
        runs_here: Callable[[], bool],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._balances = balances
        self._settler = settler
        self._upstreams = upstreams
        self._quotes = quotes
        self._meters = meters
        self._card = card
        self._runs_here = runs_here
        self.now = now

    async def add(self, metered: MeteredCall) -> None:
        """
        Look after a call from now on.

        Raises:
            RecordsUnavailable: It could not be written down.
        """
        quote, reader = metered.quote, metered.reader
        assert reader is not None
        assert reader.upstream_id is not None
        prompt = await asyncio.to_thread(quote.meter.unseen, quote.call, quote.row)
        now = self.now()
        job = Job(
            id=metered.id,
            kind="response",
            business=metered.holder.business,
            object_id=reader.upstream_id,
            granted=metered.granted,
            facts=facts_of(metered, prompt),
            started_at=now,
            look_at=now + timedelta(seconds=FIRST_LOOK_S),
        )
        async with self._database.write() as connection:
            await jobs.add(connection, job)
        metered.has_job = True
        await self._renew(job)

    async def run(self) -> None:
        """Look about once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if self._runs_here():
                    await self.look()
            except StorageError as error:
                log.warning("jobs_wait", extra={"error": str(error)[:200]})

    async def look(self) -> int:
        """
        Look at every job whose time has come; how many there were.

        Raises:
            RecordsUnavailable
        """
        async with self._database.read() as connection:
            due = await jobs.due(connection, self.now(), limit=AT_ONCE)
        await asyncio.gather(*map(self._look_at, due))
        return len(due)

    async def see(self, holder: KeyHolder, object_id: str, body: bytes) -> None:
        """Settle a job when its caller's own question shows that it has ended."""
        try:
            async with self._database.read() as connection:
                job = await jobs.named(connection, holder.business, object_id)
            if job is not None and _status(body) in ENDED:
                await self._settle(job, body)
        except StorageError as error:
            log.warning("job_waits", extra={"object": object_id, "error": str(error)[:200]})

    async def end(self, holder: KeyHolder, object_id: str) -> None:
        """
        Settle a job before it is deleted: what runs is cancelled first.

        Raises:
            RecordsUnavailable: Nobody can say whether there is a job; nothing is deleted.
        """
        async with self._database.read() as connection:
            job = await jobs.named(connection, holder.business, object_id)
        if job is None:
            return
        status, body = await self._ask(job, "GET", "")
        if status == 200 and _status(body) not in ENDED:
            status, body = await self._ask(job, "POST", "/cancel")
        if status == 200 and _status(body) in ENDED:
            await self._settle(job, body)

    async def cancel(self, metered: MeteredCall) -> None:
        """Cancel at OpenAI what could not be written down."""
        reader = metered.reader
        assert reader is not None
        try:
            await self._send(metered.holder, "POST", f"/responses/{reader.upstream_id}/cancel")
        except Exception as error:
            log.error("job_not_cancelled", extra={"id": metered.id, "error": type(error).__name__})

    async def _look_at(self, job: Job) -> None:
        """One look; what is wrong with one job must not keep the others waiting."""
        try:
            if await self._is_recorded(job):
                async with self._database.write() as connection:
                    await jobs.remove(connection, job.id)
                return
            await self._renew(job)
            pause_s = min(LOOK_MOST_S, FIRST_LOOK_S * 2 ** min(job.looks, 5))
            async with self._database.write() as connection:
                at = self.now() + timedelta(seconds=pause_s)
                await jobs.look_again(connection, job.id, at)
            await self._follow(job)
        except StorageError as error:
            log.warning("job_waits", extra={"id": job.id, "error": str(error)[:200]})
        except Exception:
            log.exception("job_failed", extra={"id": job.id})

    async def _is_recorded(self, job: Job) -> bool:
        """Whether SQL has how it ended; what was swept meanwhile is to be adjusted yet."""
        async with self._database.read() as connection:
            stored = await transactions.outcome_of(connection, job.id)
            if stored is not None and stored.outcome == "orphaned":
                stored = await transactions.outcome_of(connection, adjusted_id(job.id))
        return stored is not None

    async def _follow(self, job: Job) -> None:
        if self.now() - job.started_at >= ENDS_AFTER:
            await self._ask(job, "POST", "/cancel")
            await self._settle_at_hold(job, "job_too_long")
            return
        status, body = await self._ask(job, "GET", "")
        if status == 200 and _status(body) in ENDED:
            await self._settle(job, body)
        elif status == 404:
            await self._settle_at_hold(job, "job_is_gone")

    async def _settle(self, job: Job, body: bytes) -> None:
        """Settle by what OpenAI says at its end, as a call that is answered at once."""
        metered = self._metered(job)
        reader = metered.reader
        assert reader is not None
        reader.feed_json(body)
        cancelled = _status(body) == "cancelled"
        metered.complete = reader.error is None and not cancelled
        prompt = Usage.from_names(job.facts["prompt"])
        metered.reader = WithPrompt(reader, prompt, charges=cancelled)
        if reader.source == "reported":
            await self._note_tokens(job, reader.usage().tokens)
        await self._hand_over(metered)

    async def _settle_at_hold(self, job: Job, flag: str) -> None:
        await self._hand_over(all_of_it(self._metered(job), flag))

    async def _hand_over(self, metered: MeteredCall) -> None:
        settlement: Settlement = await asyncio.to_thread(metered.settlement)
        self._settler.settle(settlement)
        log.info("job_settled", extra={"id": metered.id, "flagged": metered.flagged})

    def _metered(self, job: Job) -> MeteredCall:
        try:
            card = self._card()
            return metered_again(job, quotes=self._quotes, meters=self._meters, card=card)
        except ModelNotPriced:
            log.error("job_without_price", extra={"id": job.id})
            raise

    async def _renew(self, job: Job) -> None:
        await self._balances.renew(
            business=job.business, id=job.id, lease_s=LEASE_S, metered=Credits(0)
        )

    async def _note_tokens(self, job: Job, tokens: int) -> None:
        async with self._database.write() as connection:
            await owners.note_tokens(connection, job.object_id, tokens)

    async def _ask(self, job: Job, method: str, below: str) -> tuple[int, bytes]:
        """OpenAI's answer about a job; 0 when there was none."""
        try:
            return await self._send(holder_of(job), method, f"/responses/{job.object_id}{below}")
        except Exception as error:
            log.warning("job_not_asked", extra={"id": job.id, "error": type(error).__name__})
            return 0, b""

    async def _send(self, holder: KeyHolder, method: str, path: str) -> tuple[int, bytes]:
        upstream = self._upstreams.of(holder)
        endpoint = upstream.endpoint(method, path)
        async with await upstream.open(endpoint, b"", transaction_id=new_id()) as reply:
            return reply.status, await reply.read(REPLY_MOST_BYTES)


class _Response(msgspec.Struct, gc=False):
    status: str = ""


def _status(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Response).status
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
