"""
Which units the calls of an endpoint family use, so which prices a model of it must have.

A family is named as its meters name it; a model serves one or more. The translations of
audio are calls of "transcriptions".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from metering.usage import Unit

Units = frozenset[Unit]

TOOL_UNITS: Units = frozenset({Unit.WEB_SEARCHES, Unit.FILE_SEARCHES, Unit.CONTAINERS})

# The families whose calls may use OpenAI's own tools.
FAMILIES_WITH_TOOLS = frozenset({"chat", "responses"})

_TEXT: Units = frozenset(
    {
        Unit.INPUT,
        Unit.CACHED_INPUT,
        Unit.CACHE_WRITE_30M,
        Unit.CACHE_WRITE_12H,
        Unit.OUTPUT,
    }
)

# For each family the alternatives of units that a row must price: all of one of them. The
# one that needs nothing is free, which no other may be.
UNITS_OF_FAMILY: Mapping[str, tuple[Units, ...]] = {
    "chat": (_TEXT,),
    "responses": (_TEXT,),
    "completions": (frozenset({Unit.INPUT, Unit.OUTPUT}),),
    "embeddings": (frozenset({Unit.INPUT}),),
    "images": (frozenset({Unit.INPUT, Unit.IMAGE_INPUT, Unit.IMAGE_OUTPUT}),),
    "speech": (
        frozenset({Unit.CHARACTERS}),
        frozenset({Unit.INPUT, Unit.AUDIO_OUTPUT}),
    ),
    "transcriptions": (
        frozenset({Unit.AUDIO_MILLISECONDS}),
        frozenset({Unit.INPUT, Unit.AUDIO_INPUT, Unit.OUTPUT}),
    ),
    "realtime": (
        frozenset(
            {
                Unit.INPUT,
                Unit.CACHED_INPUT,
                Unit.AUDIO_INPUT,
                Unit.CACHED_AUDIO_INPUT,
                Unit.OUTPUT,
                Unit.AUDIO_OUTPUT,
            }
        ),
    ),
    "moderations": (frozenset(),),
}

_SENSES: Units = frozenset(
    {
        Unit.AUDIO_INPUT,
        Unit.CACHED_AUDIO_INPUT,
        Unit.AUDIO_OUTPUT,
        Unit.IMAGE_INPUT,
        Unit.CACHED_IMAGE_INPUT,
    }
)

# What a row may price besides; a meter refuses a call that would use what it does not.
_OPTIONAL: Mapping[str, Units] = {
    "chat": _SENSES | TOOL_UNITS,
    "responses": _SENSES | TOOL_UNITS,
    "images": frozenset({Unit.CACHED_INPUT, Unit.CACHED_IMAGE_INPUT, Unit.OUTPUT}),
    "realtime": frozenset({Unit.IMAGE_INPUT, Unit.CACHED_IMAGE_INPUT}),
}


def units_of(families: Iterable[str]) -> Units:
    """Every unit that a model of these families may have a price for."""
    return frozenset[Unit]().union(
        *(
            units
            for family in families
            for units in (*UNITS_OF_FAMILY[family], _OPTIONAL.get(family, frozenset()))
        )
    )


def missing_units(families: Iterable[str], priced: Collection[Unit]) -> list[Unit]:
    """
    What a tier would have to price besides to serve these families; [] when it can.

    Where a family has alternatives it is what the nearest one lacks: the one that lacks
    least and, of two of those, the one of which more is there.
    """
    found = frozenset(priced)
    lacking: set[Unit] = set()
    for family in families:
        nearest = min(
            UNITS_OF_FAMILY[family], key=lambda units: (len(units - found), -len(units & found))
        )
        lacking |= nearest - found
    return sorted(lacking)
