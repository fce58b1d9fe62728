"""Quotes: what a call may cost before it is made, and how it is fitted to a balance."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.errors import (
    FeatureLimitExceeded,
    FeatureNotAllowed,
    ModelNotAllowed,
)
from gateway.quote import Quote, Quotes
from gateway.read_call import Labels
from metering.call import Call
from metering.errors import ModelNotPriced
from metering.meters.chat_completions import ChatCompletions
from metering.money import Credits
from metering.rates import RateCard
from metering.tariff import FeatureRule, ModelRule, Tariff
from metering.usage import Unit, Usage
from storage.keys import KeyHolder, Scopes
from tests.house import MODEL

pytestmark = pytest.mark.anyio

CARD = RateCard.load()
IDEA = FeatureRule(
    credits=Credits.parse("2.50"),
    models=frozenset({MODEL}),
    max_input_tokens=50,
    max_output_tokens=1000,
    max_n=2,
)
TARIFF = Tariff(
    credits_per_usd=Decimal("12.00"),
    markup=Decimal("1.50"),
    minimum=Credits(0),
    features={"idea": IDEA, "bulk": FeatureRule(multiplier=Decimal("0.5"))},
    models={"gpt-5.4": ModelRule(allowed=False)},
)
HOLDER = KeyHolder(
    key_id="key",
    business="acme",
    business_status="active",
    scopes=Scopes(features=frozenset({"idea", "bulk"})),
    default_feature=None,
    credit_cap=None,
    expires_at=None,
    revoked_at=None,
)
LABELS = Labels(user=None, feature=None, may_fit=True, figures_in_stream=False)


def quotes(*, may_fit: bool = True) -> Quotes:
    return Quotes(
        card=lambda: CARD,
        tariff=TARIFF,
        meters={"chat.completions": ChatCompletions()},
        default_max_output_tokens=4000,
        min_output_tokens=256,
        may_fit=may_fit,
    )


def call(**fields: Any) -> Call:
    """A chat completion as it was read."""
    given = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]} | fields
    return Call(
        endpoint="chat.completions",
        model=given["model"],
        fields=given,
        streams=given.get("stream") is True,
        body_bytes=len(json.dumps(given)),
    )


def quote(feature: str | None = None, holder: KeyHolder = HOLDER, **fields: Any) -> Quote:
    return quotes().quote(call(**fields), holder, replace(LABELS, feature=feature))


def cost(input_tokens: int, output_tokens: int, feature: str | None = None) -> Credits:
    """What so many tokens cost, charged as used."""
    usage = Usage({Unit.INPUT: input_tokens, Unit.OUTPUT: output_tokens})
    return TARIFF.charge(CARD.rate(MODEL), usage, feature, feature is not None).credits_used


def test_the_ceiling_covers_the_bytes_and_the_limit():
    """No reply within the limit can cost more than what is held."""
    asked = quote(max_completion_tokens=100, n=3)

    assert asked.input_tokens >= len(asked.body)
    assert asked.ceiling.credits_used >= cost(len(asked.body), 300)


def test_a_call_without_a_limit_gets_the_default_one():
    """It is written into what is forwarded: the ceiling is then a promise."""
    asked = quote()

    assert asked.output_limit == 4000
    assert json.loads(asked.body)["max_completion_tokens"] == 4000


def test_the_old_name_of_the_limit_is_kept():
    """max_tokens, for servers that know no other."""
    asked = quote(max_tokens=77)

    body = json.loads(asked.body)
    assert (asked.output_limit, body["max_tokens"]) == (77, 77)
    assert "max_completion_tokens" not in body


def test_a_limit_beyond_the_model_is_the_models():
    """Nothing more can be written, so nothing more is held."""
    most = CARD.find(MODEL).max_output

    assert quote(max_completion_tokens=10**9).output_limit == most


def test_a_prediction_is_held_on_top():
    """What of it is rejected is billed as output."""
    plain = quote(max_completion_tokens=100)
    predicted = quote(
        max_completion_tokens=100, prediction={"type": "content", "content": "x" * 5000}
    )

    assert predicted.most.extra_output == 5000
    assert predicted.ceiling.credits_used > plain.ceiling.credits_used + cost(0, 5000)


def test_a_stream_is_asked_for_its_usage():
    """Whether or not the caller asked, which is remembered."""
    silent = quote(stream=True)
    asking = quote(stream=True, stream_options={"include_usage": True})

    for asked in (silent, asking):
        assert json.loads(asked.body)["stream_options"]["include_usage"] is True
    assert (silent.asked_for_usage, asking.asked_for_usage) == (False, True)


async def test_counted_in_tokens_a_quote_is_lower_and_still_a_bound():
    """Bytes bound tokens about four times too high."""
    all_quotes = quotes()
    asked = all_quotes.quote(
        call(messages=[{"role": "user", "content": "word " * 1000}]), HOLDER, LABELS
    )

    tighter = await all_quotes.tighten(asked)

    assert 1000 <= tighter.input_tokens < asked.input_tokens / 3
    assert tighter.ceiling.credits_used < asked.ceiling.credits_used


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_call_is_fitted_to_exactly_what_is_granted(n):
    """Its new ceiling is within the grant, and one token more would not be."""
    all_quotes = quotes()
    asked = all_quotes.quote(call(n=n), HOLDER, LABELS)
    granted = Credits(asked.ceiling.credits_used.micro // 2)

    fitted = all_quotes.fit(asked, granted)

    limit = fitted.output_limit
    assert 0 < limit < 4000
    assert (
        cost(asked.input_tokens, limit * n) <= granted < cost(asked.input_tokens, (limit + 1) * n)
    )
    assert json.loads(fitted.body)["max_completion_tokens"] == limit


def test_the_floor_is_the_prompt_and_a_little_output():
    """Below it a call is refused rather than cut to nothing."""
    all_quotes = quotes()
    asked = all_quotes.quote(call(), HOLDER, LABELS)

    assert all_quotes.floor(asked) == cost(asked.input_tokens, 256)


def test_a_call_that_asks_for_less_than_the_least_has_its_own_floor():
    """Ten tokens are wanted, so ten are enough."""
    all_quotes = quotes()
    asked = all_quotes.quote(call(max_completion_tokens=10), HOLDER, LABELS)

    assert all_quotes.floor(asked) == asked.ceiling.credits_used


def test_who_does_not_want_to_be_fitted_has_no_lower_floor():
    """By the header, or by the setting `fit = "never"`."""
    never = replace(LABELS, may_fit=False)

    for all_quotes, labels in ((quotes(), never), (quotes(may_fit=False), LABELS)):
        asked = all_quotes.quote(call(), HOLDER, labels)
        assert all_quotes.floor(asked) == asked.ceiling.credits_used


def test_a_fixed_price_is_the_ceiling_and_the_floor():
    """Whatever the call would use, and it is never fitted."""
    all_quotes = quotes()
    asked = all_quotes.quote(call(), HOLDER, replace(LABELS, feature="idea"))

    assert asked.ceiling.credits_used == all_quotes.floor(asked) == Credits.parse("2.50")
    assert asked.output_limit == 1000
    assert all_quotes.affordable_output(asked, Credits.parse("2.49")) == 0
    assert all_quotes.affordable_output(asked, Credits.parse("2.50")) == 1000


def test_a_multiplier_is_fitted_like_any_other_price():
    """Half the price affords more."""
    all_quotes = quotes()
    plain = all_quotes.quote(call(), HOLDER, LABELS)
    bulk = all_quotes.quote(call(), HOLDER, replace(LABELS, feature="bulk"))
    credits = Credits(plain.ceiling.credits_used.micro // 4)

    assert all_quotes.may_fit(bulk)
    assert all_quotes.affordable_output(bulk, credits) > all_quotes.affordable_output(
        plain, credits
    )


def test_an_unknown_feature_is_a_label_and_nothing_else():
    """It has no price of its own, so anybody may name it."""
    assert quote("chat").ceiling == quote().ceiling


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"max_completion_tokens": 1001}, "max_completion_tokens"), ({"n": 3}, "n")],
)
def test_a_feature_has_its_bounds(fields, param):
    """Its price covers no more; the field is named."""
    with pytest.raises(FeatureLimitExceeded) as refused:
        quote("idea", **fields)

    assert refused.value.param == param


@pytest.mark.parametrize(("words", "fits"), [(60, True), (300, False)])
async def test_the_input_of_a_feature_is_counted_in_tokens(words, fits):
    """Not in bytes, which would refuse what fits."""
    all_quotes = quotes()
    asked = all_quotes.quote(
        call(messages=[{"role": "user", "content": "word " * words}]),
        HOLDER,
        replace(LABELS, feature="idea"),
    )
    roomy = replace(asked, feature_rule=replace(IDEA, max_input_tokens=200))
    assert roomy.input_tokens > 200

    if fits:
        await all_quotes.check_feature_input(roomy)
    else:
        with pytest.raises(FeatureLimitExceeded, match="shorten it"):
            await all_quotes.check_feature_input(roomy)


def test_what_a_key_may_not_use_is_refused():
    """A model switched off, one that is not the key's, one that is not the feature's."""
    narrow = replace(HOLDER, scopes=Scopes(models=frozenset({"gpt-4.1"})))

    with pytest.raises(ModelNotAllowed):
        quote(model="gpt-5.4")
    with pytest.raises(ModelNotAllowed):
        quote(holder=narrow)
    with pytest.raises(ModelNotAllowed, match="may use"):
        quote("idea", model="gpt-4.1")
    with pytest.raises(FeatureNotAllowed, match="ask for a key"):
        quote("idea", holder=narrow, model="gpt-4.1")
    assert quote(holder=narrow, model="gpt-4.1").row.id == "gpt-4.1"


@pytest.mark.parametrize("model", ["gpt-99", "text-embedding-3-small", "GPT-5.4-mini", ""])
def test_what_has_no_price_for_chat_is_refused(model):
    """Also what is priced for another endpoint."""
    with pytest.raises(ModelNotPriced):
        quote(model=model)


def test_a_model_that_left_the_card_while_the_call_ran_is_charged_as_held():
    """A reply that names an unknown model is never free."""
    all_quotes = quotes()
    asked = all_quotes.quote(call(), HOLDER, LABELS)

    rate, _ = all_quotes.settling_rate(asked, model="gpt-99", tier=None)

    usage = Usage({Unit.INPUT: 10, Unit.OUTPUT: 10})
    assert all_quotes.charge(asked, rate, usage).credits_used == cost(10, 10)
