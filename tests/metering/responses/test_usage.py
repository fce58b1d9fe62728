"""OpenAI's usage object becomes a usage in which every token and use is counted once."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.money import Usd
from metering.responses.usage import ToolCalls, priced, read_usage, searches_reported
from metering.usage import Unit, Usage
from tests.metering.responses.replies import ROW, STREAMS, read, read_json, used
from tests.responses_card import with_tools

# gpt-6-sol, in USD: input 2, cached 0.2, cache writes 2.5 and 5, output 10 a million; flex is
# half, priority twice as much, over 272,000 tokens input is twice and output 1.5 times as
# much; a search costs 0.01, a file search 0.0025, a container 0.03. Worked out by hand.
COSTS = {
    # 36 x 2 + 10 x 10 = 172
    "text": "0.000172",
    # 36 x 2 + 394 x 10 = 4,012
    "reasoning": "0.004012",
    # flex: 500 x 1 + 5,000 x 0.1 + 1,500 x 1.25 + 2,000 x 2.5 + 10 x 5 = 7,925
    "cached": "0.007925",
    # 13,224 x 2 + 4,096 x 0.2 + 142 x 10 = 28,687.2, and one search
    "web_search": "0.0386872",
    # 25,010 x 2 + 171 x 10 = 51,730, and two searches
    "web_search_untold": "0.07173",
    # 4,210 x 2 + 52 x 10 = 8,940, and one file search
    "file_search": "0.01144",
    # 1,960 x 2 + 88 x 10 = 4,800, and two containers
    "code_interpreter": "0.0648",
    # priority, long: 150,000 x 8 + 100,000 x 0.8 + 50,000 x 10 + 2,000 x 30 = 1,840,000
    "long_priority": "1.84",
    # 36 x 2 + 64 x 10 = 712
    "incomplete": "0.000712",
    # 36 x 2 + 3 x 10 = 102
    "failed": "0.000102",
}


def dollars(text: str) -> Usd:
    """An amount of dollars, exactly."""
    return Usd(int(Decimal(text).scaleb(12)))


@pytest.mark.parametrize("name", COSTS)
def test_cost_of_a_recorded_stream_is_what_a_hand_works_out(name: str) -> None:
    """To the last pico-dollar, in the tier that the reply names."""
    _, watching = read([STREAMS[name]])
    assert watching.tier is not None

    cost = ROW.rates[watching.tier].cost(watching.usage())

    assert cost == dollars(COSTS[name])


def test_12_hour_writes_over_272_000_tokens_are_the_dearest() -> None:
    """The long row prices the whole call: 300,000 x 10 + 100 x 15 = 3,001,500 a million."""
    details = {
        "cached_tokens": 0,
        "cache_write_tokens": 300_000,
        "cache_write_tokens_details": {"ttl_12h_tokens": 300_000, "ttl_30m_tokens": 0},
    }
    usage = read_usage(json.dumps(used(300_000, 100, **details)).encode(), [])
    assert usage is not None

    assert ROW.rates["default"].cost(usage) == dollars("3.0015")


@settings(max_examples=200, deadline=None)
@given(
    tokens=st.integers(0, 10**6),
    out=st.integers(0, 10**6),
    parts=st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
)
def test_no_token_is_counted_twice_or_lost(tokens: int, out: int, parts: list[int]) -> None:
    """Details are parts of the totals; when they exceed them, all is plain and flagged."""
    cached, for_30m, for_12h = parts
    flagged: list[str] = []
    details = {
        "cached_tokens": cached,
        "cache_write_tokens": for_30m + for_12h,
        "cache_write_tokens_details": {"ttl_30m_tokens": for_30m, "ttl_12h_tokens": for_12h},
    }
    usage = read_usage(json.dumps(used(tokens, out, **details)).encode(), flagged)

    assert usage is not None
    assert usage.tokens == tokens + out
    assert bool(flagged) == (sum(parts) > tokens)
    if not flagged:
        assert usage[Unit.CACHE_WRITE_12H] == for_12h


def test_details_that_are_none_leave_the_totals() -> None:
    """Counting could not see the reasoning, so OpenAI's totals stay."""
    flagged: list[str] = []
    raw = json.dumps({"input_tokens": 7, "output_tokens": 3, "input_tokens_details": "x"})

    assert read_usage(raw.encode(), flagged) == Usage({Unit.INPUT: 7, Unit.OUTPUT: 3})
    assert flagged == ["usage_details_not_understood"]


# Tools


def search(action: Any = None, name: str = "ws_1") -> dict[str, Any]:
    return {"id": name, "type": "web_search_call", "action": action}


def test_only_searches_are_billed_of_what_a_web_search_does() -> None:
    """Opening a page and looking in it are not; a call that does not say is a search."""
    calls = ToolCalls()
    actions: list[Any] = [
        {"type": "search", "query": "a"},
        {"type": "open_page"},
        {"type": "find_in_page"},
        {"type": "new"},
        None,
    ]
    for place, action in enumerate(actions):
        calls.add(place, search(action, f"ws_{place}"))

    assert calls.units() == {Unit.WEB_SEARCHES: 3}


def test_a_later_state_of_a_call_replaces_the_earlier() -> None:
    """It is added, and then it is done: one call."""
    calls = ToolCalls()
    calls.add(0, search())
    calls.add(0, search({"type": "open_page"}))

    assert calls.units() == {}


def test_a_container_is_billed_once() -> None:
    """Code that runs twice in it is one session; a call that names none is one of its own."""
    calls = ToolCalls()
    for place, container in enumerate(["cntr_a", "cntr_a", "cntr_b", None]):
        item = {"type": "code_interpreter_call", "id": f"ci_{place}", "container_id": container}
        calls.add(place, item)

    assert calls.units() == {Unit.CONTAINERS: 3}


def test_what_openai_sums_up_goes_before_what_is_counted() -> None:
    """`tool_usage` leaves out discounted searches; zero is zero."""
    output = [search({"type": "search"}, f"ws_{n}") for n in range(3)]
    reply = {"usage": used(), "output": output}
    told = {"tool_usage": {"web_search": {"num_requests": 2}}}
    none = {"tool_usage": {"web_search": {"num_requests": 0}}}

    assert read_json(reply | told).usage()[Unit.WEB_SEARCHES] == 2
    assert read_json(reply | none).usage()[Unit.WEB_SEARCHES] == 0
    assert read_json(reply).usage()[Unit.WEB_SEARCHES] == 3


@pytest.mark.parametrize("number", [-1, 1.5, True, "2", 10**9])
def test_a_number_of_searches_that_is_none_is_flagged(number: Any) -> None:
    """The calls are counted then."""
    flagged: list[str] = []

    assert searches_reported({"web_search": {"num_requests": number}}, flagged) is None
    assert flagged == ["tool_usage_not_understood"]


@pytest.mark.parametrize("told", [None, [], {}, {"web_search": None}, {"web_search": {}}])
def test_searches_may_be_left_unsaid(told: Any) -> None:
    """OpenAI omits what it does not know; that is nothing odd."""
    flagged: list[str] = []

    assert (searches_reported(told, flagged), flagged) == (None, [])


def test_a_use_without_a_price_counts_as_the_dearest_that_has_one() -> None:
    """Never as nothing, and never as an error that would lose the settlement."""
    flagged: list[str] = []
    rate = with_tools(ROW, {Unit.WEB_SEARCHES: 2, Unit.FILE_SEARCHES: 1}).rates["default"]

    found = priced({Unit.CONTAINERS: 2, Unit.WEB_SEARCHES: 1}, rate, flagged)

    assert found == {Unit.WEB_SEARCHES: 3}
    assert flagged == ["containers_not_priced"]


def test_a_row_without_any_price_of_tools_flags_their_use() -> None:
    """There is nothing to price it with; a person has to look."""
    row = with_tools(ROW, {})
    reply = {"usage": used(), "output": [search({"type": "search"})]}

    watching = read_json(reply, row)

    assert watching.usage() == Usage({Unit.INPUT: 7, Unit.OUTPUT: 3})
    assert watching.flagged == ["web_searches_not_priced"]
    assert row.rates["default"].cost(watching.usage()) > Usd(0)


def test_tools_of_a_stream_that_broke_are_counted() -> None:
    """A search that was begun is billed."""
    stream = STREAMS["web_search_untold"]
    broken = stream[: stream.index(b"event: response.completed")]

    _, watching = read([broken])

    assert watching.source == "counted"
    assert watching.usage()[Unit.WEB_SEARCHES] == 2
