"""`WS /v1/realtime`: each response is held before it can be made, and charged as it was billed."""

from __future__ import annotations

import pytest

from gateway.dev.stub_gates import Turnstile
from metering.money import Credits
from tests.gateway.ws_caller import REALTIME, SECOND, charged_is_billed, line, switch_on
from tests.house import House

pytestmark = pytest.mark.anyio

PATH = f"/v1/realtime?model={REALTIME}"


@pytest.fixture(autouse=True)
def _switched_on(house: House) -> None:
    switch_on(house, "realtime")


async def test_a_response_that_is_asked_for_is_charged_as_billed(house: House) -> None:
    """One response is one call: held, forwarded, settled, one row."""
    acme = await house.business()

    async with line(house, PATH, acme.key) as caller:
        await caller.until("session.created")
        text = {"type": "input_text", "text": "Hello"}
        item = {"type": "message", "role": "user", "content": [text]}
        await caller.say("conversation.item.create", item=item)
        await caller.say("response.create")
        done = await caller.until("response.done")

    rows = await acme.transactions()
    assert done["response"]["usage"]["output_tokens"] > 0
    assert [(row.endpoint, row.model, row.success) for row in rows] == [
        ("realtime", REALTIME, True)
    ]
    await charged_is_billed(house, acme)


async def test_a_session_that_answers_by_itself_always_has_a_hold(house: House) -> None:
    """With turn detection a hold is there before the audio is passed on, and after each answer."""
    acme = await house.business()
    gate = Turnstile()
    house.openai.changes(before_usage=gate)

    async with line(house, PATH, acme.key) as caller:
        await caller.until("session.created")
        for _ in range(3):
            await caller.say("input_audio_buffer.append", audio=SECOND)
            await caller.until("response.created")
            assert await acme.held() > Credits(0)
            gate.lets_through()
            await caller.until("response.done")
            assert await acme.held() > Credits(0)

    assert len(house.openai.billed) == 3
    await charged_is_billed(house, acme)
