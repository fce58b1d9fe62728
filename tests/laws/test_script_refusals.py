"""What no script in storage/lua accepts, on each engine; nothing changes then."""

from __future__ import annotations

import pytest

from tests.laws.scripted import ACCOUNT, OTHER, Ledger

pytestmark = pytest.mark.anyio

NOT_AMOUNTS = ["", "-1", "-0", "+1", "01", "1.5", "1e3", " 1", "1 ", "0x5", "NaN", "inf", "nil"]
NOT_AMOUNTS += ["1000000000000000", "9223372036854775808", "９", "1\n"]


async def test_a_partition_begins_once_and_freezes_with_its_first_reason(ledger: Ledger) -> None:
    """A frozen partition refuses every change."""
    assert await ledger.begin("7") == ["EXISTS", 0]
    await ledger.open("100")
    await ledger.hold("30")
    assert await ledger.freeze("first") == ["OK", 2]
    assert await ledger.freeze("second") == ["OK", 2]
    before = await ledger.everything()

    frozen = ["FROZEN", 2, "first"]
    assert await ledger.hold("1", id=OTHER) == frozen
    assert await ledger.renew("1") == frozen
    assert await ledger.settle("1") == frozen
    assert await ledger.credit("1", "add", "1") == frozen
    assert await ledger.open("1") == frozen
    assert await ledger.everything() == before


@pytest.mark.parametrize("epoch", ["0", "2", "", "x"])
async def test_another_epoch_changes_nothing(ledger: Ledger, epoch: str) -> None:
    """STALE_EPOCH names the epoch that Redis has."""
    await ledger.open("100")
    await ledger.hold("30")
    before = await ledger.everything()

    stale = ["STALE_EPOCH", 2, "1"]
    assert await ledger.hold("1", id=OTHER, epoch=epoch) == stale
    assert await ledger.renew("1", epoch=epoch) == stale
    assert await ledger.settle("1", epoch=epoch) == stale
    assert await ledger.credit("1", "add", "1", epoch=epoch) == stale
    assert await ledger.open("1", epoch=epoch) == stale
    assert await ledger.everything() == before


async def test_a_partition_that_is_gone_is_a_stale_epoch_of_nothing(ledger: Ledger) -> None:
    """A flushed Redis never serves a call."""
    await ledger.redis.flushall()

    assert await ledger.hold("1") == ["STALE_EPOCH", 0, ""]
    assert await ledger.settle("1") == ["STALE_EPOCH", 0, ""]
    assert await ledger.everything() == {}


async def test_a_business_without_account_is_said_so(ledger: Ledger) -> None:
    """NO_ACCOUNT: it is opened from SQL, or it was lost."""
    assert await ledger.hold("1") == ["NO_ACCOUNT", 0]
    assert await ledger.settle("1") == ["NO_ACCOUNT", 0]
    assert await ledger.credit("1", "add", "1") == ["NO_ACCOUNT", 0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total", "12.5"), ("total", "-1"), ("total", ""), ("held", "101"), ("owed", "1e3"),
        ("seq", "NaN"), ("alerted", "-0"), ("expires_at_ms", "soon"), ("low_at", " 1"),
    ],
)  # fmt: skip
async def test_an_account_no_script_can_have_written_is_left_alone(
    ledger: Ledger, field: str, value: str
) -> None:
    """CORRUPT, and nothing changes."""
    await ledger.open("100")
    await ledger.hold("30", id=OTHER)
    await ledger.redis.hset(ACCOUNT, field, value)
    before = await ledger.everything()

    assert await ledger.hold("1") == ["CORRUPT", 2]
    assert await ledger.settle("1", id=OTHER) == ["CORRUPT", 2]
    assert await ledger.credit("1", "add", "1") == ["CORRUPT", 2]
    assert await ledger.everything() == before


@pytest.mark.parametrize("bad", NOT_AMOUNTS)
async def test_an_argument_that_is_no_plain_number_is_refused(ledger: Ledger, bad: str) -> None:
    """BAD in every place where a number stands, and nothing changes."""
    await ledger.open("100")
    await ledger.hold("30", id=OTHER)
    before = await ledger.everything()

    assert await ledger.hold(bad, "0") == ["BAD", 2]
    assert await ledger.hold("10", bad or " ") == ["BAD", 2]
    assert await ledger.hold("10", lease=bad) == ["BAD", 2]
    assert await ledger.renew(bad, id=OTHER) == ["BAD", 2]
    assert await ledger.renew("1", id=OTHER, lease=bad) == ["BAD", 2]
    assert await ledger.renew("1", id=OTHER, exact=bad) == ["BAD", 2]
    assert await ledger.settle(bad, id=OTHER) == ["BAD", 2]
    assert await ledger.settle("1", id=OTHER, granted=bad) == ["BAD", 2]
    assert await ledger.credit(bad, "add", "1") == ["BAD", 2]
    assert await ledger.credit("1", "add", bad) == ["BAD", 2]
    assert await ledger.credit("1", "add", "1", expires=bad) == ["BAD", 2]
    assert await ledger.credit("1", "add", "1", low_at=bad) == ["BAD", 2]
    assert await ledger.open(bad) == ["BAD", 2]
    assert await ledger.begin(bad) == ["BAD", 0]
    assert await ledger.everything() == before


async def test_words_that_are_not_in_the_contract_are_refused(ledger: Ledger) -> None:
    """Modes, outcomes, verbs and states are closed lists; a floor is at most its ceiling."""
    await ledger.open("100")
    await ledger.hold("30", id=OTHER)
    before = await ledger.everything()

    assert await ledger.hold("10", "11") == ["BAD", 2]
    assert await ledger.hold("10", id="a:b") == ["BAD", 2]
    assert await ledger.hold("10", lease="0") == ["BAD", 2]
    assert await ledger.settle("1", id=OTHER, mode="charge") == ["BAD", 2]
    assert await ledger.settle("1", id=OTHER, outcome="done") == ["BAD", 2]
    assert await ledger.settle("-1", id=OTHER) == ["BAD", 2]
    assert await ledger.credit("0", "add", "1") == ["BAD", 2]
    assert await ledger.credit("1", "give", "1") == ["BAD", 2]
    assert await ledger.credit("1", "configure", "1") == ["BAD", 2]
    assert await ledger.credit("1", "add", "1", status="gone") == ["BAD", 2]
    assert await ledger.credit("1", "add", "999999999999999") == ["BAD", 2]
    assert await ledger.freeze("") == ["BAD", 2]
    assert await ledger.everything() == before
