"""One call under way: what was held for it, what was seen of its reply, how it is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from time import monotonic, time
from typing import Protocol

from gateway.quote import Quote, Quotes, encode
from gateway.settlement import Settlement
from metering.errors import UnitNotPriced
from metering.meters.meter import UsageReader
from metering.money import Credits, Usd
from metering.tariff import Charge
from metering.usage import Usage
from storage.balances import Hold
from storage.keys import KeyHolder
from storage.replays import Claim, Name


class Recorded(Protocol):
    """A reply that is being recorded."""

    def settled_after(self, ended: Settlement | Awaitable[Settlement]) -> Awaitable[Settlement]: ...


@dataclass(slots=True)
class MeteredCall:
    """
    A call that was granted a hold, from the hold to its settlement.

    `sent` is set when OpenAI may have seen the call, `delivered` with the first byte of a
    good reply; `cost_is_open` when OpenAI may have billed a call whose reply nobody saw;
    `cut_by_caller` when its caller left and the reply was not read to its end; `shortened`
    when the output limit was lowered to what its key may use in a minute. Times are
    monotonic seconds: `begun` when all of it was here, `asked_at` when OpenAI was asked,
    `answered_at` when a reply in one piece had been read. `name`, `claimed` (monotonic),
    `recording` and `is_replay` are of a call with an Idempotency-Key. `has_job`: see `jobs.py`.
    """

    id: str
    holder: KeyHolder
    quote: Quote
    quotes: Quotes
    begun: float = field(default_factory=monotonic)
    started: float = field(default_factory=monotonic)
    started_at_ms: int = field(default_factory=lambda: int(time() * 1000))
    hold: Hold | None = None
    reader: UsageReader | None = None
    http_status: int | None = None
    upstream_request_id: str | None = None
    first_byte_ms: int | None = None
    delivered: bool = False
    complete: bool = False
    cost_is_open: bool = False
    flagged: list[str] = field(default_factory=list)
    settled: bool = False
    sent: bool = False
    cut_by_caller: bool = False
    shortened: bool = False
    has_limits: bool = False
    used: Credits = Credits(0)
    asked_at: float | None = None
    answered_at: float | None = None
    name: Name | None = None
    claimed: float = 0.0
    recording: Recorded | None = None
    is_replay: bool = False
    noted_cost: Usd = Usd(0)
    has_job: bool = False

    @property
    def was_fitted(self) -> bool:
        """Whether the output limit was lowered to what the balance affords."""
        return self.granted < self.quote.ceiling.credits_used

    @property
    def remaining(self) -> Credits:
        """What the business has left, from the hold's answer and the charge."""
        assert self.hold is not None
        return max(Credits(0), self.hold.available + self.granted - self.used)

    @property
    def granted(self) -> Credits:
        assert self.hold is not None, "a call is metered once it is held"
        return self.hold.granted

    def elapsed_ms(self) -> int:
        return round((monotonic() - self.started) * 1000)

    def note(self) -> str:
        """
        The row to store if this process dies now.

        It may have cost us as much as the ceiling; what the business pays then is what
        the checkpoint says.
        """
        self.noted_cost = self.quote.ceiling.cost_to_us
        return encode(
            self._row(
                usage=Usage(),
                source="none",
                cost=self.noted_cost,
                version=self.quote.rate.version,
                estimated=True,
                processing_ms=None,
            )
        ).decode()

    def metered(self) -> Credits:
        """
        What it has cost so far, roughly, for a checkpoint.

        Nothing before anything was delivered: if we die then, the loss is ours.
        """
        if self.reader is None or not self.delivered:
            return Credits(0)
        # Four bytes of a prompt are about one token; a sweep must not charge too much.
        rough = self.quote.most.rough_input
        rough = self.quote.call.body_bytes // 4 if rough is None else rough
        input_tokens = min(self.quote.input_tokens, rough)
        usage = self.quote.most.so_far(input_tokens, self.reader.so_far())
        charge = self.quotes.charge(self.quote, self.quote.rate, usage)
        return min(charge.credits_used, self.granted)

    def settlement(self) -> Settlement:
        """
        How the call ends, when its usage is known or nothing is to be charged.

        Counting blocks; see `needs_counting`.
        """
        if self.is_free():
            return self._released()
        assert self.reader is not None
        usage, source = self._usage()
        charge, model = self._charge_of(usage)
        amount = charge.credits_used
        cost = charge.cost_to_us
        if source == "reported" and self._is_absurd(usage):
            # No model can use so much; what OpenAI will bill is not known.
            self.flagged.append("usage_out_of_range")
            source, cost = "counted", self.quote.ceiling.cost_to_us
        if source != "reported":
            # What was not reported is never more than was agreed to beforehand.
            amount = min(amount, self.granted)
        assert self.hold is not None
        self.used = min(amount, self.granted + self.hold.available)
        row = self._row(
            usage=usage,
            source=source,
            cost=cost,
            version=charge.price_version,
            estimated=source != "reported",
            processing_ms=self.elapsed_ms(),
            model=model,
        )
        return self._settlement(amount, "settled", row)

    def abandoned(self) -> Settlement:
        """Give back a hold that may or may not have been made; nothing was forwarded for it."""
        settlement = self._released()
        settlement.only_if_held = True
        return settlement

    def needs_counting(self) -> bool:
        """Whether the usage must be counted, which blocks."""
        return not self.is_free() and self.reader is not None and self.reader.source != "reported"

    def counted_settlement(self) -> Awaitable[Settlement]:
        """The same as `settlement`, counted in a thread: of the call as it is at this moment."""
        return self._counted(replace(self))

    async def _counted(self, ended: MeteredCall) -> Settlement:
        settlement = await asyncio.to_thread(ended.settlement)
        self.used, self.flagged = ended.used, ended.flagged
        return settlement

    def is_free(self) -> bool:
        """
        Nothing was delivered, or OpenAI sent an error: nothing is charged.

        A stream that broke before its first token is free as well; that is our risk. A
        caller that leaves is not: it pays for its prompt at the least.
        """
        if self.cut_by_caller and self.sent:
            return False
        if self.reader is None or not self.delivered or self.reader.source == "none":
            return True
        broke = not self.complete and self.reader.source != "reported"
        return broke and self.reader.so_far() == 0

    def _usage(self) -> tuple[Usage, str]:
        assert self.reader is not None
        if self.reader.source != "none":
            return self.reader.usage(), self.reader.source
        return self.quote.meter.unseen(self.quote.call, self.quote.row), "counted"

    def _is_absurd(self, usage: Usage) -> bool:
        """Whether no call of this kind can have used so much, by the model's own limits."""
        most = self.quote.most
        if usage.tokens <= most.tokens:
            return False  # A picture or speech may have more tokens than its model reads.
        return usage.tokens > self.quote.row.context_window * most.choices * most.turns

    def line(self) -> dict[str, object]:
        """What the access log says of it: ids and numbers, never a text of the caller's."""
        return {
            "id": self.id,
            "business": self.holder.business,
            "key": self.holder.key_id,
            "feature": self.quote.labels.feature,
            "model": self.quote.row.id,
            "stream": self.quote.call.streams,
            "credits_held": str(self.granted) if self.hold else None,
            "credits_used": str(self.used),
            "usage_source": self.reader.source if self.reader else None,
            "flagged": self.flagged,
            "first_byte_ms": self.first_byte_ms,
            "processing_ms": self.elapsed_ms(),
            **({"replayed": True} if self.is_replay else {}),
        }

    def _charge_of(self, usage: Usage) -> tuple[Charge, str]:
        assert self.reader is not None
        rate, flag = self.quotes.settling_rate(
            self.quote, model=self.reader.model, tier=self.reader.tier
        )
        self.flagged = [*self.reader.flagged, *([flag] if flag else [])]
        try:
            return self.quotes.charge(self.quote, rate, usage), rate.model
        except UnitNotPriced:
            # Another model answered than was asked for: what was held prices all of it.
            self.flagged.append("unit_not_priced")
            return self.quotes.charge(self.quote, self.quote.rate, usage), self.quote.rate.model

    def _released(self) -> Settlement:
        cost = self.quote.ceiling.cost_to_us if self.cost_is_open else Usd(0)
        row = self._row(
            usage=Usage(),
            source="none",
            cost=cost,
            version=self.quote.rate.version,
            estimated=self.cost_is_open,
            processing_ms=self.elapsed_ms(),
        )
        return self._settlement(Credits(0), "released", row)

    def _settlement(self, amount: Credits, outcome: str, row: dict[str, object]) -> Settlement:
        return Settlement(
            business=self.holder.business,
            id=self.id,
            amount=amount,
            outcome=outcome,
            granted=self.hold.granted if self.hold else Credits(0),
            row=row,
            tokens=self._tokens_of(row),
            claim=Claim(self.name.key, self.id) if self.name else None,
            noted_cost=self.noted_cost,
        )

    def _tokens_of(self, row: dict[str, object]) -> int | None:
        """What the limits of the key are told, so that they give the rest back."""
        used = row["tokens_used"]
        assert isinstance(used, int)
        return used if self.has_limits else None

    def _row(
        self,
        *,
        usage: Usage,
        source: str,
        cost: Usd,
        version: str,
        estimated: bool,
        processing_ms: int | None,
        model: str | None = None,
    ) -> dict[str, object]:
        return {
            "key_id": self.holder.key_id,
            "user": self.quote.labels.user,
            "feature": self.quote.labels.feature,
            "endpoint": self.quote.call.endpoint,
            "model": model or self.quote.row.id,
            "usage": usage.as_names(),
            "usage_source": source,
            "estimated": estimated,
            "cost_pico": str(cost.pico),
            "tokens_used": usage.tokens,
            "started_at_ms": self.started_at_ms,
            "success": self.complete,
            "http_status": self.http_status,
            "processing_ms": processing_ms,
            "first_byte_ms": self.first_byte_ms,
            "price_version": version,
            "upstream_request_id": self.upstream_request_id,
            "adjusts": None,
        }
