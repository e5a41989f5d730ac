# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The README, the pages under docs/ and the examples in docstrings say what is true.

In a page, every block marked ``python`` runs, in order and in one namespace a page. Where a block marked ``text`` comes
straight after it, that is what it prints.
"""

from __future__ import annotations

from contextlib import redirect_stdout
import doctest
import importlib
import importlib.util
import io
from pathlib import Path
import pkgutil
import re

import pytest

import numpyro

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```\n(?P<gap>\s*)", re.MULTILINE | re.DOTALL)
OPTIONAL = ("arviz", "flax", "funsor", "graphviz", "haiku", "matplotlib", "sklearn")
MODULES = sorted(module.name for module in pkgutil.walk_packages(numpyro.__path__, "numpyro."))


def examples(page: Path) -> list[tuple[int, str, str | None]]:
    """Line number, program and expected output (or None) of each example of a page."""
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    found = []
    for block, following in zip(blocks, [*blocks, None][1:], strict=True):
        if block["language"] == "python":
            shown = following and following["language"] == "text" and following.start() == block.end()
            line = text.count("\n", 0, block.start()) + 1
            found.append((line, block["body"], following["body"] if shown else None))
    return found


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


@pytest.mark.parametrize("page", [p for p in PAGES if examples(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_example_of_a_page_runs_and_prints_what_is_shown(page):
    namespace = {"__name__": "__main__"}
    for line, program, expected in examples(page):
        printed = io.StringIO()
        code = compile("\n" * line + program, str(page), "exec")
        with redirect_stdout(printed):
            exec(code, namespace)
        if expected is not None:
            assert lines(printed.getvalue()) == lines(expected), f"{page.name}:{line}"


@pytest.mark.parametrize("name", ["numpyro", *MODULES])
def test_examples_in_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in OPTIONAL:
            pytest.skip(f"{name} needs {error.name}")
        raise
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples in {name} failed; output above"


def test_pages_link_to_files_that_exist():
    broken = []
    plots = (ROOT / "docs/plots.py").read_text()  # what it makes is there once the documentation was built
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks/README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            is_made = target.startswith("_plots/") and f'"{Path(target).stem}": ' in plots
            if not target.startswith("http") and not is_made and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken
