"""How what looks after responses in the background is made, and whom it listens to."""

from __future__ import annotations

from collections.abc import Callable

from gateway.background.settler import Settler
from gateway.endpoints import METERS
from gateway.jobs import Jobs
from gateway.object_calls import ObjectCalls
from gateway.quote import Quotes
from gateway.stores import Ledger, Stores
from gateway.upstreams import Upstreams
from metering.rates import RateCard


def make_jobs(
    stores: Stores,
    ledger: Ledger,
    settler: Settler,
    upstreams: Upstreams,
    quotes: Quotes,
    card: Callable[[], RateCard],
) -> Jobs:
    """In each gateway; one of them looks."""
    return Jobs(
        database=stores.database,
        balances=ledger.balances,
        settler=settler,
        upstreams=upstreams,
        quotes=quotes,
        meters=METERS,
        card=card,
        runs_here=ledger.leases.of_whole("jobs"),
    )


def watch_objects(object_calls: ObjectCalls, jobs: Jobs) -> None:
    """Let a caller's own look, cancellation or deletion settle what has ended."""
    for name in ("responses.retrieve", "responses.cancel"):
        object_calls.after[name] = jobs.see
    object_calls.before["responses.delete"] = jobs.end
