"""Bodies of several parts: read in one way only, kept byte for byte, wherever they are split."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import BodyTooLarge, EncodingNotAccepted, RequestRefused
from gateway.read_call import ClientLeft
from gateway.read_multipart import boundary_of, read_multipart
from metering.call import Call
from tests.media import BOUNDARY, CONTENT_TYPE, multipart

pytestmark = pytest.mark.anyio

SOUND = bytes(range(256)) * 3 + b"\r\n--" + BOUNDARY[:-1] + b"\r\n-- \r\n\r\n--"
FIELDS = [("model", "whisper-1"), ("prompt", "Ɛyɛ\r\nfine"), ("include[]", "a"), ("include[]", "b")]


async def read(
    body: bytes, cuts: Sequence[int] = (), *, most: int = 10**6, **headers: bytes
) -> tuple[Call, bytes]:
    """The call in a body that arrives cut at these places."""
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    given = {b"content-type": CONTENT_TYPE}
    given |= {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return await read_multipart("x", list(given.items()), receive, most_bytes=most)


async def kept(call: Call) -> bytes:
    """The body that would be forwarded."""
    body = b"".join([piece async for piece in call.as_sent.pieces()])
    call.as_sent.close()
    return body


@pytest.mark.parametrize("files_first", [True, False])
async def test_a_body_means_the_same_wherever_it_is_split(files_first):
    """At each byte, and at two hundred sets of places: fields, file, digest, bytes."""
    body = multipart(FIELDS, [("file", "a.mp3", SOUND)], files_first=files_first)
    chosen = random.Random(7)
    cuts: list[list[int]] = [[at] for at in range(len(body))]
    cuts += [sorted(chosen.sample(range(1, len(body)), 30)) for _ in range(200)]
    cuts.append(list(range(1, len(body))))
    digests = set()

    for places in cuts:
        call, digest = await read(body, places)
        digests.add(digest)
        (file,) = call.files
        assert call.fields == {
            "model": "whisper-1",
            "prompt": "Ɛyɛ\r\nfine",
            "include[]": ["a", "b"],
        }
        assert (file.name, file.filename, file.size) == ("file", "a.mp3", len(SOUND))
        assert (file.read_at(0, 10**6), file.read_at(5, 3)) == (SOUND, SOUND[5:8])
        assert file.head == SOUND[:4096]
        assert await kept(call) == body
    assert len(digests) == 1


async def test_the_digest_is_of_the_parts_and_not_of_the_boundary():
    """An SDK takes another boundary for each attempt; another file is another call."""
    files = [("file", "a.mp3", SOUND)]
    other = multipart(FIELDS, files, boundary=b"another")

    _, first = await read(multipart(FIELDS, files))
    _, same = await read(other, content_type=b"multipart/form-data; boundary=another")
    _, changed = await read(multipart(FIELDS, [("file", "a.mp3", SOUND + b"!")]))

    assert first == same != changed


async def test_a_long_body_is_kept_in_a_file_without_a_name():
    """And read from it again, from any place, after the last byte came."""
    sound = random.Random(1).randbytes(3_000_000)
    body = multipart([("model", "m")], [("file", "a", sound)], files_first=True)

    call, _ = await read(body, range(60_000, len(body), 60_000), most=10**7)

    assert call.as_sent.on_disk
    assert call.files[0].read_at(2_999_990, 100) == sound[2_999_990:]
    assert call.files[0].read_at(1_000_000, 10) == sound[1_000_000:1_000_010]
    assert await kept(call) == body


def part(head: str, data: bytes = b"x") -> bytes:
    return b"--" + BOUNDARY + b"\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"
MODEL = part('Content-Disposition: form-data; name="model"', b"whisper-1")
NAMED = 'Content-Disposition: form-data; name="file"; filename='

WRONG = {
    "no model": multipart([("prompt", "x")]),
    "two models": multipart([("model", "a"), ("model", "a")]),
    "a model that is a file too": multipart([("model", "a")], [("model", "a", b"b")]),
    "a model that is a file": multipart([], [("model", "a", b"b")]),
    "a model of 129 bytes": multipart([("model", "m" * 129)]),
    "an empty model": multipart([("model", "")]),
    "a field twice": multipart([("model", "a"), ("n", "1"), ("n", "9")]),
    "another boundary": multipart(FIELDS, boundary=b"other"),
    "nothing": b"",
    "no end": multipart(FIELDS)[: -len(END)],
    "half an end": multipart(FIELDS)[:-4],
    "something before": b"x\r\n" + multipart(FIELDS),
    "a line before": b"\r\n" + multipart(FIELDS),
    "something behind": multipart(FIELDS) + b"x",
    "a second form behind": multipart(FIELDS) + multipart([("model", "dear")]),
    "its delimiter within a file": multipart(FIELDS, [("file", "a", b"y--" + BOUNDARY + b"z")]),
    "its delimiter behind a line feed": multipart(
        FIELDS, [("file", "a", b"\n--" + BOUNDARY + b"\n")]
    ),
    "line feeds for line ends": multipart(FIELDS).replace(b"\r\n", b"\n"),
    "blanks behind a boundary": multipart(FIELDS).replace(
        BOUNDARY + b"\r\n", BOUNDARY + b" \r\n", 1
    ),
    "65 parts": multipart([("model", "a"), *((f"f{n}", "") for n in range(64))]),
    "a header of 3 kB": part(f'Content-Disposition: form-data; name="{"a" * 3000}"') + MODEL + END,
    "five headers": part("A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1") + MODEL + END,
    "a header twice": part("Content-Type: a\r\nContent-Type: b") + MODEL + END,
    "an unknown header": part('Content-Disposition: form-data; name="a"\r\nX: y') + MODEL + END,
    "base64": part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64')
    + MODEL
    + END,
    "a wrong length": part('Content-Disposition: form-data; name="a"\r\nContent-Length: 7')
    + MODEL
    + END,
    "no disposition": part("Content-Type: text/plain") + MODEL + END,
    "an attachment": part('Content-Disposition: attachment; name="a"') + MODEL + END,
    "no name": part("Content-Disposition: form-data") + MODEL + END,
    "two names": part('Content-Disposition: form-data; name="a"; name="model"') + MODEL + END,
    "a name in another script": part('Content-Disposition: form-data; name="mödel"') + MODEL + END,
    "a quote in a filename": part(NAMED + '"a\\"; name=\\"model"') + MODEL + END,
    "a backslash at its end": part(NAMED + '"a\\"') + MODEL + END,
    "a line feed in a filename": part(NAMED + '"a\nb"') + MODEL + END,
    "a header in a filename": part(NAMED + '"a\r\nX-Evil: 1"') + MODEL + END,
    "a long filename": part(NAMED + f'"{"a" * 1025}"') + MODEL + END,
    "a folded header": part('Content-Disposition: form-data;\r\n name="a"') + MODEL + END,
    "text that is not UTF-8": part('Content-Disposition: form-data; name="a"', b"\xff")
    + MODEL
    + END,
    "5 MB of text": multipart([("model", "a"), ("prompt", "x" * 5_000_000)]),
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
async def test_what_could_be_read_in_two_ways_is_refused(body):
    """Whole, and in pieces of 7 bytes; the message has nothing of the body."""
    for cuts in ([], list(range(7, min(len(body), 9_000), 7))):
        with pytest.raises(RequestRefused) as refused:
            await read(body, cuts, most=10**7)

        assert "whisper" not in str(refused.value)


@pytest.mark.parametrize(
    "filename", ["a%0D%0Ab.mp3", "a%22; name=%22model", "C:\\a.mp3", "ɛ.mp3", "", "a;b=c"]
)
async def test_odd_filenames_do_no_harm(filename):
    """As the SDKs write them: they are passed on, and nothing else is read from them."""
    call, _ = await read(multipart([("model", "m")], [("file", filename, b"x")]))

    assert call.files[0].filename == filename
    call.as_sent.close()


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=" + b"a" * 71,
        b"multipart/form-data; boundary=a b",
        b'multipart/form-data; boundary="a',
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/mixed; boundary=a",
        b"application/json",
    ],
)
async def test_a_content_type_must_say_one_boundary(content_type):
    """Of 1 to 70 characters."""
    with pytest.raises(RequestRefused):
        boundary_of([(b"content-type", content_type)])


async def test_two_content_types_are_none():
    """Each of them may be taken by somebody."""
    with pytest.raises(RequestRefused):
        boundary_of([(b"content-type", CONTENT_TYPE), (b"content-type", CONTENT_TYPE)])


async def test_a_boundary_may_be_quoted():
    """And have 70 characters."""
    said = b'Multipart/Form-Data;boundary="' + b"a" * 70 + b'"'

    assert boundary_of([(b"content-type", said)]) == (said, b"a" * 70)


async def test_too_much_is_refused_before_it_is_read():
    """By what the header says, and by what comes."""
    body = multipart(FIELDS)

    with pytest.raises(BodyTooLarge):
        await read(body, most=100, content_length=b"101")
    with pytest.raises(BodyTooLarge):
        await read(body, [50], most=100)
    with pytest.raises(EncodingNotAccepted):
        await read(body, content_encoding=b"gzip")


async def test_a_caller_may_leave_before_its_end():
    """Nobody is there to be told."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientLeft):
        await read_multipart("x", [(b"content-type", CONTENT_TYPE)], receive, most_bytes=10)


async def test_noise_is_refused_and_never_breaks_the_reader():
    """2,000 bodies with bytes changed, left out and doubled: refused, or kept as they are."""
    chosen = random.Random(11)
    good = multipart(FIELDS, [("file", "a.mp3", b"sound")])

    for _ in range(2_000):
        body = bytearray(good)
        for _ in range(chosen.randint(1, 4)):
            at = chosen.randrange(len(body))
            change = chosen.choice(("set", "drop", "double"))
            if change == "set":
                body[at] = chosen.choice(b'\r\n-"; =:\x00a')
            elif change == "drop":
                del body[at : at + chosen.randint(1, 9)]
            else:
                body[at:at] = body[at : at + chosen.randint(1, 60)]
        try:
            call, _ = await read(bytes(body), [len(body) // 2])
        except RequestRefused:
            continue
        assert 0 < len(call.model) <= 128
        assert await kept(call) == bytes(body)
