# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The layers of docs/design/architecture.md: an import points down, and there are no circles."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "numpyro"

#: The longest matching prefix counts.
LAYERS = {
    "numpyro": 6,
    "numpyro._shapes": 0,
    "numpyro._version": 0,
    "numpyro.compat": 6,
    "numpyro.contrib": 6,
    "numpyro.contrib.control_flow": 4,
    "numpyro.diagnostics": 0,
    "numpyro.distributions": 1,
    "numpyro.examples": 6,
    "numpyro.handlers": 3,
    "numpyro.infer": 5,
    "numpyro.nn": 0,
    "numpyro.ops": 0,
    "numpyro.optim": 0,
    "numpyro.primitives": 2,
    "numpyro.util": 0,
}

#: Within the distributions: constraints < transforms < distribution < families < batch_util, kl.
DISTRIBUTION_ORDER = ["constraints", "transforms", "distribution", "families", "batch_util"]
DISTRIBUTION_PARTS = {"constraints": 0, "transforms": 1, "distribution": 2, "batch_util": 4, "kl": 4}
HELPERS_OF_DISTRIBUTIONS = ("util", "site_checks")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer(module: str) -> int:
    prefix = module
    while prefix not in LAYERS:
        prefix = prefix.rpartition(".")[0]
    return LAYERS[prefix]


class Imports(ast.NodeVisitor):
    """Modules of this package that a module imports, anywhere in it, except for type checkers only."""

    def __init__(self, module: str, sources: dict[str, Path] = SOURCES) -> None:
        self.module, self.sources = module, sources
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names if alias.name in self.sources}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = node.module or ""
        if node.level:
            is_package = self.sources[self.module].name == "__init__.py"
            base = self.module.split(".")[: len(self.module.split(".")) - node.level + is_package]
            origin = ".".join([*base, origin]).rstrip(".")
        if origin.split(".")[0] != "numpyro":
            return
        submodules = {f"{origin}.{alias.name}" for alias in node.names} & set(self.sources)
        self.found |= submodules
        if len(submodules) < len(node.names):
            self.found.add(origin)


def imports(module: str) -> set[str]:
    visitor = Imports(module)
    visitor.visit(ast.parse(SOURCES[module].read_text()))
    return visitor.found - {module}


GRAPH = {module: imports(module) for module in SOURCES}


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down(module):
    upward = {other for other in GRAPH[module] if layer(other) > layer(module)}
    assert not upward, f"{module} (layer {layer(module)}) imports {upward}"


def test_there_are_no_circles():
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        pytest.fail("imports run in a circle: " + " -> ".join(reversed(error.args[1])))


def test_what_is_imported_exists():
    missing = {(module, other) for module, others in GRAPH.items() for other in others if other not in SOURCES}
    assert not missing


def test_every_module_of_the_package_has_a_layer_of_its_own():
    top_level = {".".join(module.split(".")[:2]) for module in SOURCES}
    assert top_level <= set(LAYERS)


def distribution_rank(module: str) -> int | None:
    """Position in the order of the distributions; None outside it."""
    parts = module.split(".")
    if parts[:2] != ["numpyro", "distributions"] or len(parts) == 2:
        return None
    if parts[2].startswith("_") or parts[2] in HELPERS_OF_DISTRIBUTIONS:
        return None
    return DISTRIBUTION_PARTS.get(parts[2], DISTRIBUTION_ORDER.index("families"))


@pytest.mark.parametrize("module", [m for m in SOURCES if distribution_rank(m) is not None])
def test_distributions_are_built_in_order(module):
    later = {o for o in GRAPH[module] if (distribution_rank(o) or 0) > distribution_rank(module)}
    assert not later, f"{module} imports {later}"


@pytest.mark.parametrize("module", [m for m in SOURCES if distribution_rank(m) is not None])
def test_parts_of_the_distributions_do_not_import_the_whole(module):
    assert "numpyro.distributions" not in GRAPH[module]


def test_the_test_sees_all_kinds_of_imports(tmp_path):
    sources = {name: tmp_path / f"{name}.py" for name in ("numpyro", "numpyro.a", "numpyro.a.b", "numpyro.c")}
    sources["numpyro.a"] = tmp_path / "a" / "__init__.py"
    program = """
import numpyro.c
from numpyro.a import b, something
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from numpyro import hidden
def f():
    from . import b
    from ..c import x
    import jax
"""
    visitor = Imports("numpyro.a", sources)
    visitor.visit(ast.parse(program))
    assert visitor.found == {"numpyro.c", "numpyro.a", "numpyro.a.b"}
