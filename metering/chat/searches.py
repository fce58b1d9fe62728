"""Which chat completions search the web, and what a search is known to cost."""

from __future__ import annotations

import re

from metering.call import Call

# As in gpt-4o-search-preview and gpt-5-search-api: they search whatever they are asked.
_SEARCHES = re.compile(r"-search(-|$)")

# What was found becomes input; for the models that publish a figure it is this one.
FOUND_TOKENS = 8_000


def is_search_model(model: str) -> bool:
    """Whether the model searches by itself."""
    return bool(_SEARCHES.search(model))


def searches(call: Call, model: str) -> int:
    """
    How often a call searches: once for each choice; 0 when it does not search.

    Args:
        model: The id of its row; the call may name an alias.
    """
    asked = call.fields.get("web_search_options") is not None
    if not asked and not is_search_model(call.model) and not is_search_model(model):
        return 0
    return call.fields.get("n") or 1
