"""A business with an upstream key of its own, and what is switched on for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.dev.stub_openai import StubOpenAI
from storage import businesses
from tests.house import ADMIN_TOKEN, Acme, House, open_house

pytestmark = pytest.mark.anyio

OWN_KEY = "sk-own-0123456789abcdef"


@pytest.fixture
async def own() -> AsyncIterator[StubOpenAI]:
    """An OpenAI that knows the business's own key only."""
    async with StubOpenAI.serving(api_key=OWN_KEY) as stub:
        yield stub


@pytest.fixture
async def house(own: StubOpenAI, valkey_url: str, sqlite_records_url: str) -> AsyncIterator[House]:
    """A house whose settings have one upstream beside the shared one."""
    async with open_house(
        redis_url=valkey_url,
        records_url=sqlite_records_url,
        upstreams__acme__api_key=OWN_KEY,
        upstreams__acme__base_url=own.base_url,
    ) as opened:
        yield opened


async def patched(house: House, acme: Acme, json: Mapping[str, Any]) -> Any:
    """What the admin API answers to a change of a business."""
    return await house.client.patch(
        f"/admin/businesses/{acme.id}",
        json=json,
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
    )


async def heard(house: House) -> None:
    """Wait until what was announced has arrived: the short memory is empty."""
    house.parts.loops.authenticate._known.clear()


async def test_its_calls_go_to_its_own_upstream_with_its_own_key(house, own):
    """And those of everybody else to the shared one."""
    acme, other = await house.business(), await house.business(name="Other")
    assert (await patched(house, acme, {"upstream": "acme"})).json()["upstream"] == "acme"
    await heard(house)

    assert (await house.chat(acme)).status_code == 200
    assert (await house.chat(other)).status_code == 200

    [its] = own.requests
    [shared] = house.openai.requests
    assert its.header(b"authorization") == f"Bearer {OWN_KEY}".encode()
    assert OWN_KEY.encode() not in shared.header(b"authorization")


async def test_an_upstream_that_is_not_set_up_is_never_the_shared_one(house, own, caplog):
    """503 for the caller, an error for the operator, nothing for either upstream."""
    acme = await house.business()
    async with house.database.write() as connection:
        await businesses.change(connection, acme.id, {"upstream": "gone"}, at=datetime.now(UTC))

    reply = await house.chat(acme)

    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "upstream_unavailable"
    assert [record.message for record in caplog.records].count("upstream_not_configured") == 1
    assert (own.requests, house.openai.requests) == ([], [])
    assert (await acme.held()).micro == 0


async def test_a_change_is_announced_to_every_process(house):
    """So that it counts at once; the memory of four seconds is for those who miss it."""
    acme = await house.business()
    assert (await house.chat(acme)).status_code == 200
    authenticate = house.parts.loops.authenticate
    [digest] = authenticate._known
    told: list[bytes] = []
    forget = authenticate.forget

    def note(digest: bytes) -> None:
        told.append(digest)
        forget(digest)

    authenticate.forget = note
    await patched(house, acme, {"switches": ["files"]})
    while not told:
        await house.parts.stores.redis.ping()

    assert told == [digest]
    await house.chat(acme)
    assert authenticate._known[digest][1].switches == {"files"}


@pytest.mark.parametrize(
    ("change", "param", "named"),
    [
        ({"switches": ["filse"]}, "switches.0", "vector_stores"),
        ({"switches": None}, "switches", "null"),
        ({"upstream": "unknown"}, "upstream", "acme"),
        ({"upstream": "No Name"}, "upstream", "pattern"),
    ],
)
async def test_unknown_names_are_refused_naming_the_known(house, change, param, named):
    """Nothing is written then."""
    acme = await house.business()

    reply = await patched(house, acme, change)

    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == param
    assert named in reply.json()["error"]["message"]


async def test_switches_and_upstream_are_shown_and_audited(house):
    """A business begins with neither."""
    acme = await house.business()
    admin = {"Authorization": f"Bearer {ADMIN_TOKEN}"}

    before = (await house.client.get(f"/admin/businesses/{acme.id}", headers=admin)).json()
    await patched(house, acme, {"switches": ["stored", "files"], "upstream": "acme"})
    await patched(house, acme, {"switches": ["files"]})
    after = (await house.client.get(f"/admin/businesses/{acme.id}", headers=admin)).json()
    audited = (await house.client.get("/admin/audit", headers=admin)).json()["data"]

    assert (before["switches"], before["upstream"]) == ([], None)
    assert (after["switches"], after["upstream"]) == (["files"], "acme")
    assert (audited[0]["before"]["switches"], audited[0]["after"]["switches"]) == (
        ["files", "stored"],
        ["files"],
    )


async def test_a_dedicated_business_needs_neither_owners_nor_switches(house, own):
    """OpenAI keeps its objects apart: lists are OpenAI's, every id is asked for there."""
    acme = await house.business()
    await patched(house, acme, {"upstream": "acme"})
    await heard(house)
    file = own.objects.put("files", purpose="batch")

    listed = await house.client.get("/v1/files", headers=acme.headers)
    one = await house.client.get(f"/v1/files/{file}", headers=acme.headers)
    unknown = await house.client.get("/v1/files/file-x", headers=acme.headers)
    made = await house.client.post("/v1/containers", json={"name": "x"}, headers=acme.headers)
    admin = await house.client.get("/v1/organization/projects", headers=acme.headers)

    assert [each["id"] for each in listed.json()["data"]] == [file]
    assert (one.status_code, unknown.status_code, made.status_code) == (200, 404, 200)
    assert admin.json()["error"]["code"] == "endpoint_not_supported"
    assert [request.path for request in own.requests] == [
        "/v1/files", f"/v1/files/{file}", "/v1/files/file-x", "/v1/containers"
    ]  # fmt: skip
    assert house.openai.requests == []
    assert [row.endpoint for row in await acme.transactions()] == ["containers.create"]
    assert await house.scalar("SELECT count(*) FROM object_owners") == 0
