"""Why an alert did not arrive, in words that hold no address and no secret."""

from __future__ import annotations


class NotTold(Exception):
    """It has not arrived; it is to be tried again later."""
