"""Every operation that OpenAI is known to have is served or refused, and the page says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import objects
from gateway.endpoints import METERED, OWN, REASONS, model_in, refuse
from gateway.errors import EndpointNotSupported
from gateway.operations import BEGIN, END, operations, written
from tests.gateway import test_endpoints as known

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"


def decided(method: str, path: str) -> str:
    """What becomes of a request for this; empty when nobody has decided it."""
    if (method, path) in METERED:
        return "metered"
    if (method, path) in OWN or (method == "GET" and model_in(path)):
        return "own"
    if objects.find(method, path):
        found = objects.find(method, path)
        return "priced" if found and found[0] in objects.PRICED else "owner"
    refused = refuse(method, path)
    if isinstance(refused, EndpointNotSupported):
        return "refused" if str(refused).rpartition(": ")[2] in REASONS.values() else ""
    return ""


def test_every_operation_of_openai_is_decided() -> None:
    """A new one is added to the recorded list and then decided; until then this fails."""
    undecided = [
        (method, template)
        for method, template in known.operations()
        if method != "WS" and not decided(method, f"/v1{known.filled(template)}")
    ]

    assert undecided == []


def test_every_operation_is_decided_once() -> None:
    """Served ones are not refused as well, and the page has each once."""
    listed = [(one.method, re.sub(r"\{\w+\}", "{}", one.path)) for one in operations()]
    openai = {
        (method, re.sub(r"\{\w+\}", "{}", f"/v1{path}"))
        for method, path in known.operations()
        if method != "WS"
    }

    assert len(listed) == len(set(listed))
    assert openai <= set(listed)


@pytest.mark.parametrize("one", operations(), ids=lambda one: f"{one.method} {one.path}")
def test_the_page_tells_of_each_what_the_doors_do(one) -> None:
    """The list is made of the same tables; this holds it against the look-ups of the doors."""
    if one.method == "WS":
        return
    path = re.sub(r"\{\w+\}", "abc_123", one.path.split("?")[0].split(" ")[0])
    said = "metered" if one.served == "free" else one.served

    assert decided(one.method, path) == said


def test_the_page_is_current() -> None:
    """Else: python -m gateway.operations docs/endpoints.md"""
    page = PAGE.read_text("utf-8")

    assert page.count(BEGIN) == page.count(END) == 1
    assert written(page) == page
