"""What can be switched on for a business beyond what every one may use."""

from __future__ import annotations

SWITCHES = {
    "background": "responses that go on after their call has ended",
    "batches": "batches of calls, answered within a day",
    "containers": "containers, charged when they are made",
    "conversations": "conversations that OpenAI keeps",
    "files": "files and uploads, and the ids of files in bodies",
    "hosted_tools": "tools that OpenAI runs and bills, such as web search",
    "mcp": "MCP servers that OpenAI calls",
    "realtime": "sessions over a websocket",
    "stored": "replies that OpenAI keeps, and what continues or reads them",
    "urls": "images and files that OpenAI fetches from a URL",
    "vector_stores": "vector stores and searches in them",
}
"""Name → what it opens. The names are those of `businesses.settings` and of `Call.allowed`."""


def known_switch(name: str) -> str:
    """
    The name of a switch, as it is.

    Raises:
        ValueError: There is no such switch; the text names those that there are.
    """
    if name not in SWITCHES:
        raise ValueError(f"should be one of {', '.join(SWITCHES)}")
    return name
