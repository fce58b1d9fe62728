"""The house stands: who may import whom, what a file may be called, how long it may be."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.sources import FLOORS, ROOT, Source, import_graph, sources

NOT_ON_THE_GROUND_FLOOR = (
    *("redis", "valkey", "sqlalchemy", "aiosqlite", "asyncpg", "httpx", "httpx2"),
    *("starlette", "uvicorn", "asyncio", "time", "socket", "urllib"),
)
"""metering is arithmetic: no network, no clock, no Redis, no SQL."""

UPSTREAM_FILES = re.compile(r"gateway/(upstream|http1)(_\w+)?\.py")
"""The one seam to OpenAI."""

PAYSTACK_FILES = re.compile(r"gateway/(payments/paystack|dev/stub_paystack)\.py")
"""The one seam to Paystack, and the stub that sends its webhooks."""

WEBHOOK_FILE = "gateway/webhook.py"
"""The one seam to whoever wants to hear of alerts."""

SETTINGS = re.compile(r"gateway\.(\w+_)?settings(_\w+)?")
READS_SETTINGS = re.compile(
    rf"{SETTINGS.pattern}|gateway\.(app|stores|recording|parts|selling|notifying|loops|server|dev\.start|__main__|cli(\.\w+)?)"
)
"""The wiring, the command line and the two commands it starts."""

ROOMS = [
    r"gateway\.(errors|endpoints)",
    r"gateway\.(read_call|relay|realtime|upstream|authenticate)",
    r"gateway\.(proxy|admin|portal|background)(\.\w+)?",
    r"gateway\.(app|cli(\.\w+)?|__main__)",
]
"""Inside gateway, from bottom to top; what is not named here may be anywhere in between."""

SIBLINGS = {
    "gateway.admin": {
        *("alert_changes", "asking", "changes", "described", "desk", "door", "fields", "forms"),
        "key_changes",
        *("payment_changes", "payment_forms", "payment_replies", "refusals", "replies"),
        *("shown", "trials", "usage_replies"),
    },
    "gateway.background": set(),
    "gateway.portal": set(),
    "metering.meters": {"meter"},
}
"""Files in these folders do not import each other, but for what they all share."""

TABLES = {"gateway.admin.routes", "gateway.portal.routes"}
"""They list their siblings."""

NOT_A_FILE = {
    *("util", "utils", "helper", "helpers", "common", "manager", "service", "core", "types"),
    *("misc", "base"),
}
"""Nobody would guess what is in there."""

NOT_A_NAME = {
    *("util", "utils", "helper", "helpers", "manager", "handler", "processor", "misc"),
    *("tenant", "customer", "quota", "recharge", "preconsume"),
}
"""Words that tell nothing, and words for which we have another (`docs/money.md`)."""

MOST_LINES = 300

LONGER: dict[str, str] = {
    "storage/tables.py": "one table after the other; they refer to each other",
    "storage/migrations/versions/0001_the_records.py": "the first schema, in one step",
}
"""Files past 300 lines, and why no second noun was found in them."""


def test_each_floor_imports_only_the_floors_below() -> None:
    """gateway → storage → metering → nobody of ours."""
    climbs = [
        f"{source.file} imports {above}"
        for height, floor in enumerate(FLOORS)
        for source in sources(floor)
        for above in (*FLOORS[:height], "tests", "benchmarks")
        if source.imports_package(above)
    ]

    assert not climbs


def test_metering_is_arithmetic() -> None:
    """If a function there seems to need a clock or a connection, it wants an argument instead."""
    doors = [
        f"{source.file} imports {package}"
        for source in sources("metering")
        for package in NOT_ON_THE_GROUND_FLOOR
        if source.imports_package(package)
    ]
    clocks = [
        f"{source.file}:{node.lineno} asks for the time"
        for source in sources("metering")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}
    ]

    assert not doors + clocks


def test_imports_never_go_in_a_circle() -> None:
    """Not even inside a function, nor for types only."""
    try:
        TopologicalSorter(import_graph()).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_rooms_of_the_gateway_do_not_climb() -> None:
    """app → proxy, admin, background → read_call, relay, upstream → errors, endpoints."""
    graph = import_graph()
    climbs = [
        f"{' → '.join(way)} climbs"
        for module in graph
        for way in _ways_from(module, graph)
        if (low := _room(module)) is not None
        and (high := _room(way[-1])) is not None
        and high > low
    ]

    assert not climbs


def _room(module: str) -> int | None:
    return next((n for n, names in enumerate(ROOMS) if re.fullmatch(names, module)), None)


def _ways_from(start: str, graph: dict[str, set[str]]) -> list[list[str]]:
    """The shortest way to each module that `start` imports, itself or through others."""
    ways, found = [[start]], {start}
    for way in ways:
        for module in sorted(graph[way[-1]] - found):
            found.add(module)
            ways.append([*way, module])
    return ways[1:]


def test_siblings_do_not_import_each_other() -> None:
    """A meter, an admin file, a background job is understood alone."""
    found = [
        f"{module} imports {other}"
        for module, others in import_graph().items()
        for folder, shared in SIBLINGS.items()
        for other in others
        if _is_in(module, folder) and _is_in(other, folder)
        if module not in TABLES and module.rpartition(".")[2] not in shared
        if other.rpartition(".")[2] not in shared
    ]

    assert not found


def _is_in(module: str, folder: str) -> bool:
    return module.rpartition(".")[0] == folder


def test_only_the_upstream_speaks_http() -> None:
    """One HTTP client, one seam; a second one would be a second key, a second time-out."""
    found = [
        source.file
        for source in sources(*FLOORS)
        if source.imports_package("httpx2") or source.imports_package("httpx")
        if not UPSTREAM_FILES.fullmatch(source.file)
        if not PAYSTACK_FILES.fullmatch(source.file)
        if source.file != WEBHOOK_FILE
    ]

    assert not found


def test_only_the_wiring_reads_settings() -> None:
    """Constructors take plain values (`lease_s=600`)."""
    found = [
        source.file
        for source in sources(*FLOORS)
        if any(SETTINGS.fullmatch(one) for one in source.imports)
        if not READS_SETTINGS.fullmatch(source.module)
    ]

    assert not found


def test_names_say_something() -> None:
    """A file has earned its place when someone looking for it would guess its name."""
    found = [
        f"{source.file}: {name}"
        for source in sources(*FLOORS, "tests")
        for names, refused in (
            (source.module.split("."), NOT_A_FILE),
            (_defined(source), NOT_A_NAME),
        )
        for name in names
        if refused & set(_words(name))
    ]

    assert not found


def _defined(source: Source) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in ast.walk(source.tree) if isinstance(node, kinds)]


def _words(name: str) -> list[str]:
    """`snake_case` and `CamelCase`, in lower-case words."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


def test_no_file_is_long_without_a_reason() -> None:
    """Past 300 lines, look for the second noun."""
    lua = [Source(path) for path in sorted((ROOT / "storage" / "lua").glob("*.lua"))]
    lengths = {
        source.file: len(source.path.read_text().splitlines())
        for source in (*sources(*FLOORS, "tests", "benchmarks"), *lua)
    }
    too_long = {file: lines for file, lines in lengths.items() if lines > MOST_LINES}

    assert {file: lines for file, lines in too_long.items() if file not in LONGER} == {}
    assert not LONGER.keys() - too_long.keys(), "these are short again: strike them off"
