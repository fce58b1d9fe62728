"""The one table that says how an error is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from gateway import errors, upstream_errors
from gateway.error_replies import TABLE, reply_to, said_of
from gateway.errors import GatewayError, MethodNotAllowed
from metering import errors as metering_errors
from metering.errors import BodyNotUnderstood, CostNotBounded, ModelNotPriced, UnitNotPriced
from metering.money import Credits
from storage.errors import (
    CapReached,
    CreditsHeld,
    InsufficientCredits,
    LedgerRefusal,
    LedgerUnavailable,
)

NEVER_TOLD = {"MeteringError", "RateCardWrong", "TariffWrong", "UpstreamError", "GatewayError"}
"""Parents, and what ends a start and not a call."""


def kinds() -> list[type[Exception]]:
    """Every error that can end a call."""
    found = [
        value
        for module in (errors, metering_errors, upstream_errors)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    refusals = (*LedgerRefusal.__subclasses__(), CreditsHeld)
    return sorted({*found, *refusals} - {Exception}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_error_that_can_end_a_call_has_its_line(kind):
    """A new one without a line would be a 500."""
    assert kind.__name__ in NEVER_TOLD or kind in TABLE


def test_the_tree_in_the_docstring_is_the_tree_of_the_code():
    """Who reads it first reads the truth."""
    for kind in GatewayError.__subclasses__():
        if kind.__module__ == "gateway.errors":
            assert f"── {kind.__name__} " in (errors.__doc__ or ""), kind
            assert f" {TABLE[kind].status}" in (errors.__doc__ or "")


def test_every_line_is_something_that_a_client_understands():
    """A status of HTTP, a type of OpenAI's, a code in one word."""
    types = {
        "invalid_request_error",
        "permission_error",
        "insufficient_quota",
        "rate_limit_error",
        "server_error",
    }

    for said in TABLE.values():
        assert HTTPStatus(said.status) >= 400
        assert said.type in types
        assert said.code.replace("_", "").isalpha()
        # Trying again without being told when would be a storm.
        assert not said.retry or said.retry_after_s or said.code == "upstream_error"


def one_of(kind: type[Exception]) -> Exception:
    """An error of this kind."""
    if issubclass(kind, InsufficientCredits):
        return kind("x", available=Credits(0), held=Credits(0), total=Credits(0))
    if issubclass(kind, CapReached):
        return kind("x", cap=Credits(0), spent=Credits(0), held=Credits(0))
    make: Any = kind
    special: dict[str, Callable[[], Exception]] = {
        "ObjectUnknown": lambda: make("x", param="id", code=TABLE[kind].code),
        "MethodNotAllowed": lambda: MethodNotAllowed("x", allowed=("GET",)),
        "CostNotBounded": lambda: CostNotBounded("part", "why"),
        "UnitNotPriced": lambda: UnitNotPriced("model", "unit"),
        "UpstreamBroken": lambda: kind("x"),
        "NotFound": lambda: make("purchase", "x"),
        "Limited": lambda: make("x", retry_after_s=7.2),
    }
    return special.get(kind.__name__, lambda: kind("x"))()


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_every_reply_says_whether_to_try_again(kind):
    """x-should-retry decides before the status does in both official SDKs."""
    reply = reply_to(one_of(kind))

    headers = dict(reply.headers)
    error = json.loads(reply.body)["error"]
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"x-should-retry"] == (b"true" if TABLE[kind].retry else b"false")
    assert (b"retry-after" in headers) == (TABLE[kind].retry_after_s is not None)
    assert (b"www-authenticate" in headers) == (reply.status == 401)
    assert (b"allow" in headers) == (reply.status == 405)
    assert (error["type"], error["code"]) == (TABLE[kind].type, TABLE[kind].code)
    assert error["message"]


def test_the_nearest_parent_decides():
    """CreditsHeld is an InsufficientCredits, and is told otherwise."""
    assert said_of(one_of(CreditsHeld)).code == "credits_held"
    assert said_of(one_of(InsufficientCredits)).code == "insufficient_credits"


def test_an_unforeseen_error_is_told_without_its_text():
    """It could name anything: a key, a prompt, a path."""
    reply = reply_to(RuntimeError("sk-secret at /srv/keys"))

    assert reply.status == 500
    assert b"secret" not in reply.body
    assert (b"x-should-retry", b"false") in reply.headers


@pytest.mark.parametrize("out_of_credits_status", [402, 429])
def test_only_what_is_out_of_credits_is_told_as_set(out_of_credits_status):
    """out_of_credits_status changes the 402s and nothing else."""
    for kind in TABLE:
        status = reply_to(one_of(kind), out_of_credits_status=out_of_credits_status).status
        told = out_of_credits_status if TABLE[kind].status == 402 else TABLE[kind].status
        assert status == told


@pytest.mark.parametrize(
    ("error", "param"),
    [
        (ModelNotPriced("gpt-99"), "model"),
        (CostNotBounded("image_url", "why"), "image_url"),
        (BodyNotUnderstood("n must be", "n"), "n"),
        (LedgerUnavailable("x"), None),
    ],
)
def test_the_field_is_named_where_there_is_one(error, param):
    """As OpenAI does."""
    assert json.loads(reply_to(error).body)["error"]["param"] == param
