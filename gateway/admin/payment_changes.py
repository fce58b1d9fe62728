"""What an admin decides of payments, each with its line in the audit log."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.admin import shown
from gateway.admin.changes import Admin
from gateway.admin.payment_forms import Decision, Refunding
from gateway.admin.refusals import FieldRefused
from gateway.currency import parse_money
from storage import audit_log, payment_problems, payments, purchases, refunds
from storage.errors import Conflict
from storage.payment_problems import Problem
from storage.refunds import Refund


async def begin_refund(
    connection: AsyncConnection, purchase: str, form: Refunding, admin: Admin
) -> Refund:
    """
    Write a refund down; the provider is asked for it after this transaction.

    Raises:
        NotFound: There is no such purchase.
        FieldRefused: The amount is none of its currency.
        Conflict: It is not completed, or all of it is going back already.
        BadAmount: More than is left of what was paid.
    """
    bought = await purchases.get(connection, purchase)
    refund = await refunds.begin(
        connection,
        bought.id,
        kind="refund",
        status="asked",
        amount_minor=_minor(form, bought.currency),
        who=admin.who,
        reason=form.reason,
        at=admin.at,
    )
    await audit_log.write(
        connection,
        who=admin.who,
        what="purchase.refund",
        object_id=bought.id,
        before=shown.purchase(bought),
        after=shown.refund(refund, bought.currency),
        at=admin.at,
    )
    return refund


def _minor(form: Refunding, currency: str) -> int | None:
    if form.amount is None:
        return None
    try:
        return parse_money(form.amount, currency)
    except ValueError as wrong:
        raise FieldRefused(f"amount: {wrong}", param="amount") from None


async def accept(
    connection: AsyncConnection, id: str, form: Decision, admin: Admin
) -> tuple[Problem, str]:
    """
    Take a payment as it came: credit the purchase, or see a refund as made.

    Returns:
        The problem, and whose credits changed.

    Raises:
        NotFound: There is no such problem.
        Conflict: It was decided before, or nothing of ours can be credited for it.
        BadAmount: The balance would grow too large.
    """
    problem = await _decided(connection, id, "accepted", form, admin)
    if problem.refund is not None:
        await refunds.finish(connection, problem.refund, admin.at)
        refund = await refunds.get(connection, problem.refund)
        return problem, (await purchases.get(connection, refund.purchase)).business
    if problem.purchase is None or problem.why == "refund":
        raise Conflict(
            f"nothing of ours can be changed by accepting payment {problem.reference!r}; top the "
            "business up or adjust it by hand, and then dismiss this"
        )
    completed = await payments.accept(connection, problem, form.reason, admin.at)
    return problem, completed.business


async def dismiss(connection: AsyncConnection, id: str, form: Decision, admin: Admin) -> Problem:
    """
    Credit nothing for a payment; what was to be bought with it is given up.

    Raises:
        NotFound: There is no such problem.
        Conflict: It was decided before.
    """
    problem = await _decided(connection, id, "dismissed", form, admin)
    if problem.refund is not None:
        await refunds.fail(connection, problem.refund, admin.at)
    elif problem.purchase is not None and problem.why in ("amount", "currency", "too_much"):
        await payments.fail(connection, problem.purchase, "dismissed")
    return problem


async def _decided(
    connection: AsyncConnection,
    id: str,
    decision: payment_problems.Decision,
    form: Decision,
    admin: Admin,
) -> Problem:
    problem = await payment_problems.decide(
        connection, id, decision, who=admin.who, reason=form.reason, at=admin.at
    )
    await audit_log.write(
        connection,
        who=admin.who,
        what="payment.accept" if decision == "accepted" else "payment.dismiss",
        object_id=problem.id,
        after=shown.problem(problem),
        at=admin.at,
    )
    return problem
