"""What is asked of objects: bodies and forms, lists, contents, and who sees a reply first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.objects import OBJECTS
from tests.gateway.objects_of import call, given, with_everything
from tests.gateway.storing import own, owned, switch_on

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/vector_stores", {"file_ids": ["FOREIGN"]}),
        ("/v1/vector_stores/OWN_VS/files", {"file_id": "FOREIGN"}),
        ("/v1/vector_stores/OWN_VS/file_batches", {"files": [{"file_id": "FOREIGN"}]}),
        ("/v1/vector_stores/OWN_VS/file_batches", {"file_ids": ["file-own", "FOREIGN"]}),
        ("/v1/containers/OWN_CNTR/files", {"file_id": "FOREIGN"}),
        ("/v1/conversations", {"items": [{"type": "item_reference", "id": "FOREIGN"}]}),
        (
            "/v1/conversations",
            {
                "items": [
                    {"role": "user", "content": [{"type": "input_file", "file_id": "FOREIGN"}]}
                ]
            },
        ),
    ],
)
async def test_a_body_cannot_name_what_is_somebody_else_s(house, path, body):
    """As on the main path."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    await own(acme, "file-own")
    await own(acme, "OWN_VS", kind="vector_store")
    await own(acme, "OWN_CNTR", kind="container")
    await own(other, "FOREIGN")

    reply = await house.client.post(path, json=body, headers=acme.headers)

    assert reply.status_code == 404, reply.text
    assert house.openai.requests == []


async def test_a_form_cannot_name_what_is_somebody_else_s(house):
    """Nor say a field twice, nor one that we do not know."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    await own(acme, "OWN_CNTR", kind="container")
    await own(other, "FOREIGN")
    path = "/v1/containers/OWN_CNTR/files"

    async def post(*parts: str) -> int:
        body = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (part.split("=") for part in parts)
        )
        headers = {**acme.headers, "content-type": "multipart/form-data; boundary=b"}
        reply = await house.client.post(path, content=f"{body}--b--\r\n", headers=headers)
        return reply.status_code

    assert await post("file_id=FOREIGN") == 404
    assert await post("file_id=x", "file_id=y") == 400
    assert await post("memory_limit=64g") == 400
    assert house.openai.requests == []


@pytest.mark.parametrize("path", ["/v1/conversations", "/v1/conversations/CONV/items"])
@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]},
            "image_url",
        ),
        ({"type": "mcp_call", "id": "x", "name": "x", "arguments": "{}"}, "type"),
        ({"type": "web_search_call", "id": "x", "status": "completed"}, "type"),
        ({"type": "additional_tools", "tools": [{"type": "web_search"}]}, "type"),
        ({"type": "additional_tools", "tools": [{"type": "function", "name": "f"}]}, "type"),
        ({"type": "image_generation_call", "id": "x"}, "type"),
    ],
)
async def test_what_is_not_switched_on_is_not_put_into_a_conversation(house, path, item, part):
    """A response that goes on with it would read it without saying so."""
    acme = await house.business()
    await switch_on(acme, ["conversations"])
    await own(acme, "CONV", kind="conversation")

    reply = await house.client.post(path, json={"items": [item]}, headers=acme.headers)

    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["code"] == "cost_not_bounded"
    assert part in reply.json()["error"]["message"]
    assert house.openai.requests == []


async def test_tools_are_not_kept_with_a_conversation(house):
    """Whatever is switched on: a later response is held as if it had none."""
    acme = await with_everything(house)
    items = [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]

    reply = await house.client.post(
        "/v1/conversations", json={"items": items}, headers=acme.headers
    )

    assert (reply.status_code, house.openai.requests) == (400, [])


@pytest.mark.parametrize(
    "disposition",
    [
        'name="file_id"; filename=""',
        'name="file_id"; filename="a.txt"',
        'name="file"; filename="a\\"',
    ],
)
async def test_an_id_cannot_be_sent_as_a_file(house, disposition):
    """What is a file to one reader of a form, and a text to another, is neither here."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    await own(acme, "OWN_CNTR", kind="container")
    await own(other, "FOREIGN")
    body = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\nFOREIGN\r\n--b--\r\n"
    headers = {**acme.headers, "content-type": "multipart/form-data; boundary=b"}

    reply = await house.client.post("/v1/containers/OWN_CNTR/files", content=body, headers=headers)

    assert reply.status_code == 400, reply.text
    assert house.openai.requests == []


async def test_a_form_is_written_anew_and_says_the_same(house):
    """The bytes of the file arrive; headers that no form has are refused."""
    acme = await with_everything(house)
    content = bytes(range(256)) * 40

    reply = await house.client.post(
        "/v1/files",
        files={"file": ("ä b.bin", content, "application/octet-stream")},
        data={"purpose": "batch"},
        headers=acme.headers,
    )

    assert reply.json()["purpose"] == "batch"
    [request] = house.openai.requests
    assert content in request.body
    assert request.header(b"content-type").startswith(b"multipart/form-data; boundary=gateway-")


async def test_a_list_shows_what_the_business_has(house):
    """Page by page, the newest first; OpenAI's own list is never asked for."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    ids = [await given(acme, "file") for _ in range(7)]
    await given(other, "file")
    await given(acme, "vector_store")
    gone = ids.pop(3)
    del house.openai.objects.kept[gone]

    pages: list[str] = []
    after: dict[str, str] = {}
    while True:
        params = {"limit": "3", **after}
        page = await house.client.get("/v1/files", params=params, headers=acme.headers)
        said = page.json()
        pages += [one["id"] for one in said["data"]]
        assert said["last_id"] == pages[-1]
        if not said["has_more"]:
            break
        after = {"after": said["last_id"]}
    oldest = await house.client.get(
        "/v1/files", params={"order": "asc", "limit": "2"}, headers=acme.headers
    )

    assert pages == ids[::-1]
    assert [one["id"] for one in oldest.json()["data"]] == ids[:2]
    assert all(request.path != "/v1/files" for request in house.openai.requests)
    assert await owned(acme, gone) == {}


async def test_an_empty_list_is_a_list(house):
    """Whatever others have."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    await given(other, "container")

    said = (await house.client.get("/v1/containers", headers=acme.headers)).json()

    assert said == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip
    assert house.openai.requests == []


async def test_a_list_is_filtered_as_asked(house):
    """By what OpenAI says of each object; a page is full nevertheless."""
    acme = await with_everything(house)
    for number in range(8):
        purpose = "batch" if number % 4 == 0 else "vision"
        id = house.openai.objects.put("files", purpose=purpose)
        await own(acme, id)

    said = (
        await house.client.get(
            "/v1/files", params={"purpose": "batch", "limit": "2"}, headers=acme.headers
        )
    ).json()

    assert [one["purpose"] for one in said["data"]] == ["batch", "batch"]
    assert said["has_more"] is False


@pytest.mark.parametrize(
    "params", [{"limit": "0"}, {"limit": "x"}, {"limit": "-1"}, {"order": "up"}, {"beta": "true"}]
)
async def test_a_list_is_asked_for_properly(house, params):
    """Also by names that are new."""
    acme = await with_everything(house)

    reply = await house.client.get("/v1/files", params=params, headers=acme.headers)

    assert (reply.status_code, house.openai.requests) == (400, [])


async def test_a_list_begins_after_an_object_of_the_business(house):
    """Somebody else's is as unknown as everywhere."""
    acme, other = await with_everything(house), await with_everything(house, "Other")
    foreign = await given(other, "file")

    reply = await house.client.get("/v1/files", params={"after": foreign}, headers=acme.headers)

    assert reply.status_code == 404


async def test_a_response_is_replayed_as_a_stream(house):
    """Byte for byte, and free however often."""
    acme = await with_everything(house)
    id = await given(acme, "response")

    for _ in range(2):
        reply = await house.client.get(
            f"/v1/responses/{id}", params={"stream": "true"}, headers=acme.headers
        )
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.text.count("data: ") == 2

    assert await acme.transactions() == []


@pytest.mark.parametrize("operation", ["responses.retrieve", "responses.cancel"])
async def test_others_can_see_a_response_before_its_owner_does(house, operation):
    """What ran in the background can so be settled when it is asked for, or cancelled."""
    acme = await with_everything(house)
    id = await given(acme, "response")
    seen: list[tuple[str, str, bytes]] = []

    async def after(holder: Any, id: str, body: bytes) -> None:
        seen.append((holder.business, id, body))

    house.parts.doors._objects.after[operation] = after
    [one] = [each for each in OBJECTS if each.name == operation]

    reply = await call(acme, one, {"response_id": id})

    assert seen == [(acme.id, id, reply.content)]


async def test_content_is_passed_on_with_its_name(house):
    """And as the bytes that it is."""
    acme = await with_everything(house)
    id = await given(acme, "file")

    reply = await house.client.get(f"/v1/files/{id}/content", headers=acme.headers)

    assert reply.content == b"the content\x00"
    assert reply.headers["content-disposition"] == 'attachment; filename="a.bin"'


async def test_calls_about_objects_are_in_the_access_log(house, access_log: Callable[[], str]):
    """With ids and numbers, like every call."""
    acme = await with_everything(house)

    await house.client.get("/v1/files", headers=acme.headers)

    assert '"endpoint":"files.list","status":200,"code":"","id":"' in access_log()
