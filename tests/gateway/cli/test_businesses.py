"""`gateway business` and `gateway key`."""

from __future__ import annotations

import re
from hashlib import sha256

UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"


def test_a_business_is_added_and_listed(gateway):
    """The list shows balance, expiry and status of each."""
    added = gateway("business", "add", "Acme", "--email", "owner@acme.example", "--json").document
    gateway("top-up", added["id"], "77.5")

    listed = gateway("business", "list").out

    assert added["status"] == "active"
    row = next(line for line in listed.splitlines() if "Acme" in line)
    assert re.fullmatch(rf"\s*{added['id']}\s+Acme\s+77\.50\s+\d{{4}}-\d\d-\d\d\s+active\s*", row)


def test_json_is_a_document_a_line(gateway):
    """Ready for jq; the newest first."""
    for name in ("A", "B", "C"):
        gateway("business", "add", name, "--email", "a@b")

    found = gateway("business", "list", "--json").documents

    assert [one["name"] for one in found] == ["C", "B", "A"]
    assert found[0]["balance"] == "0.00"
    assert [
        one["name"] for one in gateway("business", "list", "--json", "--limit", "2").documents
    ] == ["C", "B"]


def test_settings_give_a_new_business_its_defaults(gateway, monkeypatch):
    """What the form leaves out is as [credits] says."""
    monkeypatch.setenv("GATEWAY__CREDITS__LOW_BALANCE_THRESHOLD", "2.5")
    monkeypatch.setenv("GATEWAY__CREDITS__EXPIRES_AFTER_MONTHS", "3")

    silent = gateway("business", "add", "A", "--email", "a@b", "--json").document
    said = gateway(
        "business",
        "add",
        "B",
        "--email",
        "a@b",
        "--low-balance",
        "0",
        "--expires-after",
        "1",
        "--json",
    ).document

    assert (silent["low_balance_threshold"], silent["expires_after_months"]) == ("2.50", 3)
    assert (said["low_balance_threshold"], said["expires_after_months"]) == ("0.00", 1)


def test_a_name_cannot_play_with_the_terminal(gateway):
    """Nor with the markup of the tables."""
    assert gateway("business", "add", "\x1b[31mred", "--email", "a@b").code == 2

    gateway("business", "add", "[bold]Acme[/bold]", "--email", "a@b")

    assert "[bold]Acme[/bold]" in gateway("business", "list").out


def test_bad_fields_are_named(gateway):
    """Like the API's."""
    ended = gateway("business", "add", "Acme", "--email", "nobody")

    assert ended.code == 2
    assert ended.err == "gateway: owner_email: should be an address such as owner@example.com\n"
    assert gateway("business", "list", "--json").documents == []


def test_suspend_and_resume(gateway, acme):
    """Shown in words, and in the record."""
    assert gateway("business", "suspend", acme).out == "Acme is suspended\n"
    assert gateway("business", "show", acme, "--json").document["status"] == "suspended"
    assert gateway("business", "resume", acme).out == "Acme is active\n"


def test_unknown_things_exit_3(gateway):
    """Whatever noun they are of."""
    for arguments in (
        ["business", "show"],
        ["business", "suspend"],
        ["key", "list"],
        ["key", "revoke"],
        ["purchase", "show"],
        ["purchase", "list"],
        ["transaction", "list"],
        ["transaction", "show"],
        ["alert", "list"],
        ["alert", "ack"],
    ):
        for id in (UNKNOWN, "x"):
            ended = gateway(*arguments, id)

            assert ended.code == 3, arguments
            assert re.fullmatch(r"gateway: there is no \w+ '.*'\n", ended.err)
    assert gateway("top-up", UNKNOWN, "5").code == 3
    assert gateway("adjust", UNKNOWN, "5", "--reason", "r").code == 3
    assert gateway("key", "issue", UNKNOWN, "--name", "k").code == 3


def test_a_key_is_printed_once_and_alone(gateway, acme):
    """`KEY=$(gateway key issue …)` works; the rest is said on stderr."""
    issued = gateway("key", "issue", acme, "--name", "till", "--feature", "product", "--model", "m")

    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{43}\n", issued.out)
    assert "nobody can show it again" in issued.err
    listed = gateway("key", "list", acme, "--json")
    assert listed.document["scopes"] == {"endpoints": [], "models": ["m"], "features": ["product"]}
    secret = issued.out.strip()
    everything = listed.out + gateway("key", "list", acme).out
    assert secret not in everything
    assert sha256(secret.encode()).hexdigest() not in everything


def test_a_key_is_revoked_by_its_id(gateway, acme):
    """And stays in the list."""
    id = gateway("key", "issue", acme, "--name", "till", "--json").document["id"]

    assert gateway("key", "revoke", id).out.endswith("(till) is revoked\n")
    assert gateway("key", "list", acme, "--json").document["revoked_at"] is not None
