"""What names a caller or its end user never means the same for two businesses."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.identity import SHOWN, end_user, hide_identity

pytestmark = pytest.mark.anyio

GIVEN = {"prompt_cache_key": "shared", "user": "ama@example.com", "safety_identifier": "ama"}


def hidden(business: str, given: dict[str, Any], endpoint: str = "responses") -> dict[str, Any]:
    fields = dict(given)
    hide_identity(fields, endpoint=endpoint, business=business)
    return fields


@pytest.mark.parametrize("field", GIVEN)
def test_the_same_words_of_two_businesses_are_different_words(field):
    """The same business says the same thing again, and another user another one."""
    acme, again, other = (hidden(name, GIVEN)[field] for name in ("acme", "acme", "other"))
    someone_else = hidden("acme", GIVEN | {field: "another"})[field]

    assert acme == again
    assert len({acme, other, someone_else}) == 3
    assert GIVEN[field] not in acme
    assert len(acme) <= 64


@pytest.mark.parametrize("endpoint", ["chat.completions", "responses"])
def test_a_business_is_always_told_from_others(endpoint):
    """And all of its users can be found by its part of the name."""
    nobody = hidden("acme", {}, endpoint)["safety_identifier"]
    ama = hidden("acme", {"safety_identifier": "ama"}, endpoint)["safety_identifier"]
    by_user = hidden("acme", {"user": "ama"}, endpoint)["safety_identifier"]

    assert ama.split("-")[0] == nobody == end_user("acme", "")
    assert ama == by_user
    assert len(nobody) == SHOWN


def test_other_endpoints_get_no_field_that_they_do_not_know():
    """OpenAI refuses unknown fields."""
    assert hidden("acme", {"input": "x"}, "embeddings") == {"input": "x"}


@pytest.mark.parametrize("wrong", [7, None, ["a"], {"a": 1}])
def test_what_is_no_text_is_left_to_the_meter(wrong):
    """It says what is wrong with it."""
    fields = {"prompt_cache_key": wrong, "user": wrong}

    assert hidden("acme", fields, "embeddings") == fields


async def test_openai_sees_the_rewritten_words_and_we_the_real_ones(house):
    """The row names the app's own user."""
    acme, other = await house.business(), await house.business(name="Other")

    for shop in (acme, other):
        assert (await house.chat(shop, **GIVEN)).status_code == 200

    first, second = (request.fields for request in house.openai.requests)
    for field, words in GIVEN.items():
        assert first[field] != second[field]
        assert words not in (first[field], second[field])
    [row] = await acme.transactions()
    assert row.user == "ama"
