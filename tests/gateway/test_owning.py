"""Objects in bodies are the business's own, and what a call makes has an owner first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from storage import owners
from storage.errors import RecordsUnavailable
from tests.gateway.storing import own, owned, store_replies
from tests.house import House

pytestmark = pytest.mark.anyio

RESP, FILE, MSG = "resp_0123456789ab", "file-0123456789ab", "msg_0123456789ab"

NAMING: list[tuple[dict[str, Any], str]] = [
    ({"previous_response_id": RESP}, "Previous response with id 'resp_0123456789ab' not found."),
    ({"file_id": FILE}, "No such File object: file-0123456789ab"),
    ({"input": [{"type": "item_reference", "id": MSG}]}, "Item with id 'msg_0123456789ab' not"),
    ({"vector_store_ids": ["vs_1"]}, "Vector store with id 'vs_1' not found."),
    ({"conversation": {"id": "conv_1"}}, "Conversation with id 'conv_1' not found."),
    ({"container": "cntr_1"}, "Container with id 'cntr_1' not found."),
    ({"prompt": {"id": "pmpt_1"}}, "Prompt with id 'pmpt_1' not found."),
    ({"anything": {"new": "batch_0123456789"}}, "No batch found with id 'batch_0123456789'."),
]


@pytest.mark.parametrize(("fields", "words"), NAMING)
async def test_a_foreign_id_is_told_like_one_that_never_was(house, fields, words):
    """404 in OpenAI's words; nothing is held, nothing forwarded."""
    store_replies(house)
    acme, other = await house.business(), await house.business(name="Other")
    unknown = await house.chat(acme, **fields)
    for id in (RESP, FILE, MSG, "vs_1", "conv_1", "cntr_1", "pmpt_1", "batch_0123456789"):
        await own(other, id, kind="response" if id == RESP else "conversation")

    foreign = await house.chat(acme, **fields)

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.json() == unknown.json()
    assert foreign.json()["error"]["message"].startswith(words)
    assert foreign.headers["x-should-retry"] == "false"
    assert house.openai.requests == []
    assert (await acme.held()).micro == 0


@pytest.mark.parametrize("fields", [fields for fields, _ in NAMING])
async def test_an_own_id_is_forwarded(house, fields):
    """As it was written."""
    store_replies(house)
    acme = await house.business()
    await own(acme, RESP, kind="response")
    await own(acme, "conv_1", kind="conversation")
    await own(acme, FILE, MSG, "vs_1", "cntr_1", "pmpt_1", "batch_0123456789")

    reply = await house.chat(acme, **fields)

    assert reply.status_code == 200
    [request] = house.openai.requests
    assert {name: request.fields[name] for name in fields} == fields


async def test_an_id_is_looked_for_in_the_kind_that_the_field_asks_for(house):
    """A conversation's id says nothing of what a response had."""
    store_replies(house)
    acme = await house.business()
    await own(acme, RESP, kind="conversation", tokens=1)

    assert (await house.chat(acme, previous_response_id=RESP)).status_code == 404


async def test_what_a_call_continues_is_told_to_its_meter(house):
    """None where nobody has counted it, so that the most is held."""
    meter = store_replies(house)
    acme = await house.business()
    await own(acme, RESP, kind="response", tokens=1234)
    await own(acme, "resp_2", kind="response")
    await own(acme, "conv_1", kind="conversation", tokens=7)

    for fields in ({}, {"previous_response_id": RESP}, {"previous_response_id": "resp_2"},
                   {"conversation": "conv_1"}):  # fmt: skip
        assert (await house.chat(acme, **fields)).status_code == 200

    assert meter.before == [0, 1234, None, None]


async def test_an_item_that_comes_back_whole_loses_an_id_that_names_nothing_of_ours(house):
    """OpenAI would look it up; the id of one that it keeps for the business stays."""
    store_replies(house)
    acme, other = await house.business(), await house.business(name="Other")
    await own(acme, "rs_1", kind="item")
    await own(other, "msg_1", kind="item")
    items = [{"type": "reasoning", "id": "rs_1"}, {"type": "message", "id": "msg_1", "content": []}]

    assert (await house.chat(acme, input=items)).status_code == 200

    [request] = house.openai.requests
    assert request.fields["input"] == [items[0], {"type": "message", "content": []}]


@pytest.mark.parametrize("streams", [False, True])
async def test_a_reply_that_openai_keeps_has_an_owner(house, streams):
    """With what it used, for calls that continue it."""
    store_replies(house)
    acme, other = await house.business(), await house.business(name="Other")

    reply = await house.chat(acme, stream=streams)

    text = reply.text.split("data: ")[1] if streams else reply.text
    id = json.loads(text)["id"]
    found = (await owned(acme, id))[id]
    [bill] = house.openai.billed
    assert (found.kind, found.feature) == ("completion", None)
    assert found.tokens == bill.usage["total_tokens"]
    assert await owned(other, id) == {}


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL goes away when an owner is to be written."""

    async def add(connection: object, objects: object) -> None:
        raise RecordsUnavailable("SQL cannot be reached: it is a test")

    monkeypatch.setattr(owners, "add", add)


@pytest.mark.parametrize("streams", [False, True])
async def test_no_byte_leaves_without_an_owner(house, away, streams, caplog):
    """503, nothing charged, and OpenAI is told to delete what nobody can own."""
    store_replies(house)
    acme = await house.business()

    reply = await house.chat(acme, stream=streams)
    [row] = await acme.transactions()

    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "records_unavailable"
    assert "chatcmpl" not in reply.text
    [_, deleted] = house.openai.requests
    assert (deleted.method, deleted.path.rpartition("/")[0]) == ("DELETE", "/v1/chat/completions")
    assert "object_without_owner" in caplog.text
    assert (row.credits_used.micro, row.http_status, row.outcome) == (0, 503, "released")
    assert row.cost_to_us.pico > 0  # OpenAI billed it; that is our loss.


@pytest.mark.parametrize("streams", [False, True])
async def test_nothing_is_forwarded_that_could_not_be_owned(house, streams, monkeypatch):
    """It is known before: SQL is asked first."""
    store_replies(house)
    acme = await house.business()
    assert (await house.chat(acme)).status_code == 200  # Its key is remembered from now on.
    database = house.parts.doors._proxy._owning._database
    monkeypatch.setattr(database, "_engine", _Away())

    reply = await house.chat(acme, stream=streams)

    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "records_unavailable"
    assert len(house.openai.requests) == 1
    monkeypatch.undo()
    assert (await acme.held()).micro == 0


class _Away:
    class dialect:
        name = "sqlite"

    def connect(self) -> Any:
        raise OSError("it is a test")


async def test_nothing_of_a_stream_leaves_before_its_owner_is_written(house: House, monkeypatch):
    """The headers wait, too: the order of what happens is held against it."""
    store_replies(house)
    acme = await house.business()
    seen: list[str] = []
    add = owners.add

    async def noted(connection: Any, objects: Any) -> None:
        seen.append("owner")
        await add(connection, objects)

    monkeypatch.setattr(owners, "add", noted)
    proxy = house.parts.doors._proxy
    forward = proxy._forward

    async def watched(metered: Any, endpoint: Any, answer: Any) -> None:
        send = answer.send

        async def sends(message: dict[str, Any]) -> None:
            seen.append(message["type"])
            await send(message)

        answer.send = sends
        await forward(metered, endpoint, answer)

    monkeypatch.setattr(proxy, "_forward", watched)

    assert (await house.chat(acme, stream=True)).status_code == 200

    assert seen[:3] == ["owner", "http.response.start", "http.response.body"]
    assert seen.count("owner") == 1


async def test_more_ids_than_any_call_needs_are_refused(house):
    """Each would be looked up."""
    store_replies(house)
    acme = await house.business()

    reply = await house.chat(acme, file_ids=[f"file-{number}" for number in range(1001)])

    assert (reply.status_code, house.openai.requests) == (400, [])
