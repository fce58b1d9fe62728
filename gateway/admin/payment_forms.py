"""What an admin fills in to decide about payments."""

from __future__ import annotations

from gateway.admin.fields import Money, Text2000
from gateway.admin.forms import Form


class Refunding(Form):
    """Money to be sent back: all that is left of it where no amount is given."""

    amount: Money | None = None
    reason: Text2000


class Decision(Form):
    """Why a payment is taken as it came, or is not."""

    reason: Text2000
