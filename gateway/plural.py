"""A number and its noun, in the form that the number asks for."""

from __future__ import annotations


def counted(number: int, one: str, many: str) -> str:
    """`counted(1204, "business", "businesses")` is `1,204 businesses`."""
    return f"{number:,} {one if number == 1 else many}"


def without_capital(sentence: str) -> str:
    """What begins a sentence of a library, as it goes on one of ours; `URL` stays so."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]
