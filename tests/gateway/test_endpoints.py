"""Every operation of OpenAI's is served, or refused with a reason; nothing is passed on."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from gateway import endpoints, objects
from gateway.endpoints import METERED, REASONS, model_in, refuse
from gateway.errors import (
    EndpointNotSupported,
    MethodNotAllowed,
    PathUnknown,
)
from tests.gateway.raw_caller import HELLO, authorization, request, sends

pytestmark = pytest.mark.anyio

KNOWN = Path(__file__).parents[1] / "recorded" / "openai_operations.tsv"

SERVED = {
    *((method, path.removeprefix("/v1")) for method, path in METERED),
    ("GET", "/models"),
    ("GET", "/models/{model}"),
}
"""What this version serves; everything else that OpenAI has is refused."""


def operations() -> list[tuple[str, str]]:
    """(method, path template) of everything that OpenAI is known to have."""
    with KNOWN.open() as file:
        return [(row["method"], row["path"]) for row in csv.DictReader(file, delimiter="\t")]


def filled(template: str) -> str:
    """A path of this template, as a caller asks for it."""
    return re.sub(r"\{\w+\}", "abc_123", template.split(" ")[0])


def test_the_list_is_whole():
    """389 operations; each is there once."""
    assert len(operations()) == len(set(operations())) == 389


async def test_every_operation_of_openai_is_served_or_refused_with_a_reason(house):
    """403 endpoint_not_supported and why; the few that are served are not in the way."""
    acme = await house.business()
    wrong = []
    for method, template in operations():
        if method == "WS" or (method, template) in SERVED:
            continue
        line = request(method, f"/v1{filled(template)}", authorization(acme), body=HELLO)
        answer = await sends(house, line)
        refused = answer.status == 403 and answer.headers["x-should-retry"] == "false"
        code = answer.error["code"] if method != "HEAD" else "endpoint_not_supported"
        reason = answer.error["message"].rpartition(": ")[2]
        if not (refused and code == "endpoint_not_supported" and reason in REASONS.values()):
            wrong.append((method, template, answer.status, answer.body))

    assert wrong == []
    assert house.openai.requests == []
    assert await acme.available() == acme.topped_up


async def test_every_websocket_that_is_not_served_gets_426(house):
    """Codex then falls back to HTTPS after one try; 403 or 404 would cost it four."""
    sockets = {template for method, template in operations() if method == "WS"}
    sockets -= {"/realtime?model=", "/responses"}
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", key)

    for template in sockets:
        line = request("GET", f"/v1{filled(template)}", *upgrade)
        line = line.replace(b"Connection: close", b"Connection: Upgrade")
        answer = await sends(house, line)

        assert (answer.status, answer.error["code"]) == (426, "upgrade_refused")
        assert answer.headers["connection"] == "close"
    assert len(sockets) == 5
    assert house.openai.requests == []


async def test_what_is_served_is_served(house):
    """The three operations that are not refused."""
    acme = await house.business()

    for method, path in (
        ("POST", "/chat/completions"),
        ("GET", "/models"),
        ("GET", "/models/gpt-5.4-mini"),
        ("GET", "/credits"),
    ):
        body = HELLO if method == "POST" else b""
        answer = await sends(house, request(method, f"/v1{path}", authorization(acme), body=body))

        assert answer.status == 200, path
    assert len(house.openai.requests) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/nothing"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/models/a/b"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/CHAT/completions"),
        ("POST", "/v2/chat/completions"),
        ("GET", "/v1/files/" + "a" * 129),
        ("GET", "/v1/models/gpt%2D5"),
    ],
)
def test_what_nobody_knows_is_not_found(method, path):
    """404; the id alphabet has neither `%` nor `/`, and ids are at most 128 long."""
    assert type(refuse(method, path)) is PathUnknown


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/embeddings", ("POST",)),
        ("DELETE", "/v1/chat/completions", ("GET", "POST")),
        ("PATCH", "/v1/chat/completions", ("GET", "POST")),
        ("POST", "/v1/models", ("GET",)),
        ("PUT", "/v1/models/gpt-5.4", ("DELETE", "GET")),
        ("HEAD", "/v1/models", ("GET",)),
        ("POST", "/v1/credits", ("GET",)),
        ("PUT", "/v1/files/file-1", ("DELETE", "GET")),
        ("PATCH", "/v1/responses/resp_1/cancel", ("POST",)),
    ],
)
def test_a_known_path_with_another_method_names_those_it_has(method, path, allowed):
    """405 with Allow."""
    refused = refuse(method, path, methods=objects.methods_of(path))

    assert isinstance(refused, MethodNotAllowed)
    assert refused.allowed == allowed


async def test_the_allow_header_names_the_methods(house):
    """As HTTP asks of a 405."""
    acme = await house.business()

    reply = await house.client.put("/v1/chat/completions", headers=acme.headers, json={})

    assert reply.status_code == 405
    assert reply.headers["allow"] == "GET, POST"
    assert reply.headers["x-should-retry"] == "false"
    assert reply.json()["error"]["code"] == "method_not_allowed"


def test_each_refusal_names_the_operation_and_its_reason():
    """A caller learns that it is no mistake of its own."""
    refused = refuse("POST", "/v1/realtime/client_secrets")

    assert isinstance(refused, EndpointNotSupported)
    assert str(refused).startswith("POST /v1/realtime/client_secrets is part of OpenAI's API")
    assert str(refused).endswith(REASONS["bypasses_metering"])


def test_a_model_is_found_by_its_name_alone():
    """Fine-tuned names have colons; a path below a model is none."""
    assert model_in("/v1/models/ft:gpt-4.1-mini:acme::abc") == "ft:gpt-4.1-mini:acme::abc"
    assert model_in("/v1/models/") is None
    assert model_in("/v1/models/a/b") is None


def test_what_is_sent_upstream_is_a_constant():
    """No part of a caller's path can become a part of ours."""
    assert [(e.method, f"/v1{e.path}") for e in METERED.values()] == list(METERED)
    assert all("{" not in endpoint.path for endpoint in METERED.values())
    assert endpoints.PREFIX == "/v1"
