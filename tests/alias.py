"""
Lets respx, which knows httpx, mock httpx2, which we use.

Imported at the top of `conftest.py`: it must come before anything loads httpx or respx, and
so the respx plugin of pytest is off (`-p no:respx`).
"""

from __future__ import annotations

import httpx2

httpx2.alias_httpx()
