"""Bad input at every door: a clear error, nothing forwarded, nothing changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.gateway.raw_caller import HELLO, authorization, request, sends
from tests.gateway.refusal import refusal_in
from tests.house import ADMIN_TOKEN, MODEL, House
from tests.one_house import everything, set_up

pytestmark = pytest.mark.anyio

CALL = "/v1/chat/completions"
BASE = f'"model":"{MODEL}","messages":[{{"role":"user","content":"Hello"}}]'


def with_field(name: str, value: str) -> bytes:
    """A call with one more field, its value as JSON text."""
    return f'{{{BASE},"{name}":{value}}}'.encode()


NOT_AN_OBJECT = {
    "empty": b"",
    "blanks": b" \n ",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"gpt"',
    "a number": b"1",
    "a word": b"hello",
    "a form": b"model=gpt&n=1",
    "XML": b"<call/>",
    "cut": HELLO[:-3],
    "two objects": HELLO + HELLO,
    "a comment": b"{/* */}",
    "single quotes": b"{'model': 'gpt'}",
    "a trailing comma": b'{"model":"gpt",}',
    "a key without quotes": b'{model:"gpt"}',
    "a byte order mark": b"\xef\xbb\xbf" + HELLO,
    "UTF-16": HELLO.decode().encode("utf-16"),
    "UTF-32": HELLO.decode().encode("utf-32"),
    "not UTF-8": HELLO.replace(b"Hello", b"\xff\xfe"),
    "a surrogate in UTF-8": HELLO.replace(b"Hello", b"\xed\xa0\x80"),
    "half of a surrogate pair": HELLO.replace(b"Hello", b"\\ud800"),
    "the other half": HELLO.replace(b"Hello", b"\\udc00"),
    "an unknown escape": HELLO.replace(b"Hello", b"\\x41"),
    "a control character": HELLO.replace(b"Hello", b"\x01"),
    "NaN": with_field("temperature", "NaN"),
    "Infinity": with_field("temperature", "Infinity"),
    "-Infinity": with_field("temperature", "-Infinity"),
    "1e400": with_field("temperature", "1e400"),
    "a leading zero": with_field("n", "01"),
    "a plus": with_field("n", "+1"),
    "hexadecimal": with_field("n", "0x1"),
    "a number of 5,000 digits": with_field("n", "9" * 5000),
    "100,000 lists": b"[" * 100_000,
    "100,000 closed lists": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 lists in a field": with_field("tools", "[" * 100_000 + "]" * 100_000),
}

WHOLE = ("n", "max_tokens", "max_completion_tokens", "seed", "top_logprobs")
NOT_WHOLE = ("1.0", "1.5", "1e2", "true", '"1"', "[]", "{}", "[1]", "9" * 30, "-" + "9" * 30)
ABOVE_NOTHING = ("n", "max_tokens", "max_completion_tokens")
NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
NOT_A_NUMBER = ("true", '"1"', "[]", "{}", "1e300", "-1e300", str(2**63), "2.0001", "-2.0001")

WRONG_FIELDS = [
    *((name, value) for name in WHOLE for value in NOT_WHOLE),
    *((name, value) for name in ABOVE_NOTHING for value in ("0", "-0", "-1", str(2**63))),
    *((name, value) for name in NUMBERS for value in NOT_A_NUMBER),
    *(("n", value) for value in ("129", str(2**64))),
    *(("stream", value) for value in ("1", "0", '"true"', "[]")),
    *(("messages", value) for value in ("null", "[]", "{}", '"Hello"', "[1]", "[{}]", "[null]")),
    ("messages", '[{"role":"root","content":"x"}]'),
    ("messages", '[{"role":"user","content":7}]'),
    ("stream_options", "true"),
    ("tools", "{}"),
    ("user", "7"),
    ("api_base", '"http://evil.example"'),
    ("base_url", '"http://evil.example"'),
    ("api_key", '"sk-mine"'),
    ("organization", '"org-mine"'),
    ("user_config", "{}"),
    ("tools", '[{"type":"function","function":' + "[" * 70 + "]" * 70 + "}]"),
]

WRONG_MODELS = ("7", "null", "true", "[]", "{}", '""', '"' + "m" * 129 + '"')


async def all_refused(house: House, bodies: dict[str, bytes], code: str) -> None:
    """Each of these bodies gets 400 with this code, and nothing else happens."""
    acme = await house.business()
    before = await everything(house)

    for name, body in bodies.items():
        reply = await house.client.post(CALL, content=body, headers=acme.headers)

        assert refusal_in(reply) == (400, "invalid_request_error", code, "false", None), name
        assert len(reply.content) < 1000, name
    assert house.openai.requests == []
    assert await everything(house) == before


async def test_a_body_that_is_no_json_object_is_refused(house: House):
    """400 invalid_request, at any depth and in any encoding but UTF-8."""
    await all_refused(house, NOT_AN_OBJECT, "invalid_request")


async def test_a_field_that_is_not_what_openai_documents_is_refused(house: House):
    """400 invalid_body: what costs is checked by type and range before it is believed."""
    bodies = {f"{name}: {value[:40]}": with_field(name, value) for name, value in WRONG_FIELDS}

    await all_refused(house, bodies, "invalid_body")


async def test_a_model_that_is_no_name_is_refused(house: House):
    """400, naming the field."""
    bodies = {value[:20]: b'{"messages":[],"model":%s}' % value.encode() for value in WRONG_MODELS}

    await all_refused(house, bodies | {"none": b"{}"}, "invalid_request")


async def test_what_was_metered_is_what_is_forwarded(house: House):
    """Of a key that stands twice the last one counts, for us and for OpenAI alike."""
    acme = await house.business()
    twice = (
        f'{{"n":1,"model":"gpt-5.4-nano","max_completion_tokens":5,{BASE},'
        '"n":2,"max_completion_tokens":7,"stream":true,"stream":false,"\\u006e":3}'
    ).encode()

    reply = await house.client.post(CALL, content=twice, headers=acme.headers)

    (forwarded,) = house.openai.requests
    assert reply.status_code == 200
    for name in (b'"n"', b'"model"', b'"max_completion_tokens"', b'"stream"'):
        assert forwarded.body.count(name) == 1
    fields = forwarded.fields
    assert (fields["n"], fields["model"], fields["max_completion_tokens"]) == (3, MODEL, 7)
    assert forwarded.body == msgspec.json.encode(msgspec.json.decode(forwarded.body))
    (row,) = await acme.transactions()
    (bill,) = house.openai.billed
    assert (row.model, row.usage["output"]) == (MODEL, bill.output_tokens)


async def test_numbers_are_forwarded_as_they_were_understood(house: House):
    """Also those no other parser would read alike: 2^64, -0, 1e308."""
    acme = await house.business()
    schema = '{"a":18446744073709551616,"b":-0,"c":1e308,"d":0.1,"e":9007199254740993}'
    tool = f'[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]'

    reply = await house.client.post(CALL, content=with_field("tools", tool), headers=acme.headers)

    assert reply.status_code == 200
    parameters = house.openai.requests[0].fields["tools"][0]["function"]["parameters"]
    assert parameters == {"a": 2**64, "b": 0, "c": 1e308, "d": 0.1, "e": 9007199254740993}


async def test_every_character_is_forwarded(house: House):
    """NUL, emoji, both ends of Unicode, and text that looks like JSON."""
    acme = await house.business()
    text = '\x00\x1f"\\/\u2028\ud7ff\ue000\uffff😀\U0010ffff{"n":128}'

    reply = await house.chat(acme, messages=[{"role": "user", "content": text}])

    assert reply.status_code == 200
    assert house.openai.requests[0].fields["messages"][0]["content"] == text


async def test_a_body_that_is_too_long_is_refused_before_it_is_read(house: House):
    """413 at 32 MiB and one byte, by its length or while it comes."""
    acme = await house.business()
    line = request("POST", CALL, authorization(acme)).replace(
        b"Content-Length: 0", b"Content-Length: %d" % (32 * 2**20 + 1)
    )

    announced = await sends(house, line)

    assert (announced.status, announced.error["code"]) == (413, "body_too_large")
    assert announced.headers["x-should-retry"] == "false"
    assert house.openai.requests == []


@set_up(server__body_max_bytes="1000")
async def test_a_body_without_a_length_is_cut_at_the_limit(house: House):
    """A chunked one tells its length only while it comes."""
    acme = await house.business()
    before = await everything(house)

    async def pieces(bytes_in_all: int):
        body = HELLO + b" " * (bytes_in_all - len(HELLO))
        for start in range(0, bytes_in_all, 100):
            yield body[start : start + 100]

    over = await house.client.post(CALL, content=pieces(1001), headers=acme.headers)
    unchanged = await everything(house) == before
    exact = await house.client.post(CALL, content=pieces(1000), headers=acme.headers)

    assert refusal_in(over) == (413, "invalid_request_error", "body_too_large", "false", None)
    assert unchanged
    assert exact.status_code == 200


async def test_a_long_body_is_read(house: House):
    """Two megabytes of prompt; decoded off the event loop."""
    acme = await house.business("5000")
    text = "word " * 400_000

    reply = await house.chat(acme, messages=[{"role": "user", "content": text}])

    assert reply.status_code == 200
    assert house.openai.requests[0].fields["messages"][0]["content"] == text


WRONG_HEADERS: dict[str, list[Any]] = {
    "X-Feature": ["f" * 101, "a\tb", "\u00a0".encode(), b"\xff\xfe" * 60],
    "X-User": ["u" * 201, "a\tb", "\u2028".encode()],
    "X-Credits-Fit": ["maybe", "Never", "true", "1", ""],
}


async def test_a_header_that_is_not_understood_is_refused_by_its_name(house: House):
    """400; a label is printable and short, a choice is one of those there are."""
    acme = await house.business()
    before = await everything(house)

    for name, values in WRONG_HEADERS.items():
        for value in values:
            headers = {**acme.headers, name: value}
            reply = await house.client.post(CALL, content=HELLO, headers=headers)

            assert refusal_in(reply).code == "invalid_request", (name, value)
            assert f"the header {name.lower()} must" in reply.json()["error"]["message"]
    assert house.openai.requests == []
    assert await everything(house) == before


async def test_a_packed_body_is_refused(house: House):
    """415: its size is not known before it is unpacked."""
    acme = await house.business()

    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, identity", "x"):
        headers = {**acme.headers, "Content-Encoding": encoding}
        reply = await house.client.post(CALL, content=HELLO, headers=headers)

        assert refusal_in(reply) == (
            (415, "invalid_request_error", "encoding_not_accepted", "false", None)
        )
    assert house.openai.requests == []


AMOUNTS = ["-1", "1e3", "NaN", "Infinity", "10" + "0" * 18, "1.0000001", "0", "", " 1", "١", "0x10"]


async def test_amounts_that_are_none_are_refused_at_the_admins_door(house: House):
    """Through the whole house: nothing is bought, nothing is changed, not even audited."""
    acme = await house.business()
    before = await everything(house)
    amounts: list[object] = [*AMOUNTS, 30, 1.5, None, True, []]
    paths = {"top-ups": {}, "adjustments": {"reason": "by hand"}}

    for path, fields in paths.items():
        for amount in amounts:
            if path == "adjustments" and amount == "-1":
                continue  # An adjustment is signed.
            reply = await house.client.post(
                f"/admin/businesses/{acme.id}/{path}",
                json={"credits": amount, **fields},
                headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            )

            assert refusal_in(reply).status == 400, (path, amount)
            assert refusal_in(reply).retry == "false"
            assert reply.json()["error"]["param"] == "credits"
    assert await everything(house) == before
    assert await acme.available() == acme.topped_up
