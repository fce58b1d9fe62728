"""Unit and Usage: how much of what."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from enum import StrEnum


class Unit(StrEnum):
    """
    Something OpenAI bills by the piece.

    The parts are disjoint: `INPUT` is text that was neither read from the cache nor
    written to it, so pricing is one multiplication a unit and nothing is counted twice.
    The values are the names under which usage is stored and priced.
    """

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE_30M = "cache_write_30m"
    CACHE_WRITE_12H = "cache_write_12h"
    OUTPUT = "output"
    AUDIO_INPUT = "audio_input"
    CACHED_AUDIO_INPUT = "cached_audio_input"
    AUDIO_OUTPUT = "audio_output"
    IMAGE_INPUT = "image_input"
    CACHED_IMAGE_INPUT = "cached_image_input"
    IMAGE_OUTPUT = "image_output"
    AUDIO_MILLISECONDS = "audio_milliseconds"
    CHARACTERS = "characters"
    IMAGES = "images"
    WEB_SEARCHES = "web_searches"
    FILE_SEARCHES = "file_searches"
    CONTAINERS = "containers"

    # An enum hashes its name in Python code, at every look-up of a price; a string in C.
    __hash__ = str.__hash__


INPUT_TOKENS = frozenset(
    {
        Unit.INPUT,
        Unit.CACHED_INPUT,
        Unit.CACHE_WRITE_30M,
        Unit.CACHE_WRITE_12H,
        Unit.AUDIO_INPUT,
        Unit.CACHED_AUDIO_INPUT,
        Unit.IMAGE_INPUT,
        Unit.CACHED_IMAGE_INPUT,
    }
)
OUTPUT_TOKENS = frozenset({Unit.OUTPUT, Unit.AUDIO_OUTPUT, Unit.IMAGE_OUTPUT})
TOKENS = INPUT_TOKENS | OUTPUT_TOKENS
TEXT = frozenset({Unit.INPUT, Unit.OUTPUT})


class Usage(Mapping[Unit, int]):
    """How many of each unit a call used; a unit that is absent was not used."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[Unit, int] | None = None) -> None:
        self._counts = {unit: count for unit, count in (counts or {}).items() if count}
        assert all(count > 0 for count in self._counts.values()), "a usage is never negative"

    def __getitem__(self, unit: Unit) -> int:
        return self._counts.get(unit, 0)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, unit: object) -> bool:
        return unit in self._counts

    def items(self) -> ItemsView[Unit, int]:
        """Only the units that were used."""
        return self._counts.items()

    def __repr__(self) -> str:
        counts = ", ".join(f"{unit.value}={count}" for unit, count in self._counts.items())
        return f"Usage({counts})"

    @property
    def input_tokens(self) -> int:
        """All tokens that went in, cached and written to the cache included."""
        return sum(count for unit, count in self._counts.items() if unit in INPUT_TOKENS)

    @property
    def tokens(self) -> int:
        """All tokens, in and out: what `tokens_used` shows."""
        return sum(count for unit, count in self._counts.items() if unit in TOKENS)

    def as_names(self) -> dict[str, int]:
        """Unit name → count, as it is stored."""
        return {unit.value: count for unit, count in self._counts.items()}

    @classmethod
    def from_names(cls, counts: Mapping[str, int]) -> Usage:
        """The usage that `as_names` wrote."""
        return cls({Unit(name): count for name, count in counts.items()})
