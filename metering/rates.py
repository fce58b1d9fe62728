"""The rate card: which models there are and what they cost, model by model and day by day."""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from metering.card_rows import read_row, read_tools
from metering.errors import ModelNotPriced, RateCardWrong
from metering.prices import DEFAULT_TIER, ModelRow, Prices, Rate

__all__ = ["SHIPPED_CARD", "ModelRow", "Rate", "RateCard"]

SHIPPED_CARD = Path(__file__).parent / "rate_card.toml"


class RateCard:
    """
    All models that may be called, each with its dated rows of prices.

    A card never changes; an override makes a new one.
    """

    def __init__(self, rows: Iterable[ModelRow], tools: Prices | None = None) -> None:
        """
        Args:
            rows: With the prices of tools already in them.
            tools: The same prices, for the rows that an override brings.
        """
        self._rows = _by_model(rows)
        self._tools = dict(tools or {})
        self.models: Mapping[str, ModelRow] = {
            model: dated[-1] for model, dated in self._rows.items()
        }
        self._ids = _by_name(self.models)
        self._versions = _by_version(self._rows)

    @classmethod
    def load(cls, path: Path | str | None = None) -> Self:
        """
        Read a card, by default the one that is shipped.

        Raises:
            RateCardWrong: Naming the model and the key.
        """
        path = Path(path) if path else SHIPPED_CARD
        try:
            card = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RateCardWrong("(none)", str(path), f"cannot be read: {error}") from error
        models = card.get("model")
        if not isinstance(models, list) or not models:
            raise RateCardWrong("(none)", str(path), "has no [[model]]")
        tools = read_tools(card)
        return cls((row for model in models for row in _rows_of(model, tools)), tools)

    def with_overrides(self, rows: Iterable[Mapping[str, Any]]) -> RateCard:
        """
        This card with an operator's rows added; one of the same model and day is replaced.

        Args:
            rows: Each has `model` and `valid_from`, `source` if there is one, and under
                `row` the keys of a `[[model.row]]`. A model that is not on the card also
                brings there the keys of a `[[model]]`: encoding, its limits, perhaps aliases.

        Raises:
            RateCardWrong: Naming the model and the key.
        """
        added = [self._read_override(row) for row in rows]
        replaced = {(row.id, row.valid_from) for row in added}
        kept = [
            row
            for dated in self._rows.values()
            for row in dated
            if (row.id, row.valid_from) not in replaced
        ]
        return RateCard([*kept, *added], self._tools)

    def find(self, model: str, *, at: datetime | None = None) -> ModelRow:
        """
        The row of a model at a time: by its id, an alias or a listed snapshot.

        Without a time it is the newest row; before the first row's day it is the first.

        Raises:
            ModelNotPriced: The card has no such name.
        """
        model_id = self._ids.get(model)
        if model_id is None:
            raise ModelNotPriced(model)
        dated = self._rows[model_id]
        if at is None or len(dated) == 1:
            return dated[-1]
        return dated[max(0, bisect_right(dated, at, key=lambda row: row.valid_from) - 1)]

    def rate(self, model: str, *, tier: str = DEFAULT_TIER, at: datetime | None = None) -> Rate:
        """
        What a model costs in a service tier at a time.

        Raises:
            ModelNotPriced: The card has no such model, or no such tier of it.
        """
        rate = self.find(model, at=at).tier(tier)
        if rate is None:
            raise ModelNotPriced(f"{model} (service tier {tier})")
        return rate

    def settling_rate(
        self, held: Rate, *, model: str | None, tier: str | None, at: datetime | None = None
    ) -> tuple[Rate, str | None]:
        """
        The rate of what OpenAI says it served, and a flag when the card does not know it.

        The row is the one the hold was made with, unless another model answered. An
        unknown model is charged as the one that was asked for, an unknown tier as the
        dearest one: neither is ever free.
        """
        row, flag = self.by_version(held.version), None
        if model and not row.answers_to(model):
            try:
                row = self.find(model, at=at)
            except ModelNotPriced:
                flag = "model_not_priced"
        rate = row.tier(tier or held.tier)
        if rate is None:
            return row.dearest_rate, "tier_not_priced"
        return rate, flag

    def by_version(self, version: str) -> ModelRow:
        """
        The row that a stored `price_version` names.

        Raises:
            ModelNotPriced: No row of this card has it.
        """
        row = self._versions.get(version.partition(":")[0])
        if row is None:
            raise ModelNotPriced(f"(price version {version})")
        return row

    def rate_of(self, version: str) -> Rate:
        """The rate that a stored `price_version` names: row and tier."""
        tier = version.partition(":")[2] or DEFAULT_TIER
        rate = self.by_version(version).rates.get(tier)
        if rate is None:
            raise ModelNotPriced(f"(price version {version})")
        return rate

    def rows_of(self, model: str) -> tuple[ModelRow, ...]:
        """All rows of a model, the oldest first."""
        return self._rows[self.find(model).id]

    def _read_override(self, override: Mapping[str, Any]) -> ModelRow:
        model = str(override.get("model", "(none)"))
        given = dict(override.get("row", {}))
        about = {key: given.pop(key) for key in _ABOUT_MODEL if key in given}
        known = self.models.get(self._ids.get(model, ""))
        if known:
            about = {key: getattr(known, key) for key in _ABOUT_MODEL} | about
        return read_row(
            {"id": known.id if known else model, "serves": ["chat"], **about},
            {
                "source": "set by the operator",
                **given,
                **{key: override[key] for key in ("valid_from", "source") if override.get(key)},
            },
            self._tools,
        )


_ABOUT_MODEL = ("aliases", "serves", "encoding", "context_window", "max_input", "max_output")


def _rows_of(model: Mapping[str, Any], tools: Prices) -> list[ModelRow]:
    rows = model.get("row")
    if not isinstance(rows, list) or not rows:
        raise RateCardWrong(str(model.get("id")), "row", "has no [[model.row]]")
    return [read_row(model, row, tools) for row in rows]


def _by_model(rows: Iterable[ModelRow]) -> dict[str, tuple[ModelRow, ...]]:
    found: dict[str, list[ModelRow]] = {}
    for row in sorted(rows, key=lambda row: (row.id, row.valid_from)):
        dated = found.setdefault(row.id, [])
        if dated and dated[-1].valid_from == row.valid_from:
            raise RateCardWrong(row.id, "valid_from", "two rows begin on the same day")
        dated.append(row)
    return {model: tuple(dated) for model, dated in found.items()}


def _by_name(models: Mapping[str, ModelRow]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for row in models.values():
        for name in (row.id, *row.aliases):
            if ids.setdefault(name, row.id) != row.id:
                raise RateCardWrong(row.id, "aliases", f"{name} is also a name of {ids[name]}")
    return ids


def _by_version(rows: Mapping[str, tuple[ModelRow, ...]]) -> dict[str, ModelRow]:
    versions: dict[str, ModelRow] = {}
    for dated in rows.values():
        for row in dated:
            other = versions.setdefault(row.version, row)
            if other is not row:
                raise RateCardWrong(row.id, "version", f"has the same digest as {other.id}")
    return versions
