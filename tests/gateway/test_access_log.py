"""The line of a call: what is in it, and when it is written."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from gateway.access_log import AccessLog

pytestmark = pytest.mark.anyio

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z

TIMES = {
    NOON: "2026-11-22T12:00:00.000Z",
    NOON + 0.0078125: "2026-11-22T12:00:00.007Z",
    NOON + 0.9999997: "2026-11-22T12:00:00.999Z",
    NOON + 1.25: "2026-11-22T12:00:01.250Z",
    NOON - 0.5: "2026-11-22T11:59:59.500Z",
}


async def test_each_line_has_its_time() -> None:
    """ISO 8601 in UTC to the millisecond, also when the clock is set back."""
    times = iter(TIMES)
    out = BytesIO()
    log = AccessLog(out, clock=lambda: next(times))
    for number in range(len(TIMES)):
        log.write({"event": "call_finished", "number": number})

    log.flush()

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines == [
        {"event": "call_finished", "number": number, "at": text}
        for number, text in enumerate(TIMES.values())
    ]
