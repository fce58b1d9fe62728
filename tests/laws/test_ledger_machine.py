"""
The laws under random interleavings: the real scripts, recorder and crediting, beside a model.

Hypothesis draws holds, renewals, settles, sweeps, top-ups, take-backs, suspensions, changed
thresholds, expiries, audits, limits of keys, lost replies and crashes between SQL and Redis, in
any order; after each step the account and the keys in Redis are what the model says (L1, L7,
L9), and at the end so is SQL (L2, L3, L5, L6, L9).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.laws.laws import check_ledger
from tests.laws.ledger_engines import Engines
from tests.laws.ledger_machine import LedgerMachine
from tests.laws.seen import look


@pytest.fixture
def engines(redis_url: str, sqlite_records_url: str) -> Iterator[Engines]:
    opened = Engines(redis_url, sqlite_records_url)
    yield opened
    opened.close()


def test_the_laws_hold_under_any_interleaving(engines: Engines) -> None:
    """200 examples of up to 40 steps, on Valkey 9 and on Redis 7.0."""

    class Machine(LedgerMachine):
        pass

    Machine.engines = engines
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # Smaller examples would be tried on what a failed one left behind.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )

    assert engines.calls > 10_000
    # All that the examples have left, once more and by the laws that every test is held to.
    check_ledger(engines.run(look(engines.redis, engines.database)))
    print(f"{engines.calls} calls of the ledger")
