"""Fixtures of the stores' own tests."""

from __future__ import annotations

from tests.storage.proved_books import acme, books  # noqa: F401  (Fixtures.)
