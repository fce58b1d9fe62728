"""The free trial: once for each business, whoever asks for it and however often."""

from __future__ import annotations

from gateway.admin.forms import TopUp
from gateway.admin.refusals import FieldRefused
from storage.businesses import Business

METHOD = "free_trial"


def reference_of(form: TopUp, buyer: Business) -> str | None:
    """
    The payment reference of a top-up; a trial has one that each business has once.

    Raises:
        FieldRefused: A trial that is said to be paid for, or to have a reference.
    """
    if form.payment_method != METHOD:
        return form.payment_reference
    if form.paid_minor(buyer.currency):
        raise FieldRefused("amount_paid: nothing is paid for a free trial", param="amount_paid")
    if form.payment_reference is not None:
        raise FieldRefused("payment_reference: a free trial has none", param="payment_reference")
    return f"trial-{buyer.id}"
