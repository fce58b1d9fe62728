"""Rows of a rate card for tests, and the check that what OpenAI billed is what was charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from gateway.dev.stub_bills import Bill
from metering.money import Credits
from metering.prices import ModelRow
from metering.rates import RateCard
from metering.usage import Unit, Usage
from storage.transactions import Transaction
from tests.house import Acme, House

TEXT = {
    Unit.INPUT: 2_500_000,
    Unit.CACHED_INPUT: 1_250_000,
    Unit.CACHE_WRITE_30M: 2_500_000,
    Unit.CACHE_WRITE_12H: 2_500_000,
    Unit.OUTPUT: 10_000_000,
}
SENSES = {
    Unit.AUDIO_INPUT: 32_000_000,
    Unit.CACHED_AUDIO_INPUT: 3_000_000,
    Unit.IMAGE_INPUT: 5_000_000,
    Unit.CACHED_IMAGE_INPUT: 500_000,
    Unit.AUDIO_OUTPUT: 64_000_000,
    Unit.WEB_SEARCHES: 10_000_000_000,
}
"""Pico-dollars for one of each."""


def a_row(
    name: str,
    family: str,
    prices: Mapping[Unit, int],
    *,
    tiers: Mapping[str, Mapping[Unit, int]] | None = None,
    **given: Any,
) -> ModelRow:
    """A model with these prices in the default tier."""
    about = {
        "aliases": (),
        "encoding": "o200k_base",
        "context_window": 128_000,
        "max_input": 124_000,
        "max_output": 16_384,
        "valid_from": datetime(2026, 1, 1, tzinfo=UTC),
        "source": "made up for a test",
    }
    return ModelRow(
        id=name,
        serves=frozenset({family}),
        tiers={"default": prices, **(tiers or {})},
        **{**about, **given},
    )


AUDIO = a_row("gpt-audio-1.5", "chat", TEXT | SENSES)
SEARCHING = a_row("gpt-5-search-api", "chat", TEXT | {Unit.WEB_SEARCHES: 10_000_000_000})
TIERED = a_row(
    "gpt-tiered",
    "chat",
    TEXT,
    tiers={
        "flex": {unit: price // 2 for unit, price in TEXT.items()},
        "priority": {unit: price * 2 for unit, price in TEXT.items()},
    },
)
INSTRUCT = a_row(
    "gpt-3.5-turbo-instruct",
    "completions",
    {Unit.INPUT: 1_500_000, Unit.OUTPUT: 2_000_000},
    encoding="cl100k_base",
    context_window=4096,
    max_input=4095,
    max_output=4096,
)
EMBEDDING = a_row(
    "text-embedding-3-small",
    "embeddings",
    {Unit.INPUT: 20_000},
    encoding="cl100k_base",
    context_window=8192,
    max_input=8192,
    max_output=1,
)
MODERATION = a_row("omni-moderation-latest", "moderations", {})


def switch_on(house: House, *names: str) -> None:
    """Let every business of a house use these from now on."""
    intake = house.parts.doors._proxy._intake
    authenticate: Any = intake._authenticate

    async def with_switches(headers: Any) -> Any:
        return replace(await authenticate(headers), switches=frozenset(names))

    intake._authenticate = cast(Any, with_switches)


def add_rows(house: House, *rows: ModelRow) -> None:
    """Put these rows on the card of a house, in place of those of the same names."""
    book = house.parts.pricing.book
    names = {row.id for row in rows}
    kept = [row for row in book.card().models.values() if row.id not in names]
    book._card = RateCard([*kept, *rows])


async def charged_by_unit(acme: Acme) -> list[Transaction]:
    """
    The rows of a business, once it is sure that they charge what OpenAI billed, by unit.

    As `charged_as_billed`, for bills that tell their units.
    """
    house = acme.house
    rows = await acme.transactions()
    charged = {row.id: row.credits_used for row in rows if row.credits_used != Credits(0)}
    billed = {bill.transaction: _price_of(house, bill) for bill in house.openai.billed}
    assert charged == billed
    balance = await acme.balance()
    left = acme.topped_up - sum(charged.values(), Credits(0))
    assert (balance.total, balance.held) == (left, Credits(0))
    assert await acme.recorded() == left
    return rows


def _price_of(house: House, bill: Bill) -> Credits:
    rate = house.parts.pricing.book.card().rate(bill.model, tier=bill.tier)
    units = dict(bill.units)
    if not rate.prices(Unit.IMAGE_INPUT):
        # OpenAI bills images as text where it lists no price for them.
        units["input"] = units.get("input", 0) + units.pop("image_input", 0)
    tariff = house.parts.pricing.tariff
    return tariff.charge(rate, Usage.from_names(units), None, False).credits_used
