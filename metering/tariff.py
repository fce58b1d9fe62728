"""The tariff: what we charge for a call, from what it cost us and our own rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from metering.errors import ModelNotPriced, TariffWrong
from metering.money import Credits, Usd
from metering.rates import Rate, RateCard
from metering.usage import Unit, Usage


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call cost us, what the business pays, and the prices that were used."""

    cost_to_us: Usd
    credits_used: Credits
    price_version: str


@dataclass(frozen=True, slots=True)
class FeatureRule:
    """
    What a feature costs, and the bounds within which it may be called.

    Either a fixed price in credits, or a multiplier of the default price, or neither
    (only bounds). A fixed price needs all the bounds, because they limit what a call at
    that price can cost us.
    """

    credits: Credits | None = None
    multiplier: Decimal | None = None
    models: frozenset[str] = frozenset()
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    max_n: int | None = None
    allow_loss: bool = False


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Our own price of a model: credits per dollar instead of the default, or a multiplier."""

    credits_per_usd: Decimal | None = None
    multiplier: Decimal | None = None
    allowed: bool = True


class Tariff:
    """
    From a cost in dollars to a charge in credits.

    A feature's fixed price comes first, then a feature's multiplier, then the model's own
    rule, then the default: credits = cost x credits_per_usd x markup, rounded up once to a
    whole micro-credit and never below `minimum` when the call cost anything. A multiplier
    multiplies the default price; a model's credits_per_usd takes the place of the
    default's, and the markup stays.
    """

    def __init__(
        self,
        *,
        credits_per_usd: Decimal,
        markup: Decimal,
        minimum: Credits,
        features: Mapping[str, FeatureRule] | None = None,
        models: Mapping[str, ModelRule] | None = None,
    ) -> None:
        self.credits_per_usd = _positive("credits.credits_per_usd", credits_per_usd)
        self.markup = _positive("credits.markup", markup)
        self.minimum = minimum
        self.features: Mapping[str, FeatureRule] = dict(features or {})
        self.models: Mapping[str, ModelRule] = dict(models or {})
        self._default = self.credits_per_usd * self.markup
        self._of_feature = {
            name: self._default * _positive(f"features.{name}.multiplier", rule.multiplier)
            for name, rule in self.features.items()
            if rule.multiplier is not None
        }
        self._of_model = {name: self._factor(name, rule) for name, rule in self.models.items()}

    def charge(
        self, rate: Rate, usage: Usage, feature: str | None, feature_in_scope: bool
    ) -> Charge:
        """
        What a call that used `usage` is charged.

        Raises:
            UnitNotPriced: The rate has no price for a unit that was used.
        """
        rule = self.rule_of(feature, feature_in_scope)
        return self._charge(rate, rate.cost(usage), feature if rule else None, rule)

    def ceiling(
        self, rate: Rate, usage: Usage, feature: str | None, feature_in_scope: bool
    ) -> Charge:
        """The most a call within `usage` can be charged: input at its dearest price."""
        rule = self.rule_of(feature, feature_in_scope)
        return self._charge(rate, rate.ceiling_cost(usage), feature if rule else None, rule)

    def rule_of(self, feature: str | None, feature_in_scope: bool) -> FeatureRule | None:
        """The rule of a feature that the key may use; any other name is only a label."""
        return self.features.get(feature) if feature and feature_in_scope else None

    def allows(self, model: str) -> bool:
        """Whether `[models]` lets this model (by its id) be called."""
        rule = self.models.get(model)
        return rule is None or rule.allowed

    def check(self, card: RateCard, *, at: datetime | None = None) -> None:
        """
        Check every rule against the card; what is wrong stops the start.

        Raises:
            TariffWrong: A model is unknown, bounds are missing, or a fixed price is below
                the worst cost of its feature (without markup) and `allow_loss` is not set.
        """
        for name in self.models:
            self._known(card, f"models.{name}", name, at)
        for name, rule in self.features.items():
            self._check_feature(card, name, rule, at)

    def _check_feature(
        self, card: RateCard, name: str, rule: FeatureRule, at: datetime | None
    ) -> None:
        where = f"features.{name}"
        for model in rule.models:
            self._known(card, f"{where}.models", model, at)
        if rule.credits is None:
            return
        if rule.multiplier is not None:
            raise TariffWrong(where, "has a fixed price and a multiplier; keep one of them")
        if rule.credits < Credits(0):
            raise TariffWrong(f"{where}.credits", "must not be below zero")
        if rule.allow_loss:
            return
        worst = self._worst_cost(card, where, rule, at)
        needed = worst.in_credits(self.credits_per_usd)
        if needed > rule.credits:
            raise TariffWrong(
                f"{where}.credits",
                f"{rule.credits} credits do not cover a call that can cost us {needed} credits "
                f"({worst} USD); raise the price, lower the bounds, or set allow_loss = true",
            )

    def _worst_cost(
        self, card: RateCard, where: str, rule: FeatureRule, at: datetime | None
    ) -> Usd:
        bounds = {
            "models": rule.models,
            "max_input_tokens": rule.max_input_tokens,
            "max_output_tokens": rule.max_output_tokens,
            "max_n": rule.max_n,
        }
        for key, bound in bounds.items():
            if not bound:
                raise TariffWrong(
                    f"{where}.{key}", "a fixed price needs this bound, or allow_loss = true"
                )
        output = (rule.max_output_tokens or 0) * (rule.max_n or 0)
        most = Usage({Unit.INPUT: rule.max_input_tokens or 0, Unit.OUTPUT: output})
        return max(card.rate(model, at=at).ceiling_cost(most) for model in rule.models)

    def _known(self, card: RateCard, where: str, model: str, at: datetime | None) -> None:
        try:
            row = card.find(model, at=at)
        except ModelNotPriced:
            raise TariffWrong(where, f"{model} is not on the rate card") from None
        if row.id != model:
            raise TariffWrong(where, f"{model} is an alias; write {row.id}")

    def _charge(
        self, rate: Rate, cost: Usd, feature: str | None, rule: FeatureRule | None
    ) -> Charge:
        if rule is not None and rule.credits is not None:
            return Charge(cost, rule.credits, rate.version)
        credits = cost.in_credits(self._factor_of(rate.model, feature))
        if credits and credits < self.minimum:
            credits = self.minimum
        return Charge(cost, credits, rate.version)

    def _factor_of(self, model: str, feature: str | None) -> Fraction:
        """Credits for one dollar of cost."""
        if feature is not None and feature in self._of_feature:
            return self._of_feature[feature]
        return self._of_model.get(model, self._default)

    def _factor(self, name: str, rule: ModelRule) -> Fraction:
        where = f"models.{name}"
        factor = self._default
        if rule.credits_per_usd is not None:
            factor = _positive(f"{where}.credits_per_usd", rule.credits_per_usd) * self.markup
        if rule.multiplier is not None:
            factor *= _positive(f"{where}.multiplier", rule.multiplier)
        return factor


def _positive(key: str, value: Decimal) -> Fraction:
    if not value.is_finite() or value <= 0:
        raise TariffWrong(key, "must be a number above zero")
    return Fraction(value)
