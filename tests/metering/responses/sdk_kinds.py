"""What the types of the official SDK say about items and tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints


def kinds_of(union: Any) -> set[str]:
    """Every `type` that one of these objects can have."""
    return {text for one in get_args(union) for text in _literals(get_type_hints(one).get("type"))}


def _literals(hint: Any) -> Iterator[str]:
    if isinstance(hint, str):
        yield hint
    for arg in get_args(hint):
        yield from _literals(arg)
