"""The tariff that the settings describe: how a cost becomes credits."""

from __future__ import annotations

from gateway.settings import Settings
from metering.tariff import FeatureRule, ModelRule, Tariff


def tariff_of(settings: Settings) -> Tariff:
    """[credits], [features] and [models] as the rules by which a cost becomes credits."""
    features = {
        name: FeatureRule(
            credits=feature.credits,
            multiplier=feature.multiplier,
            models=frozenset(feature.models),
            max_input_tokens=feature.max_input_tokens,
            max_output_tokens=feature.max_output_tokens,
            max_n=feature.max_n,
            allow_loss=feature.allow_loss,
        )
        for name, feature in settings.features.items()
    }
    models = {
        name: ModelRule(
            credits_per_usd=model.credits_per_usd,
            multiplier=model.multiplier,
            allowed=model.allowed,
        )
        for name, model in settings.models.items()
    }
    return Tariff(
        credits_per_usd=settings.credits.credits_per_usd,
        markup=settings.credits.markup,
        minimum=settings.credits.minimum,
        features=features,
        models=models,
    )
