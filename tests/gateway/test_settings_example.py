"""config.example.toml: complete, explained, and equal to the defaults."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel

from gateway.settings import Settings
from metering.money import Credits

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def keys_of_the_sections() -> dict[str, object]:
    defaults = Settings.load(None, {})
    return {
        f"{section}.{key}": getattr(getattr(defaults, section), key)
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for key in field.annotation.model_fields
    }


def test_example_lists_every_default():
    """config.example.toml is the documentation: complete, and equal to the code."""
    text = EXAMPLE.read_text()
    listed = tomllib.loads(text, parse_float=Decimal)
    loaded = Settings.load(EXAMPLE, {})

    for name, default in keys_of_the_sections().items():
        section, key = name.split(".")
        if default is None:
            part = text.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
            assert re.search(rf"^# {key} = ", part, re.MULTILINE), name
        else:
            assert key in listed[section], name
    assert loaded == Settings.load(None, {})


def test_example_explains_every_key():
    """A line in the example has the unit and the reason above it."""
    lines = EXAMPLE.read_text().splitlines()

    for above, line in zip(lines, lines[1:], strict=False):
        if re.match(r"[a-z_]+ = ", line):
            assert above.startswith("# "), line


def test_commented_tables_of_the_example_are_settings_too(written):
    """Features, models and packages are shown as they can be written."""
    lines = EXAMPLE.read_text().splitlines()
    start = lines.index("# [features.product_description]")
    end = lines.index("[holds]")
    shown = [line[2:] for line in lines[start:end] if re.match(r"# (\[|[a-z_]+ = )", line)]

    settings = Settings.load(written("\n".join(shown)), {})

    assert settings.features["product_description"].credits == Credits.parse("2.5")
    assert settings.models["gpt-5-pro"].multiplier == Decimal("1.25")
    assert settings.packages[0].price_minor == 3000
