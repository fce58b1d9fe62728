"""Messages: text is let through, whatever refers to something outside the body is not."""

from __future__ import annotations

from typing import Any

import pytest

from metering.chat.messages import read_messages
from metering.errors import BodyNotUnderstood, CostNotBounded


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "hello"},
        {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
        {"role": "assistant", "content": None, "refusal": None, "audio": None, "annotations": []},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "22"},
        {"role": "function", "name": "f", "content": "22"},
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "x",
                    "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
                }
            ],
        },
    ],
)
def test_message_of_text_is_read(message: dict[str, Any]) -> None:
    """Also one that the SDK gives back from an earlier reply."""
    read_messages("messages", [message])


def _with_part(part: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "see:"}, part]}


def _image(url: Any, **fields: Any) -> dict[str, Any]:
    return _with_part({"type": "image_url", "image_url": {"url": url, **fields}})


NO_SPEECH = {"type": "input_audio", "input_audio": {"format": "wav"}}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("messages[0].content[1].image_url.file_id", _image("data:,", file_id="file-1")),
        ("video", _with_part({"type": "video"})),
        ("messages[0].content[1].file_id", _with_part({"type": "text", "file_id": "file-1"})),
        ("messages[0].audio", {"role": "assistant", "audio": {"id": "audio_1"}}),
        ("messages[0].attachments", {"role": "user", "content": "x", "attachments": []}),
    ],
)
def test_part_that_is_not_in_the_body_is_named(part: str, message: dict[str, Any]) -> None:
    """An address or an id does not tell how many tokens it becomes."""
    with pytest.raises(CostNotBounded) as refused:
        read_messages("messages", [message])
    assert refused.value.part == part


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("messages[0]", "hello"),
        ("messages[0].role", {"content": "hello"}),
        ("messages[0].role", {"role": "robot", "content": "hello"}),
        ("messages[0].role", {"role": ["user"], "content": "hello"}),
        ("messages[0].content", {"role": "user", "content": 5}),
        ("messages[0].content", {"role": "user", "content": {"type": "text"}}),
        ("messages[0].content", {"role": "user", "content": ["hello"]}),
        ("messages[0].content", {"role": "user", "content": [{"text": "no type"}]}),
        ("messages[0].content[0].text", {"role": "user", "content": [{"type": "text", "text": 5}]}),
        ("messages[0].content[1].image_url", _with_part({"type": "image_url", "image_url": "x"})),
        ("messages[0].content[1].image_url.url", _image(5)),
        ("messages[0].content[1].image_url.url", _image("file:///etc/passwd")),
        ("messages[0].content[1].image_url.url", _image("ftp://example.com/a.png")),
        (
            "messages[0].content[1].image_url.detail",
            _image("data:image/png;base64,", detail="best"),
        ),
        ("messages[0].content[1].input_audio", _with_part({"type": "input_audio"})),
        ("messages[0].content[1].input_audio.data", _with_part(NO_SPEECH)),
        ("messages[0].content[1].file", _with_part({"type": "file", "file": {"filename": "a"}})),
        ("messages[0].name", {"role": "user", "content": "x", "name": 5}),
    ],
)
def test_message_that_openai_would_not_understand_is_named(param: str, message: Any) -> None:
    """The place is named, the text is not."""
    with pytest.raises(BodyNotUnderstood) as refused:
        read_messages("messages", [message])
    assert refused.value.param == param
