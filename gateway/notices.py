"""What an alert says to a person and to a program; nothing here sends it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from storage.deliveries import Notice

EVENTS = {
    "low_balance": "credits.low",
    "depleted": "credits.depleted",
    "expired": "credits.expired",
    "expiring_soon": "credits.expiring",
}


def subject(notice: Notice) -> str:
    """One line, whatever a business is called."""
    said = {
        "low_balance": f"{notice.balance} credits are left",
        "depleted": "no credits are left",
        "expired": "your credits have expired",
        "expiring_soon": f"{notice.balance} credits expire {_within(notice)}",
    }
    name = " ".join(notice.business_name.split())
    return f"{name}: {said[notice.alert_type]}"


def text(notice: Notice) -> str:
    """The mail as plain text: what happened, the figures, what to do."""
    happened, to_do = _told(notice)
    lines = [
        happened,
        "",
        f"Business:    {' '.join(notice.business_name.split())}",
        f"Balance:     {notice.balance} credits",
    ]
    if notice.alert_type == "low_balance":
        lines.append(f"Warned at:   {notice.threshold} credits")
    if notice.expires_at is not None:
        lines.append(f"Expires:     {_day(notice.expires_at)}")
    lines += [f"Noticed:     {_day(notice.raised_at)}", "", to_do, ""]
    return "\n".join(lines)


def _told(notice: Notice) -> tuple[str, str]:
    top_up = "To go on, buy credits or ask whoever runs the gateway to top you up."
    return {
        "low_balance": (
            f"Your AI credits are running low: fewer than {notice.threshold} are left.",
            "Calls are served until the credits are used up. " + top_up,
        ),
        "depleted": (
            "Your AI credits are used up.",
            "New calls are refused until there are credits again. " + top_up,
        ),
        "expired": (
            "Your AI credits have expired.",
            "New calls are refused until there are credits again. " + top_up,
        ),
        "expiring_soon": (
            f"Your AI credits expire {_within(notice)}.",
            "Use them before, or buy credits: a purchase moves the expiry of them all.",
        ),
    }[notice.alert_type]


def _within(notice: Notice) -> str:
    days = notice.days_before or 1
    return "within a day" if days == 1 else f"within {days} days"


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def event(notice: Notice) -> str:
    """The body of a webhook, JSON: type, timestamp, data; amounts as decimal strings."""
    body = {
        "type": EVENTS[notice.alert_type],
        "timestamp": _moment(notice.raised_at),
        "data": {
            "alert_id": notice.alert,
            "business_id": notice.business,
            "business_name": notice.business_name,
            "balance": str(notice.balance),
            "threshold": str(notice.threshold),
            "expires_at": notice.expires_at and _moment(notice.expires_at),
            "days_before": notice.days_before,
        },
    }
    return msgspec.json.encode(body).decode()


def _moment(at: datetime) -> str:
    # Cut to whole milliseconds, as everywhere in what is shown.
    whole = at.replace(microsecond=0) + timedelta(milliseconds=at.microsecond // 1000)
    return whole.isoformat(timespec="milliseconds").replace("+00:00", "Z")
