"""
One row of the rate card: what each unit of a model costs from a day on.

A price is written as USD per million and kept as whole pico-dollars per unit, in which
every published price is a whole number; so a cost is one exact sum of products.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from metering.errors import UnitNotPriced
from metering.money import Usd
from metering.usage import INPUT_TOKENS, Unit, Usage

DEFAULT_TIER = "default"

# OpenAI takes `fast` for `priority` in a request and always answers `priority`.
TIER_NAMES = {"fast": "priority", "standard": DEFAULT_TIER, "auto": DEFAULT_TIER}

Prices = Mapping[Unit, int]


@dataclass(frozen=True, slots=True)
class Rate:
    """
    What one model costs in one tier, resolved once: pico-dollars per unit.

    `version` is stored with each call; `RateCard.rate_of` gives the same rate back, so a
    stored usage can be rated again to the last digit.
    """

    model: str
    tier: str
    version: str
    short: Prices
    long: Prices
    long_over: int
    _most: tuple[Prices, Prices] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_most", (_ceilings(self.short), _ceilings(self.long)))

    def prices(self, unit: Unit) -> bool:
        """Whether a call may use `unit`: there is a price for it, whatever the prompt's length."""
        return unit in self.short and unit in self.long

    def cost(self, usage: Usage) -> Usd:
        """
        What `usage` costs us; exact, not rounded.

        Above `long_over` input tokens the whole call is priced by the long-prompt row.

        Raises:
            UnitNotPriced: The row has no price for a unit that was used.
        """
        long = usage.input_tokens > self.long_over
        return self._sum(self.long if long else self.short, usage)

    def ceiling_cost(self, usage: Usage) -> Usd:
        """
        The most a call within `usage` can cost: its input at the dearest input price.

        Whether a prompt will be read from the cache, written to it (which costs more than
        plain input) or taken for an image is not known before the call. Audio costs many
        times as much as text, so input that may be audio is bounded as `AUDIO_INPUT`.

        Raises:
            UnitNotPriced: The row has no price for a unit of `usage`.
        """
        return self._sum(self._most[usage.input_tokens > self.long_over], usage)

    def _sum(self, prices: Prices, usage: Usage) -> Usd:
        pico = 0
        for unit, count in usage.items():
            price = prices.get(unit)
            if price is None:
                raise UnitNotPriced(self.model, unit.value)
            pico += price * count
        return Usd(pico)

    def is_long(self, input_tokens: int) -> bool:
        """Whether a prompt of so many tokens is priced by the long-prompt row."""
        return input_tokens > self.long_over

    def dearest_input_picodollars(self, long: bool) -> int:
        """The dearest price of one token of text or image, a cache write of 12 hours included."""
        return self._price(self._most[long], Unit.INPUT)

    def output_picodollars(self, long: bool) -> int:
        """The price of one output token."""
        return self._price(self.long if long else self.short, Unit.OUTPUT)

    def _price(self, prices: Prices, unit: Unit) -> int:
        price = prices.get(unit)
        if price is None:
            raise UnitNotPriced(self.model, unit.value)
        return price


_AUDIO_INPUT = frozenset({Unit.AUDIO_INPUT, Unit.CACHED_AUDIO_INPUT})


def _ceilings(prices: Prices) -> Prices:
    """The prices with every kind of input at the dearest that it may turn out to be."""
    inputs = prices.keys() & INPUT_TOKENS
    text_or_image = max((prices[unit] for unit in inputs - _AUDIO_INPUT), default=0)
    # A part of what is bounded as audio may be text, and would cost what text costs.
    audio = max((prices[unit] for unit in inputs), default=0)
    return {
        **prices,
        **dict.fromkeys(inputs - _AUDIO_INPUT, text_or_image),
        **dict.fromkeys(inputs & _AUDIO_INPUT, audio),
    }


# Longer than any prompt: the row knows no long-prompt price.
NEVER_LONG = 2**62


@dataclass(frozen=True)
class ModelRow:
    """
    What one model is and costs from `valid_from` on.

    `tiers` and `long_tiers` map a service tier to prices in pico-dollars per unit;
    `decided` says, for a price on which the sources disagreed, what was chosen and why.
    """

    id: str
    aliases: tuple[str, ...]
    serves: frozenset[str]
    encoding: str
    context_window: int
    max_input: int
    max_output: int
    valid_from: datetime
    source: str
    tiers: Mapping[str, Prices]
    long_tiers: Mapping[str, Prices] = field(default_factory=dict)
    long_over: int = NEVER_LONG
    decided: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @cached_property
    def version(self) -> str:
        """A stable name of these prices: the day they begin and a digest of all of them."""
        text = json.dumps(
            [
                self.id,
                self.valid_from.isoformat(),
                self.long_over,
                _by_name(self.tiers),
                _by_name(self.long_tiers),
            ],
            sort_keys=True,
        )
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.valid_from.date().isoformat()}.{digest}"

    @cached_property
    def rates(self) -> Mapping[str, Rate]:
        """The rate of each tier."""
        return {tier: self._rate(tier) for tier in self.tiers}

    @cached_property
    def dearest_rate(self) -> Rate:
        """The tier that costs most, for a reply in a tier the row does not know."""
        common = frozenset(Unit).intersection(*self.tiers.values())
        return max(self.rates.values(), key=lambda rate: sum(rate.short[unit] for unit in common))

    def tier(self, name: str) -> Rate | None:
        """The rate of a service tier by any of its names, such as `fast`; None without one."""
        return self.rates.get(TIER_NAMES.get(name, name))

    def answers_to(self, model: str) -> bool:
        """Whether `model` is this id, an alias, or a dated snapshot of one of them."""
        names = (self.id, *self.aliases)
        return model in names or _SNAPSHOT.sub("", model) in names

    def _rate(self, tier: str) -> Rate:
        short = self.tiers[tier]
        return Rate(
            model=self.id,
            tier=tier,
            version=self.version if tier == DEFAULT_TIER else f"{self.version}:{tier}",
            short=short,
            long=self._long(tier, short),
            long_over=self.long_over,
        )

    def _long(self, tier: str, short: Prices) -> Prices:
        # OpenAI publishes no long-prompt price for some dear tiers: such a call is then
        # priced at the dearer of the tier's own price and the default's long one.
        if tier in self.long_tiers or not self.long_tiers:
            return self.long_tiers.get(tier, short)
        default = self.long_tiers[DEFAULT_TIER]
        return {unit: max(price, default.get(unit, 0)) for unit, price in short.items()}


_SNAPSHOT = re.compile(r"-[0-9]{4}-[0-9]{2}-[0-9]{2}$")


def _by_name(tiers: Mapping[str, Prices]) -> dict[str, dict[str, int]]:
    return {
        tier: {unit.value: price for unit, price in prices.items()}
        for tier, prices in tiers.items()
    }
