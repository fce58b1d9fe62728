"""
Images in a message: what such a part may be, and the most tokens that it costs.

What an image costs follows from its width and height and the model, not from its bytes: a
header of 100 bytes can claim any size. So each image is taken at the most that its model
can bill for one.

Source: OpenAI, "Images and vision". Models of tiles bill a base and at most 8 tiles of 512
pixels (2,048 by 768): 85 + 8 * 170 and less, but 2,833 + 8 * 5,667 = 48,169 with
gpt-4o-mini. Models of patches bill at most 1,536 patches, 10,000 with the detail
"original", times 2.46 at the most: 24,600. Of low detail gpt-4o-mini bills its base and
the others less.
"""

from __future__ import annotations

from typing import Any

from metering.chat.checks import string, table
from metering.errors import BodyNotUnderstood, CostNotBounded

LOW_TOKENS = 3_000
TILE_TOKENS = 50_000  # Of gpt-4o-mini, whose tiles cost 33 times those of its sisters.
PATCH_TOKENS = 25_000

_DETAILS = frozenset({"auto", "low", "high", "original"})


def read_image(where: str, value: Any) -> None:
    """
    Check the `image_url` of a part.

    Raises:
        BodyNotUnderstood: It is neither a data URL nor an address.
        CostNotBounded: A field is not known to us.
    """
    image = table(where, value)
    for key in image:
        if key not in ("url", "detail"):
            raise CostNotBounded(f"{where}.{key[:64]}", "is not a field we know")
    string(f"{where}.url", image.get("url"))
    if not (is_in_body(image) or is_address(image)):
        raise BodyNotUnderstood(
            f"{where}.url must be a data URL with the image in it, or an address", f"{where}.url"
        )
    detail = image.get("detail")
    if detail is not None and (not isinstance(detail, str) or detail not in _DETAILS):
        raise BodyNotUnderstood(
            f"{where}.detail must be one of {', '.join(sorted(_DETAILS))}", f"{where}.detail"
        )


def is_in_body(image: dict[str, Any]) -> bool:
    """Whether the image itself was sent."""
    return str(image["url"][:5]).lower() == "data:"


def is_address(image: dict[str, Any]) -> bool:
    """Whether OpenAI is to fetch it."""
    return str(image["url"][:8]).lower().startswith(("http://", "https://"))


def image_tokens(image: dict[str, Any], model: str) -> int:
    """The most tokens that this image can be billed as."""
    if image.get("detail") == "low":
        return LOW_TOKENS
    return TILE_TOKENS if "4o-mini" in model else PATCH_TOKENS
