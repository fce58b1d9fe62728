"""What a business must have switched on before a call may use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metering.errors import CostNotBounded

Allowed = frozenset[str]
"""The switches of the business that are on."""

SwitchedCheck = Callable[[str, Any, Allowed], None]


def needs(switch: str, name: str, why: str, allowed: Allowed) -> None:
    """
    Refuse what is not switched on.

    Raises:
        CostNotBounded: Naming the part, why its bytes do not bound it, and the switch.
    """
    if switch not in allowed:
        raise CostNotBounded(name, f"{why}; {switch!r} is not switched on for this business")
