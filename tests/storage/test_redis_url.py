"""What a URL of Redis says: one server, a Cluster, or Sentinels; and what is none."""

from __future__ import annotations

import pytest

from storage.redis_url import parse


@pytest.mark.parametrize(
    "url",
    ["redis://h:6379/0", "redis://h", "rediss://h?ssl_ca_certs=/ca.pem", "unix:///run/r.sock?db=3",
     "redis://user:p%40ss@h:1/2?client_name=gateway"],
)  # fmt: skip
def test_one_server_is_left_to_redis_py(url: str) -> None:
    """Its own words reach it unchanged."""
    said = parse(url)

    assert (said.kind, said.plain) == ("one", url)


def test_a_cluster_names_some_of_its_servers() -> None:
    """Whom to go there as, and TLS, are the same for all of them."""
    said = parse("clusters://user:p%2Cw@a:7001,[::1]:7002,c?ssl_ca_certs=/ca.pem")

    assert said.kind == "cluster"
    assert said.addresses == (("a", 7001), ("::1", 7002), ("c", 6379))
    assert said.plain == "rediss://user:p%2Cw@a:7001?ssl_ca_certs=%2Fca.pem"
    assert said.has_tls


def test_sentinels_name_a_service_and_have_a_password_of_their_own() -> None:
    """What is for the master is not told to a Sentinel, and the other way round."""
    said = parse("sentinel://:secret@a:26379,b/ledger?db=2&sentinel_password=other")

    assert (said.kind, said.service) == ("sentinel", "ledger")
    assert said.addresses == (("a", 26379), ("b", 6379))
    assert said.plain == "redis://:secret@a:26379?db=2"
    assert said.sentinel_options == (("password", "other"),)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h", "begins with redis://"),
        ("localhost:6379", "begins with redis://"),
        (" redis://h", "begins with redis://"),
        ("redis://", "a host"),
        ("redis://:6379", "a host"),
        ("redis://h:0", "a host"),
        ("redis://h:port", "a host"),
        ("redis://h,h2", "a host"),
        ("redis://h/zero", "a number for its database"),
        ("redis://h?db=x", "a number for db"),
        ("unix://run/redis.sock", "the socket"),
        ("cluster://a,,b", "a host"),
        ("cluster://a/1", "no database"),
        ("cluster://a?db=1", "no database"),
        ("sentinel://a", "the service"),
        ("sentinel://a/one/two", "the service"),
        ("redis://h?decode_responses=no", "unknown option 'decode_responses'"),
        ("redis://h?ssl_ca_certs=/ca.pem", "options of TLS"),
        ("redis://h?sentinel_password=x", "options of Sentinel"),
    ],
)  # fmt: skip
def test_what_is_no_redis_is_told_what_it_should_be(url: str, says: str) -> None:
    """And it may hold a password, so it is not repeated."""
    with pytest.raises(ValueError, match=says) as wrong:
        parse(url.replace("://", "://hunter2@", 1) if "://h" in url else url)

    assert "hunter2" not in str(wrong.value)
