"""
The daily rollup, the day of a transaction, and the views for analysts.

Rows that are there already name no day yet; `storage/usage_daily.py` counts them after
this step, some thousand at a time, and so it does with what a gateway of before records.

On PostgreSQL gateways go on calling meanwhile: the new column is empty and costs no rewrite,
and the index of it is made beside them. What was interrupted there is made anew.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False)

# ISO 4217: currencies whose amounts have no decimals, and those that have three.
NO_DECIMALS = """
    'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV',
    'XAF', 'XOF', 'XPF'
"""
THREE_DECIMALS = "'BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND'"


def upgrade() -> None:
    _days()
    _rollup()
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_in_words_of(op.get_bind().dialect.name, query)}")
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"COMMENT ON VIEW {name} IS 'docs/analytics.md; amounts are decimals'")


DAY_COMMENT = "of the business, under which usage_daily counts it; empty: not yet"
WITHOUT_DAY = "ix_ai_transactions_without_day"


def _days() -> None:
    day = sa.Column("day", sa.Date(), comment=DAY_COMMENT)
    if op.get_bind().dialect.name == "sqlite":
        op.add_column("ai_transactions", day)
        op.create_index(WITHOUT_DAY, "ai_transactions", ["id"], sqlite_where=sa.text("day IS NULL"))
        return
    op.add_column("ai_transactions", day, if_not_exists=True)
    with op.get_context().autocommit_block():
        _index_beside_the_calls()


def _index_beside_the_calls() -> None:
    # It waits for transactions that were there before it, and keeps nobody waiting meanwhile.
    op.execute("SET lock_timeout = 0")
    valid = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{WITHOUT_DAY}')"
    if op.get_bind().scalar(sa.text(valid)) is False:
        op.execute(f"DROP INDEX CONCURRENTLY {WITHOUT_DAY}")  # One that was interrupted.
    op.create_index(
        WITHOUT_DAY,
        "ai_transactions",
        ["id"],
        postgresql_where=sa.text("day IS NULL"),
        postgresql_concurrently=True,
        if_not_exists=True,
    )
    op.execute("RESET lock_timeout")


def _rollup() -> None:
    op.create_table(
        "usage_daily",
        sa.Column("business_id", ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="of the business, in its time zone"),
        sa.Column("feature", sa.String(length=100), nullable=False, comment="'' for none"),
        sa.Column("user", sa.String(length=200), nullable=False, comment="'' for none"),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False, comment="an adjusted row is no call"),
        sa.Column("failed", sa.BigInteger(), nullable=False, comment="of the calls"),
        sa.Column("tokens", sa.BigInteger(), nullable=False, comment="all tokens, in and out"),
        sa.Column(
            "credits_microcredits",
            sa.BigInteger(),
            nullable=False,
            comment="micro-credits; charged; adjusted rows included",
        ),
        sa.Column("cost_picodollars", sa.BigInteger(), nullable=False, comment="pico-dollars"),
        sa.PrimaryKeyConstraint(
            *("business_id", "day", "feature", "user", "model", "endpoint"),
            name=op.f("pk_usage_daily"),
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        # A group is written again and again through its day; room on its page keeps the
        # indexes out of that.
        op.execute("ALTER TABLE usage_daily SET (fillfactor = 85)")
        # How many months a business has is no guess then: who groups v_usage_daily by month
        # has it added up in memory and not sorted on disk.
        op.execute(
            "CREATE STATISTICS usage_daily_months (ndistinct) ON business_id, "
            f"({_postgres('month', 'day')}) FROM usage_daily"
        )
    op.create_index("ix_usage_daily_day", "usage_daily", ["day"])


# {credits:x}, {usd:x}, {money:x:currency}: an amount as a decimal. {month:x}, {month_utc:x}:
# the first day of the month of a day, of a time. {used_by_month:x}: the sums of a rollup by
# business and month. PostgreSQL has exact decimals; SQLite has none, and gets text that is
# put together from whole numbers: no double is on the way.
VIEWS = {
    "v_ai_transactions": """
        SELECT t.id, t.business_id, b.name AS business, t.key_id, t."user", t.feature,
            t.endpoint, t.model, {credits:t.credits_used_microcredits} AS credits_used,
            {usd:t.cost_to_us_picodollars} AS cost_to_us, t.tokens_used, t.usage,
            t.usage_source, t.estimated, t.timestamp, t.day, t.success, t.http_status,
            t.processing_time_ms, t.first_byte_ms,
            {credits:t.credits_held_microcredits} AS credits_held,
            {credits:t.shortfall_microcredits} AS shortfall, t.outcome, t.adjusts,
            t.price_version, t.upstream_request_id, t.recorded_at,
            t.credits_used_microcredits, t.cost_to_us_picodollars
        FROM ai_transactions t LEFT JOIN businesses b ON b.id = t.business_id
    """,
    "v_usage_daily": """
        SELECT u.business_id, b.name AS business, u.day, {month:u.day} AS month,
            NULLIF(u.feature, '') AS feature, NULLIF(u."user", '') AS "user", u.model,
            u.endpoint, u.calls, u.failed, u.tokens, {credits:u.credits_microcredits} AS credits,
            {usd:u.cost_picodollars} AS cost, u.credits_microcredits, u.cost_picodollars
        FROM usage_daily u LEFT JOIN businesses b ON b.id = u.business_id
    """,
    "v_credit_movements": """
        SELECT m.id, m.business_id, b.name AS business, m.kind,
            {credits:m.amount_microcredits} AS amount,
            {credits:m.requested_microcredits} AS requested, m.credit_seq, m.epoch, m.seq,
            m.reference, m.reason, m.at, m.applied_at, m.amount_microcredits
        FROM credit_movements m LEFT JOIN businesses b ON b.id = m.business_id
    """,
    "v_margin_monthly": """
        SELECT s.business_id, b.name AS business, s.month, s.currency, s.calls, s.failed,
            s.tokens, {credits:s.used} AS credits_used, {usd:s.cost} AS cost_to_us, s.purchases,
            {money:s.paid:s.currency} AS money_paid, {credits:s.purchased} AS credits_purchased,
            {credits:s.bonus} AS bonus_credits, {credits:s.adjusted} AS credits_adjusted,
            {credits:s.taken_back} AS credits_taken_back, {credits:s.expired} AS credits_expired,
            s.used AS credits_used_microcredits, s.cost AS cost_to_us_picodollars,
            s.paid AS money_paid_minor
        FROM (
            SELECT p.business_id, p.month, p.currency, SUM(p.calls) AS calls,
                SUM(p.failed) AS failed, SUM(p.tokens) AS tokens, SUM(p.used) AS used,
                SUM(p.cost) AS cost, SUM(p.purchases) AS purchases, SUM(p.paid) AS paid,
                SUM(p.purchased) AS purchased, SUM(p.bonus) AS bonus,
                SUM(p.adjusted) AS adjusted, SUM(p.taken_back) AS taken_back,
                SUM(p.expired) AS expired
            FROM (
                SELECT u.business_id, u.month, c.currency, u.calls, u.failed, u.tokens, u.used,
                    u.cost, 0 AS purchases, 0 AS paid, 0 AS purchased, 0 AS bonus,
                    0 AS adjusted, 0 AS taken_back, 0 AS expired
                FROM ({used_by_month:usage_daily}) u JOIN businesses c ON c.id = u.business_id
                UNION ALL
                SELECT r.business_id, {month_utc:r.completed_at}, r.currency, 0, 0, 0, 0, 0,
                    COUNT(*), SUM(r.amount_paid_minor), 0, 0, 0, 0, 0
                FROM ai_credit_purchases r WHERE r.payment_status = 'completed'
                GROUP BY r.business_id, {month_utc:r.completed_at}, r.currency
                UNION ALL
                SELECT m.business_id, {month_utc:m.at}, c.currency, 0, 0, 0, 0, 0, 0, 0,
                    SUM(CASE WHEN m.kind = 'purchase' THEN m.amount_microcredits ELSE 0 END),
                    SUM(CASE WHEN m.kind = 'bonus' THEN m.amount_microcredits ELSE 0 END),
                    SUM(CASE WHEN m.kind = 'adjustment' THEN m.amount_microcredits ELSE 0 END),
                    -SUM(CASE WHEN m.kind = 'taken_back' THEN m.amount_microcredits ELSE 0 END),
                    -SUM(CASE WHEN m.kind = 'expired' THEN m.amount_microcredits ELSE 0 END)
                FROM credit_movements m JOIN businesses c ON c.id = m.business_id
                WHERE m.amount_microcredits <> 0
                GROUP BY m.business_id, {month_utc:m.at}, c.currency
            ) p GROUP BY p.business_id, p.month, p.currency
        ) s LEFT JOIN businesses b ON b.id = s.business_id
    """,
    "v_liability": """
        SELECT s.expiry_month, s.currency, s.businesses, {credits:s.unspent} AS credits_unspent,
            {credits:s.owed} AS credits_owed, s.unspent AS credits_unspent_microcredits
        FROM (
            SELECT {month_utc:a.expires_at} AS expiry_month, c.currency, COUNT(*) AS businesses,
                SUM(a.balance_microcredits) AS unspent, SUM(a.owed_microcredits) AS owed
            FROM business_ai_credits a JOIN businesses c ON c.id = a.business_id
            WHERE a.balance_microcredits > 0 OR a.owed_microcredits > 0
            GROUP BY {month_utc:a.expires_at}, c.currency
        ) s
    """,
}


def _in_words_of(dialect: str, query: str) -> str:
    words = {"postgresql": _postgres, "sqlite": _sqlite}[dialect]

    def said(found: re.Match[str]) -> str:
        kind, value, currency = found.groups()
        if kind != "money":
            return words(kind, value)
        return (
            f"CASE WHEN {currency} IN ({NO_DECIMALS}) THEN {words('0', value)} "
            f"WHEN {currency} IN ({THREE_DECIMALS}) THEN {words('3', value)} "
            f"ELSE {words('2', value)} END"
        )

    return re.sub(r"\{(\w+):([\w.]+)(?::([\w.]+))?\}", said, query)


DECIMALS = {"credits": 6, "usd": 12, "0": 0, "2": 2, "3": 3}


# The months are walked along the index of days, and each is added up by business alone: that
# takes a third less than a grouping of every row by business and month, one month of it does
# not read the others, and the walk is believed to be short, so that nothing is compiled for it.
USED_BY_MONTH = """
    WITH RECURSIVE months AS (
        SELECT {month:f.day} AS month FROM (SELECT MIN(day) AS day FROM {rollup}) f
        WHERE f.day IS NOT NULL
        UNION ALL
        SELECT {month:n.day} FROM months p CROSS JOIN LATERAL (
            SELECT MIN(day) AS day FROM {rollup} WHERE day >= (p.month + INTERVAL '1 month')::date
        ) n WHERE n.day IS NOT NULL
    )
    SELECT d.business_id, g.month, d.calls, d.failed, d.tokens, d.used, d.cost
    FROM months g CROSS JOIN LATERAL (
        SELECT business_id, SUM(calls) AS calls, SUM(failed) AS failed, SUM(tokens) AS tokens,
            SUM(credits_microcredits) AS used, SUM(cost_picodollars) AS cost
        FROM {rollup} WHERE day >= g.month AND day < (g.month + INTERVAL '1 month')::date
        GROUP BY business_id
    ) d
"""
USED_BY_MONTH_ON_SQLITE = """
    SELECT business_id, {month:day} AS month, SUM(calls) AS calls, SUM(failed) AS failed,
        SUM(tokens) AS tokens, SUM(credits_microcredits) AS used, SUM(cost_picodollars) AS cost
    FROM {rollup} GROUP BY business_id, {month:day}
"""


def _postgres(kind: str, value: str) -> str:
    if kind == "used_by_month":
        return _in_words_of("postgresql", USED_BY_MONTH.replace("{rollup}", value))
    if kind == "month":
        return f"date_trunc('month', {value}::timestamp)::date"
    if kind == "month_utc":
        return f"date_trunc('month', {value} AT TIME ZONE 'UTC')::date"
    return f"({value} * {'0.' + '1'.zfill(DECIMALS[kind]) if DECIMALS[kind] else '1::numeric'})"


def _sqlite(kind: str, value: str) -> str:
    if kind == "used_by_month":
        return _in_words_of("sqlite", USED_BY_MONTH_ON_SQLITE.replace("{rollup}", value))
    if kind in ("month", "month_utc"):
        return f"substr({value}, 1, 7) || '-01'"
    places = DECIMALS[kind]
    if not places:
        return f"printf('%d', {value})"
    one = 10**places
    sign = f"CASE WHEN {value} < 0 THEN '-' ELSE '' END"
    whole, part = f"abs({value} / {one})", f"abs({value} % {one})"
    return f"printf('%s%d.%0{places}d', {sign}, {whole}, {part})"
