"""
What counting costs a call, in processor time: `python -m benchmarks.counting`.

A call with a hold and a settle of its own, and every counter and histogram that it touches.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from time import monotonic, process_time
from types import SimpleNamespace
from typing import Any

from gateway.metrics import Metrics
from gateway.settlement import Settlement
from gateway.tally import Tally
from metering.money import Credits
from storage.answers import Settled

MODELS = [f"model-{number}" for number in range(40)]
CALLS = 40_000
ROUNDS = 7
CLOCKS = 5  # How often the main path looks at the clock for it.

ANSWER: Any = SimpleNamespace(status=200, code="")
SETTLED = Settled(Credits(5), Credits(0), Credits(7), seq=1, outcome="settled", is_new=True)


def main() -> None:
    """Print the figures, the best of some rounds."""
    metrics = Metrics()
    made = [(_call(model), _settlement(model)) for model in MODELS]
    per_call_s = min(_count(metrics.tally, made) for _ in range(ROUNDS))
    print(f"counting: {per_call_s * 1e6:.2f} us a call")
    _tell("one process", metrics)
    with tempfile.TemporaryDirectory() as folder:
        worker = Metrics(Path(folder))
        _count(worker.tally, made)
        _tell("a worker", worker)
        worker.close()


def _count(tally: Tally, made: list[tuple[Any, Settlement]]) -> float:
    begun = process_time()
    for number in range(CALLS):
        call, settlement = made[number % len(made)]
        for _ in range(CLOCKS):
            monotonic()
        tally.redis_answered(1, 0.0007)
        tally.call_ended("chat.completions", call, ANSWER)
        tally.redis_answered(1, 0.0007)
        tally.settled(settlement, SETTLED)
    return (process_time() - begun) / CALLS


def _tell(who: str, metrics: Metrics) -> None:
    took_ms, lines = min(_ask(metrics) for _ in range(ROUNDS))
    print(f"{who}: {took_ms:.1f} ms for an answer of {lines} lines")


def _ask(metrics: Metrics) -> tuple[float, int]:
    begun = process_time()
    text = asyncio.run(metrics.text())
    return (process_time() - begun) * 1000, len(text.splitlines())


def _call(model: str) -> Any:
    now = monotonic()
    quote = SimpleNamespace(row=SimpleNamespace(id=model), call=SimpleNamespace(streams=False))
    return SimpleNamespace(
        quote=quote,
        hold=object(),
        was_fitted=False,
        cut_by_caller=False,
        complete=True,
        begun=now - 0.1,
        started=now - 0.1,
        asked_at=now - 0.09,
        answered_at=now - 0.001,
        first_byte_ms=90,
    )


def _settlement(model: str) -> Settlement:
    usage = {"input": 100, "cached_input": 20, "output": 300}
    row: dict[str, object] = {"model": model, "usage": usage, "cost_pico": "20250000"}
    return Settlement("business", "id", Credits(5), "settled", Credits(9), row)


if __name__ == "__main__":
    main()
