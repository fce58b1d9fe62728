"""The table of the metrics keeps to Prometheus' ways, and the pages say what it says."""

from __future__ import annotations

import re

from gateway.metrics_table import ADDED_S, ANSWER_S, COUNTED, REDIS_S, TIMED, WATCHED
from tests.gateway.test_docs import DOCS, rows_of

METRICS = (*COUNTED, *TIMED, *WATCHED)
NEVER = {"business", "key", "user", "feature", "id", "partition", "pid", "path", "host"}


def labels_of(metric: object) -> tuple[str, ...]:
    label = getattr(metric, "label", "")
    return tuple(getattr(metric, "labels", ())) + ((label,) if label else ())


def test_names_say_what_is_counted_and_in_which_unit() -> None:
    """`gateway_…`, counters end in `_total`, times in `_seconds`; no name twice."""
    names = [metric.name for metric in METRICS]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"gateway_[a-z]+(_[a-z]+)*", name) for name in names)
    assert all(metric.name.endswith("_total") for metric in COUNTED)
    assert all(metric.name.endswith("_seconds") for metric in TIMED)
    assert not any(metric.name.endswith("_total") for metric in WATCHED)


def test_no_label_is_what_a_caller_may_choose() -> None:
    """Nor what there is one of for each business."""
    assert not {label for metric in METRICS for label in labels_of(metric)} & NEVER


def test_buckets_rise() -> None:
    """A place in them is found by halving."""
    for buckets in (ADDED_S, ANSWER_S, REDIS_S):
        assert list(buckets) == sorted(set(buckets))


def test_each_metric_is_in_the_operators_table_with_its_labels() -> None:
    """docs/operating.md has each once, and none that is not there."""
    listed = {row[0]: row[1] for row in rows_of("operating.md", "Metrics")}

    assert listed == {metric.name: ", ".join(labels_of(metric)) for metric in METRICS}


def test_alert_rules_ask_for_metrics_that_are_there() -> None:
    """A rule on a name that nobody exports is silent for ever."""
    text = (DOCS / "alerts.yml").read_text()
    asked = set(re.findall(r"\bgateway_[a-z_]+", text))
    timed = {f"{metric.name}_{part}" for metric in TIMED for part in ("bucket", "sum", "count")}

    assert asked
    assert asked <= {metric.name for metric in METRICS} | timed
