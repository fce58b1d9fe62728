"""Within which bounds a feature may be called: what its fixed price was held against."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import FeatureLimitExceeded
from gateway.permission import check_bounds
from gateway.read_call import Labels
from metering.meters.meter import Ceiling
from metering.money import Credits
from metering.tariff import FeatureRule
from metering.usage import Unit, Usage

LABELS = Labels(user=None, feature="idea", may_fit=True, figures_in_stream=False)
RULE = FeatureRule(credits=Credits.parse("2.50"), max_output_tokens=100, max_n=2)
WITHIN = Ceiling(input_tokens=50, output_limit=100, choices=2)


@pytest.mark.parametrize(
    ("most", "named"),
    [
        (replace(WITHIN, choices=3), "n is 3"),
        (replace(WITHIN, output_limit=101), "max_completion_tokens is 101"),
        (replace(WITHIN, extra_output=1), "max_completion_tokens is 101"),
        (replace(WITHIN, others=Usage({Unit.WEB_SEARCHES: 1})), "web_searches"),
        (replace(WITHIN, output_unit=Unit.AUDIO_OUTPUT), "audio_output"),
    ],
)
def test_what_the_fixed_price_does_not_cover_is_refused_by_name(most: Ceiling, named: str) -> None:
    """The price was checked at the start against so much text, and nothing beside it."""
    with pytest.raises(FeatureLimitExceeded, match=named):
        check_bounds(LABELS, RULE, most)


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        (RULE, WITHIN),
        (replace(RULE, allow_loss=True), replace(WITHIN, others=Usage({Unit.IMAGES: 1}))),
        (replace(RULE, credits=None), replace(WITHIN, others=Usage({Unit.IMAGES: 1}))),
    ],
)
def test_what_is_covered_is_let_through(rule: FeatureRule, most: Ceiling) -> None:
    """A multiplier prices every unit, and who allows a loss has said so."""
    check_bounds(LABELS, rule, most)
