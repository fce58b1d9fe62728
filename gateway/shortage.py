"""What a business that is short of credits is told: figures, and what would fit."""

from __future__ import annotations

from gateway.quote import Quote, Quotes
from metering.money import Credits
from storage.answers import iso_of
from storage.errors import InsufficientCredits


def with_figures(
    refused: InsufficientCredits, quote: Quote, quotes: Quotes, *, required: Credits
) -> InsufficientCredits:
    """The refusal with what the caller needs to go on: figures, and what would fit."""
    affordable = quotes.affordable_output(quote, refused.available)
    advice = f", or lower max_completion_tokens to {affordable}" if affordable else ""
    return type(refused)(
        f"this call may use {required} credits and {refused.available} are available; "
        f"top up{advice}",
        available=refused.available,
        held=refused.held,
        total=refused.total,
        expires_at_ms=refused.expires_at_ms,
        metadata={
            "balance": str(refused.total),
            "held": str(refused.held),
            "required": str(required),
            "affordable_output_tokens": affordable,
            "expires_at": iso_of(refused.expires_at_ms),
        },
    )
