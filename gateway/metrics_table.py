"""
The table of the metrics: name, meaning, labels; `docs/operating.md` says what to alert on.

No label is a business, a key, a user or anything else that a caller may choose, so the
number of series is bounded: a model is an id of the rate card, or `other`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.error_replies import TABLE as ERRORS

OTHER = "other"
"""The model of a call whose model is not on the rate card, or is not known."""

MICRO = 10**6
PICO = 10**12

# A call adds a few milliseconds, or tens where Redis flushes to a slow disk.
ADDED_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)

# Small models begin within tenths of a second; reasoning models think for minutes.
ANSWER_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)

REDIS_S = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """
    Something that is counted and only grows.

    `starts` are the label values shown at 0 from the start, because an alert sees no
    increase in a series whose first value is 1; `in_one` is how many of what is counted
    make one of the unit in the name.
    """

    name: str
    means: str
    labels: tuple[str, ...] = ()
    starts: tuple[tuple[str, ...], ...] = ()
    in_one: int = 1


@dataclass(frozen=True, slots=True)
class Timed:
    """How long something took, in seconds, counted in buckets."""

    name: str
    means: str
    buckets_s: tuple[float, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """
    Something that is read whenever it is asked for.

    `over_workers` says how the values of several processes become one: prometheus-client's
    word for it, all of which leave out the processes that have ended.
    """

    name: str
    means: str
    over_workers: Literal["livesum", "livemax", "livemin", "livemostrecent"]
    label: str = ""


NOTHING: tuple[tuple[str, ...], ...] = ((),)
_KIND = ("endpoint", "stream")

COUNTED = (
    Counted(
        "gateway_calls_total",
        "Finished calls. status: 2xx, 4xx, 5xx as answered; cut: a reply that broke off or "
        "ended in an error; "
        "left: the caller went away before the end.",
        ("endpoint", "model", "stream", "status"),
    ),
    Counted(
        "gateway_refusals_total",
        "Errors of the gateway's own under /v1, by the code that the caller was told.",
        ("code",),
        tuple((code,) for code in sorted({said.code for said in ERRORS.values()})),
    ),
    Counted(
        "gateway_usage_units_total",
        "What settled calls used: tokens, characters, images and so on, by unit.",
        ("model", "unit"),
    ),
    Counted(
        "gateway_used_credits_total",
        "Credits charged. model is other for swept holds.",
        ("model",),
        in_one=MICRO,
    ),
    Counted(
        "gateway_returned_credits_total",
        "Credits given back because a swept hold had been charged more than its call cost.",
        starts=NOTHING,
        in_one=MICRO,
    ),
    Counted(
        "gateway_cost_dollars_total",
        "What settled calls cost us at OpenAI, in US dollars; swept holds are not in it.",
        ("model",),
        in_one=PICO,
    ),
    Counted(
        "gateway_shortfall_credits_total",
        "Credits that calls cost and nobody could be charged for.",
        starts=NOTHING,
        in_one=MICRO,
    ),
    Counted(
        "gateway_holds_total",
        "Holds asked for. fitted: less than the ceiling was granted; unavailable: the ledger "
        "could not say.",
        ("result",),
        (("granted",), ("fitted",), ("refused",), ("unavailable",)),
    ),
    Counted(
        "gateway_late_settles_total",
        "Settles whose hold was gone. adopted: nobody had settled it; adjusted: it had been swept.",
        ("kind",),
        (("adopted",), ("adjusted",)),
    ),
    Counted(
        "gateway_swept_holds_total",
        "Holds settled for gateways that were not heard of for a lease.",
        starts=NOTHING,
    ),
    Counted(
        "gateway_upstream_errors_total",
        "Calls that OpenAI did not answer, or answered with an error.",
        ("kind",),
        tuple(
            (kind,)
            for kind in (
                *("unreachable", "timeout", "broken", "misbehaved", "key_refused"),
                *("account_empty", "rate_limited", "server_error", "rejected"),
            )
        ),
    ),
    Counted(
        "gateway_recorder_batches_total",
        "Batches of outbox entries written to SQL.",
        starts=NOTHING,
    ),
    Counted(
        "gateway_recorder_rows_total",
        "Outbox entries that became rows in SQL.",
        starts=NOTHING,
    ),
    Counted(
        "gateway_recorder_failures_total",
        "What kept the recorder: sql or redis away, an entry that SQL refuses, a mistake of ours.",
        ("reason",),
        (("sql_away",), ("redis_away",), ("entry",), ("mistake",)),
    ),
    Counted(
        "gateway_dead_letters_total",
        "Outbox entries that could not be stored and lie in dead_letters.",
        starts=NOTHING,
    ),
    Counted(
        "gateway_losses_total",
        "Times this gateway noticed that Redis had lost something, and froze a partition.",
        starts=NOTHING,
    ),
    Counted(
        "gateway_redis_scripts_total",
        "Script calls that Redis was asked for.",
        starts=NOTHING,
    ),
    Counted(
        "gateway_redis_failures_total",
        "Batches of script calls that Redis did not answer.",
        starts=NOTHING,
    ),
)

TIMED = (
    Timed(
        "gateway_added_seconds",
        "What the gateway adds to a forwarded call: before OpenAI is asked, and, where the "
        "reply is one piece, after it was read.",
        ADDED_S,
        _KIND,
    ),
    Timed(
        "gateway_first_byte_seconds",
        "From a call's last byte in to its reply's first byte out.",
        ANSWER_S,
        _KIND,
    ),
    Timed(
        "gateway_call_seconds",
        "From a forwarded call's last byte in to its end.",
        ANSWER_S,
        _KIND,
    ),
    Timed(
        "gateway_redis_batch_seconds",
        "From sending a batch of script calls to the answer of its last one.",
        REDIS_S,
    ),
)

WATCHED = (
    Watched("gateway_workers", "Processes that serve.", "livesum"),
    Watched("gateway_build_info", "The version that runs; always 1.", "livemax", "version"),
    Watched("gateway_open_calls", "Calls under way.", "livesum"),
    Watched("gateway_held_credits", "Credits held for the calls under way.", "livesum"),
    Watched("gateway_settles_unanswered", "Settles that Redis has not answered yet.", "livesum"),
    Watched("gateway_settles_kept", "Settles not seen in SQL yet.", "livesum"),
    Watched("gateway_outbox_entries", "Entries that wait for SQL in Redis.", "livemostrecent"),
    Watched("gateway_outbox_bytes", "About how much memory they take.", "livemostrecent"),
    Watched("gateway_outbox_oldest_seconds", "Age of the oldest of them.", "livemostrecent"),
    Watched("gateway_frozen_partitions", "Partitions that are not served.", "livemax"),
    Watched("gateway_drains", "Replies that are read on for callers who left.", "livesum"),
    Watched(
        "gateway_upstream_connections",
        "Connections to OpenAI: active with a call, idle without; waiting: calls without one.",
        "livesum",
        "state",
    ),
)
