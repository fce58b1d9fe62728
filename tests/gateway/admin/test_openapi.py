"""GET /admin/openapi.json: the document is made from the code, and the API keeps to it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.admin.described import described
from gateway.admin.desk import Desk
from gateway.admin.openapi import document
from gateway.admin.routes import NOUNS
from tests.gateway.admin.payments_asked import payments_asked
from tests.house import ADMIN_TOKEN, House
from tests.one_house import set_up

pytestmark = pytest.mark.anyio

TOKEN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
NO_DESK = cast(Desk, None)  # Routes are told without a desk; only their work needs one.
ROUTES = [route for noun in NOUNS for route in noun(NO_DESK).routes()]
OPERATIONS = [
    (method, route) for route in ROUTES for method in sorted((route.methods or set()) - {"HEAD"})
]
UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "route"), OPERATIONS, ids=[f"{method} {route.path}" for method, route in OPERATIONS]
)
def test_each_route_is_told_with_what_it_takes_and_answers(method: str, route: Any) -> None:
    """Its reply, its form, and every error it can have; nothing is left to be guessed."""
    one = described(route)
    assert one is not None, "say what it answers with @answers"
    told = document(ROUTES)["paths"][route.path][method.lower()]
    schemas = document(ROUTES)["components"]["schemas"]

    reply = told["responses"][str(one.status)]["content"]["application/json"]["schema"]
    assert reply["$ref"].rpartition("/")[2] in schemas
    assert ("requestBody" in told) == (one.form is not None)
    if one.form is not None:
        form = told["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert schemas[form.rpartition("/")[2]]["additionalProperties"] is False
    refusals = {status for status in told["responses"] if status != str(one.status)}
    assert {"400", "401", "403", "500", "503"} <= refusals
    assert ("404" in refusals) == ("{id}" in route.path or 404 in one.refuses)
    for status in refusals:
        error = told["responses"][status]["content"]["application/json"]["schema"]
        assert error == {"$ref": "#/components/schemas/Error"}
    assert told["summary"].endswith(".")
    names = [parameter["name"] for parameter in told["parameters"]]
    assert ("limit" in names) == ("after" in names) == (one.lists or one.asks is not None)
    if one.asks is not None:
        fields = one.asks.model_fields.items()
        assert {field.alias or name for name, field in fields} <= set(names)
    assert ("Idempotency-Key" in names) == one.once


def test_operations_have_names_of_their_own_and_no_schema_is_idle() -> None:
    """Generated clients name their methods by them."""
    whole = document(ROUTES)
    operations = [one for path in whole["paths"].values() for one in path.values()]

    assert len({one["operationId"] for one in operations}) == len(operations) == len(OPERATIONS)
    text = str(whole)
    for name in whole["components"]["schemas"]:
        assert f"#/components/schemas/{name}'" in text, name


def test_the_document_is_valid() -> None:
    """OpenAPI 3.1, as schemathesis reads it."""
    schema = schemathesis.openapi.from_dict(document(ROUTES))

    schema.validate()
    assert schema.specification.version == "3.1.0"
    assert len(list(schema.get_all_operations())) == len(OPERATIONS)


async def test_it_is_served_behind_the_token(house: House) -> None:
    """Like everything under /admin; there is no page that shows it."""
    bare = await house.client.get("/admin/openapi.json")
    served = await house.client.get("/admin/openapi.json", headers=TOKEN)

    assert bare.status_code == 401
    assert served.status_code == 200
    assert served.json() == document(ROUTES)
    for path in ("/admin/docs", "/admin/redoc", "/admin/swagger"):
        assert (await house.client.get(path, headers=TOKEN)).status_code == 404


class Asking:
    """An admin whose every answer is held against the document."""

    def __init__(self, house: House) -> None:
        self._client = house.client
        self._schema = schemathesis.openapi.from_dict(document(ROUTES))
        self.seen: set[tuple[str, str, int]] = set()

    async def __call__(
        self, method: str, template: str, id: str = "", json: Any = None, **more: Any
    ) -> Any:
        headers = {**TOKEN, **more.pop("headers", {})}
        path = template.replace("{id}", id)
        reply = await self._client.request(method, path, json=json, headers=headers, **more)
        self._schema[template][method].validate_response(cast(Any, reply))
        self.seen.add((method, template, reply.status_code))
        return reply.json()


@set_up(alerts__smtp_host="127.0.0.1", alerts__smtp_port="9", alerts__smtp_sender="a@b.example")
async def test_every_real_reply_is_as_the_document_says(house: House) -> None:
    """Each operation at its best, and each error an admin can make."""
    asks = Asking(house)
    acme = await house.business("0.30")
    await house.chat(acme)
    await house.chat(acme, n=0)
    house.openai.fails(500, times=1)
    await house.chat(acme, headers={"X-User": "ama", "X-Feature": "chat"})
    await house.quiet()
    await asks("GET", "/admin/openapi.json")
    await businesses(asks)
    bought = await credits_and_keys(asks, acme.id)
    await payments_asked(asks, house.database, bought)
    rows = await asks("GET", "/admin/businesses/{id}/transactions", acme.id, params={"limit": 1})
    await asks("GET", "/admin/transactions/{id}", rows["data"][0]["id"])
    (alert, *_) = (await asks("GET", "/admin/businesses/{id}/alerts", acme.id))["data"]
    await asks("POST", "/admin/alerts/{id}/acknowledge", alert["id"], {"by": "efua"})
    await asks("POST", "/admin/alerts/{id}/send-again", alert["id"])
    await asks("GET", "/admin/audit")
    for by in ("feature", "user", "model", "business", "day"):
        await asks("GET", "/admin/analytics/usage", params={"by": by})
    some = {"by": "day", "business": acme.id, "from": "2026-01-01", "to": "2126-01-01"}
    await asks("GET", "/admin/analytics/usage", params=some)
    await asks("GET", "/admin/analytics/usage", params={"by": "hour"})
    await asks("GET", "/admin/analytics/usage", params={"by": "day", "business": UNKNOWN})
    await refusals(asks)

    best = {(method, route.path, described(route).status) for method, route in OPERATIONS}  # type: ignore[union-attr]
    assert best <= asks.seen


async def businesses(asks: Asking) -> None:
    new = {"name": "Clinic", "owner_email": "ama@example.com"}
    once = {"Idempotency-Key": "k"}
    made = await asks("POST", "/admin/businesses", json=new, headers=once)
    await asks("POST", "/admin/businesses", json=new, headers=once)
    await asks("POST", "/admin/businesses", json=new | {"name": "Shop"}, headers=once)
    await asks("GET", "/admin/businesses")
    await asks("GET", "/admin/businesses/{id}", made["id"])
    await asks("GET", "/admin/businesses/{id}/credits", made["id"])
    await asks("PATCH", "/admin/businesses/{id}", made["id"], {"low_balance_threshold": "2.50"})
    await asks("POST", "/admin/businesses/{id}/suspend", made["id"])
    await asks("POST", "/admin/businesses/{id}/resume", made["id"])


async def credits_and_keys(asks: Asking, business: str) -> str:
    key = {"name": "web", "expires_at": "2099-01-01T00:00:00Z", "scopes": {"models": ["gpt-5"]}}
    issued = await asks("POST", "/admin/businesses/{id}/keys", business, key)
    await asks("GET", "/admin/businesses/{id}/keys", business)
    await asks("PATCH", "/admin/keys/{id}", issued["id"], {"credit_cap": "5", "concurrent": None})
    await asks("DELETE", "/admin/keys/{id}", issued["id"])
    paid = {"credits": "5", "amount_paid": "5.00", "payment_reference": "MM-1", "note": "n"}
    bought = await asks("POST", "/admin/businesses/{id}/top-ups", business, paid)
    again = await asks("POST", "/admin/businesses/{id}/top-ups", business, paid)
    assert again["error"]["code"] == "already_credited"
    await asks("GET", "/admin/businesses/{id}/purchases", business)
    await asks("GET", "/admin/purchases/{id}", bought["purchase"]["id"])
    less = {"credits": "-1.5", "reason": "given back"}
    await asks("POST", "/admin/businesses/{id}/adjustments", business, less)
    await asks("GET", "/admin/businesses/{id}/credits", business)
    return str(bought["purchase"]["id"])


async def refusals(asks: Asking) -> None:
    for method, route in OPERATIONS:
        if "{id}" in route.path:
            body = REFUSED.get(route.path.rpartition("/")[2], {})
            await asks(method, route.path, UNKNOWN, body)
    await asks("POST", "/admin/businesses", json={"name": 1})
    await asks("GET", "/admin/audit", params={"limit": "0"})
    await asks("GET", "/admin/audit", headers={"Authorization": "Bearer wrong"})
    await asks("POST", "/admin/businesses", content=b"x" * (2**20 + 1))
    await asks("POST", "/admin/businesses", content=b"{}", headers={"Content-Type": "text/html"})


REFUSED = {
    "keys": {"name": "web"},
    "top-ups": {"credits": "1"},
    "adjustments": {"credits": "1", "reason": "r"},
    **dict.fromkeys(("refund", "accept", "dismiss"), {"reason": "r"}),
}


async def test_whatever_is_sent_is_answered_as_the_document_says(house: House) -> None:
    """Bodies and headers that fit the document, and some that do not: no 5xx, no other shape."""
    await house.business()
    sent = await asyncio.to_thread(fuzzed, house.url)

    assert sent >= 10 * len(OPERATIONS)


EXAMPLES = 15  # For each operation; `schemathesis run` tries thousands.


def fuzzed(url: str) -> int:
    """How many calls were made up and held against the document."""
    schema = schemathesis.openapi.from_dict(document(ROUTES))
    sent = 0

    for method, route in OPERATIONS:
        operation = schema[route.path][method]

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def call(case: schemathesis.Case) -> None:
            nonlocal sent
            case.call_and_validate(
                base_url=url,
                headers=TOKEN,
                checks=[
                    checks.not_a_server_error,
                    status_code_conformance,
                    content_type_conformance,
                    response_schema_conformance,
                ],
            )
            sent += 1

        call()
    return sent


def test_a_wrong_reply_would_be_noticed() -> None:
    """The check is worth something: a field too many, one too few, another type."""
    schema = schemathesis.openapi.from_dict(document(ROUTES))
    operation = schema["/admin/businesses/{id}/credits"]["GET"]
    good = {
        "business_id": UNKNOWN,
        "status": "active",
        "balance": "1.00",
        "held": None,
        "available": None,
        "owed": "0.00",
        "expires_at": None,
        "live": False,
        "recorded_balance": "1.00",
    }
    request = httpx2.Request("GET", f"http://gateway/admin/businesses/{UNKNOWN}/credits")

    def held_against(body: Any) -> None:
        reply = httpx2.Response(200, json=body, request=request)
        reply.elapsed = timedelta(0)
        operation.validate_response(cast(Any, reply))

    held_against(good)
    without = {name: value for name, value in good.items() if name != "live"}
    for wrong in (good | {"more": 1}, without, good | {"balance": 1.0}, good | {"status": "x"}):
        with pytest.raises((Failure, FailureGroup)):
            held_against(wrong)
