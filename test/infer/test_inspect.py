# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Which sites depend on which, and how a model is drawn."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
from numpyro.contrib.control_flow import cond, scan
from numpyro.contrib.render import generate_graph_specification, render_graph
import numpyro.distributions as dist
from numpyro.infer.inspect import get_dependencies, get_model_relations, render_model

N = dist.Normal(0.0, 1.0)


def regression(x, y=None):
    b = numpyro.sample("b", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    s = numpyro.sample("s", dist.LogNormal(b[0], 1.0))
    mu = numpyro.deterministic("mu", x @ b)
    with numpyro.plate("N", len(x)):
        numpyro.sample("y", dist.Normal(mu, s), obs=y)


def crossed():
    with numpyro.plate("p", 2, dim=-1):
        a = numpyro.sample("a", N)
    with numpyro.plate("q", 3, dim=-2):
        b = numpyro.sample("b", N)
        with numpyro.plate("p", 2, dim=-1):
            numpyro.sample("c", dist.Normal(a + b, 1.0), obs=0.0)
    numpyro.sample("d", dist.Normal(a.sum(), 1.0), obs=0.0)


def states(y):
    s = numpyro.sample("s", dist.HalfNormal(1.0))

    def step(x, t):
        with numpyro.plate("series", 3):
            x = numpyro.sample("x", dist.Normal(x, s))
            numpyro.sample("y", dist.Normal(x, 1.0), obs=t)
        return x, None

    scan(step, jnp.zeros(3), y)


def guide():
    loc = numpyro.param("loc", 0.0)
    scale = numpyro.param("scale", lambda key: jnp.ones(()), constraint=dist.constraints.positive)
    numpyro.sample("z", dist.Normal(loc, scale))
    numpyro.sample("w", dist.Normal(scale, 1.0))


def test_relations_of_a_regression():
    arguments = (jax.ShapeDtypeStruct((5, 2), jnp.float32), jax.ShapeDtypeStruct((5,), jnp.float32))
    assert get_model_relations(regression, arguments) == {
        "sample_sample": {"b": [], "s": ["b"], "mu": ["b"], "y": ["b", "s"]},
        "sample_param": {"b": [], "s": [], "mu": [], "y": []},
        "sample_dist": {"b": "Normal", "s": "LogNormal", "mu": "Deterministic", "y": "Normal"},
        "param_constraint": {},
        "plate_sample": {"N": ["y"]},
        "observed": ["y"],
    }
    assert get_model_relations(regression, (jnp.ones((5, 2)),))["observed"] == []


def test_relations_of_a_guide():
    relations = get_model_relations(guide)
    assert relations["sample_param"] == {"z": ["loc", "scale"], "w": ["scale"]}
    assert relations["param_constraint"] == {"loc": "", "scale": str(dist.constraints.positive)}


def test_plates_that_cross_are_drawn_twice():
    assert get_model_relations(crossed)["plate_sample"] == {"p": ["a", "c"], "q": ["c"], "q__CLONE": ["b"]}


def test_a_site_in_a_scan_depends_on_its_own_past_and_on_nothing_else_by_the_way():
    relations = get_model_relations(states, (jnp.zeros((4, 3)),))
    assert relations["sample_sample"] == {"s": [], "x": ["s", "x"], "y": ["x"]}
    assert relations["plate_sample"] == {"series": ["x", "y"]} and relations["scan_sample"] == {"scan": ["x", "y"]}


def test_scans_and_branches_nest():
    def model():
        def inner(c, _):
            z = numpyro.sample("z", dist.Normal(c, 1.0))
            return z, z

        def outer(c, _):
            x = numpyro.sample("x", dist.Normal(c, 1.0))
            last, _ = scan(inner, x, None, length=2)
            return last, None

        c, _ = scan(outer, 0.0, None, length=3)
        cond(True, lambda c: numpyro.sample("e", dist.Normal(c, 1.0)), lambda c: numpyro.sample("e", N), c)

    relations = get_model_relations(model)
    assert relations["scan_sample"] == {"scan": ["x", "z"], "scan_1": ["z"]}
    # x follows the inner scan's last z of the step before.
    assert relations["sample_sample"] == {"x": ["z"], "z": ["x", "z"], "e": ["z"]}


def test_masked_terms_improper_priors_and_factors():
    def model():
        a = numpyro.sample("a", dist.ImproperUniform(dist.constraints.real, (), ()))
        numpyro.sample("off", dist.Normal(a, 1.0).mask(False))
        numpyro.factor("f", a**2)
        numpyro.sample("k", dist.Categorical(logits=jnp.stack([a, -a])))

    relations = get_model_relations(model)
    assert relations["sample_sample"] == {"a": [], "off": [], "f": ["a"], "k": ["a"]}
    assert relations["sample_dist"] == {"a": "ImproperUniform", "off": "Normal", "f": "Unit", "k": "CategoricalLogits"}


def test_nothing_of_the_model_is_computed():
    def model():
        a = numpyro.sample("a", N)
        jax.debug.callback(lambda: pytest.fail("the model ran"))
        numpyro.sample("b", dist.Normal(a, 1.0), obs=np.zeros(3))

    assert get_dependencies(model)["prior_dependencies"] == {"a": {"a": set()}, "b": {"a": set(), "b": set()}}


def test_common_children_couple_their_parents_in_the_posterior():
    def collider():
        a = numpyro.sample("a", N)
        b = numpyro.sample("b", dist.LogNormal(0.0, 1.0))
        c = numpyro.sample("c", dist.Normal(a, b))
        d = numpyro.sample("d", dist.Delta(2 * c))
        numpyro.sample("e", dist.Normal(d, 1.0), obs=0.0)

    assert get_dependencies(collider) == {
        "prior_dependencies": {
            "a": {"a": set()},
            "b": {"b": set()},
            "c": {"a": set(), "b": set(), "c": set()},
            "e": {"c": set(), "e": set()},
        },
        "posterior_dependencies": {
            "a": {"a": set(), "b": set(), "c": set()},
            "b": {"b": set(), "c": set()},
            "c": {"c": set(), "e": set()},
        },
    }


def test_plates_and_scans_whose_indices_are_coupled_are_named():
    posterior = get_dependencies(crossed)["posterior_dependencies"]
    assert posterior == {"a": {"a": {"p"}, "b": set(), "c": set(), "d": set()}, "b": {"b": set(), "c": set()}}
    assert get_dependencies(states, (jnp.zeros((4, 3)),)) == {
        "prior_dependencies": {"s": {"s": set()}, "x": {"s": set(), "x": {"scan"}}, "y": {"x": set(), "y": set()}},
        "posterior_dependencies": {"s": {"s": set(), "x": set()}, "x": {"x": {"scan"}, "y": set()}},
    }


# The picture


def test_a_specification_says_what_is_drawn():
    specification = generate_graph_specification(get_model_relations(guide), render_params=True)
    assert specification["edge_list"] == [("loc", "z"), ("scale", "z"), ("scale", "w")]
    assert specification["plate_groups"] == {None: ["z", "w", "loc", "scale"]}
    plain = generate_graph_specification(get_model_relations(crossed))
    assert {box: data["parent"] for box, data in plain["plate_data"].items()} == {
        "p": None,
        "q": "p",
        "q__CLONE": None,
    }


def lines(graph):
    return [line.strip() for line in graph.source.splitlines()]


def test_the_picture_of_a_state_space_model():
    pytest.importorskip("graphviz")
    graph = render_model(states, (jnp.zeros((4, 3)),), render_distributions=True)
    assert lines(graph) == [
        "digraph {",
        "s [label=s fillcolor=white shape=ellipse style=filled]",
        "subgraph cluster_scan {",
        "label=scan labeljust=r labelloc=b style=dashed",
        "subgraph cluster_series {",
        "label=series labeljust=r labelloc=b style=solid",
        "x [label=x fillcolor=white shape=ellipse style=filled]",
        "y [label=y fillcolor=grey shape=ellipse style=filled]",
        "}",
        "}",
        "s -> x",
        "x -> x",
        "x -> y",
        r'distribution_description_node [label="s ~ HalfNormal\lx ~ Normal\ly ~ Normal\l" shape=plaintext]',
        "}",
    ]


def test_deterministic_sites_are_dashed_and_parameters_show_their_constraint():
    pytest.importorskip("graphviz")
    source = numpyro.render_model(regression, (np.ones((5, 2)), np.ones(5))).source
    assert re.search(r'mu \[label=mu .*style="filled,dashed"\]', source)
    source = render_model(guide, render_distributions=True, render_params=True).source
    assert "scale [label=scale fillcolor=white shape=plain" in source and r"scale ∈ Positive" in source
    assert "loc ∈" not in source


def test_a_plate_drawn_twice_has_one_name():
    pytest.importorskip("graphviz")
    graph = render_graph(generate_graph_specification(get_model_relations(crossed)))
    assert lines(graph).count("label=q labeljust=r labelloc=b") == 2


def test_a_file_name_needs_an_ending(tmp_path):
    pytest.importorskip("graphviz")
    with pytest.raises(ValueError, match="must end in the format"):
        render_model(guide, filename=str(tmp_path / "picture"))


def test_a_file_name_writes_the_picture(tmp_path):
    graphviz = pytest.importorskip("graphviz")
    try:
        render_model(guide, filename=str(tmp_path / "picture.svg"))
    except graphviz.ExecutableNotFound:
        pytest.skip("needs the program dot")
    assert "<svg" in (tmp_path / "picture.svg").read_text()
