"""Objects at OpenAI: their owner has all of them, and nobody else has any."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.objects import OBJECTS, find
from metering.switches import SWITCHES
from storage import businesses, owners
from storage.errors import RecordsUnavailable
from tests.gateway.objects_of import BELOW, call, ids_for, with_everything
from tests.gateway.storing import own, owned, switch_on
from tests.one_house import with_limits, with_scopes

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("operation", OBJECTS, ids=lambda one: one.name)
async def test_the_owner_is_served(house, operation):
    """OpenAI is asked under the path of the template; nothing is held, nothing charged."""
    acme = await with_everything(house)
    ids = await ids_for(acme, operation)

    reply = await call(acme, operation, ids)

    assert reply.status_code == 200, reply.text
    if operation.lists:
        assert house.openai.requests == []
    else:
        [asked] = house.openai.requests
        assert (asked.method, asked.path) == (operation.method, "/v1" + operation.path_of(ids))
    assert await acme.transactions() == []
    assert (await acme.available()) == acme.topped_up
    assert "openai-organization" not in reply.headers


@pytest.mark.parametrize("operation", OBJECTS, ids=lambda one: one.name)
async def test_nobody_else_is(house, operation):
    """404 as for an id that never was; OpenAI is not asked, and the object stays."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    ids = await ids_for(acme, operation)
    nobodys = {name: id if name in BELOW else f"{id}x" for name, id in ids.items()}

    foreign = await call(other, operation, ids)
    unknown = await call(other, operation, nobodys)

    if not ids:
        return  # It names nothing; lists and what is made have tests of their own.
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    first, second = foreign.json()["error"], unknown.json()["error"]
    for name, id in ids.items():
        if name not in BELOW:
            second["message"] = second["message"].replace(f"{id}x", id)
    assert first == second
    assert house.openai.requests == []
    assert set(await owned(acme, *ids.values())) == {
        id for name, id in ids.items() if name not in BELOW
    }


SEVERAL = [
    one
    for one in OBJECTS
    if one.path.count("{") > 1 and not any(name in one.path for name in BELOW)
]


@pytest.mark.parametrize("operation", SEVERAL, ids=lambda one: one.name)
async def test_every_id_of_a_path_must_be_owned(house, operation):
    """Not only the first one."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    ids = await ids_for(acme, operation)
    for name in ids:
        mixed = {**await ids_for(other, operation), name: ids[name]}
        house.openai.requests.clear()
        assert (await call(other, operation, mixed)).status_code == 404
        assert house.openai.requests == []


@pytest.mark.parametrize("operation", OBJECTS, ids=lambda one: one.name)
async def test_without_its_switch_it_is_refused_with_the_reason(house, operation):
    """Also for the owner; another switch opens nothing."""
    acme = await house.business()
    await switch_on(acme, set(SWITCHES) - operation.switches)
    ids = await ids_for(acme, operation)

    reply = await call(acme, operation, ids)

    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "endpoint_not_supported"
    for switch in operation.switches:
        assert switch in reply.json()["error"]["message"]
    assert house.openai.requests == []


MAKING = [one for one in OBJECTS if one.makes]


@pytest.mark.parametrize("operation", MAKING, ids=lambda one: one.name)
async def test_what_is_made_is_the_business_s_from_the_first_byte_on(house, operation):
    """Another business cannot find it."""
    acme, other = await with_everything(house), await with_everything(house, "Other")

    made = (await call(acme, operation, await ids_for(acme, operation))).json()

    ids = [made["id"], *([made["file"]["id"]] if "file" in made else [])]
    assert set(await owned(acme, *ids)) == set(ids)
    assert await owned(other, *ids) == {}


@pytest.mark.parametrize("operation", MAKING, ids=lambda one: one.name)
async def test_what_cannot_be_written_down_is_not_handed_out(house, operation, monkeypatch):
    """503; and what OpenAI has made is deleted there, where it can be."""
    acme = await with_everything(house)
    ids = await ids_for(acme, operation)

    async def add(connection: object, objects: object) -> None:
        raise RecordsUnavailable("it is a test")

    monkeypatch.setattr(owners, "add", add)

    reply = await call(acme, operation, ids)

    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "records_unavailable")
    if operation.makes not in ("upload", "file_batch"):
        assert house.openai.requests[-1].method == "DELETE"


DELETING = [one for one in OBJECTS if one.deletes]


@pytest.mark.parametrize("operation", DELETING, ids=lambda one: one.name)
async def test_what_was_deleted_is_nobody_s(house, operation):
    """OpenAI is asked once."""
    acme = await with_everything(house)
    ids = await ids_for(acme, operation)

    first = await call(acme, operation, ids)
    second = await call(acme, operation, ids)

    assert (first.status_code, second.status_code) == (200, 404)
    assert len(house.openai.requests) == 1


async def test_an_object_that_openai_would_not_delete_stays_owned(house):
    """An error of OpenAI's is passed on, and changes nothing."""
    acme = await with_everything(house)
    await own(acme, "file-gone")

    reply = await house.client.delete("/v1/files/file-gone", headers=acme.headers)

    assert reply.status_code == 404
    assert await owned(acme, "file-gone")


async def test_a_key_may_be_kept_from_them(house):
    """By its scopes, as from every endpoint."""
    acme = await with_everything(house)
    narrow = await with_scopes(acme, endpoints=frozenset({"chat.completions"}))

    reply = await house.client.get("/v1/files", headers=narrow.headers)

    assert reply.json()["error"]["code"] == "endpoint_not_allowed"


async def test_a_suspended_business_has_none_of_them(house):
    """As soon as its status is known."""
    acme = await with_everything(house)
    async with house.database.write() as connection:
        await businesses.set_status(connection, acme.id, status="suspended", at=datetime.now(UTC))
    house.parts.loops.authenticate._known.clear()

    for operation in OBJECTS:
        reply = await call(acme, operation, await ids_for(acme, operation))
        assert reply.json()["error"]["code"] == "business_suspended"
    assert house.openai.requests == []


async def test_free_calls_are_limited_too(house):
    """By the key's own limit a minute."""
    acme = await with_everything(house)
    limited = await with_limits(acme, requests_per_minute=2)

    replies = [await house.client.get("/v1/files", headers=limited.headers) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert int(replies[2].headers["retry-after"]) <= 30


def test_a_path_is_matched_as_it_came():
    """An id has no dot, no percent sign, nothing that is not ASCII."""
    assert find("GET", "/v1/files/file-1") is not None
    for path in ("/v1/files/..", "/v1/files/%66ile", "/v1/files/a.b", "/v1/files/a/", "/v1//files",
                 "/v1/files/a;b", "/v1/files/a\\b", "/v1/files/ä", "/v1/FILES/a", "/v1/files/a\n",
                 "/files/a", "/v1/files/" + "a" * 129, "/v1/files/"):  # fmt: skip
        assert find("GET", path) is None, path


def test_names_and_paths_are_there_once():
    """A key's scopes name operations by it."""
    assert len({one.name for one in OBJECTS}) == len(OBJECTS)
    assert len({(one.method, one.path) for one in OBJECTS}) == len(OBJECTS)
    assert all(one.switches <= SWITCHES.keys() for one in OBJECTS)
