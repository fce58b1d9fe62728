"""`gateway import`: another prepaid system moves over, once, wholly checked, and resumable."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.cli.audited import audited

HEADER = "reference,name,owner_email,owner_phone,credits,expires_at,currency,low_balance_threshold"
GOOD = [
    "old-1,Acme Clinic,ama@acme.example,+233 20 111 2222,77.50,2031-05-06,GHS,5.00",
    'old-2,"Kofi, Sons & Co",kofi@sons.example,,0,,,',
    "old-3,Shop,owner@shop.example,,0.000001,2031-05-06T12:00:00Z,USD,",
]


@pytest.fixture
def written(nowhere):
    """Writes a file to be imported."""

    def write(*lines: str, header: str = HEADER) -> str:
        (nowhere / "old.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return "old.csv"

    return write


def businesses(gateway) -> dict[str, dict]:
    return {one["name"]: one for one in gateway("business", "list", "--json").documents}


def test_businesses_and_balances_are_brought_over(gateway, written):
    """Each with its balance, its expiry and a receipt of the provider `import`."""
    ended = gateway("import", written(*GOOD))

    assert ended.code == 0, ended.err
    assert ended.out == "imported 3 businesses with 77.500001 credits; 0 were imported before\n"
    found = businesses(gateway)
    acme, sons, shop = found["Acme Clinic"], found["Kofi, Sons & Co"], found["Shop"]
    assert (acme["balance"], acme["low_balance_threshold"]) == ("77.50", "5.00")
    assert acme["expires_at"] == "2031-05-06T23:59:59.000Z"
    assert (sons["balance"], sons["expires_at"], sons["currency"]) == ("0.00", None, "GHS")
    assert (shop["balance"], shop["currency"]) == ("0.000001", "USD")
    assert shop["expires_at"] == "2031-05-06T12:00:00.000Z"
    receipts = gateway("purchase", "list", "--json").documents
    paid = {(one["provider"], one["payment_reference"], one["payment_method"]) for one in receipts}
    assert paid == {("import", "old-1", "import"), ("import", "old-3", "import")}


def test_a_second_run_adds_nothing(gateway, written):
    """And a longer file adds what is new in it."""
    gateway("import", written(*GOOD))
    before = businesses(gateway)

    again = gateway("import", written(*GOOD), "--json").document

    assert (again["imported"], again["before"], again["credits"]) == (0, 3, "0.00")
    assert businesses(gateway) == before
    gateway("import", written(*GOOD, "old-4,New,new@shop.example,,5,,,"))
    assert len(businesses(gateway)) == 4
    assert len(gateway("purchase", "list", "--json").documents) == 3


def test_a_dry_run_writes_nothing(gateway, written):
    """It says what would be."""
    ended = gateway("import", written(*GOOD), "--dry-run", "--keys", "keys.csv")

    assert ended.out.startswith("would import 3 businesses with 77.500001 credits")
    assert businesses(gateway) == {}
    assert not Path("keys.csv").exists()


BAD = {
    "b-1,,a@b.example,,1,,,": "name: is missing",
    "b-2,N,nobody,,1,,,": "owner_email: should be an address",
    "b-3,N,a@b.example,,1e3,,,": "credits: '1e3' is not an amount of credits",
    "b-4,N,a@b.example,,-1,,,": "credits: should not be negative",
    "b-5,N,a@b.example,,1,2020-01-01,,": "expires_at: is past",
    "b-6,N,a@b.example,,1,soon,,": "expires_at: should be a time",
    "b-7,N,a@b.example,,1,,XYZ,": "currency: 'XYZ' is not a currency",
    "b-8,N,a@b.example,,1,,,-1": "low_balance_threshold: should not be negative",
    ",N,a@b.example,,1,,,": "reference: is missing",
    "b-9,N,a@b.example,,,,,": "credits: is missing",
    "b-10,N,a@b.example,1": "has 4 cells; the header has 8",
    "old-1,N,a@b.example,,1,,,": "reference: is that of line 2",
    "b-11,N,a@b.example,x,1,,,": "owner_phone: ",
}


def test_every_bad_line_is_named_and_nothing_is_written(gateway, written):
    """With its number and what helps, before the first change."""
    ended = gateway("import", written(GOOD[0], *BAD))

    assert ended.code == 1
    lines = ended.err.splitlines()
    assert len(lines) == len(BAD) + 1
    for number, (line, said) in enumerate(zip(lines, BAD.values(), strict=False), start=3):
        assert line.startswith(f"gateway: line {number}: {said}"), line
    assert lines[-1] == "gateway: nothing was imported; correct these lines"
    assert businesses(gateway) == {}


def test_all_that_is_wrong_with_a_line_is_told_at_once(gateway, written):
    """Of both forms, and of what only the file shows; the next line is not the last to be seen."""
    line = "old-1,,nobody,x,1e3,soon,XYZ,-1"
    ended = gateway("import", written(GOOD[0], line, line.replace("old-1", "b-2")))

    said = [each.removeprefix("gateway: line 3: ") for each in ended.err.splitlines()[:8]]
    fields = [each.partition(":")[0] for each in said]
    assert fields == [
        "credits", "expires_at", "name", "owner_email", "owner_phone", "currency",
        "low_balance_threshold", "reference",
    ]  # fmt: skip
    assert ended.err.count("line 4: ") == 7
    assert businesses(gateway) == {}


def test_one_business_is_one(gateway, written):
    """Not `1 businesses`."""
    assert gateway("import", written(GOOD[0])).out.startswith("imported 1 business with ")
    assert gateway("import", written(GOOD[0])).out.endswith("; 1 was imported before\n")


def test_a_line_that_changed_is_not_imported_twice(gateway, written):
    """Its figures are those of another day; the rest of the file waits for a decision."""
    gateway("import", written(GOOD[0]))

    ended = gateway("import", written(GOOD[0].replace("77.50", "80.00"), GOOD[1]))

    assert ended.code == 1
    assert "line 2: reference: 'old-1' was imported before, with other figures" in ended.err
    assert len(businesses(gateway)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the column reference is missing"),
        (b"reference;name;owner_email;credits\n", "with commas between them"),
        (b"reference,name,owner_email,credit\n", "did you mean credits?"),
        (b"reference,name,owner_email,credits,credits\n", "a column is there twice"),
        (HEADER.encode() + b"\na,\xff,c,d,e,f,g,h\n", "is not UTF-8"),
        (HEADER.encode() + b'\na,"b"x,c,d,e,f,g,h\n', "is not CSV"),
    ],
)
def test_a_file_that_is_no_import_is_refused(gateway, nowhere, content, said):
    """In words; also one that is not there."""
    (nowhere / "old.csv").write_bytes(content)

    ended = gateway("import", "old.csv")

    assert ended.code == 1
    assert said in ended.err
    assert gateway("import", "none.csv").code == 1


def test_excel_writes_a_mark_first(gateway, nowhere):
    """And blank lines last."""
    (nowhere / "old.csv").write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join([HEADER, *GOOD, ",,,,,,,", ""]).encode()
    )

    assert gateway("import", "old.csv", "--json").document["imported"] == 3


def test_keys_are_issued_into_a_file_of_ones_own(gateway, written, nowhere):
    """One for each line that was imported; a later run goes on in the same file."""
    gateway("import", written(*GOOD[:2]), "--keys", "keys.csv")
    gateway("import", written(*GOOD), "--keys", "keys.csv")

    file = nowhere / "keys.csv"
    rows = list(csv.DictReader(file.open()))
    assert file.stat().st_mode & 0o777 == 0o600
    assert [row["reference"] for row in rows] == ["old-1", "old-2", "old-3"]
    assert all(row["key"].startswith("gw-") for row in rows)
    for row in rows:
        [key] = gateway("key", "list", row["business_id"], "--json").documents
        assert (key["name"], key["shown"][-4:]) == ("import", row["key"][-4:])


def test_keys_are_not_written_into_another_file(gateway, written, nowhere):
    """Neither into one that others read."""
    (nowhere / "other.csv").write_text("a,b\n")
    (nowhere / "other.csv").chmod(0o600)
    (nowhere / "open.csv").write_text("")
    (nowhere / "open.csv").chmod(0o644)

    for name in ("other.csv", "open.csv"):
        assert gateway("import", written(*GOOD), "--keys", name).code == 1
    assert businesses(gateway) == {}


def test_each_import_is_in_the_audit_log(gateway, written, records_url):
    """The business and its receipt, under the name of who typed."""
    gateway("import", written(*GOOD))

    whats = [entry.what for entry in audited(records_url)]
    assert sorted(whats) == ["business.add"] * 3 + ["purchase.top_up"] * 2


INTERRUPTED = """
import os, signal, sys
from gateway.cli import imports
imports.BATCH = 1
batch, done = imports._batch, []
async def interrupted(*given):
    if len(done) == 1:
        os.kill(os.getpid(), signal.SIGINT)
    done.append(await batch(*given))
    return done[-1]
imports._batch = interrupted
from gateway.cli.commands import run
sys.exit(run(["import", "old.csv"]))
"""


def test_ctrl_c_leaves_whole_lines_and_a_second_run_goes_on(gateway, written, records_url, nowhere):
    """It exits 130 and says how many are left."""
    written(*GOOD)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=env, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 128 + signal.SIGINT
    assert "stopped: " in ended.stderr
    some = len(businesses(gateway))
    assert some in (1, 2)
    assert gateway("import", "old.csv", "--json").document["imported"] == 3 - some
    assert len(businesses(gateway)) == 3
