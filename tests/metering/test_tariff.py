"""What a business pays: the feature's rule first, then the model's, then the default."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import TariffWrong
from metering.money import MICRO, PICO, Credits
from metering.rates import RateCard
from metering.tariff import FeatureRule, ModelRule, Tariff
from metering.usage import Unit, Usage

CARD = RateCard.load()
LUNA = CARD.rate("gpt-6-luna")
SOL = CARD.rate("gpt-6-sol")
USAGE = Usage({Unit.INPUT: 1000, Unit.OUTPUT: 500})

FIXED = FeatureRule(
    credits=Credits.parse("2.50"),
    models=frozenset({"gpt-6-luna"}),
    max_input_tokens=20_000,
    max_output_tokens=2_000,
    max_n=1,
)


def tariff(
    credits_per_usd: str = "12.00", markup: str = "1.50", minimum: str = "0", **rules: object
) -> Tariff:
    return Tariff(
        credits_per_usd=Decimal(credits_per_usd),
        markup=Decimal(markup),
        minimum=Credits.parse(minimum),
        **rules,  # type: ignore[arg-type]
    )


def test_default_price_is_cost_times_rate_times_markup() -> None:
    """1,000 tokens in at 0.10 and 500 out at 0.50 a million are 0.00035 dollars."""
    charge = tariff().charge(LUNA, USAGE, None, False)

    assert str(charge.cost_to_us) == "0.00035"
    assert charge.credits_used == Credits.parse("0.0063")
    assert charge.price_version == LUNA.version


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.decimals("0.01", "1000", places=2),
    st.decimals("0.01", "10", places=2),
)
def test_charge_is_rounded_up_once(
    went_in: int, came_out: int, credits_per_usd: Decimal, markup: Decimal
) -> None:
    """The sum is rounded, never its parts: at most one micro-credit above the exact price."""
    usage = Usage({Unit.INPUT: went_in, Unit.OUTPUT: came_out})
    charge = tariff(str(credits_per_usd), str(markup)).charge(SOL, usage, None, False)
    exact = Fraction(SOL.cost(usage).pico, PICO) * Fraction(credits_per_usd) * Fraction(markup)

    assert exact * MICRO <= charge.credits_used.micro < exact * MICRO + 1


def test_fixed_price_does_not_depend_on_tokens() -> None:
    """A product description is 2.50 credits; what it cost us is still on the row."""
    charge = tariff(features={"description": FIXED}).charge(LUNA, USAGE, "description", True)

    assert charge.credits_used == Credits.parse("2.50")
    assert str(charge.cost_to_us) == "0.00035"


@pytest.mark.parametrize(
    ("feature", "in_scope"), [("description", False), ("poem", True), (None, True)]
)
def test_feature_that_the_key_does_not_list_is_only_a_label(
    feature: str | None, in_scope: bool
) -> None:
    """Nobody buys at a fixed price by writing its name into a header."""
    rules = tariff(features={"description": FIXED})

    assert rules.charge(LUNA, USAGE, feature, in_scope) == tariff().charge(LUNA, USAGE, None, False)
    assert rules.rule_of(feature, in_scope) is None


def test_feature_comes_before_the_model_and_the_model_before_the_default() -> None:
    """One rule applies, never two multiplied."""
    rules = tariff(
        features={"half": FeatureRule(multiplier=Decimal("0.5"))},
        models={
            "gpt-6-luna": ModelRule(multiplier=Decimal(3)),
            "gpt-6-sol": ModelRule(credits_per_usd=Decimal(10)),
        },
    )

    assert rules.charge(LUNA, USAGE, "half", True).credits_used.micro == 6300 // 2
    assert rules.charge(LUNA, USAGE, None, False).credits_used.micro == 6300 * 3
    assert rules.charge(SOL, USAGE, None, False).credits_used.micro == 7000 * 15


def test_minimum_applies_to_a_call_that_cost_something() -> None:
    """A call that used nothing is free."""
    rules = tariff(minimum="0.05")

    assert rules.charge(LUNA, USAGE, None, False).credits_used == Credits.parse("0.05")
    assert rules.charge(LUNA, Usage(), None, False).credits_used == Credits(0)
    assert rules.charge(SOL, USAGE, None, False).credits_used == Credits.parse("0.126")


def test_model_can_be_withdrawn() -> None:
    """`allowed = false` hides a priced model."""
    rules = tariff(models={"gpt-6-luna": ModelRule(allowed=False)})

    assert (rules.allows("gpt-6-luna"), rules.allows("gpt-6-sol")) == (False, True)


def test_good_rules_pass_the_check() -> None:
    """20,000 tokens in at 0.25 and 2,000 out at 0.50 a million are far below 2.50 credits."""
    tariff(features={"description": FIXED}, models={"gpt-6-sol": ModelRule()}).check(CARD)


def changed(**changes: object) -> FeatureRule:
    kept = {name: getattr(FIXED, name) for name in FIXED.__dataclass_fields__}
    return FeatureRule(**(kept | changes))


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("features.f.credits", changed(credits=Credits.parse("0.05"))),
        ("features.f.credits", changed(credits=Credits(-1))),
        ("features.f.models", changed(models=frozenset())),
        ("features.f.models", changed(models=frozenset({"gpt-6-lunar"}))),
        ("features.f.models", changed(models=frozenset({"gpt-5.6"}))),
        ("features.f.max_input_tokens", changed(max_input_tokens=None)),
        ("features.f.max_output_tokens", changed(max_output_tokens=None)),
        ("features.f.max_n", changed(max_n=None)),
        ("features.f", changed(multiplier=Decimal(2))),
    ],
)
def test_feature_that_could_lose_money_stops_the_start(key: str, rule: FeatureRule) -> None:
    """A fixed price covers the worst call that its bounds allow."""
    with pytest.raises(TariffWrong) as refused:
        tariff(features={"f": rule}).check(CARD)
    assert refused.value.key == key


def test_worst_cost_counts_long_prompts_and_all_choices() -> None:
    """300,000 tokens of gpt-6-sol written to the cache and 3 x 1,000 out are 3.045 dollars."""
    rule = changed(
        models=frozenset({"gpt-6-luna", "gpt-6-sol"}),
        max_input_tokens=300_000,
        max_output_tokens=1_000,
        max_n=3,
    )

    with pytest.raises(TariffWrong, match=r"36\.54 credits \(3\.045 USD\)"):
        tariff(features={"f": rule}).check(CARD)
    tariff(features={"f": changed(credits=Credits.parse("36.54"))}).check(CARD)


def test_loss_is_allowed_when_the_operator_says_so() -> None:
    """A free sample is a decision, not an accident."""
    rule = FeatureRule(credits=Credits(0), allow_loss=True)
    rules = tariff(features={"sample": rule})

    rules.check(CARD)
    assert rules.charge(SOL, USAGE, "sample", True).credits_used == Credits(0)


def test_rule_for_an_unknown_model_is_refused() -> None:
    """A typing mistake in `[models]` would otherwise change nothing, silently."""
    with pytest.raises(TariffWrong, match=r"models\.gpt-6-lunar"):
        tariff(models={"gpt-6-lunar": ModelRule()}).check(CARD)


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity"])
def test_factor_that_is_not_above_zero_is_refused(value: str) -> None:
    """Nothing is ever sold for nothing by a setting."""
    with pytest.raises(TariffWrong, match=r"credits\.markup"):
        tariff(markup=value)
    with pytest.raises(TariffWrong, match=r"features\.f\.multiplier"):
        tariff(features={"f": FeatureRule(multiplier=Decimal(value))})
