"""Paths, queries and headers that mean harm: OpenAI sees only what our tables spell out."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from gateway.objects import OBJECTS
from gateway.upstream_headers import PASSED_ON
from tests.gateway.objects_of import BELOW, given, with_everything
from tests.gateway.raw_caller import HELLO, authorization, request, sends
from tests.house import OUR_KEY, Acme, House

pytestmark = pytest.mark.anyio

MUTANTS = 2000
KINDS = ("response", "completion", "conversation", "file", "upload", "vector_store", "container")


async def own_objects(acme: Acme) -> dict[str, str]:
    """An object of every kind, by the name that its id has in a path."""
    ids = {f"{kind}_id": await given(acme, kind) for kind in (*KINDS, "file_batch")}
    return ids | BELOW


def literals(ids: dict[str, str]) -> set[tuple[str, str]]:
    """Method and path of everything that may be forwarded for whoever owns these."""
    served = {(one.method, "/v1" + re.sub(r"\{(\w+)\}", lambda f: ids[f[1]], one.path))
              for one in OBJECTS}  # fmt: skip
    return served | {("POST", "/v1/chat/completions")}


SPOILS = (
    "/..", "/../organization/admin_api_keys", "/%2e%2e/", "%2e%2e", "/./", "//", "/", ";a=b",
    "\\", "\\..\\", "%2f", "%00", "%0d%0a", "%", "%zz", "..", ".", "\x7f", "é", "\u2025", "ﬁle",
    "？", "#", "#/../files", "/*", "*", "~", "@", ":", "::", "+", " ", "%20", "\t", "|", "{", "}",
    "[x]", "(",
    "/organization/projects", "/content/..", "/v1", "/admin", "/../../admin/businesses", "%c0%ae",
)  # fmt: skip
BEFORE = ("/", "//", "/.", "/..", "/v1", "/v2", "http://evil.example", "https://api.openai.com",
          "http://evil.example@gateway", "*", "%2f", "\\", "//evil.example", "/x/..")  # fmt: skip


def mutants(paths: list[str], count: int) -> Iterator[bytes]:
    """So many paths that are like these, and none of them one of these."""
    chance = random.Random(20261122)
    known, made = set(paths), set[str]()
    while len(made) < count:
        path = chance.choice(paths)
        place = chance.randrange(len(path) + 1)
        match chance.randrange(6):
            case 0:
                path = path[:place] + chance.choice(SPOILS) + path[place:]
            case 1:
                path = chance.choice(BEFORE) + path
            case 2:
                path = path + chance.choice(SPOILS)
            case 3:
                path = path[:place] + path[place:].swapcase()
            case 4 if place < len(path):
                path = path[:place] + f"%{ord(path[place]):02x}" + path[place + 1 :]
            case _:
                parts = path.split("/")
                parts.insert(chance.randrange(1, len(parts)), chance.choice(SPOILS).strip("/"))
                path = "/".join(parts)
        if path not in known and path not in made:
            made.add(path)
            yield path.encode("utf-8")


async def test_no_path_reaches_openai_but_those_of_the_table(house: House):
    """2,000 mutants of every served path; whatever the answer is, OpenAI saw a literal."""
    acme = await with_everything(house)
    ids = await own_objects(acme)
    allowed = literals(ids)
    paths = sorted({path for _, path in allowed})
    methods = {path: method for method, path in allowed}
    chance = random.Random(7)
    statuses: dict[int, int] = {}
    unlimited = house.parts.doors._objects._rates
    unlimited._per_minute = 10**9

    for path in mutants(paths, MUTANTS):
        nearest = methods.get(path.decode(), chance.choice(["GET", "POST", "DELETE"]))
        try:
            line = request(nearest, path, authorization(acme), body=b"{}")
            answer = await sends(house, line)
        except (ConnectionError, EOFError):
            continue  # It was no HTTP at all.
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        assert answer.status < 500 or answer.status == 501, (path, answer)

    below = dict.fromkeys(BELOW, "[A-Za-z0-9_-]{1,128}")
    spelt = {(method, re.compile(path)) for method, path in literals(ids | below)}
    strange = [
        (one.method, one.path)
        for one in house.openai.requests
        if not any(one.method == method and path.fullmatch(one.path) for method, path in spelt)
    ]
    assert strange == []
    assert all(re.fullmatch(rb"([a-z_]+=\w+)?", one.query) for one in house.openai.requests)
    assert statuses.get(404, 0) > MUTANTS / 2, statuses


async def test_the_literals_do_reach_openai(house: House):
    """The corpus above would prove nothing if nothing came through."""
    acme = await with_everything(house)
    ids = await own_objects(acme)
    for one in OBJECTS:
        if one.method == "GET" and not one.lists:
            path = "/v1" + re.sub(r"\{(\w+)\}", lambda f: ids[f[1]], one.path)
            answer = await house.client.get(path, headers=acme.headers)
            assert answer.status_code == 200, path

    seen = {(one.method, one.path) for one in house.openai.requests}
    assert len(seen) > 10
    assert seen <= literals(ids)


NAMES = ("beta", "api-version", "key", "api_key", "organization", "project", "Limit", "limit ",
         "limit[]", "after[]", "order%00", "include%5b", "..", "", "stream", "purpose",
         "model")  # fmt: skip


@pytest.mark.parametrize("operation", [one for one in OBJECTS if one.method == "GET"],
                         ids=lambda one: one.name)  # fmt: skip
async def test_a_query_has_only_documented_names(house: House, operation):
    """Everything else is refused, and so is a name that is there twice."""
    acme = await with_everything(house)
    ids = await own_objects(acme)
    path = "/v1" + re.sub(r"\{(\w+)\}", lambda f: ids[f[1]], operation.path)
    known = sorted(operation.query)

    for name in NAMES:
        if name not in known:
            reply = await house.client.get(f"{path}?{name}=1", headers=acme.headers)
            assert reply.status_code == 400, name
    for name in (each for each in known if not each.endswith("[]")):
        reply = await house.client.get(f"{path}?{name}=1&{name}=2", headers=acme.headers)
        assert reply.status_code == 400, name
    assert house.openai.requests == []

    if known and not operation.lists:
        value = "asc" if known[0] == "order" else "3"
        query = f"{known[0]}={value}"
        await house.client.get(f"{path}?{query}&", headers=acme.headers)
        if house.openai.requests:
            assert house.openai.requests[-1].query.decode() == query


TO_OPENAI = frozenset(
    {b"host", b"authorization", b"user-agent", b"accept", b"accept-encoding", b"content-type"}
    | {b"content-length", b"x-client-request-id", b"connection"}
)


def sent_headers(count: int) -> Iterator[list[str]]:
    """So many headers that a caller may try, some at a time."""
    chance = random.Random(1122)
    names = ["OpenAI-Organization", "OpenAI-Project", "OpenAI-Beta", "Cookie", "X-Forwarded-For",
             "X-Forwarded-Host", "Forwarded", "Via", "X-Api-Key", "Api-Key", "X-Stainless-OS",
             "Range", "If-None-Match", "Proxy-Authorization", "X-HTTP-Method-Override", "TE",
             "X-Original-URL", "X-Rewrite-URL", "CF-Connecting-IP", "Accept-Encoding", "Accept",
             "User-Agent", "Referer", "Origin", "X-Client-Request-Id", "X-Request-Id", "Keep-Alive",
             "Portkey-Custom-Host", "Helicone-Auth", "Traceparent", "Baggage", "Idempotency_Key",
             "Prefer", "X-OpenAI-Actor-Authorization", "Upgrade-Insecure-Requests"]  # fmt: skip
    values = ["org-evil", "sk-evil", "evil.example", "gzip, br", "a\tb", "ä", "*", "x" * 3000,
              "POST", "a;b=c", "\"'", "%0d%0aX: y", "trailers", "0", "bytes=0-1"]  # fmt: skip
    for _ in range(count // 5):
        chosen = chance.sample(names, 5)
        yield [f"{chance.choice((name, name.lower(), name.upper()))}: {chance.choice(values)}"
               for name in chosen]  # fmt: skip


async def test_no_header_of_a_caller_reaches_openai(house: House):
    """500 of them, at objects and at calls; OpenAI sees ours, with values of ours."""
    acme = await with_everything(house)
    file = await given(acme, "file")

    for number, headers in enumerate(sent_headers(500)):
        if number % 2:
            line = request("GET", f"/v1/files/{file}", authorization(acme), *headers)
        else:
            line = request(
                "POST", "/v1/chat/completions", authorization(acme), *headers, body=HELLO
            )
        await sends(house, line)

    assert len(house.openai.requests) > 60
    for seen in house.openai.requests:
        assert {name for name, _ in seen.headers} <= TO_OPENAI
        assert len(seen.headers) == len(dict(seen.headers))
        assert seen.header(b"authorization") == f"Bearer {OUR_KEY}".encode()
        assert seen.header(b"accept-encoding") == b"identity"
        assert seen.header(b"user-agent") == b"credit-gateway"
        assert b"evil" not in b"".join(value for _, value in seen.headers)


OURS = frozenset({b"date", b"server", b"connection", b"transfer-encoding", b"content-length"})


def replied_headers(count: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """So many headers that a reply may bring, some at a time."""
    chance = random.Random(2211)
    names = [b"set-cookie", b"openai-organization", b"openai-project", b"x-ratelimit-limit-tokens",
             b"alt-svc", b"strict-transport-security", b"cf-ray", b"server", b"via", b"location",
             b"access-control-allow-origin", b"access-control-allow-credentials",
             b"www-authenticate", b"refresh", b"content-security-policy", b"x-powered-by",
             b"authorization", b"link",
             b"x-credits-used", b"x-credits-remaining", b"x-transaction-id", b"trailer",
             b"age", b"proxy-authenticate", b"clear-site-data", b"x-internal-org", b"etag",
             b"vary"]  # fmt: skip
    values = [
        b"org-stub",
        b"evil",
        b"a=b; Domain=gateway.example",
        b"*",
        b"\xff\xfe",
        b"1",
        b"y" * 900,
    ]
    for _ in range(count // 10):
        yield [(name, chance.choice(values)) for name in chance.sample(names, 10)]


async def test_no_header_of_a_reply_reaches_a_caller_but_the_listed_ones(house: House):
    """500 of them; what describes our account, or belongs to a browser, stays here."""
    acme = await with_everything(house)
    file = await given(acme, "file")

    for headers in replied_headers(500):
        house.openai.objects.headers = headers
        reply = await house.client.get(f"/v1/files/{file}", headers=acme.headers)
        assert reply.status_code == 200
        assert {name.lower() for name, _ in reply.headers.raw} <= PASSED_ON | OURS
        assert "evil" not in str(reply.headers)
