"""What a key may call: which models, which features, and within which bounds."""

from __future__ import annotations

from gateway.errors import FeatureLimitExceeded, FeatureNotAllowed, ModelNotAllowed
from gateway.read_call import Labels
from metering.meters.meter import Ceiling
from metering.rates import ModelRow
from metering.tariff import FeatureRule, Tariff
from metering.usage import TEXT
from storage.keys import KeyHolder


def feature_rule(tariff: Tariff, holder: KeyHolder, labels: Labels) -> FeatureRule | None:
    """
    The rule of the feature that the call is for; None where the feature is only a label.

    Raises:
        FeatureNotAllowed: It has a price of its own, and the key does not list it.
    """
    feature = labels.feature
    if feature is None or feature not in tariff.features:
        return None
    if feature not in holder.scopes.features:
        raise FeatureNotAllowed(
            f"the feature {feature!r} has a price of its own and this key does not list it; "
            "ask for a key with it in its scopes, or use another feature name"
        )
    return tariff.rule_of(feature, True)


def check_model(
    model: str,
    row: ModelRow,
    *,
    tariff: Tariff,
    holder: KeyHolder,
    rule: FeatureRule | None,
    labels: Labels,
) -> None:
    """
    See that the key and the feature may use a model.

    Raises:
        ModelNotAllowed: By `[models]`, by the key's scopes, or by the feature's rule.
    """
    allowed = holder.scopes.models
    if not tariff.allows(row.id) or (allowed and row.id not in allowed and model not in allowed):
        raise ModelNotAllowed(
            f"the model {model!r} is not allowed for this key; GET /v1/models lists those that are",
            param="model",
        )
    if rule is not None and rule.models and row.id not in rule.models:
        raise ModelNotAllowed(
            f"the feature {labels.feature!r} may use {', '.join(sorted(rule.models))}, "
            f"not {model!r}",
            param="model",
        )


def check_bounds(labels: Labels, rule: FeatureRule, most: Ceiling) -> None:
    """
    Keep a feature's call within what its rule covers, but for its prompt.

    Raises:
        FeatureLimitExceeded: Naming what to lower or to leave out.
    """
    # A prediction is billed as output where it was wrong.
    output_tokens = most.output_limit + most.extra_output
    bounds = (
        ("n", most.choices, rule.max_n),
        ("max_completion_tokens", output_tokens, rule.max_output_tokens),
    )
    for param, asked, covered in bounds:
        if covered is not None and asked > covered:
            raise FeatureLimitExceeded(
                f"{param} is {asked} and the feature {labels.feature!r} covers {covered}; "
                f"lower {param}",
                param=param,
            )
    beside = sorted(unit.value for unit in most.usage() if unit not in TEXT)
    if rule.credits is not None and not rule.allow_loss and beside:
        # Its price was held against what its tokens of text can cost, and nothing else.
        raise FeatureLimitExceeded(
            f"the call may use {', '.join(beside)} and the fixed price of the feature "
            f"{labels.feature!r} covers text; leave it out, or call without the feature"
        )
