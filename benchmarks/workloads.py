"""What the callers do: the three workloads of the budget, and one at a low rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

FIELDS: dict[str, Any] = {
    "model": "gpt-6-sol",
    "messages": [
        {"role": "system", "content": "You write short texts for a small shop."},
        {"role": "user", "content": "Describe a red kettle of two litres in one sentence."},
    ],
    "temperature": 0.7,
    "max_completion_tokens": 500,
}

JSON = msgspec.json.encode(FIELDS)
STREAM = msgspec.json.encode(FIELDS | {"stream": True})


def with_model(body: bytes, model: str) -> bytes:
    """The same call of another model."""
    return msgspec.json.encode(msgspec.json.decode(body) | {"model": model})


@dataclass(frozen=True)
class Workload:
    """
    One way to call.

    Attributes:
        latency_ms: How long the upstream thinks before each reply.
        connections: Callers, each with one call at a time.
        calls: In one round.
        budget_us: CPU of the gateway and its recorder for one call, first version.
        goal_us: The same, where we want to be.
    """

    name: str
    body: bytes
    latency_ms: int
    connections: int
    calls: int
    budget_us: int
    goal_us: int

    @property
    def warm_up(self) -> int:
        """Calls that come first and do not count, one or more of each connection."""
        return max(self.connections, 1000)


WORKLOADS = (
    Workload("JSON, 64 connections", JSON, 0, 64, 8000, 400, 200),
    Workload("SSE of 32 events, 64 connections", STREAM, 0, 64, 4000, 700, 350),
    Workload("JSON, 2,000 in flight, 50 ms upstream", JSON, 50, 2000, 12_000, 500, 250),
)

STORES_BUDGET_US = 100
STORES_GOAL_US = 50


@dataclass(frozen=True)
class LowRate:
    """One call after the other, of each system in turn: what a call waits for us."""

    warm_up: int = 30
    calls: int = 400
    pause_s: float = 0.005
    p50_budget_ms: float = 1.5
    p99_budget_ms: float = 5.0


QUICK = 4
"""With --quick: so many times fewer calls."""
