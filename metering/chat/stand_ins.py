"""
What a token is billed as when its model has no price for its unit; it is never free.

OpenAI bills images as text where it lists no price for them, and what was read from the
cache as plain input where it lists none for that. Anything else without a price was refused
before the call: if it turns up in a reply, it costs what is dearest of its kind, and the
row is flagged.
"""

from __future__ import annotations

from collections.abc import Mapping

from metering.prices import Prices
from metering.usage import INPUT_TOKENS, OUTPUT_TOKENS, Unit, Usage

TEXT_ONLY: Prices = {
    Unit.INPUT: 1,
    Unit.CACHED_INPUT: 1,
    Unit.CACHE_WRITE_30M: 1,
    Unit.CACHE_WRITE_12H: 1,
    Unit.OUTPUT: 1,
}
"""A model that is only known to have prices for text."""

_FLAGS = {
    Unit.AUDIO_INPUT: "audio_without_asking",
    Unit.CACHED_AUDIO_INPUT: "audio_without_asking",
    Unit.AUDIO_OUTPUT: "audio_without_asking",
}


def with_stand_ins(counts: Mapping[Unit, int], prices: Prices, flagged: list[str]) -> Usage:
    """The usage in units that the model prices; `flagged` is told what had no price."""
    billed: dict[Unit, int] = {}
    for unit, count in counts.items():
        if not count:
            continue
        found = unit if unit in prices else _stand_in(unit, prices, flagged)
        billed[found] = billed.get(found, 0) + count
    return Usage(billed)


def _stand_in(unit: Unit, prices: Prices, flagged: list[str]) -> Unit:
    has_images = Unit.IMAGE_INPUT in prices
    known = {
        Unit.CACHED_INPUT: Unit.INPUT,
        Unit.IMAGE_INPUT: Unit.INPUT,
        Unit.CACHED_IMAGE_INPUT: Unit.IMAGE_INPUT if has_images else Unit.CACHED_INPUT,
        Unit.CACHED_AUDIO_INPUT: Unit.AUDIO_INPUT,
    }
    other = known.get(unit)
    if other is not None and other in prices:
        return other
    flag = _FLAGS.get(unit, "unit_not_priced")
    if flag not in flagged:
        flagged.append(flag)
    kind = OUTPUT_TOKENS if unit in OUTPUT_TOKENS else INPUT_TOKENS
    return max(sorted(kind & prices.keys(), key=list(Unit).index), key=lambda one: prices[one])
