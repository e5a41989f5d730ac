# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Every public distribution is documented: its docstring, its line in docs/distributions.md, its benchmark."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
import re
from types import ModuleType

from compilations import compilations
import jax
import pytest
import scipy.stats

import numpyro.distributions as dist

ROOT = Path(__file__).parent.parent.parent
NOT_DISTRIBUTIONS = {"biject_to", "constraints", "kl_divergence", "transforms"}
PUBLIC = [name for name in dist.__all__ if name not in NOT_DISTRIBUTIONS]
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(dist, name)) and name != "Distribution"]
ROW = re.compile(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)


def parameters(name: str) -> list[str]:
    """What a user passes, besides the switch of validation, which all have."""
    function = getattr(dist, name)
    signature = inspect.signature(function.__init__ if inspect.isclass(function) else function)
    named = (p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD)
    return [parameter for parameter in named if parameter not in ("self", "validate_args")]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_describes_each_parameter_and_shows_an_example(name):
    described = inspect.getdoc(getattr(dist, name)) or ""
    missing = [parameter for parameter in parameters(name) if f":param {parameter}: " not in described]
    assert not missing, f"{name} does not describe {missing}"
    assert ">>> " in described, f"{name} shows no example"


@pytest.mark.parametrize("name", CLASSES)
def test_docstring_gives_the_density(name):
    described = vars(getattr(dist, name)).get("__doc__") or ""
    refers = re.search(r"see :class:`(\w+)`", described)
    assert ".. math:: " in described or refers, f"{name} gives no formula"


@pytest.mark.parametrize("name", CLASSES)
def test_docstring_names_the_source(name):
    """A book with the chapter, a paper with its year, or a section of a manual."""
    described = vars(getattr(dist, name)).get("__doc__") or ""
    source = re.search(r"\*\*Source:\*\* (.+?)(?:\n\n|$)", described, re.DOTALL)
    assert source, f"{name} names no source"
    assert re.search(r"\*[^*]+\*", source[1]), f"{name}: the source has no title"
    year = re.search(r"\b(18|19|20)\d\d\b", source[1])
    assert year or "Stan Functions Reference" in source[1], f"{name}: the source has no year"


def test_each_distribution_stands_once_in_the_list_by_family():
    listed = [row[0] for row in ROW.findall((ROOT / "docs/distributions.md").read_text())]
    assert sorted(listed) == sorted(PUBLIC)


def test_the_list_names_parameters_and_distributions_that_exist():
    wrong = []
    for name, described, in_scipy, _ in ROW.findall((ROOT / "docs/distributions.md").read_text()):
        if not described.startswith("the same"):
            wrong += [f"{name}: no {p}" for p in parameters(name) if f"`{p}" not in described and p not in OPTIONAL]
        calls = re.findall(r"`(\w+)\(", in_scipy)
        wrong += [f"{name}: no scipy.stats.{call}" for call in calls if not hasattr(scipy.stats, call)]
    assert not wrong


#: Parameters that say how, not which distribution.
OPTIONAL = {
    "event_dim",
    "initial_value",
    "is_sparse",
    "reinterpreted_batch_ndims",
    "sample_method",
    "support",
    "total_count_max",
}


@pytest.fixture(scope="module")
def cases() -> ModuleType:
    spec = importlib.util.spec_from_file_location("distribution_cases", ROOT / "benchmarks/distribution_cases.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_class_has_a_benchmark(cases):
    assert sorted(cases.CASES) == sorted(CLASSES)


def test_construction_from_numbers_compiles_nothing(cases):
    with compilations() as compiled:
        jax.clear_caches()
        for name, case in cases.CASES.items():
            case.build(name, dist, case.host_parameters())
    assert not compiled
