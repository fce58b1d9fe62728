"""A top-up that is sent again, or twice at the same moment, adds credits once."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.admin.counted import balance, rows

pytestmark = pytest.mark.anyio


async def test_a_repeated_request_gets_the_same_answer(admin):
    """Blanks and the order of fields make no other body."""
    id = await admin.business()
    path = f"/admin/businesses/{id}/top-ups"
    headers = {"Idempotency-Key": "k-1", "content-type": "application/json"}

    first = await admin.call("POST", path, {"credits": "30", "note": "a"}, headers=headers)
    second = await admin.call(
        "POST", path, content=b'{ "note": "a",  "credits": "30" }', headers=headers
    )

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert await balance(admin, id) == "30.00"
    assert await rows(admin) == [1, 1, 1, 2]


async def test_a_key_with_another_body_is_refused(admin):
    """A key is for one request."""
    id = await admin.business()
    path, headers = f"/admin/businesses/{id}/top-ups", {"Idempotency-Key": "k-1"}
    await admin.post(path, {"credits": "30"}, headers=headers)

    reply = await admin.call("POST", path, {"credits": "31"}, headers=headers)

    assert reply.status_code == 422
    assert reply.json()["error"]["code"] == "idempotency_key_reused"
    assert await balance(admin, id) == "30.00"


async def test_a_key_belongs_to_its_business(admin):
    """Two shops may count their requests alike."""
    headers = {"Idempotency-Key": "1"}
    for id in (await admin.business(), await admin.business()):
        await admin.post(f"/admin/businesses/{id}/top-ups", {"credits": "30"}, headers=headers)

        assert await balance(admin, id) == "30.00"


async def test_a_refused_request_does_not_use_up_its_key(admin):
    """It can be sent again, corrected."""
    id = await admin.business()
    path, headers = f"/admin/businesses/{id}/top-ups", {"Idempotency-Key": "k-1"}
    await admin.post(path, {"credits": "1", "payment_reference": "T-1"})
    refused = await admin.call(
        "POST", path, {"credits": "30", "payment_reference": "T-1"}, headers=headers
    )

    await admin.post(path, {"credits": "30", "payment_reference": "T-2"}, headers=headers)

    assert refused.status_code == 409
    assert await balance(admin, id) == "31.00"


async def test_keys_that_are_none_are_refused(admin):
    """1 to 255 printable characters."""
    id = await admin.business()
    for key in ("", "a" * 256, "two words", "\xe9"):
        headers = {"Idempotency-Key": key.encode("latin1")}
        reply = await admin.call(
            "POST", f"/admin/businesses/{id}/top-ups", {"credits": "30"}, headers=headers
        )

        assert reply.status_code == 400, key
        assert reply.json()["error"]["param"] == "Idempotency-Key"
    assert await balance(admin, id) == "0.00"


@pytest.mark.parametrize(
    "reference", [{"payment_reference": "T-1"}, {}], ids=["referenced", "unreferenced"]
)
async def test_concurrent_twins_add_credits_once(admin, reference):
    """Ten at the same moment under one key: ten equal answers and one purchase."""
    id = await admin.business()
    form = {"credits": "30", **reference}

    answers = await asyncio.gather(
        *(
            admin.post(f"/admin/businesses/{id}/top-ups", form, headers={"Idempotency-Key": "twin"})
            for _ in range(10)
        )
    )

    assert len({answer["purchase"]["id"] for answer in answers}) == 1
    assert await balance(admin, id) == "30.00"
    assert await rows(admin) == [1, 1, 1, 2]


async def test_concurrent_top_ups_of_one_reference_add_credits_once(admin):
    """Without a key: one is accepted, the others are told of it."""
    id = await admin.business()
    form = {"credits": "30", "payment_reference": "T-1"}

    replies = await asyncio.gather(
        *(admin.call("POST", f"/admin/businesses/{id}/top-ups", form) for _ in range(10))
    )

    assert sorted(reply.status_code for reply in replies) == [201] + [409] * 9
    assert await balance(admin, id) == "30.00"


async def test_concurrent_top_ups_all_count(admin):
    """Twenty different ones: none is lost."""
    id = await admin.business()

    await asyncio.gather(
        *(
            admin.post(f"/admin/businesses/{id}/top-ups", {"credits": f"{number}.01"})
            for number in range(20)
        )
    )

    assert await balance(admin, id) == "190.20"
