"""What `/metrics` says of this moment, and where each of it is read."""

from __future__ import annotations

from gateway.background.backlog import Backlog
from gateway.background.settler import Settler
from gateway.metrics import Metrics
from gateway.metrics_table import MICRO
from gateway.open_calls import OpenCalls
from gateway.relay import Drains
from gateway.upstream import Upstream
from storage.partitions import Partitions


def watch(
    metrics: Metrics,
    *,
    open_calls: OpenCalls,
    settler: Settler,
    backlog: Backlog,
    partitions: Partitions,
    upstream: Upstream,
    drains: Drains,
) -> None:
    """Let the metrics read the parts whenever somebody asks; nothing is counted on the way."""
    metrics.watch(
        gateway_open_calls=lambda: len(open_calls),
        gateway_held_credits=lambda: open_calls.held.micro / MICRO,
        gateway_settles_unanswered=lambda: settler.unanswered,
        gateway_settles_kept=lambda: settler.kept,
        gateway_outbox_entries=lambda: backlog.outbox_entries,
        gateway_outbox_bytes=lambda: backlog.outbox_bytes,
        gateway_outbox_oldest_seconds=lambda: backlog.oldest_s,
        gateway_frozen_partitions=lambda: len(partitions.frozen),
        gateway_drains=lambda: drains.running,
        gateway_upstream_connections=upstream.connections,
    )
