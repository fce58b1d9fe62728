"""
What a call may cost before it is made: its price, its limits, its ceiling and its floor.

Nothing is asked of Redis here; `proxy.py` holds what a quote says.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from gateway.errors import FeatureLimitExceeded
from gateway.permission import check_bounds, check_model, feature_rule
from gateway.read_call import Labels
from gateway.spool import Spool
from metering.call import Call
from metering.errors import CostNotBounded, ModelNotPriced
from metering.meters.meter import Ceiling, Meter, OutputLimits
from metering.money import Credits
from metering.rates import ModelRow, Rate, RateCard
from metering.tariff import Charge, FeatureRule, Tariff
from metering.usage import Usage
from storage.keys import KeyHolder

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Quote:
    """
    The most a call may cost.

    `body` is what would be forwarded; `feature_rule` is set where the feature, and not
    only the model, decides the price; `most` is what the call can use and `ceiling` what
    that costs; `at` chose the prices.
    """

    call: Call
    meter: Meter
    row: ModelRow
    rate: Rate
    labels: Labels
    feature_rule: FeatureRule | None
    most: Ceiling
    ceiling: Charge
    body: bytes
    asked_for_usage: bool
    at: datetime

    @property
    def has_fixed_price(self) -> bool:
        return self.feature_rule is not None and self.feature_rule.credits is not None

    @property
    def fits(self) -> bool:
        """Whether its output limit may be lowered."""
        return self.meter.fits and not self.most.output_is_fixed

    @property
    def sent(self) -> bytes | Spool:
        """What is forwarded: the body as JSON, or the one of several parts as it came."""
        spool: Spool | None = self.call.as_sent
        return self.body if spool is None else spool

    def close(self) -> None:
        """The call is over: forget a body that was spooled."""
        if self.call.as_sent is not None:
            self.call.as_sent.close()

    @property
    def tokens(self) -> int:
        """The most it may use, in and out."""
        return self.most.tokens

    @property
    def input_tokens(self) -> int:
        return self.most.input_tokens

    @property
    def output_limit(self) -> int:
        return self.most.output_limit

    @property
    def choices(self) -> int:
        return self.most.choices


class Quotes:
    """
    Works out quotes.

    Args:
        card: Gives the rate card of this moment.
        default_max_output_tokens: For a call that sets no limit; it is written into it.
        min_output_tokens: What a call that is fitted to the balance keeps at the least.
        may_fit: Whether calls are fitted at all.
    """

    def __init__(
        self,
        *,
        card: Callable[[], RateCard],
        tariff: Tariff,
        meters: Mapping[str, Meter],
        default_max_output_tokens: int,
        min_output_tokens: int,
        may_fit: bool,
    ) -> None:
        self._card = card
        self._tariff = tariff
        self._meters = meters
        self._default_max_output_tokens = default_max_output_tokens
        self._min_output_tokens = min_output_tokens
        self._may_fit = may_fit

    def quote(self, call: Call, holder: KeyHolder, labels: Labels) -> Quote:
        """
        The quote of a call, its input bounded by the bytes of its body.

        Raises:
            MeteringError: The body is not understood, or its cost cannot be bounded.
            ModelNotAllowed, FeatureNotAllowed, FeatureLimitExceeded
        """
        meter = self._meters[call.endpoint]
        meter.read(call)
        rule = feature_rule(self._tariff, holder, labels)
        at = datetime.now(UTC)
        row = self._card().find(call.model, at=at)
        if meter.family not in row.serves:
            raise ModelNotPriced(call.model)
        check_model(call.model, row, tariff=self._tariff, holder=holder, rule=rule, labels=labels)
        rate = _rate_of(row, meter.tier(call))
        output_limit = meter.output_limit(call, self._limits(row, rule))
        asked_for_usage = meter.asks_for_usage(call)
        body = _prepared(meter, call, output_limit)
        most = meter.ceiling(call, row, output_limit=output_limit)
        if rule is not None:
            check_bounds(labels, rule, most)
        return Quote(
            call=call,
            meter=meter,
            row=row,
            rate=rate,
            labels=labels,
            feature_rule=rule,
            most=most,
            ceiling=self._tariff.ceiling(rate, most.usage(), labels.feature, rule is not None),
            body=body,
            asked_for_usage=asked_for_usage,
            at=at,
        )

    async def tighten(self, quote: Quote) -> Quote:
        """The same quote with its input counted in tokens, off the event loop."""
        counted = await asyncio.to_thread(quote.meter.count_input, quote.call, quote.row)
        most = replace(quote.most, input_tokens=min(counted, quote.input_tokens))
        return replace(quote, most=most, ceiling=self._ceiling(quote, most))

    async def check_feature_input(self, quote: Quote) -> None:
        """
        Keep a feature's call within the input its fixed price covers.

        Raises:
            FeatureLimitExceeded: Its prompt is longer, counted in tokens.
        """
        rule = quote.feature_rule
        if rule is None or rule.max_input_tokens is None:
            return
        if quote.input_tokens <= rule.max_input_tokens:
            return
        counted = (await self.tighten(quote)).input_tokens
        if counted > rule.max_input_tokens:
            raise FeatureLimitExceeded(
                f"the prompt has up to {counted} tokens and the feature "
                f"{quote.labels.feature!r} covers {rule.max_input_tokens}; shorten it",
                param="messages",
            )

    def floor(self, quote: Quote) -> Credits:
        """The least that must be held: the whole ceiling unless the call may be fitted."""
        if not self.may_fit(quote):
            return quote.ceiling.credits_used
        least = self._least_output(quote)
        return self._ceiling(quote, replace(quote.most, output_limit=least)).credits_used

    def least(self, quote: Quote) -> Credits:
        """What the call costs at the very least: a prompt of one token, the shortest reply."""
        if quote.has_fixed_price:
            return quote.ceiling.credits_used
        most = quote.most
        least = replace(
            most,
            input_tokens=min(1, most.input_tokens),
            output_limit=min(1, most.output_limit) if quote.fits else most.output_limit,
        )
        return self._ceiling(quote, least).credits_used

    def may_fit(self, quote: Quote) -> bool:
        """Whether the output limit may be lowered to what is affordable."""
        wanted = self._may_fit and quote.labels.may_fit
        return wanted and quote.fits and not quote.has_fixed_price

    def fit(self, quote: Quote, granted: Credits) -> Quote:
        """The quote with the output limit that `granted` affords, written into the body."""
        limit = min(quote.output_limit, self.affordable_output(quote, granted))
        most = replace(quote.most, output_limit=limit)
        return replace(quote, most=most, body=_prepared(quote.meter, quote.call, limit))

    def shorten(self, quote: Quote, tokens: int) -> Quote | None:
        """The quote with the output limit that so many tokens leave; None when that is too low."""
        left = (tokens - quote.input_tokens) // quote.choices - quote.most.extra_output
        if not self.may_fit(quote) or left < self._least_output(quote):
            return None
        most = replace(quote.most, output_limit=min(left, quote.output_limit))
        ceiling = self._ceiling(quote, most)
        body = _prepared(quote.meter, quote.call, most.output_limit)
        return replace(quote, most=most, ceiling=ceiling, body=body)

    def affordable_output(self, quote: Quote, credits: Credits) -> int:
        """
        The most output tokens each choice may have for so many credits; 0 for none.

        Never more than the call asks for. Searched for, because only so every unit, tier
        and rule that the ceiling knows is in it.
        """
        if not quote.fits or quote.has_fixed_price:
            return quote.output_limit if credits >= quote.ceiling.credits_used else 0

        def is_too_dear(limit: int) -> bool:
            most = replace(quote.most, output_limit=limit)
            return self._ceiling(quote, most).credits_used > credits

        limits = range(1, quote.output_limit + 1)
        return bisect_left(limits, True, key=is_too_dear)

    def charge(self, quote: Quote, rate: Rate, usage: Usage) -> Charge:
        """The price of what was really used."""
        return self._tariff.charge(
            rate, usage, quote.labels.feature, quote.feature_rule is not None
        )

    def ceiling_of(self, rate: Rate, most: Usage, feature: str | None, has_rule: bool) -> Charge:
        """What a call costs that uses all it can."""
        return self._tariff.ceiling(rate, most, feature, has_rule)

    def settling_rate(
        self, quote: Quote, *, model: str | None, tier: str | None
    ) -> tuple[Rate, str | None]:
        """The rate of the model and tier that OpenAI says it served, and what was odd."""
        card = self._card()
        try:
            return card.settling_rate(quote.rate, model=model, tier=tier, at=quote.at)
        except ModelNotPriced:
            # The row was taken off the card while the call ran: what was held prices it.
            return quote.rate, None

    def _limits(self, row: ModelRow, rule: FeatureRule | None) -> OutputLimits:
        default = min(self._default_max_output_tokens, row.max_output)
        if rule is not None and rule.max_output_tokens is not None:
            default = min(default, rule.max_output_tokens)
        return OutputLimits(default=default, most=row.max_output)

    def _least_output(self, quote: Quote) -> int:
        """The lowest output limit that a call may be fitted to."""
        return min(max(self._min_output_tokens, quote.meter.least_output), quote.output_limit)

    def _ceiling(self, quote: Quote, most: Ceiling) -> Charge:
        return self._tariff.ceiling(
            quote.rate, most.usage(), quote.labels.feature, quote.feature_rule is not None
        )


def _prepared(meter: Meter, call: Call, output_limit: int) -> bytes:
    """
    The body to forward, with what makes the ceiling true written into it.

    A body of several parts goes as it came; its meter refuses what would need writing.
    """
    if call.as_sent is not None:
        return b""
    meter.prepare(call, output_limit=output_limit)
    body = encode(call.fields)
    call.body_bytes = len(body)
    return body


def _rate_of(row: ModelRow, tier: str) -> Rate:
    rate = row.rates.get(tier)
    if rate is None:
        raise CostNotBounded("service_tier", f"{row.id} has no price in the tier {tier!r}")
    return rate
