"""What an operation of the admin API takes and answers, said where it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.routing import Route

from gateway.admin.forms import Form

Method = TypeVar("Method", bound=Callable[..., Any])

# Whoever asks, and whatever for: a header, the token, the API itself, a mistake, the stores.
ALWAYS = frozenset({400, 401, 403, 500, 503})
WITH_ID = frozenset({404})
WITH_BODY = frozenset({413, 415})
ONCE = frozenset({422})


@dataclass(frozen=True, slots=True)
class Described:
    """
    What one operation says of itself.

    Attributes:
        reply: The body of the answer.
        status: Its status.
        form: The body of the request; None for none.
        asks: The query of the request, where it is more than a page of a list.
        lists: Whether it takes `limit` and `after`.
        once: Whether it takes an Idempotency-Key.
        refuses: Statuses besides those that follow from the rest.
    """

    reply: type[BaseModel]
    status: int
    form: type[Form] | None
    asks: type[Form] | None
    lists: bool
    once: bool
    refuses: frozenset[int]

    def refusals(self, path: str) -> frozenset[int]:
        """Every status that an error can have."""
        more = self.refuses | ALWAYS
        if "{id}" in path:
            more |= WITH_ID
        if self.form is not None:
            more |= WITH_BODY
        return more | ONCE if self.once else more


def answers(
    reply: type[BaseModel],
    *,
    status: int = 200,
    form: type[Form] | None = None,
    asks: type[Form] | None = None,
    lists: bool = False,
    once: bool = False,
    refuses: tuple[int, ...] = (),
) -> Callable[[Method], Method]:
    """Describe the method below; its docstring is the text."""
    described = Described(reply, status, form, asks, lists, once, frozenset(refuses))

    def describe(method: Method) -> Method:
        method.described = described  # type: ignore[attr-defined]
        return method

    return describe


def described(route: Route) -> Described | None:
    """What the method behind a route says of itself; None when it says nothing."""
    found: Described | None = getattr(route.endpoint, "described", None)
    return found
