# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Utilities: settings, loops, predicates, tables of shapes."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from types import SimpleNamespace
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
from numpyro import util
import numpyro.distributions as dist
from numpyro.handlers import scope, seed, trace


def sites(model, rng_seed=0):
    return trace(seed(model, rng_seed=rng_seed)).get_trace()


def normal(name, loc=0.0, event_dim=0, **kwargs):
    return numpyro.sample(name, dist.Normal(loc, 1.0).to_event(event_dim), **kwargs)


# fori_collect


@pytest.mark.parametrize(
    "lower, upper, thinning, size, expected",
    [
        (0, 5, 1, None, [1, 2, 3, 4, 5]),
        (3, 8, 1, None, [4, 5, 6, 7, 8]),
        (3, 10, 2, None, [6, 8, 10]),
        (0, 10, 3, None, [4, 7, 10]),
        (2, 10, 3, 5, [7, 10, 0, 0, 0]),
        (0, 4, 1, 6, [1, 2, 3, 4, 0, 0]),
        (4, 4, 1, None, []),
        (3, 4, 2, 2, [0, 0]),
    ],
)
@pytest.mark.parametrize("progbar", [True, False])
def test_fori_collect_keeps_the_last_of_each_block(lower, upper, thinning, size, expected, progbar):
    collected, last = util.fori_collect(
        lower,
        upper,
        lambda state: {"i": state["i"] + 1},
        {"i": jnp.array(0)},
        transform=lambda state: (state["i"], jnp.full(2, state["i"])),
        progbar=progbar,
        return_last_val=True,
        collection_size=size,
        thinning=thinning,
    )
    np.testing.assert_array_equal(collected[0], expected)
    np.testing.assert_array_equal(collected[1], np.repeat(np.array(expected, int)[:, None], 2, axis=1))
    assert last["i"] == upper


def test_fori_collect_describes_its_progress(capsys):
    util.fori_collect(
        0,
        4,
        lambda x: x + 1,
        jnp.array(0),
        progress_rate=2,
        progbar_desc=lambda i: f"step {i}",
        diagnostics_fn=lambda x: f"value {x}",
    )
    shown = capsys.readouterr().err
    assert "step 3" in shown and "value 4" in shown and "4/4" in shown


@pytest.mark.parametrize("progbar", [True, False])
def test_fori_collect_under_jit(progbar):
    run = jax.jit(lambda x: util.fori_collect(1, 4, lambda x: 2 * x, x, progbar=progbar))
    np.testing.assert_array_equal(run(1.0), [4.0, 8.0, 16.0])


@pytest.mark.parametrize(
    "options, match",
    [
        ({"lower": 5, "upper": 4}, "lower <= upper"),
        ({"thinning": 0}, "thinning >= 1"),
        ({"collection_size": 3}, "collects 4 values"),
    ],
)
def test_fori_collect_refuses_nonsense(options, match):
    arguments = {"lower": 0, "upper": 4, "body_fun": lambda x: x, "init_val": 0.0, "progbar": False} | options
    with pytest.raises(ValueError, match=match):
        util.fori_collect(**arguments)


@pytest.mark.parametrize("num_chains", [1, 2])
def test_progress_bars_count_every_chain(capsys, num_chains):
    body = util.progress_bar_factory(6, num_chains, 4)(lambda i, total: total + i)

    def run(start):
        return jax.lax.fori_loop(0, 6, body, start)

    results = jax.jit(jax.vmap(run))(jnp.arange(num_chains))
    jax.effects_barrier()
    np.testing.assert_array_equal(results, 15 + np.arange(num_chains))
    assert capsys.readouterr().err.count("6/6") >= num_chains


# Loops that can be switched off


@pytest.mark.parametrize("disabled", [False, True])
def test_control_flow_gives_the_same_with_and_without_primitives(disabled):
    with util.control_flow_prims_disabled() if disabled else contextlib.nullcontext():
        assert util.cond(True, 1, lambda x: x + 1, 2, lambda x: x * 5) == 2
        assert util.cond(False, 1, lambda x: x + 1, 2, lambda x: x * 5) == 10
        assert util.while_loop(lambda x: x < 10, lambda x: 2 * x, 1) == 16
        assert util.fori_loop(2, 5, lambda i, x: x + i, 0) == 9
        kinds = []
        util.maybe_jit(lambda x: kinds.append(util.not_jax_tracer(x)))(1.0)
        assert kinds == [disabled]


def test_control_flow_is_switched_on_again():
    with contextlib.suppress(RuntimeError), util.control_flow_prims_disabled(), util.control_flow_prims_disabled():
        raise RuntimeError
    kinds = []
    util.maybe_jit(lambda x: kinds.append(util.not_jax_tracer(x)))(1.0)
    assert kinds == [False]


def test_maybe_jit_passes_its_options_on():
    assert len(util.maybe_jit(lambda x, n: [x] * n, static_argnums=1)(3.0, 2)) == 2


# soft_vmap


@pytest.mark.parametrize("batch_ndims, chunk_size", [(0, None), (1, None), (1, 1), (1, 2), (2, None), (2, 5), (2, 100)])
def test_soft_vmap_is_vmap_in_chunks(batch_ndims, chunk_size):
    xs = {"a": jnp.arange(24.0).reshape(4, 3, 2), "b": jnp.ones((4, 3))}
    result = util.soft_vmap(lambda x: jnp.sin(x["a"]) + x["b"][..., None], xs, batch_ndims, chunk_size)
    np.testing.assert_allclose(result, jnp.sin(xs["a"]) + 1, rtol=1e-6)


# Small things


def test_is_prng_key():
    new, old = jax.random.key(0), jax.random.PRNGKey(0)
    assert util.is_prng_key(new) and util.is_prng_key(old) and util.is_prng_key(np.asarray(old))
    no_keys = [0, "a", None, jnp.zeros(2), jax.random.split(new), jax.random.split(old), np.int32(1)]
    assert not any(map(util.is_prng_key, no_keys))
    assert jax.jit(lambda k: jnp.array(util.is_prng_key(k)))(new)


def test_nested_attrgetter():
    state = SimpleNamespace(z=1, inner=SimpleNamespace(y=2))
    assert util.nested_attrgetter("inner.y")(state) == 2
    assert util.nested_attrgetter("z", "inner.y")(state) == (1, 2)
    with pytest.raises(ValueError, match="at least one"):
        util.nested_attrgetter()


def test_identity_and_optional():
    assert util.identity(3, 4, a=5) == 3
    entered = []

    @contextlib.contextmanager
    def note():
        entered.append(True)
        yield "value"

    with util.optional(True, note()) as value:
        assert value == "value"
    with util.optional(False, note()) as value:
        assert value is None
    assert entered == [True]


def test_cached_by_keeps_one_function_for_each_key():
    def outer(key):
        @util.cached_by(outer, key)
        def inner():
            return key

        return inner

    assert outer("a") is outer("a") and outer("a") is not outer("b") and outer("b")() == "b"
    first = outer(-1)
    for i in range(127):
        outer(i)
    assert outer(-1) is first
    for i in range(1000, 1128):
        outer(i)
    assert outer(-1) is not first


def test_warnings_point_at_the_first_line_outside_the_package():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        util.check_model_guide_match(sites(lambda: normal("x")), {})
    assert [w.filename for w in caught] == [__file__]
    assert util.find_stack_level() == 1


def test_set_rng_seed():
    draws = []
    for _ in range(2):
        util.set_rng_seed(3)
        draws.append((random.random(), np.random.rand()))
    assert draws[0] == draws[1]


def test_set_host_device_count_keeps_other_flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_force_host_platform_device_count=7 --xla_b=2")
    util.set_host_device_count(3)
    assert os.environ["XLA_FLAGS"].split() == ["--xla_force_host_platform_device_count=3", "--xla_a=1", "--xla_b=2"]
    with pytest.raises(ValueError, match="at least 1"):
        util.set_host_device_count(0)


def test_settings_take_effect_in_a_fresh_process():
    program = """
import numpyro
numpyro.set_platform("cpu"); numpyro.set_host_device_count(3); numpyro.enable_x64()
import jax, jax.numpy as jnp
print(jax.default_backend(), jax.local_device_count(), jnp.zeros(1).dtype)
numpyro.enable_x64(False)
print(jnp.zeros(1).dtype)
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_PLATFORMS", "JAX_ENABLE_X64")}
    shown = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["cpu", "3", "float64", "float32"]


# format_shapes: tables as NumPyro 0.22.0 prints them


def table(text):
    """A table with dots for spaces, one line between bars."""
    return "\n".join(line.strip()[1:-1].replace(".", " ") for line in text.strip().splitlines())


def nothing():
    pass


def scalar():
    normal("x")


def many():
    numpyro.param("mean_param_long_name", jnp.zeros((4, 3)))
    numpyro.param("s", 1.0)
    with numpyro.plate("data", 100, subsample_size=10, dim=-2):
        with numpyro.plate("comp", 3):
            x = normal("x", jnp.zeros(3))
            normal("mv", jnp.zeros((1, 1, 2)), 1)
        numpyro.deterministic("det", 2 * x)
    normal("obs", jnp.zeros((5, 4)), 2, obs=jnp.zeros((5, 4)))
    numpyro.factor("f", jnp.zeros(3))
    normal("d", jnp.zeros(3), 1, sample_shape=(7,))


TABLES = [
    (nothing, {}, "|Trace.Shapes:|"),
    (
        scalar,
        {},
        """
        |Trace.Shapes:..|
        |.Param.Sites:..|
        |Sample.Sites:..|
        |.......x.dist.||
        |........value.||
        """,
    ),
    (
        scalar,
        {"title": "Foo", "compute_log_prob": True},
        """
        |..........Foo..|
        |.Param.Sites:..|
        |Sample.Sites:..|
        |.......x.dist.||
        |........value.||
        |.....log_prob.||
        """,
    ),
    (
        many,
        {},
        """
        |.......Trace.Shapes:............|
        |........Param.Sites:............|
        |mean_param_long_name.....4.3....|
        |...................s............|
        |.......Sample.Sites:............|
        |..........data.plate....10.|....|
        |..........comp.plate.....3.|....|
        |..............x.dist.10..3.|....|
        |...............value.10..3.|....|
        |.............mv.dist.10..3.|.2..|
        |...............value.10..3.|.2..|
        |............obs.dist.......|.5.4|
        |...............value.......|.5.4|
        |..............f.dist.....3.|.0..|
        |...............value.....3.|.0..|
        |..............d.dist.......|.3..|
        |...............value.....7.|.3..|
        """,
    ),
    (
        many,
        {"last_site": "x", "title": "Foo", "compute_log_prob": lambda site: site["name"] == "x"},
        """
        |.................Foo........|
        |........Param.Sites:........|
        |mean_param_long_name.....4.3|
        |...................s........|
        |.......Sample.Sites:........|
        |..........data.plate....10.||
        |..........comp.plate.....3.||
        |..............x.dist.10..3.||
        |...............value.10..3.||
        |............log_prob.10..3.||
        """,
    ),
    (
        lambda: (numpyro.param("p", jnp.zeros((4, 30))), normal("x", jnp.zeros((70, 6, 5, 22, 1)), 2)),
        {"compute_log_prob": True},
        """
        |Trace.Shapes:...............|
        |.Param.Sites:...............|
        |............p......4.30.....|
        |Sample.Sites:...............|
        |.......x.dist.70.6.5..|.22.1|
        |........value.70.6.5..|.22.1|
        |.....log_prob.70.6.5..|.....|
        """,
    ),
    (
        lambda: (numpyro.param("tree", {"w": jnp.zeros(3)}), numpyro.deterministic("d", jnp.zeros(2))),
        {},
        """
        |Trace.Shapes:|
        |.Param.Sites:|
        |.........tree|
        |Sample.Sites:|
        """,
    ),
    (
        lambda: normal("a", jnp.zeros((1000, 2)), obs=jnp.zeros((3, 1000, 2))),
        {},
        """
        |Trace.Shapes:..........|
        |.Param.Sites:..........|
        |Sample.Sites:..........|
        |.......a.dist...1000.2.||
        |........value.3.1000.2.||
        """.replace(":..........|", ":...........|"),
    ),
    (
        scope(lambda: numpyro.plate("p", 5)(lambda: normal("z"))(), prefix="a"),
        {},
        """
        |Trace.Shapes:....|
        |.Param.Sites:....|
        |Sample.Sites:....|
        |....a/p.plate.5.||
        |.....a/z.dist.5.||
        |........value.5.||
        """,
    ),
]


@pytest.mark.parametrize("model, options, expected", TABLES)
def test_format_shapes(model, options, expected):
    assert util.format_shapes(sites(model), **options) == table(expected)


# check_model_guide_match


def warned(model, guide):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        util.check_model_guide_match(sites(model), sites(guide))
    return [str(w.message) for w in caught]


def plated(size, subsample_size=None, name="N", dim=None):
    def model():
        with numpyro.plate(name, size, subsample_size=subsample_size, dim=dim):
            normal("x")

    return model


def both():
    normal("x")
    normal("y")


AUXILIARY = {"infer": {"is_auxiliary": True}}


@pytest.mark.parametrize(
    "model, guide, match",
    [
        (scalar, scalar, None),
        (both, scalar, r"in model but not guide: \['y'\]"),
        (scalar, both, r"in guide but not model: \['y'\]"),
        (scalar, lambda: (normal("x"), normal("y", **AUXILIARY)), None),
        (both, lambda: (normal("x"), normal("y", **AUXILIARY)), r"auxiliary vars in the model: \['y'\]"),
        (lambda: (normal("x"), normal("y", infer={"enumerate": "parallel"})), scalar, None),
        (lambda: (normal("x"), normal("y", obs=0.0)), scalar, None),
        (plated(3), plated(3), None),
        (plated(4), plated(4, name="M"), r"plate statements in guide but not model: \['M'\]"),
        (plated(4), lambda: normal("x", jnp.zeros(4)), None),
    ],
)
def test_a_guide_that_has_other_sites(model, guide, match):
    messages = warned(model, guide)
    if match is None:
        assert messages == []
    else:
        assert len(messages) == 1
        assert pytest.raises(AssertionError, match=match).matches(AssertionError(messages[0]))


@pytest.mark.parametrize(
    "model, guide, match",
    [
        (scalar, lambda: normal("x", jnp.zeros(3)), r"shapes disagree at site 'x': \(\) vs \(3,\)"),
        (scalar, lambda: normal("x", jnp.zeros(3), 1), "event_dims disagree at site 'x': 0 vs 1"),
        (plated(3), plated(4), r"\(3,\) vs \(4,\)"),
        (plated(4, 2), plated(4, 3), r"\(2,\) vs \(3,\)"),
        (plated(4), plated(4, dim=-2), r"\(4,\) vs \(4, 1\)"),
    ],
)
def test_a_guide_of_other_shapes(model, guide, match):
    with pytest.raises(ValueError, match=match):
        warned(model, guide)
