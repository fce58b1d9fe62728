"""
A call whose work goes on after it, as it is written down and as it is settled later.

Nothing of a prompt is kept: where the usage never comes, the prompt was counted beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from gateway.metered_call import MeteredCall
from gateway.quote import Quote, Quotes
from gateway.read_call import Labels
from metering.call import Call
from metering.meters.meter import Ceiling, Meter, UsageReader
from metering.money import Credits
from metering.rates import RateCard
from metering.reply_seen import ReplyNamed
from metering.tariff import FeatureRule
from metering.usage import Unit, Usage
from storage.balances import Hold
from storage.jobs import Job
from storage.keys import KeyHolder, Scopes

ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""The states of a response after which nothing changes any more."""


class LooksAfter(Protocol):
    """`gateway.jobs.Jobs`, as far as calls that go on in the background need it."""

    async def add(self, metered: MeteredCall) -> None: ...

    async def cancel(self, metered: MeteredCall) -> None: ...


def in_background(metered: MeteredCall) -> bool:
    """Whether OpenAI may work on a call after its reply."""
    return metered.quote.call.fields.get("background") is True


def goes_on(metered: MeteredCall) -> bool:
    """Whether the end of a call is not known yet; who looks after it settles it then."""
    return metered.has_job and getattr(metered.reader, "status", None) not in ENDED


def facts_of(metered: MeteredCall, prompt: Usage) -> dict[str, Any]:
    """
    All that settles a call, without its texts.

    Args:
        prompt: What the prompt was counted as, for a reply without usage.
    """
    quote = metered.quote
    most = quote.most
    return {
        "endpoint": quote.call.endpoint,
        "model": quote.call.model,
        "tools": [{"type": tool.get("type")} for tool in quote.call.fields.get("tools") or ()],
        "tier": quote.rate.tier,
        "version": quote.rate.version,
        "at": quote.at.isoformat(),
        "user": quote.labels.user,
        "feature": quote.labels.feature,
        "has_rule": quote.feature_rule is not None,
        "prompt": prompt.as_names(),
        "most": most.usage().as_names(),
        "choices": most.choices,
        "turns": most.turns,
        "key": metered.holder.key_id,
        "upstream": metered.holder.upstream,
        "has_limits": metered.has_limits,
        "started_at_ms": metered.started_at_ms,
        "first_byte_ms": metered.first_byte_ms,
        "upstream_request_id": metered.upstream_request_id,
    }


def holder_of(job: Job) -> KeyHolder:
    """Whose job it is, as far as asking OpenAI and settling need it."""
    return KeyHolder(
        key_id=job.facts["key"],
        business=job.business,
        business_status="active",
        scopes=Scopes(),
        default_feature=None,
        credit_cap=None,
        expires_at=None,
        revoked_at=None,
        upstream=job.facts["upstream"],
    )


def metered_again(
    job: Job, *, quotes: Quotes, meters: Mapping[str, Meter], card: RateCard
) -> MeteredCall:
    """
    The call of a job, ready to read how it ended; prices are those of its hold.

    Raises:
        ModelNotPriced: The card has lost the row that it was held with.
    """
    facts = job.facts
    row = card.by_version(facts["version"])
    fields = {"model": facts["model"], "service_tier": facts["tier"], "tools": facts["tools"]}
    call = Call(facts["endpoint"], facts["model"], fields, streams=False, body_bytes=0)
    rate = row.rates[facts["tier"]]
    most = Ceiling(
        choices=facts["choices"], turns=facts["turns"], others=Usage.from_names(facts["most"])
    )
    rule = FeatureRule() if facts["has_rule"] else None
    meter = meters[call.endpoint]
    quote = Quote(
        call=call,
        meter=meter,
        row=row,
        rate=rate,
        labels=Labels(facts["user"], facts["feature"], False, False),
        feature_rule=rule,
        most=most,
        ceiling=quotes.ceiling_of(rate, most.usage(), facts["feature"], rule is not None),
        body=b"",
        asked_for_usage=True,
        at=datetime.fromisoformat(facts["at"]),
    )
    metered = MeteredCall(job.id, holder_of(job), quote, quotes)
    metered.hold = Hold(job.id, job.business, job.granted, Credits(0))
    metered.started_at_ms = facts["started_at_ms"]
    metered.first_byte_ms = facts["first_byte_ms"]
    metered.upstream_request_id = facts["upstream_request_id"]
    metered.has_limits = facts["has_limits"]
    metered.http_status, metered.delivered, metered.sent = 200, True, True
    metered.reader = meter.reader(call, row, asked_for_usage=True)
    return metered


class WithPrompt(ReplyNamed):
    """
    What a reply told, and where it told no usage, the prompt as it was counted.

    Args:
        charges: Whether the prompt is owed though nothing was seen, as of a cancelled one.
    """

    def __init__(self, reader: UsageReader, prompt: Usage, *, charges: bool) -> None:
        super().__init__()
        self._reader, self._prompt, self._charges = reader, prompt, charges
        self.model, self.tier = reader.model, reader.tier
        self.error, self.flagged = reader.error, reader.flagged

    @property
    def source(self) -> Any:
        """As of the reply; a prompt that is owed was counted."""
        return "counted" if self._charges and self._is_silent() else self._reader.source

    def usage(self) -> Usage:
        """As reported, else the prompt and what was seen of the output; blocks."""
        if self._reader.source == "reported":
            return self._reader.usage()
        seen = {} if self._is_silent() else dict(self._reader.usage().items())
        seen.pop(Unit.INPUT, None)
        return Usage(dict(self._prompt.items()) | seen)

    def so_far(self) -> int:
        """What was seen; one where the prompt is owed."""
        return self._reader.so_far() or int(self._charges)

    def feed(self, chunk: bytes) -> bytes:
        """Nothing comes any more."""
        return chunk

    def feed_json(self, body: bytes) -> None:
        """Nothing comes any more."""

    def finish(self) -> bytes:
        """Nothing was held back."""
        return b""

    def _is_silent(self) -> bool:
        return self._reader.source == "none"


def all_of_it(metered: MeteredCall, flag: str) -> MeteredCall:
    """The same call, charged all that was held, because nobody will ever know its usage."""
    reader = metered.reader
    assert reader is not None
    reader.flagged.append(flag)
    held = WithPrompt(reader, metered.quote.most.usage(), charges=True)
    return replace(metered, reader=held, complete=False)
