"""Items of a kept reply, and containers that its tools have run in, are the business's too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.made_within import MadeWithin, runs_in_containers
from metering.call import Call
from tests.gateway.storing import owned, store_replies

pytestmark = pytest.mark.anyio

ITEMS: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_1"},
    {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
    {"type": "message", "id": "msg_1", "content": [{"text": '{"id": "msg_forged"}'}]},
]
FOUND = {"rs_1": "item", "ci_1": "item", "cntr_1": "container", "msg_1": "item"}


def stream() -> bytes:
    """The events of such a reply, and one that only quotes their name."""
    said = [{"type": "response.output_item.done", "item": item} for item in ITEMS]
    quoted = {"type": "response.output_text.delta", "delta": "response.output_item.done",
              "item": "msg_forged"}  # fmt: skip
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in (*said, quoted))


def test_a_whole_reply_names_its_items() -> None:
    """Only where OpenAI writes: a text forges none."""
    made = MadeWithin()

    made.see_json(json.dumps({"id": "resp_1", "output": ITEMS}).encode())

    assert made.found == FOUND


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_stream_names_them_however_it_is_cut(size: int) -> None:
    """By the events that end an item."""
    made, whole = MadeWithin(), stream()

    for start in range(0, len(whole), size):
        made.see_chunk(whole[start : start + size])

    assert made.found == FOUND


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"output": 7}', b'{"output": [7, {}]}'])
def test_what_is_no_such_reply_names_nothing(body: bytes) -> None:
    """Nothing of it is an error."""
    made = MadeWithin()

    made.see_json(body)

    assert made.found == {}


def test_a_call_that_runs_code_is_known_by_its_tools() -> None:
    """Its containers are kept although its reply is not."""
    tools = [{"type": "function"}, {"type": "code_interpreter", "container": {"type": "auto"}}]

    assert runs_in_containers(Call("responses", "m", {"tools": tools}, False, 1))
    assert not runs_in_containers(Call("responses", "m", {"tools": tools[:1]}, False, 1))
    assert not runs_in_containers(Call("responses", "m", {}, False, 1))


async def test_they_are_written_down_with_the_reply(house, monkeypatch):
    """JSON: before it leaves; a stream: before its last byte."""
    store_replies(house)
    acme, other = await house.business(), await house.business(name="Other")
    see = MadeWithin.see_json

    def sees(self: MadeWithin, body: bytes) -> None:
        see(self, json.dumps({"output": ITEMS}).encode())

    monkeypatch.setattr(MadeWithin, "see_json", sees)

    assert (await house.chat(acme)).status_code == 200

    assert {id: one.kind for id, one in (await owned(acme, *FOUND)).items()} == FOUND
    assert await owned(other, *FOUND) == {}


async def test_those_of_a_stream_are_too(house, monkeypatch):
    """Whatever its chunks are."""
    store_replies(house)
    acme = await house.business()
    see, whole = MadeWithin.see_chunk, [stream()]

    def sees(self: MadeWithin, chunk: bytes) -> None:
        see(self, whole.pop() if whole else b"")

    monkeypatch.setattr(MadeWithin, "see_chunk", sees)

    assert (await house.chat(acme, stream=True)).status_code == 200

    assert {id: one.kind for id, one in (await owned(acme, *FOUND)).items()} == FOUND
