"""What OpenAI bills by the use, without a model, is held, charged and recorded as well."""

from __future__ import annotations

import pytest

from gateway.objects import PRICED
from metering.money import Credits
from metering.rates import RateCard
from metering.switches import SWITCHES
from metering.usage import Unit, Usage
from storage import owners
from storage.errors import RecordsUnavailable
from tests.gateway.objects_of import given, with_everything
from tests.gateway.storing import own, owned, switch_on
from tests.house import Acme, House
from tests.one_house import with_scopes

pytestmark = pytest.mark.anyio

SEARCH, CREATE = "vector_stores.search", "containers.create"
UNITS = {SEARCH: Unit.FILE_SEARCHES, CREATE: Unit.CONTAINERS}


async def path_and_body(acme: Acme, name: str) -> tuple[str, dict[str, str]]:
    """How one of them is asked for."""
    if name == CREATE:
        return "/v1/containers", {"name": "mine"}
    return f"/v1/vector_stores/{await given(acme, 'vector_store')}/search", {"query": "x"}


def price(house: House, unit: Unit) -> Credits:
    """What one use is charged, worked out by hand."""
    card = RateCard.load()
    model = next(id for id, row in sorted(card.models.items()) if "chat" in row.serves)
    usage = Usage({unit: 1})
    return house.parts.pricing.tariff.charge(card.rate(model), usage, None, False).credits_used


@pytest.mark.parametrize("name", [SEARCH, CREATE])
async def test_a_use_is_charged_as_billed(house, name):
    """Once, at the price of the card; its row names the operation."""
    acme = await with_everything(house)
    path, body = await path_and_body(acme, name)

    reply = await house.client.post(path, json=body, headers=acme.headers)

    assert reply.status_code == 200, reply.text
    [bill] = house.openai.billed
    [row] = await acme.transactions()
    assert bill.units == {UNITS[name].value: 1}
    assert (row.id, row.endpoint) == (bill.transaction, name)
    assert row.usage == bill.units
    assert row.credits_used == price(house, UNITS[name]) > Credits(0)
    assert reply.headers["x-credits-used"] == str(row.credits_used)
    assert await acme.available() == acme.topped_up - row.credits_used
    assert await acme.held() == Credits(0)


async def test_a_container_has_its_owner_first(house):
    """Like everything that is made."""
    acme, other = await with_everything(house), await with_everything(house, "Other")

    made = await house.client.post("/v1/containers", json={"name": "x"}, headers=acme.headers)

    id = made.json()["id"]
    assert (await owned(acme, id))[id].kind == "container"
    theirs = await house.client.get(f"/v1/containers/{id}", headers=other.headers)
    assert theirs.status_code == 404


async def test_a_container_that_nobody_could_own_is_deleted_and_free(house, monkeypatch):
    """503, and no charge."""
    acme = await with_everything(house)

    async def add(connection: object, objects: object) -> None:
        raise RecordsUnavailable("it is a test")

    monkeypatch.setattr(owners, "add", add)

    reply = await house.client.post("/v1/containers", json={"name": "x"}, headers=acme.headers)

    assert reply.status_code == 503
    assert [one.method for one in house.openai.requests] == ["POST", "DELETE"]
    assert [row.credits_used for row in await acme.transactions()] == [Credits(0)]


@pytest.mark.parametrize("name", [SEARCH, CREATE])
async def test_who_cannot_pay_gets_none(house, name):
    """402, and OpenAI is not asked."""
    acme = await house.business("0.00")
    await switch_on(acme, SWITCHES)
    path, body = await path_and_body(acme, name)

    reply = await house.client.post(path, json=body, headers=acme.headers)

    assert (reply.status_code, house.openai.requests) == (402, [])


async def test_an_error_of_openai_costs_nothing(house):
    """It is passed on."""
    acme = await with_everything(house)
    path, body = await path_and_body(acme, SEARCH)
    house.openai.objects.kept.clear()

    reply = await house.client.post(path, json=body, headers=acme.headers)

    assert reply.status_code == 404
    assert [row.credits_used for row in await acme.transactions()] == [Credits(0)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"memory_limit": "64g"}, 400),
        ({"memory_limit": "1g"}, 200),
        ({"network_policy": {"type": "allowlist"}}, 400),
        ({"file_ids": ["FOREIGN"]}, 404),
        ({"file_ids": ["OWN"]}, 200),
    ],
)
async def test_a_container_is_of_the_priced_kind_with_own_files(house, body, status):
    """A larger one costs more than the card says."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    await own(acme, "OWN")
    await own(other, "FOREIGN")

    reply = await house.client.post(
        "/v1/containers", json={"name": "x", **body}, headers=acme.headers
    )

    assert reply.status_code == status, reply.text
    assert len(house.openai.requests) == (status == 200)


async def test_only_the_owner_searches(house):
    """404 for everybody else, and nothing is held."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    path, body = await path_and_body(acme, SEARCH)

    reply = await house.client.post(path, json=body, headers=other.headers)

    assert (reply.status_code, house.openai.requests) == (404, [])
    assert await other.transactions() == []


@pytest.mark.parametrize("name", [SEARCH, CREATE])
async def test_without_its_switch_it_is_refused(house, name):
    """As every operation on objects."""
    acme = await house.business()
    path, body = await path_and_body(acme, name)

    reply = await house.client.post(path, json=body, headers=acme.headers)

    assert (reply.status_code, house.openai.requests) == (403, [])


async def test_a_key_of_some_models_pays_by_one_of_them(house):
    """And one of models without such a price is refused, never free."""
    acme = await with_everything(house)
    some = await with_scopes(acme, models=frozenset({"gpt-5.4-mini"}))
    none = await with_scopes(acme, models=frozenset({"text-embedding-3-small"}))

    first = await house.client.post("/v1/containers", json={"name": "x"}, headers=some.headers)
    second = await house.client.post("/v1/containers", json={"name": "x"}, headers=none.headers)

    assert (first.status_code, second.status_code) == (200, 400)
    assert [row.model for row in await acme.transactions()] == ["gpt-5.4-mini"]


async def test_a_named_use_is_made_once(house):
    """The Idempotency-Key counts with the path: another store is another search."""
    acme = await with_everything(house)
    headers = {**acme.headers, "Idempotency-Key": "one"}
    first, body = await path_and_body(acme, SEARCH)
    second, _ = await path_and_body(acme, SEARCH)

    replies = [
        await house.client.post(path, json=body, headers=headers) for path in (first, first, second)
    ]

    assert [reply.status_code for reply in replies] == [200, 200, 422]
    assert len(house.openai.billed) == 1


def test_each_has_a_meter():
    """The doors send nothing else that way."""
    assert {one.name for one in PRICED} == UNITS.keys()
