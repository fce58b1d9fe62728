"""What a field may be: each check takes a name and a value, and raises with both explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metering.errors import BodyNotUnderstood, CostNotBounded

# JSON may be nested without end; no schema of a tool comes near this.
MOST_DEPTH = 64

# Settings of other gateways: whoever sends them expects us to call another address, with
# another key, at another's expense.
_NOT_OURS = frozenset({"api_base", "base_url", "api_key", "organization", "user_config"})

Check = Callable[[str, Any], None]

# Settings of other gateways: whoever sends them expects us to call another address, with
# another key, at another's expense.
_NOT_OURS = frozenset({"api_base", "base_url", "api_key", "organization", "user_config"})


def read_known(fields: Mapping[str, Any], known: Mapping[str, Check], what: str) -> None:
    """
    Check each field of a body; null is absent, and an unknown field is refused: it may cost.

    Args:
        what: Whose fields they are, for the message: "a chat completion".
    """
    for name, value in fields.items():
        check = known.get(name)
        if check is None:
            raise unknown(name, what)
        elif value is not None:
            check(name, value)


def never(why: str) -> Check:
    def check(name: str, value: Any) -> None:
        raise CostNotBounded(name, why)

    return check


def whole(least: int, most: int) -> Check:
    def check(name: str, value: Any) -> None:
        # A bool is an int to Python and 1.0 is equal to 1, but not to OpenAI.
        if type(value) is not int or not least <= value <= most:
            raise wrong(name, value, f"a whole number from {least} to {most}")

    return check


def number(least: float, most: float) -> Check:
    def check(name: str, value: Any) -> None:
        if type(value) not in (int, float) or not least <= value <= most:
            raise wrong(name, value, f"a number from {least:g} to {most:g}")

    return check


def boolean(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise wrong(name, value, "true or false")


def string(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise wrong(name, value, "a text")


def table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(name, value, "an object")
    return value


def stream_options(name: str, value: Any) -> None:
    for key, option in table(name, value).items():
        if key not in ("include_usage", "include_obfuscation"):
            raise CostNotBounded(f"{name}.{key[:64]}", "is not an option we know")
        if option is not None:
            boolean(f"{name}.{key}", option)


def shallow(name: str, value: Any) -> None:
    """Anything whose bytes bound its cost; only its depth is checked."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise BodyNotUnderstood(f"{name} is nested deeper than {MOST_DEPTH} levels", name)


def unknown(name: str, of: str) -> BodyNotUnderstood | CostNotBounded:
    """Why a field that we do not know of is refused: it may cost, or take the call elsewhere."""
    shown = name[:64]
    if name in _NOT_OURS:
        return BodyNotUnderstood(
            f"{shown} cannot be set by a call; the gateway decides where it goes and who pays",
            shown,
        )
    return CostNotBounded(shown, f"is not a field of {of} that the gateway knows")


def wrong(name: str, value: Any, wanted: str) -> BodyNotUnderstood:
    # Numbers are shown; a text is not, because it may be part of a prompt.
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**18):
        found = repr(value)
    else:
        found = _KINDS.get(type(value), "that")
    return BodyNotUnderstood(f"{name} must be {wanted}, not {found}", name)


_KINDS = {
    str: "a text",
    int: "a number that large",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
