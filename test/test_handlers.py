# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What each effect handler does, alone and with others."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.handlers import (
    block,
    condition,
    do,
    infer_config,
    lift,
    mask,
    reparam,
    replay,
    scale,
    scope,
    seed,
    substitute,
    trace,
    uncondition,
)
from numpyro.primitives import Messenger, mutable


def model():
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    y = numpyro.sample("y", dist.Normal(x, 1.0), obs=1.0)
    d = numpyro.deterministic("d", x + y)
    p = numpyro.param("p", 4.0)
    return x, y, d, p


def sites(fn, *args, rng_seed=0):
    return trace(seed(fn, rng_seed=rng_seed)).get_trace(*args)


def summary(found):
    return {name: (site["type"], site["value"], site.get("is_observed")) for name, site in found.items()}


def log_prob(site):
    value = site["fn"].log_prob(site["value"])
    return value if site["scale"] is None else site["scale"] * value


# trace


def test_trace_keeps_the_order_of_execution():
    assert list(sites(model)) == ["x", "y", "d", "p"]


def test_trace_as_a_context_starts_anew():
    tracer = trace()
    with seed(rng_seed=0):
        with tracer as first:
            model()
        with tracer as second:
            numpyro.sample("z", dist.Normal(0.0, 1.0))
    assert list(first) == ["x", "y", "d", "p"] and list(second) == ["z"]


def test_nested_traces_see_the_same_sites():
    with seed(rng_seed=0), trace() as outer, trace() as inner:
        model()
    assert list(outer) == list(inner)


@pytest.mark.parametrize(
    "second", [lambda: numpyro.sample("x", dist.Normal(0.0, 1.0)), lambda: numpyro.deterministic("x", 1.0), model]
)
def test_a_name_used_twice_is_an_error_that_says_what_to_do(second):
    with pytest.raises(ValueError, match=r"'x' appears twice, as sample and as .*scope\(prefix"):
        sites(lambda: (numpyro.sample("x", dist.Normal(0.0, 1.0)), second()))


def test_get_trace_needs_a_model():
    with pytest.raises(TypeError, match=r"trace\(model\)"):
        trace().get_trace()


# seed


def test_seeds_of_all_kinds_lead_to_the_same_draw():
    kinds = [3, np.int32(3), jnp.array(3), jax.random.key(3), jax.random.PRNGKey(3)]
    assert len({float(seed(model, rng_seed=kind)()[0]) for kind in kinds}) == 1


def test_the_first_draw_comes_from_the_second_half_of_the_split_key():
    _, key = jax.random.split(jax.random.key(5))
    assert seed(model, rng_seed=5)()[0] == dist.Normal(0.0, 1.0).sample(key)


def test_a_seeded_model_repeats_itself_and_a_context_goes_on():
    seeded = seed(model, rng_seed=0)
    assert seeded()[0] == seeded()[0]
    with seed(rng_seed=0):
        assert model()[0] != model()[0]


def test_a_stateful_seed_goes_on():
    class GoesOn(seed):
        stateful = True

    seeded = GoesOn(model, rng_seed=0)
    assert seeded()[0] != seeded()[0]


def test_seed_under_jit_takes_traced_integers():
    draw = jax.jit(lambda s: seed(model, rng_seed=s)()[0])
    np.testing.assert_allclose(draw(3), seed(model, rng_seed=3)()[0], rtol=1e-6)


def test_the_inner_seed_wins():
    assert seed(seed(model, rng_seed=1), rng_seed=2)()[0] == seed(model, rng_seed=1)()[0]


def test_only_sites_that_are_drawn_use_up_keys():
    def many():
        numpyro.sample("a", dist.Normal(0.0, 1.0), obs=0.0)
        numpyro.factor("f", 0.0)
        with numpyro.plate("N", 3):
            pass
        return numpyro.sample("x", dist.Normal(0.0, 1.0))

    assert seed(many, rng_seed=1)() == seed(model, rng_seed=1)()[0]


def test_hidden_types_get_their_keys_from_elsewhere():
    def both():
        return numpyro.prng_key(), numpyro.sample("x", dist.Normal(0.0, 1.0))

    key, _ = seed(both, rng_seed=0, hide_types=["prng_key"])()
    assert key is None
    key, x = seed(seed(both, rng_seed=0, hide_types=["prng_key"]), rng_seed=1)()
    assert key == jax.random.split(jax.random.key(1))[1]
    assert x == seed(model, rng_seed=0)()[0]


@pytest.mark.parametrize("bad", ["a", 1.5, [0, 1], jax.random.split(jax.random.key(0)), jnp.array([0, 1])])
def test_what_is_no_seed(bad):
    with pytest.raises(TypeError, match="rng_seed must be an integer or a single random key"):
        seed(model, rng_seed=bad)


# substitute, condition, uncondition, replay


def test_substitute_gives_values_and_observes_nothing():
    found = trace(substitute(model, data={"x": 2.0, "y": 3.0, "d": 7.0, "p": 5.0})).get_trace()
    assert summary(found) == {
        "x": ("sample", 2.0, False),
        "y": ("sample", 3.0, True),
        "d": ("deterministic", 7.0, None),
        "p": ("param", 5.0, None),
    }


def test_substitute_fn_is_asked_for_every_site():
    asked = []

    def both():
        with numpyro.plate("N", 2):
            model()
        mutable("m", 1)
        numpyro.prng_key()
        numpyro.get_mask()

    seed(substitute(both, substitute_fn=lambda site: asked.append(site["name"])), rng_seed=0)()
    assert asked == ["N", "x", "y", "d", "p", "m"]
    values = substitute(model, substitute_fn=lambda site: {"x": 2.0}.get(site["name"]))()
    assert values == (2.0, 1.0, 3.0, 4.0)


def test_condition_observes():
    found = trace(condition(model, data={"x": 2.0, "y": 3.0, "d": 7.0})).get_trace()
    assert summary(found)["x"] == ("sample", 2.0, True)
    assert summary(found)["y"] == ("sample", 3.0, True)
    assert summary(found)["d"] == ("deterministic", 5.0, None)
    found = trace(condition(model, condition_fn=lambda site: 2.0 if site["name"] == "x" else None)).get_trace()
    assert summary(found)["x"] == ("sample", 2.0, True) and summary(found)["y"] == ("sample", 1.0, True)


def test_the_outer_value_wins():
    assert substitute(substitute(model, data={"x": 1.0}), data={"x": 2.0})()[0] == 2.0
    assert condition(condition(model, data={"x": 1.0}), data={"x": 2.0})()[0] == 2.0


@pytest.mark.parametrize("handler, name", [(substitute, "substitute_fn"), (condition, "condition_fn")])
def test_either_data_or_a_function(handler, name):
    for options in ({}, {"data": {}, name: lambda site: None}):
        with pytest.raises(ValueError, match=f"either data or {name}"):
            handler(model, **options)


@pytest.mark.parametrize("seed_inside", [True, False])
def test_uncondition_makes_observed_sites_latent(seed_inside):
    unobserved = uncondition(seed(model, rng_seed=0)) if seed_inside else seed(uncondition(model), rng_seed=0)
    site = trace(unobserved).get_trace()["y"]
    assert not site["is_observed"] and site["value"] != 1.0
    assert site["infer"] == {"was_observed": True, "obs": 1.0}


def test_condition_outside_uncondition_observes_again():
    assert summary(sites(condition(uncondition(model), data={"y": 3.0})))["y"] == ("sample", 3.0, True)


def test_replay_takes_latent_values_infer_and_indices():
    def subsampled():
        with numpyro.plate("N", 10, subsample_size=3) as index:
            numpyro.sample("x", dist.Normal(0.0, 1.0), infer={"hint": 1})
            return index

    guide = sites(subsampled, rng_seed=1)
    again = sites(replay(subsampled, trace=guide), rng_seed=2)
    np.testing.assert_array_equal(again["N"]["value"], guide["N"]["value"])
    np.testing.assert_array_equal(again["x"]["value"], guide["x"]["value"])
    assert again["x"]["infer"] == {"hint": 1} and again["x"]["infer"] is not guide["x"]["infer"]


def test_replay_leaves_observed_sites_alone():
    guide = trace(substitute(lambda: numpyro.sample("y", dist.Normal(0.0, 1.0)), data={"y": 9.0})).get_trace()
    assert sites(replay(model, trace=guide))["y"]["value"] == 1.0


@pytest.mark.parametrize("kind", [condition, lambda fn, data: lambda: numpyro.deterministic("x", 1.0)])
def test_replay_wants_sampled_sites(kind):
    guide = trace(kind(model, data={"x": 2.0})).get_trace()
    with pytest.raises(RuntimeError, match="Site 'x' must be sampled in trace"):
        sites(replay(model, trace=guide))
    with pytest.raises(ValueError, match="replay needs a trace"):
        replay(model)


# block


@pytest.mark.parametrize(
    "options, visible",
    [
        ({}, []),
        ({"hide": ["x"]}, ["y", "d", "p"]),
        ({"expose": ["x"]}, ["x"]),
        ({"expose_types": ["param"]}, ["p"]),
        ({"expose_types": ["param"], "expose": ["x"]}, ["x", "p"]),
        ({"hide_fn": lambda site: site["type"] == "sample"}, ["d", "p"]),
        ({"hide_fn": lambda site: site["type"] == "sample", "hide": ["d"]}, ["d", "p"]),
        ({"hide": ["x", "y"], "expose": ["y"]}, ["d", "p"]),
    ],
)
def test_block_hides(options, visible):
    assert list(trace(block(seed(model, rng_seed=0), **options)).get_trace()) == visible
    assert list(trace(seed(block(model, **options), rng_seed=0)).get_trace()) == visible


def test_a_blocked_site_is_out_of_reach():
    assert seed(substitute(block(model, hide=["x"]), data={"x": 100.0}), rng_seed=0)()[0] != 100.0


def test_a_blocked_subsample_gets_its_key_too():
    def indices():
        with numpyro.plate("N", 10, subsample_size=3) as index:
            return index

    assert seed(block(indices), rng_seed=0)().tolist() == seed(indices, rng_seed=0)().tolist()


# do


def square():
    z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    return z**2


@pytest.mark.parametrize("seed_inside", [True, False])
def test_do_fixes_what_the_model_sees_and_leaves_the_site_random(seed_inside):
    if seed_inside:
        intervened = do(seed(square, rng_seed=0), data={"z": 3.0})
    else:
        intervened = seed(do(square, data={"z": 3.0}), rng_seed=0)
    with trace() as found:
        assert intervened() == 9.0
    assert found["z"]["value"] == sites(square)["z"]["value"] and not found["z"]["is_observed"]


def test_the_site_under_an_intervention_can_be_observed():
    with trace() as found:
        assert condition(do(square, data={"z": 3.0}), data={"z": 2.0})() == 9.0
    assert summary(found) == {"z": ("sample", 2.0, True)}


def test_do_leaves_observations_in_the_density():
    with trace() as found:
        y = seed(do(model, data={"y": 5.0}), rng_seed=0)()[1]
    assert y == 5.0 and summary(found)["y"] == ("sample", 1.0, True)


def test_do_under_a_plate_hides_its_value_from_the_outside_only():
    def plated():
        with numpyro.plate("N", 3):
            return numpyro.sample("z", dist.Normal(0.0, 1.0))

    with trace() as outside:
        z = seed(do(plated, data={"z": jnp.full(3, 7.0)}), rng_seed=0)()
    np.testing.assert_array_equal(z, [7.0, 7.0, 7.0])
    assert outside["z"]["value"].shape == (3,) and not np.any(outside["z"]["value"] == 7.0)


# scale, mask


def test_scale_multiplies():
    found = sites(scale(scale(model, scale=10.0), scale=0.5))
    assert {name: site["scale"] for name, site in found.items()} == {"x": 5.0, "y": 5.0, "d": None, "p": 5.0}


def test_scale_and_subsampling_multiply():
    def subsampled():
        with numpyro.plate("N", 10, subsample_size=5):
            numpyro.sample("x", dist.Normal(0.0, 1.0))

    assert sites(scale(subsampled, scale=3.0))["x"]["scale"] == 6.0


@pytest.mark.parametrize("bad", [0, -1.0, np.array([1.0, 0.0])])
def test_scale_is_positive(bad):
    with pytest.raises(ValueError, match="scale must be positive"):
        scale(model, scale=bad)


def test_scale_may_be_traced():
    def density(factor):
        found = trace(scale(substitute(model, data={"x": 0.0}), scale=factor)).get_trace()
        return log_prob(found["y"])

    np.testing.assert_allclose(jax.jit(jax.grad(density))(2.0), dist.Normal(0.0, 1.0).log_prob(1.0), rtol=1e-6)


def test_mask_zeroes_densities_and_leaves_values():
    def plated():
        with numpyro.plate("N", 3), mask(mask=jnp.array([True, False, True])):
            numpyro.sample("x", dist.Normal(0.0, 1.0))

    x = sites(plated)["x"]
    expected = jnp.where(jnp.array([True, False, True]), dist.Normal(0.0, 1.0).log_prob(x["value"]), 0.0)
    np.testing.assert_allclose(log_prob(x), expected, rtol=1e-6)
    assert np.all(np.asarray(x["value"]) != 0)


def test_masks_compose():
    def masked():
        with mask(mask=jnp.array([True, True, False])), mask(mask=jnp.array([True, False, True])):
            numpyro.sample("x", dist.Normal(0.0, 1.0), obs=jnp.ones(3))

    np.testing.assert_array_equal(log_prob(sites(masked)["x"]) != 0, [True, False, False])


@pytest.mark.parametrize("bad", [None, 1, jnp.array([1.0, 0.0]), jnp.array([1, 0])])
def test_a_mask_is_boolean(bad):
    with pytest.raises(ValueError, match="mask must be a boolean"):
        mask(model, mask=bad)


# scope, infer_config


def test_scope_prefixes_every_name():
    assert list(sites(scope(model, prefix="a"))) == ["a/x", "a/y", "a/d", "a/p"]
    nested = scope(scope(model, prefix="a"), prefix="b", divider="_")
    assert list(sites(nested)) == ["b_a/x", "b_a/y", "b_a/d", "b_a/p"]
    assert list(sites(scope(model, prefix="a", hide_types=["param", "sample"]))) == ["x", "y", "a/d", "p"]


def test_scope_prefixes_plates_inside_and_not_outside():
    def plated():
        with numpyro.plate("M", 2), scope(prefix="a"), numpyro.plate("N", 3):
            numpyro.sample("x", dist.Normal(0.0, 1.0))

    found = sites(plated)
    assert list(found) == ["M", "a/N", "a/x"]
    assert [frame.name for frame in found["a/x"]["cond_indep_stack"]] == ["a/N", "M"]


def test_infer_config_updates_samples():
    configured = infer_config(
        lambda: (numpyro.sample("x", dist.Normal(0.0, 1.0), infer={"a": 1}), numpyro.param("p", 1.0)),
        config_fn=lambda site: {"b": site["name"]},
    )
    found = sites(configured)
    assert found["x"]["infer"] == {"a": 1, "b": "x"} and "infer" not in found["p"]
    assert sites(infer_config(model, config_fn=lambda site: None))["x"]["infer"] == {}
    with pytest.raises(ValueError, match="needs config_fn"):
        infer_config(model)


# lift


@pytest.mark.parametrize("prior", [dist.Normal(10.0, 0.1), {"p": dist.Normal(10.0, 0.1)}], ids=["all", "named"])
@pytest.mark.parametrize("seed_inside", [True, False])
def test_lift_samples_parameters(prior, seed_inside):
    lifted = lift(seed(model, rng_seed=0), prior=prior) if seed_inside else seed(lift(model, prior=prior), rng_seed=0)
    site = trace(lifted).get_trace()["p"]
    assert site["type"] == "sample" and not site["is_observed"] and abs(site["value"] - 10.0) < 1.0


def test_a_lifted_parameter_has_one_value_each_run():
    def twice():
        return numpyro.param("p", 1.0), numpyro.param("p", 1.0)

    lifted = lift(twice, prior=dist.Normal(0.0, 1.0))
    with trace() as found, seed(rng_seed=0):
        first, again = lifted()
    assert first == again and list(found) == ["p"]
    with seed(rng_seed=1):
        assert lifted()[0] != first


def test_parameters_without_prior_stay():
    found = sites(lift(model, prior={"other": dist.Normal(0.0, 1.0), "p": None}))
    assert found["p"]["type"] == "param" and found["p"]["value"] == 4.0


# reparam


def standardise(name, fn, obs):
    z = numpyro.sample(f"{name}_standard", dist.Normal(0.0, 1.0), obs=obs)
    return None, 5.0 + 2.0 * z


def test_a_strategy_can_make_a_site_deterministic():
    for config in ({"x": standardise}, lambda site: standardise if site["name"] == "x" else None):
        found = sites(reparam(model, config=config))
        assert list(found) == ["x_standard", "x", "y", "d", "p"]
        assert found["x"]["type"] == "deterministic" and "is_observed" not in found["x"]
        assert found["x"]["value"] == 5.0 + 2.0 * found["x_standard"]["value"]


def test_a_strategy_can_change_the_distribution():
    far = dist.Normal(100.0, 1.0)
    found = sites(reparam(model, config={"x": lambda name, fn, obs: (far, None)}))
    assert found["x"]["fn"] is far and found["x"]["value"] > 90.0 and not found["x"]["is_observed"]
    fixed = sites(reparam(model, config={"x": lambda name, fn, obs: (far, 3.0)}))
    assert summary(fixed)["x"] == ("sample", 3.0, True)


def test_a_strategy_is_told_the_observation_only():
    told = {}

    def listen(name, fn, obs):
        told[name] = obs
        return fn, None

    substitute(reparam(model, config=lambda site: listen), data={"x": 3.0})()
    reparam(substitute(model, data={"x": 3.0}), config=lambda site: listen)()
    assert told == {"x": None, "y": 1.0}


def test_the_statements_of_a_strategy_have_all_handlers_around_them():
    def plated():
        with numpyro.plate("N", 3), scale(scale=2.0):
            return numpyro.sample("x", dist.Normal(0.0, 1.0))

    found = sites(reparam(plated, config={"x": standardise}))
    assert found["x_standard"]["value"].shape == (3,) and found["x_standard"]["scale"] == 2.0
    assert found["x_standard"]["cond_indep_stack"] == found["x"]["cond_indep_stack"]


def test_reparam_inside_and_outside_a_scope():
    inside = scope(reparam(model, config={"x": standardise}), prefix="a")
    outside = reparam(scope(model, prefix="a"), config={"a/x": standardise})
    assert list(sites(inside))[:2] == list(sites(outside))[:2] == ["a/x_standard", "a/x"]


@pytest.mark.parametrize("config", [None, 3, "x"])
def test_reparam_wants_strategies(config):
    with pytest.raises(ValueError, match="reparam needs config"):
        reparam(model, config=config)


def test_a_strategy_returns_something():
    with pytest.raises(ValueError, match=r"site 'x' returned \(None, None\)"):
        sites(reparam(model, config={"x": lambda name, fn, obs: (None, None)}))
    with pytest.raises(ValueError, match="strategy for site 'x' must be a function"):
        sites(reparam(model, config={"x": 3}))


# In the bodies of control flow, seen from the handlers' side


def control_flow(body_handlers=None):
    return {
        "type": "control_flow",
        "name": "_scan",
        "fn": lambda rng_key=None: rng_key,
        "args": (),
        "kwargs": {"rng_key": None},
        "value": None,
        "body_handlers": [] if body_handlers is None else body_handlers,
    }


class Boundary(Messenger):
    """Stops what comes out of a body, as scan does."""

    def process_message(self, msg):
        msg["stop"] = True
        if msg["type"] == "sample" and msg["value"] is None:
            msg["kwargs"]["rng_key"] = jax.random.key(0)


def in_body(body, *handlers):
    """Sites of a body under the given handlers around a scan, outermost first, and the control flow message."""
    from contextlib import ExitStack

    from numpyro.primitives import apply_stack

    with ExitStack() as stack:
        for handler in handlers:
            stack.enter_context(handler)
        msg = apply_stack(control_flow())
        for wrap in msg["body_handlers"]:
            body = wrap(body)
        with Boundary(), trace() as found:
            body()
    return found, msg


def body():
    numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("z", dist.Normal(0.0, 1.0))


def test_seed_gives_control_flow_a_key():
    _, msg = in_body(body, seed(rng_seed=0))
    assert msg["kwargs"]["rng_key"] == jax.random.split(jax.random.key(0))[1]


def test_a_plate_acts_in_the_body_with_its_indices():
    with seed(rng_seed=0):
        rows = numpyro.plate("rows", 5, subsample_size=2, dim=-2)
        found, _ = in_body(body, rows)
    assert found["x"]["value"].shape == (2, 1) and found["x"]["scale"] == 2.5
    assert list(found) == ["x", "z"]


def test_reparam_infer_config_and_scope_act_in_the_body():
    found, msg = in_body(
        body,
        infer_config(config_fn=lambda site: {"seen": site["name"]}),
        scope(prefix="b"),
        scope(prefix="a"),
        reparam(config={"x": standardise}),
    )
    assert list(found) == ["b/a/x_standard", "b/a/x", "b/a/z"]
    assert found["b/a/z"]["infer"] == {"seen": "b/a/z"}
    assert msg["scope_prefix"] == "b/a/"


def test_a_block_shields_sites_from_what_acts_in_the_body():
    config = {"x": standardise, "z": standardise}
    found, _ = in_body(body, reparam(config=config), block(hide=["x"]))
    assert list(found) == ["x", "z_standard", "z"]
    found, _ = in_body(body, reparam(config=config), block())
    assert list(found) == ["x", "z"]


def test_get_mask_is_answered_in_the_body():
    answers = []
    in_body(lambda: answers.append(numpyro.get_mask()), mask(mask=False))
    assert answers == [False]


def told(value, stage, **changes):
    return {
        "type": "sample",
        "name": "x",
        "fn": dist.Normal(jnp.zeros((4, 3)), 1.0),
        "args": (),
        "kwargs": {"rng_key": jax.random.key(0), "sample_shape": ()},
        "value": value,
        "scale": None,
        "is_observed": False,
        "intermediates": [],
        "cond_indep_stack": [],
        "infer": {},
        "scan": stage,
        **changes,
    }


def send(msg, *handlers):
    from contextlib import ExitStack

    from numpyro.primitives import postprocess, process

    with ExitStack() as stack:
        for handler in handlers:
            stack.enter_context(handler)
        seen = process(msg)
        if msg["scan"] == "tell":
            postprocess(msg, seen)
    return msg


VALUES = np.zeros((4, 3))


def test_asked_handlers_give_stacked_values():
    assert send(told(None, "ask"), substitute(data={"x": VALUES}))["value"] is VALUES
    observed = send(told(None, "ask"), condition(data={"x": VALUES}))
    assert observed["value"] is VALUES and observed["is_observed"]
    site = {"type": "sample", "is_observed": False, "value": VALUES, "infer": {}}
    assert send(told(None, "ask"), replay(trace={"x": site}))["value"] is VALUES
    assert send(told(VALUES, "ask", is_observed=True), uncondition())["value"] is None


def test_functions_decide_in_the_body():
    def init(site):
        return site["fn"].mean

    msg = send(told(None, "ask"), substitute(substitute_fn=init))
    assert msg["in_body"] is init and msg["value"] is None
    assert send(told(VALUES, "tell"), substitute(substitute_fn=lambda site: 1 / 0))["value"] is VALUES


def test_told_sites_are_not_changed_again():
    rows = numpyro.plate("rows", 5, subsample_size=None, dim=-1)
    msg = told(VALUES, "tell", cond_indep_stack=[rows.frame], name="x")
    config = infer_config(config_fn=lambda site: {"again": True})
    with trace() as found:
        send(msg, rows, reparam(config={"x": standardise}), config, seed(rng_seed=0), scope(prefix="a"))
    assert found["a/x"]["type"] == "sample" and found["a/x"]["infer"] == {}
    assert found["a/x"]["fn"].batch_shape == (4, 3) and found["a/x"]["cond_indep_stack"] == [rows.frame]


def test_told_sites_are_masked_and_scaled_as_if_vectorised():
    with trace() as found:
        send(told(VALUES, "tell"), scale(scale=2.0), mask(mask=jnp.arange(4)[:, None] < 2))
    np.testing.assert_array_equal(np.all(log_prob(found["x"]) == 0, axis=1), [False, False, True, True])
    np.testing.assert_allclose(log_prob(found["x"])[0], 2.0 * dist.Normal(0.0, 1.0).log_prob(0.0), rtol=1e-6)


def test_do_around_a_scan_gives_the_body_its_value_and_the_outside_a_draw():
    asked = send(told(None, "ask"), substitute(data={"x": VALUES + 1}), do(data={"x": VALUES}))
    assert asked["value"] is VALUES
    with trace() as outside, do(data={"x": VALUES}), trace() as inside:
        send(told(VALUES, "tell"))
    assert inside["x"]["value"] is VALUES
    assert outside["x"]["value"].shape == (4, 3) and len(np.unique(outside["x"]["value"])) == 12
    with pytest.raises(NotImplementedError, match="site 'x' is observed in the body of a scan"):
        send(told(VALUES, "ask", is_observed=True), do(data={"x": VALUES}))


def test_replay_keeps_plates_and_sites_apart():
    def plated():
        with numpyro.plate("x", 3):
            numpyro.sample("y", dist.Normal(0.0, 1.0))

    recorded = trace(seed(lambda: numpyro.sample("x", dist.Normal(0.0, 1.0)), 0)).get_trace()
    with pytest.raises(RuntimeError, match="'x' is a plate, but a sample site in the trace"):
        seed(replay(plated, trace=recorded), 0)()
