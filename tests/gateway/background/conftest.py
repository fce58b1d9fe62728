"""Fixtures of the background jobs' tests."""

from __future__ import annotations

from tests.gateway.background.a_post import post  # noqa: F401  (A fixture.)
