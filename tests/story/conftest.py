"""The stories run on each pair of engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.house import House, open_house


@pytest.fixture
async def house(redis_url: str, records_url: str) -> AsyncIterator[House]:
    """A house in which a product description has a fixed price of 2.50 credits."""
    fixed = {
        "features__product_description__credits": "2.50",
        "features__product_description__models": '["gpt-5.4-mini"]',
        "features__product_description__max_input_tokens": "4000",
        "features__product_description__max_output_tokens": "4000",
        "features__product_description__max_n": "1",
        "credits__default_max_output_tokens": "4000",
    }
    async with open_house(redis_url=redis_url, records_url=records_url, **fixed) as opened:
        yield opened
