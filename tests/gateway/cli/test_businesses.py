"""`gateway business` and `gateway key`."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

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
    issued = gateway(
        "key", "issue", acme, "--name", "till", "--feature", "product", "--model", "gpt-5"
    )

    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{43}\n", issued.out)
    assert "nobody can show it again" in issued.err
    listed = gateway("key", "list", acme, "--json")
    assert listed.document["scopes"] == {
        "endpoints": [],
        "models": ["gpt-5"],
        "features": ["product"],
    }
    secret = issued.out.strip()
    everything = listed.out + gateway("key", "list", acme).out
    assert secret not in everything
    assert sha256(secret.encode()).hexdigest() not in everything


def test_a_key_is_issued_with_limits(gateway, acme):
    """As the admin API takes them; a cap that is none is refused."""
    limits = ("--credit-cap", "25", "--requests-per-minute", "60", "--concurrent", "5")
    issued = gateway("key", "issue", acme, "--name", "pupil", *limits, "--json").document

    assert (issued["credit_cap"], issued["requests_per_minute"]) == ("25.00", 60)
    assert (issued["tokens_per_minute"], issued["concurrent"]) == (None, 5)
    assert "25.00" in gateway("key", "list", acme).out
    wrong = gateway("key", "issue", acme, "--name", "pupil", "--credit-cap", "0")
    assert wrong.code == 2
    assert "credit_cap: should be greater than 0" in wrong.err


def test_options_are_called_as_the_fields_are(gateway):
    """The short names of before go on working."""
    long = gateway(
        "business", "add", "A", "--owner-email", "a@b.example", "--owner-phone", "+233 200000",
        "--low-balance-threshold", "3", "--expires-after-months", "2", "--json",
    ).document  # fmt: skip
    short = gateway(
        "business", "set", long["id"], "--email", "c@d.example", "--phone", "+233 200001",
        "--low-balance", "4", "--expires-after", "5", "--json",
    ).document  # fmt: skip
    paid = gateway(
        "top-up", long["id"], "1", "--bonus-credits", "2", "--payment-reference", "r",
        "--payment-method", "card", "--json",
    ).document["purchase"]  # fmt: skip

    fields = ("owner_email", "owner_phone", "low_balance_threshold", "expires_after_months")
    assert [long[name] for name in fields] == ["a@b.example", "+233 200000", "3.00", 2]
    assert [short[name] for name in fields] == ["c@d.example", "+233 200001", "4.00", 5]
    assert (paid["bonus_credits"], paid["payment_reference"], paid["payment_method"]) == (
        "2.00", "r", "card",
    )  # fmt: skip


def test_limits_of_a_key_are_changed_and_cleared(gateway, acme):
    """What is not named stays, '' takes one away; the list shows them."""
    limits = ("--credit-cap", "25", "--requests-per-minute", "60", "--concurrent", "5")
    id = gateway("key", "issue", acme, "--name", "pupil", *limits, "--json").document["id"]

    more = ("--requests-per-minute", "", "--tokens-per-minute", "9000", "--credit-cap", "12.5")
    changed = gateway("key", "set", id, *more, "--json").document
    table = gateway("key", "list", acme).out
    cleared = gateway("key", "set", id, "--credit-cap", "", "--json").document

    names = ("requests_per_minute", "tokens_per_minute", "concurrent", "credit_cap")
    assert [changed[name] for name in names] == [None, 9000, 5, "12.50"]
    assert all(text in table for text in ("tokens/min", "9000", "at a time", "12.50", "0.00"))
    assert [cleared[name] for name in names] == [None, 9000, 5, None]
    listed = gateway("key", "list", acme, "--json").document
    assert [listed[name] for name in (*names, "spent")] == [None, 9000, 5, None, None]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "requests_per_minute: should be given, or another field to change"),
        (("--concurrent", "many"), "concurrent: should be a whole number"),
        (("--concurrent", "0"), "concurrent: "),
        (("--credit-cap", "0"), "credit_cap: should be greater than 0"),
    ],
)
def test_limits_that_are_none_are_refused(gateway, acme, given, said):
    """Exit 2 names the field."""
    id = gateway("key", "issue", acme, "--name", "pupil", "--json").document["id"]

    wrong = gateway("key", "set", id, *given)

    assert wrong.code == 2
    assert said in wrong.err


def test_a_key_is_revoked_by_its_id(gateway, acme):
    """And stays in the list."""
    id = gateway("key", "issue", acme, "--name", "till", "--json").document["id"]

    assert gateway("key", "revoke", id).out.endswith("(till) is revoked\n")
    assert gateway("key", "list", acme, "--json").document["revoked_at"] is not None


def test_a_business_is_changed_field_by_field(gateway, acme):
    """What is not named stays; the change is in the record."""
    changed = gateway(
        "business", "set", acme, "--name", "Acme Ltd", "--email", "efua@acme.example",
        "--phone", "+233 20 000 0000", "--low-balance", "2.5", "--json",
    ).document  # fmt: skip
    kept = gateway("business", "set", acme, "--expires-after", "3", "--phone", "", "--json")

    assert (changed["name"], changed["low_balance_threshold"]) == ("Acme Ltd", "2.50")
    assert changed["owner_email"] == "efua@acme.example"
    assert (changed["owner_phone"], kept.document["owner_phone"]) == ("+233 20 000 0000", None)
    assert (kept.document["name"], kept.document["expires_after_months"]) == ("Acme Ltd", 3)
    shown = gateway("business", "show", acme, "--json").document
    assert {**shown, "applied": False} == kept.document


def test_a_change_of_nothing_and_a_wrong_one_are_named(gateway, acme):
    """In the words of the API."""
    assert gateway("business", "set", acme).code == 2
    assert gateway("business", "set", acme, "--email", "nobody").err.startswith(
        "gateway: owner_email: should be an address"
    )
    assert gateway("business", "set", UNKNOWN, "--name", "A").code == 3


def test_switches_are_set_one_by_one(gateway):
    """What is not named stays as it is."""
    id = gateway(
        *("business", "add", "Acme", "--email", "a@b", "--switch-on", "files", "--json")
    ).document["id"]

    both = gateway(
        *("business", "set", id, "--switch-on", "stored", "--switch-on", "urls", "--json")
    ).document
    one = gateway(
        *("business", "set", id, "--switch-off", "files", "--switch-off", "urls", "--json")
    ).document

    assert both["switches"] == ["files", "stored", "urls"]
    assert one["switches"] == ["stored"]
    assert gateway("business", "show", id, "--json").document["switches"] == ["stored"]


def test_an_own_upstream_is_set_and_given_up(gateway, monkeypatch):
    """Only one that the settings have."""
    monkeypatch.setenv("GATEWAY__UPSTREAMS__ACME__API_KEY", "sk-own")
    id = gateway(
        *("business", "add", "Acme", "--email", "a@b", "--upstream", "acme", "--json")
    ).document["id"]

    wrong = gateway("business", "set", id, "--upstream", "amce")
    shown = gateway("business", "show", id, "--json").document
    none = gateway("business", "set", id, "--no-upstream", "--json").document

    assert wrong.code != 0
    assert "acme" in wrong.err
    assert (shown["upstream"], none["upstream"]) == ("acme", None)


def test_an_unknown_switch_is_refused_naming_the_known(gateway):
    """Nothing is changed then."""
    id = gateway("business", "add", "Acme", "--email", "a@b", "--json").document["id"]

    wrong = gateway("business", "set", id, "--switch-off", "flies")

    assert wrong.code != 0
    assert "vector_stores" in wrong.err
