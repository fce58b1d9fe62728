"""Who may come in: a key's memory is short, its look-ups are few, its text goes nowhere."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from gateway import authenticate
from gateway.authenticate import FRESH_S, LOOKED_UP_MOST, UNKNOWN_FRESH_S, Authenticate
from gateway.errors import NotAuthenticated
from storage.errors import RecordsUnavailable
from storage.keys import KeyHolder, Scopes

pytestmark = pytest.mark.anyio

KEY = "gw-" + "k" * 43
HOLDER = KeyHolder(
    key_id="key",
    business="acme",
    business_status="active",
    scopes=Scopes(),
    default_feature=None,
    credit_cap=None,
    expires_at=None,
    revoked_at=None,
)


class Records:
    """The keys in SQL, and every look-up of them."""

    def __init__(self) -> None:
        self.holders = {sha256(KEY.encode()).digest(): HOLDER}
        self.look_ups: list[list[bytes]] = []
        self.may_answer: asyncio.Event | None = None
        self.failure: Exception | None = None

    async def find(self, digests: list[bytes]) -> dict[bytes, KeyHolder]:
        self.look_ups.append(digests)
        found = {digest: self.holders[digest] for digest in digests if digest in self.holders}
        if self.may_answer is not None:
            await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return found

    def revokes(self, key: str) -> None:
        digest = sha256(key.encode()).digest()
        self.holders[digest] = replace(self.holders[digest], revoked_at=datetime.now(UTC))


class Clock:
    """The memory's clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(authenticate, "monotonic", clock)
    return clock


def bearing(key: str, kind: str = "Bearer") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", f"{kind} {key}".encode())]


async def test_a_known_key_is_looked_up_once(records, clock):
    """A busy key costs SQL one question in four seconds."""
    enter = Authenticate(records.find)

    holders = [await enter(bearing(KEY)) for _ in range(100)]

    assert holders == [HOLDER] * 100
    assert len(records.look_ups) == 1


async def test_what_is_looked_up_is_the_digest(records):
    """The key itself goes nowhere."""
    await Authenticate(records.find)(bearing(KEY))

    assert records.look_ups == [[sha256(KEY.encode()).digest()]]


async def test_a_hundred_calls_at_once_ask_once(records):
    """Nor does a cold start ask more."""
    enter = Authenticate(records.find)

    await asyncio.gather(*(enter(bearing(KEY)) for _ in range(100)))

    assert len(records.look_ups) == 1


async def test_a_caller_that_leaves_takes_nobody_with_it(records):
    """The others still get their answer."""
    records.may_answer = asyncio.Event()
    enter = Authenticate(records.find)
    first = asyncio.create_task(enter(bearing(KEY)))
    second = asyncio.create_task(enter(bearing(KEY)))
    while not records.look_ups:
        await asyncio.sleep(0)

    first.cancel()
    records.may_answer.set()

    assert await second == HOLDER
    assert len(records.look_ups) == 1


async def test_ten_thousand_made_up_keys_are_looked_up_together(records):
    """A flood costs SQL a few questions, and a good key in the middle of it gets in."""
    enter = Authenticate(records.find)
    made_up = ["gw-" + secrets.token_urlsafe(32) for _ in range(10_000)]
    asking = [*made_up[:5000], KEY, *made_up[5000:]]

    answers = await asyncio.gather(*(enter(bearing(k)) for k in asking), return_exceptions=True)

    assert len(records.look_ups) <= 10_000 / LOOKED_UP_MOST + 1
    assert max(map(len, records.look_ups)) <= LOOKED_UP_MOST
    assert answers[5000] == HOLDER
    assert sum(isinstance(answer, NotAuthenticated) for answer in answers) == 10_000


async def test_an_unknown_key_is_remembered_as_unknown_for_a_moment(records, clock):
    """A client that retries with it asks SQL once; a key issued meanwhile works soon."""
    enter = Authenticate(records.find)
    other = "gw-" + "n" * 43
    for _ in range(10):
        with pytest.raises(NotAuthenticated):
            await enter(bearing(other))
    asked = len(records.look_ups)

    records.holders[sha256(other.encode()).digest()] = HOLDER
    clock.now += UNKNOWN_FRESH_S + 0.1

    assert asked == 1
    assert await enter(bearing(other)) == HOLDER


async def test_a_revoked_key_is_refused_at_once_when_it_was_announced(records, clock):
    """`forget` is what the channel of revoked keys calls."""
    enter = Authenticate(records.find)
    await enter(bearing(KEY))
    records.revokes(KEY)

    enter.forget(sha256(KEY.encode()).digest())

    with pytest.raises(NotAuthenticated, match="revoked"):
        await enter(bearing(KEY))


async def test_a_revoked_key_is_refused_within_five_seconds_without_the_announcement(
    records, clock
):
    """The memory is that short."""
    enter = Authenticate(records.find)
    await enter(bearing(KEY))
    records.revokes(KEY)
    await enter(bearing(KEY))

    clock.now += FRESH_S + 0.1

    assert FRESH_S < 5
    with pytest.raises(NotAuthenticated, match="revoked"):
        await enter(bearing(KEY))


async def test_a_look_up_that_read_before_the_revocation_is_not_remembered(records, clock):
    """It was under way when the key was revoked and announced."""
    records.may_answer = asyncio.Event()
    enter = Authenticate(records.find)
    call = asyncio.create_task(enter(bearing(KEY)))
    while not records.look_ups:
        await asyncio.sleep(0)

    records.revokes(KEY)
    enter.forget(sha256(KEY.encode()).digest())
    records.may_answer.set()
    await call

    with pytest.raises(NotAuthenticated, match="revoked"):
        await enter(bearing(KEY))


async def test_an_expired_key_is_refused_though_it_is_remembered(records):
    """Its time is looked at on every call."""
    digest = sha256(KEY.encode()).digest()
    soon = datetime.now(UTC) + timedelta(hours=1)
    records.holders[digest] = replace(HOLDER, expires_at=soon)
    enter = Authenticate(records.find)
    await enter(bearing(KEY))

    enter._known[digest] = (
        enter._known[digest][0],
        replace(HOLDER, expires_at=datetime.now(UTC) - timedelta(seconds=1)),
    )

    with pytest.raises(NotAuthenticated, match="expired"):
        await enter(bearing(KEY))
    assert len(records.look_ups) == 1


async def test_without_sql_a_remembered_key_still_works(records, clock):
    """Nobody can revoke a key while SQL is away; an unknown one is not let in."""
    enter = Authenticate(records.find)
    await enter(bearing(KEY))
    records.failure = RecordsUnavailable("SQL does not answer")
    clock.now += 60

    assert await enter(bearing(KEY)) == HOLDER
    with pytest.raises(RecordsUnavailable):
        await enter(bearing("gw-" + "n" * 43))


async def test_a_failed_look_up_is_not_remembered(records, clock):
    """The next call asks again."""
    enter = Authenticate(records.find)
    records.failure = RecordsUnavailable("SQL does not answer")
    with pytest.raises(RecordsUnavailable):
        await enter(bearing(KEY))

    records.failure = None

    assert await enter(bearing(KEY)) == HOLDER


async def test_the_memory_is_bounded(records, clock, monkeypatch):
    """What was found first is forgotten first."""
    monkeypatch.setattr(authenticate, "REMEMBERED_MOST", 10)
    enter = Authenticate(records.find)

    await asyncio.gather(
        *(enter(bearing(f"gw-{number:043d}")) for number in range(50)), return_exceptions=True
    )

    assert len(enter._unknown) == 10


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-api-key", KEY.encode())],
        [(b"api-key", KEY.encode())],
        bearing(KEY, "Basic"),
        bearing(KEY, "bearer:"),
        bearing("sk-" + "k" * 43),
        bearing(KEY[:-1]),
        bearing(KEY + "k"),
        bearing(KEY + "\n"),
        bearing(KEY + " "),
        bearing(KEY + ", Bearer " + KEY),
        bearing("gw-" + "é" * 43),
        bearing("gw-" + "k" * 42 + "'"),
        bearing("gw-" + "k" * 100_000),
        bearing(""),
        [(b"authorization", KEY.encode())],
        [*bearing(KEY), *bearing(KEY)],
        [*bearing(KEY), (b"authorization", b"")],
    ],
)
async def test_what_is_not_one_key_is_refused_without_a_look_up(records, headers):
    """The form is checked first; the text says what to send and repeats nothing."""
    with pytest.raises(NotAuthenticated) as refused:
        await Authenticate(records.find)(headers)

    assert "k" * 10 not in str(refused.value)
    assert records.look_ups == []


async def test_the_word_bearer_may_be_written_small(records):
    """As RFC 9110 says; some clients do."""
    assert await Authenticate(records.find)(bearing(KEY, "bearer")) == HOLDER
