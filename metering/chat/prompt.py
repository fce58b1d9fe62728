"""
How many tokens a prompt is: the cookbook's estimate, and a bound that is never below it.

Source: OpenAI cookbook, "How to count tokens with tiktoken" (messages: 3 tokens each and
the tokens of every value, 1 more for a name, 3 for the reply's primer; functions: 7 each,
3 for properties, 3 a property, 12 at the end, for the gpt-4o family).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metering.tokens import count

_PER_MESSAGE = 3
_PER_NAME = 1
_REPLY_PRIMER = 3

_PER_FUNCTION = 7
_PER_PROPERTIES = 3
_PER_PROPERTY = 3
_PER_ENUM = -3
_PER_ENUM_ITEM = 3
_AFTER_FUNCTIONS = 12


def estimated_tokens(fields: dict[str, Any], encoding: str) -> int:
    """The input tokens of a chat completion by the cookbook's formula; blocks."""
    messages = [m for m in fields.get("messages") or () if isinstance(m, dict)]
    return (
        sum(_message_tokens(message, encoding) for message in messages)
        + _REPLY_PRIMER
        + _function_tokens(fields, encoding)
    )


def most_tokens(
    fields: dict[str, Any], encoding: str, *, names: frozenset[str] | None = None
) -> int:
    """
    An upper bound of the input tokens; blocks. `names` are the fields that a model reads.

    Every text in the body is tokenised by itself, as the model reads it, and every byte of
    the JSON around the texts is taken for a token. (Tokenising the JSON instead could
    count too few: a line break before "abla" is two tokens and more, the `\\nabla` that
    JSON makes of it may be one.)
    """
    read = _PROMPT_FIELDS if names is None else names
    texts = {name: value for name, value in fields.items() if name in read}
    return sum(count(leaf, encoding) if isinstance(leaf, str) else leaf for leaf in _leaves(texts))


# What the model may read; the rest steers how it answers and is not part of the prompt.
_PROMPT_FIELDS = frozenset(
    {
        "messages",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "response_format",
        "prediction",
        "stop",
        "reasoning_effort",
        "verbosity",
    }
)


def _leaves(value: Any) -> Iterator[str | int]:
    """Each text as it is, and for the JSON around it the number of its bytes."""
    if isinstance(value, str):
        yield value
        yield 2
    elif isinstance(value, dict):
        yield 2 + 2 * len(value)
        for key, child in value.items():
            yield key
            yield 2
            yield from _leaves(child)
    elif isinstance(value, list):
        yield 2 + len(value)
        for child in value:
            yield from _leaves(child)
    else:
        yield 24  # The longest number or literal that JSON needs.


def _message_tokens(message: dict[str, Any], encoding: str) -> int:
    tokens = _PER_MESSAGE
    for key, value in message.items():
        tokens += sum(count(text, encoding) for text in texts_of(value))
        if key == "name":
            tokens += _PER_NAME
    return tokens


def texts_of(value: Any) -> Iterator[str]:
    """Every text of a message; of a part or a tool call not its type and its id."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for child in value:
            yield from texts_of(child)
    elif isinstance(value, dict):
        for key, child in value.items():
            if key not in ("type", "id", "index", "prompt_cache_breakpoint"):
                yield from texts_of(child)


def _function_tokens(fields: dict[str, Any], encoding: str) -> int:
    functions = [function for function in _functions(fields) if isinstance(function, dict)]
    if not functions:
        return 0
    return _AFTER_FUNCTIONS + sum(_one_function(function, encoding) for function in functions)


def _functions(fields: dict[str, Any]) -> Iterator[Any]:
    tools = fields.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            yield tool.get("function") or tool.get("custom")
    functions = fields.get("functions")
    yield from functions if isinstance(functions, list) else ()


def _one_function(function: dict[str, Any], encoding: str) -> int:
    title = f"{function.get('name', '')}:{_sentence(function)}"
    tokens = _PER_FUNCTION + count(title, encoding)
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    if not isinstance(properties, dict) or not properties:
        return tokens
    tokens += _PER_PROPERTIES
    for name, schema in properties.items():
        tokens += _PER_PROPERTY
        if not isinstance(schema, dict):
            continue
        enum = schema.get("enum")
        if isinstance(enum, list):
            texts = [item for item in enum if isinstance(item, str)]
            tokens += _PER_ENUM + sum(_PER_ENUM_ITEM + count(text, encoding) for text in texts)
        tokens += count(f"{name}:{schema.get('type', '')}:{_sentence(schema)}", encoding)
    return tokens


def _sentence(schema: dict[str, Any]) -> str:
    description = schema.get("description")
    return description.removesuffix(".") if isinstance(description, str) else ""
