"""Our own source files, as the laws about them see them: names, lengths, imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("gateway", "storage", "metering")
"""From top to bottom: each may import those after it."""


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @property
    def file(self) -> str:
        """Its path in the repository, such as `gateway/proxy.py`."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """Its dotted name, such as `gateway.proxy`; a package is called by its folder."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def tree(self) -> ast.Module:
        """The file, parsed."""
        return ast.parse(self.path.read_text())

    @cached_property
    def imports(self) -> frozenset[str]:
        """Every name it imports, wherever in the file: `a.b` and, for `from a import b`, both."""
        return frozenset(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.file} imports relatively"
                assert node.module
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def imports_package(self, name: str) -> bool:
        """Whether it imports the package or anything in it."""
        return any(one == name or one.startswith(f"{name}.") for one in self.imports)


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The Python files under these folders of the repository."""
    if len(folders) > 1:
        return tuple(source for folder in folders for source in sources(folder))
    return tuple(Source(path) for path in sorted((ROOT / folders[0]).rglob("*.py")))


@cache
def import_graph() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, on all floors."""
    ours = {source.module: source for source in sources(*FLOORS)}
    return {
        name: (set(source.imports) & set(ours)) - {name} - _packages_only_passed(source, ours)
        for name, source in ours.items()
    }


def _packages_only_passed(source: Source, ours: dict[str, Source]) -> set[str]:
    # `from gateway.admin import forms` names the package on its way to the module.
    return {
        one
        for one in source.imports
        if one in ours and any(f"{one}." in other and other in ours for other in source.imports)
    }
