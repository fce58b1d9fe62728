"""What who is short of credits is told, a business or a key: figures, and what would fit."""

from __future__ import annotations

from gateway.quote import Quote, Quotes
from metering.money import Credits
from storage.answers import Balance, iso_of
from storage.errors import (
    BusinessSuspended,
    CapReached,
    CreditsHeld,
    CreditsOwed,
    InsufficientCredits,
)


def check_balance(balance: Balance) -> None:
    """
    Whether a business has anything to spend, in the order in which a hold finds it out.

    Raises:
        BusinessSuspended, CreditsOwed, InsufficientCredits
    """
    if balance.status != "active":
        raise BusinessSuspended("this business is suspended; ask your provider")
    if balance.owed:
        raise CreditsOwed(
            f"{balance.owed} credits are owed; top up to pay them and go on",
            metadata={"owed": str(balance.owed)},
        )
    if not balance.available:
        kind = CreditsHeld if balance.total else InsufficientCredits
        raise kind(
            "no credits are available; top up",
            available=balance.available,
            held=balance.held,
            total=balance.total,
            expires_at_ms=balance.expires_at_ms,
            metadata={"balance": str(balance.total), "held": str(balance.held)},
        )


def is_affordable(refused: InsufficientCredits | CapReached, least: Credits) -> bool:
    """Whether the least would be there once nothing is held."""
    if isinstance(refused, CapReached):
        return refused.spent + least <= refused.cap
    return refused.total >= least


def with_figures(
    refused: InsufficientCredits | CapReached, quote: Quote, quotes: Quotes, *, required: Credits
) -> InsufficientCredits | CapReached:
    """The refusal with what the caller needs to go on: figures, and what would fit."""
    if isinstance(refused, CapReached):
        return _of_a_key(refused, quote, quotes, required=required)
    return _of_a_business(refused, quote, quotes, required=required)


def _of_a_business(
    refused: InsufficientCredits, quote: Quote, quotes: Quotes, *, required: Credits
) -> InsufficientCredits:
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


def _of_a_key(
    refused: CapReached, quote: Quote, quotes: Quotes, *, required: Credits
) -> CapReached:
    left = max(Credits(0), refused.cap - refused.spent - refused.held)
    affordable = quotes.affordable_output(quote, left)
    advice = f", or lower max_completion_tokens to {affordable}" if affordable else ""
    comma = "," if affordable else " or"
    return type(refused)(
        f"this call may use {required} credits and this key may spend {left} more: its cap is "
        f"{refused.cap}, of which {refused.spent} are spent and {refused.held} held for calls "
        f"that run; use another key{comma} ask for one with a higher cap{advice}",
        cap=refused.cap,
        spent=refused.spent,
        held=refused.held,
        metadata={
            "credit_cap": str(refused.cap),
            "spent": str(refused.spent),
            "held": str(refused.held),
            "required": str(required),
            "affordable_output_tokens": affordable,
        },
    )
