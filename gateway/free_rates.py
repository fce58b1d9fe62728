"""
How often a key may ask for what costs nothing.

All businesses share OpenAI's rate limits with these calls, too. They are counted in this
process: a limit that is exact across processes is only worth its round trip for money.
"""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

from storage.errors import Limited
from storage.keys import KeyHolder

PER_MINUTE = 600
"""For a key without a limit of its own."""

REMEMBERED_MOST = 100_000


class FreeRates:
    """A bucket for each key, that fills in a minute."""

    def __init__(self, per_minute: int | None = None) -> None:
        self._per_minute = per_minute or PER_MINUTE
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, holder: KeyHolder) -> None:
        """
        Count one call.

        Raises:
            Limited: It is one too many; when to come again.
        """
        most = holder.limits.requests_per_minute or self._per_minute
        now = monotonic()
        left, since = self._buckets.get(holder.key_id, (float(most), now))
        left = min(most, left + (now - since) * most / 60)
        if left < 1:
            raise Limited(
                f"this key may make {most} calls in a minute here; wait a moment",
                retry_after_s=(1 - left) * 60 / most,
            )
        self._buckets[holder.key_id] = (left - 1, now)
        self._buckets.move_to_end(holder.key_id)
        if len(self._buckets) > REMEMBERED_MOST:
            self._buckets.popitem(last=False)
