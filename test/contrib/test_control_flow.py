# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""scan and cond with sample statements in their bodies: shapes, densities, and every effect from outside."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose
import pytest

import numpyro
from numpyro import handlers
from numpyro.contrib.control_flow import cond, scan
import numpyro.distributions as dist
from numpyro.infer import Predictive
from numpyro.infer.reparam import LocScaleReparam, TransformReparam
from numpyro.infer.util import log_density

T = 4
OUTER, INNER = 3, 5

#: Plates (outermost first, sizes) and the batch shape of the parameters under them.
LAYOUTS = {
    "no plate": ((), ()),
    "one plate, full": ((INNER,), (INNER,)),
    "one plate, size 1": ((INNER,), (1,)),
    "one plate, scalar": ((INNER,), ()),
    "two plates, full": ((OUTER, INNER), (OUTER, INNER)),
    "two plates, inner": ((OUTER, INNER), (INNER,)),
    "two plates, outer": ((OUTER, INNER), (OUTER, 1)),
    "two plates, scalar": ((OUTER, INNER), ()),
    "equal sizes": ((T, T), (T,)),
    "plate of the scan's length": ((T,), ()),
}

EVENTS = {"Normal": (), "Dirichlet": (3,), "MultivariateNormal": (2,), "MultivariateNormal, batched scale": (2,)}


def make(family, c, shape):
    """A distribution of batch shape ``shape`` whose parameters move with the scalar ``c``."""
    grid = jnp.arange(float(np.prod(shape, dtype=int))).reshape(shape) / 10
    if family == "Normal":
        return dist.Normal(c + grid, 1.3)
    if family == "Dirichlet":
        return dist.Dirichlet(1.5 + jnp.exp(0.1 * (c + grid))[..., None] * jnp.array([1.0, 2.0, 3.0]))
    loc = (c + grid)[..., None] + jnp.array([0.0, 0.5])
    scale_tril = jnp.array([[1.1, 0.0], [0.4, 0.8]])
    if family == "MultivariateNormal":
        return dist.MultivariateNormal(loc, scale_tril=scale_tril)
    return dist.MultivariateNormal(loc, scale_tril=scale_tril * (1 + grid)[..., None, None])


def enter_plates(stack, sizes, names="ab"):
    for name, size, dim in zip(names, sizes, range(-len(sizes), 0), strict=False):
        stack.enter_context(numpyro.plate(name, size, dim=dim))


WRAPPERS = {
    "plain": lambda d, plates: d,
    "expand": lambda d, plates: d.expand(plates),
    "to_event": lambda d, plates: d.expand((*plates, 2)).to_event(1) if not d.event_shape else d.expand(plates),
    "mask": lambda d, plates: d.mask(jnp.arange(plates[-1] if plates else 1) % 2 == 0 if plates else True),
}


def step_site(family, layout, wrapper, c, name="x", obs=None):
    plates, shape = LAYOUTS[layout]
    if wrapper == "to_event" and not EVENTS[family]:
        shape = (*shape, 1)
    with contextlib.ExitStack() as stack:
        enter_plates(stack, plates)
        return numpyro.sample(name, WRAPPERS[wrapper](make(family, c, shape), plates), obs=obs)


def summary(x):
    """A scalar that the next step depends on."""
    return jnp.tanh(jnp.mean(x))


def scan_model(family, layout, wrapper, c=0.3, obs=None, reverse=False):
    def body(c, inputs):
        a, y = inputs
        x = step_site(family, layout, wrapper, c + a, obs=y)
        return 0.5 * c + summary(x), x

    return scan(body, jnp.asarray(c), (jnp.linspace(0.0, 1.0, T), obs), length=T, reverse=reverse)


def loop_model(family, layout, wrapper, c=0.3, obs=None, reverse=False):
    steps = range(T - 1, -1, -1) if reverse else range(T)
    for t in steps:
        y = None if obs is None else obs[t]
        x = step_site(family, layout, wrapper, c + jnp.linspace(0.0, 1.0, T)[t], f"x_{t}", y)
        c = 0.5 * c + summary(x)


def value_shape(family, layout, wrapper):
    plates, _ = LAYOUTS[layout]
    event = EVENTS[family]
    return plates + ((2,) if wrapper == "to_event" and not event else event)


def random_values(family, layout, wrapper, length=T, seed=0):
    shape = (length, *value_shape(family, layout, wrapper))
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return np.asarray(jax.nn.softmax(x, -1)) if family == "Dirichlet" else x


every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_family = pytest.mark.parametrize("family", EVENTS)
every_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)


@every_wrapper
@every_layout
@every_family
def test_promotion_prepends_only_the_scan_length(family, layout, wrapper):
    plates, _ = LAYOUTS[layout]
    shape = value_shape(family, layout, wrapper)

    @jax.jit
    def run(key):
        trace = handlers.trace(handlers.seed(scan_model, key)).get_trace(family, layout, wrapper)
        site = trace["x"]
        again = site["fn"].sample(key, (2,))
        return site["fn"], site["value"], again, site["fn"].log_prob(again)

    fn, value, again, log_prob = jax.eval_shape(run, jax.random.key(0))
    assert fn.batch_shape == (T, *plates)
    assert fn.event_shape == shape[len(plates) :]
    assert value.shape == (T, *shape)
    assert again.shape == (2, T, *shape)
    assert log_prob.shape == (2, T, *plates)


@every_wrapper
@every_layout
@every_family
def test_density_and_gradient_are_those_of_a_loop(family, layout, wrapper):
    values = random_values(family, layout, wrapper)

    @jax.jit
    def both(c, values):
        def scanned(c, values):
            return log_density(scan_model, (family, layout, wrapper, c), {}, {"x": values})[0]

        def looped(c, values):
            params = {f"x_{t}": values[t] for t in range(T)}
            return log_density(loop_model, (family, layout, wrapper, c), {}, params)[0]

        return [jax.value_and_grad(f, argnums=(0, 1))(c, values) for f in (scanned, looped)]

    scanned, looped = both(0.3, values)
    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=2e-4, atol=2e-4), scanned, looped)


@pytest.mark.parametrize("how", ["obs", "condition", "substitute", "replay", "do"])
@pytest.mark.parametrize("layout", ["no plate", "two plates, outer"])
@every_family
def test_values_from_outside_arrive_at_their_steps(family, layout, how):
    values = random_values(family, layout, "plain")
    wrap = {
        "obs": lambda m: m,
        "condition": lambda m: handlers.condition(m, data={"x": values}),
        "substitute": lambda m: handlers.substitute(m, data={"x": values}),
        "replay": lambda m: handlers.replay(
            m, trace={"x": {"type": "sample", "value": values, "is_observed": False, "infer": {}}}
        ),
        "do": lambda m: handlers.do(m, data={"x": values}),
    }[how]

    @jax.jit
    def run(key):
        kwargs = {"obs": values} if how == "obs" else {}
        model = wrap(handlers.seed(scan_model, key))
        with handlers.trace() as trace:
            _, xs = model(family, layout, "plain", **kwargs)
        info["trace"] = trace
        return xs, {name: site["value"] for name, site in trace.items() if site["type"] == "sample"}

    info = {}
    xs, recorded = run(jax.random.key(1))
    assert_allclose(xs, values, rtol=1e-6)
    if how == "do":
        # Outside an intervention the site is still random, and nothing depends on it.
        assert np.all(recorded["x"] != values)
    else:
        assert_allclose(recorded["x"], values, rtol=1e-6)
    assert info["trace"]["x"]["is_observed"] == (how in ("obs", "condition"))


@pytest.mark.parametrize("layout", ["no plate", "two plates, inner"])
def test_reverse_runs_from_the_end_and_keeps_the_order(layout):
    values = random_values("Normal", layout, "plain")

    def density(model, params):
        return log_density(model, ("Normal", layout, "plain"), {"reverse": True}, params)[0]

    scanned = jax.jit(lambda v: density(scan_model, {"x": v}))(values)
    looped = jax.jit(lambda v: density(loop_model, {f"x_{t}": v[t] for t in range(T)}))(values)
    assert_allclose(scanned, looped, rtol=1e-5)


def nested_model(c=0.1):
    def outer(c, a):
        def inner(c, b):
            with numpyro.plate("p", INNER):
                x = numpyro.sample("x", dist.MultivariateNormal(jnp.full((2,), c + a + b), scale_tril=jnp.eye(2)))
            return 0.5 * c + summary(x), x

        c, xs = scan(inner, c, jnp.arange(2.0))
        z = numpyro.sample("z", dist.Gamma(2.0 + c**2))
        numpyro.deterministic("d", z * xs)
        return c + 0.1 * summary(z), xs

    return scan(outer, jnp.asarray(c), jnp.arange(float(T)))


def nested_loop(c=0.1):
    for t in range(T):
        for s in range(2):
            with numpyro.plate(f"p_{t}_{s}", INNER):
                loc = jnp.full((2,), c + t + s)
                x = numpyro.sample(f"x_{t}_{s}", dist.MultivariateNormal(loc, scale_tril=jnp.eye(2)))
            c = 0.5 * c + summary(x)
        z = numpyro.sample(f"z_{t}", dist.Gamma(2.0 + c**2))
        c = c + 0.1 * summary(z)


def test_nested_scans_give_both_axes_in_order():
    trace = handlers.trace(handlers.seed(nested_model, 0)).get_trace()
    assert trace["x"]["fn"].batch_shape == (T, 2, INNER)
    assert trace["x"]["fn"].event_shape == (2,)
    assert trace["x"]["value"].shape == (T, 2, INNER, 2)
    assert trace["z"]["value"].shape == (T,)
    assert trace["d"]["value"].shape == (T, 2, INNER, 2)


def test_nested_scans_have_the_density_of_two_loops():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(T, 2, INNER, 2)), rng.gamma(2.0, size=(T,))

    @jax.jit
    def both(x, z):
        params = {f"x_{t}_{s}": x[t, s] for t in range(T) for s in range(2)} | {f"z_{t}": z[t] for t in range(T)}
        scanned = log_density(nested_model, (), {}, {"x": x, "z": z})[0]
        return scanned, log_density(nested_loop, (), {}, params)[0]

    scanned, looped = both(x, z)
    assert_allclose(scanned, looped, rtol=1e-5)


def test_a_plate_around_the_scan_is_the_plate_inside_it():
    def around(y=None):
        with numpyro.plate("p", INNER):
            scan(lambda c, _: (numpyro.sample("x", dist.Normal(c, 1.0)),) * 2, jnp.zeros(INNER), None, length=T)

    def inside(y=None):
        def body(c, _):
            with numpyro.plate("p", INNER):
                return (numpyro.sample("x", dist.Normal(c, 1.0)),) * 2

        scan(body, jnp.zeros(INNER), None, length=T)

    values = random_values("Normal", "one plate, full", "plain")
    for model in (around, inside):
        trace = handlers.trace(handlers.seed(model, 0)).get_trace()
        assert trace["x"]["fn"].batch_shape == (T, INNER)
        assert [(f.name, f.dim, f.size) for f in trace["x"]["cond_indep_stack"]] == [("p", -1, INNER)]
    densities = [log_density(model, (), {}, {"x": values})[0] for model in (around, inside)]
    assert_allclose(*densities, rtol=1e-6)


def test_a_plate_around_and_one_inside():
    def model():
        with numpyro.plate("a", OUTER, dim=-2):

            def body(c, _):
                z = numpyro.sample("z", dist.Normal(0.0, 1.0))
                with numpyro.plate("b", INNER, dim=-1):
                    x = numpyro.sample("x", dist.Normal(c + z, 1.0))
                return x, None

            scan(body, jnp.zeros((OUTER, INNER)), None, length=T)

    trace = handlers.trace(handlers.seed(model, 0)).get_trace()
    assert trace["z"]["value"].shape == (T, OUTER, 1)
    assert trace["x"]["value"].shape == (T, OUTER, INNER)


def test_subsampled_plate_in_the_body_scales_the_density():
    data = jnp.arange(10.0)

    def model():
        def body(c, _):
            with numpyro.plate("p", 10, subsample_size=4):
                batch = numpyro.subsample(data, 0)
                numpyro.sample("y", dist.Normal(c, 1.0), obs=batch)
            return c, None

        scan(body, jnp.zeros(()), None, length=T)

    trace = handlers.trace(handlers.seed(model, 0)).get_trace()
    site = trace["y"]
    assert site["value"].shape == (T, 4)
    assert_allclose(jnp.broadcast_to(site["scale"], ()), 2.5)
    assert len({tuple(np.asarray(row)) for row in site["value"]}) > 1


@pytest.mark.parametrize("t", [0, 1, 3, 4])
@pytest.mark.parametrize("layout", ["no plate", "one plate, full"])
def test_partly_given_values_are_a_prefix_and_the_rest_is_drawn(layout, t):
    values = random_values("MultivariateNormal", layout, "plain", length=t)
    model = handlers.condition(handlers.seed(scan_model, 0), data={"x": values})
    trace = handlers.trace(model).get_trace("MultivariateNormal", layout, "plain")
    drawn = trace["x"]["value"]
    assert drawn.shape == (T, *value_shape("MultivariateNormal", layout, "plain"))
    assert_allclose(drawn[:t], values, rtol=1e-6)
    if t < T:
        assert np.all(np.diff(np.asarray(drawn[t:]).reshape(T - t, -1), axis=0) != 0)


def test_predictive_forecasts_beyond_the_observed_length():
    def model(y, length):
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))

        def body(c, _):
            x = numpyro.sample("x", dist.Normal(c, scale))
            numpyro.sample("y", dist.Normal(x, 0.01))
            return x, x

        with handlers.condition(data={} if y is None else {"y": y}):
            _, xs = scan(body, jnp.zeros(()), None, length=length)
        numpyro.deterministic("last", xs[-1])

    draws = {"scale": jnp.ones(7), "x": jnp.arange(21.0).reshape(7, 3)}
    result = Predictive(model, draws)(jax.random.key(0), jnp.zeros(3), 5)
    assert result["y"].shape == (7, 5)
    assert_allclose(result["x"][:, :3], draws["x"])
    assert_allclose(result["y"][:, 3:], result["x"][:, 3:], atol=0.06)
    assert_allclose(result["last"], result["x"][:, -1])


def test_mask_around_the_scan_counts_only_where_it_is_true():
    mask = np.array([True, False, True, True])

    def model(c=0.0):
        with handlers.mask(mask=mask):
            scan(lambda c, _: (c, numpyro.sample("x", dist.Normal(c, 1.0))), jnp.zeros(()), None, length=T)

    x = np.arange(4.0)
    site_density = log_density(model, (), {}, {"x": x})[0]
    assert_allclose(site_density, dist.Normal(0.0, 1.0).log_prob(x)[mask].sum(), rtol=1e-6)


def test_scale_around_and_inside_the_scan():
    def model():
        def body(c, s):
            with handlers.scale(scale=s):
                return c, numpyro.sample("x", dist.Normal(c, 1.0))

        with handlers.scale(scale=2.0):
            scan(body, jnp.zeros(()), jnp.arange(1.0, 5.0))

    x = np.arange(4.0)
    expected = (2 * np.arange(1.0, 5.0) * dist.Normal(0.0, 1.0).log_prob(x)).sum()
    assert_allclose(log_density(model, (), {}, {"x": x})[0], expected, rtol=1e-6)


def test_factor_and_deterministic_in_the_body():
    def model():
        def body(c, a):
            numpyro.factor("f", -a * c)
            numpyro.deterministic("d", c + a)
            return c + 1.0, None

        scan(body, jnp.zeros(()), jnp.arange(4.0))

    log_joint, trace = log_density(model, (), {}, {})
    assert_allclose(log_joint, -(np.arange(4.0) ** 2).sum())
    assert_allclose(trace["d"]["value"], 2 * np.arange(4.0))


@pytest.mark.parametrize("outside", [True, False])
def test_reparameterisation_of_a_site_in_the_body(outside):
    config = {"x": LocScaleReparam(0), "w": TransformReparam()}

    def body(c, _):
        with contextlib.nullcontext() if outside else handlers.reparam(config=config):
            x = numpyro.sample("x", dist.Normal(c, 2.0))
            w = numpyro.sample("w", dist.LogNormal(x, 1.0))
        return x, w

    def model():
        with handlers.reparam(config=config) if outside else contextlib.nullcontext():
            scan(body, jnp.ones(()), None, length=T)

    decentered = np.random.default_rng(0).normal(size=T)
    base = np.random.default_rng(1).normal(size=T)
    model_given = handlers.substitute(model, data={"x_decentered": decentered, "w_base": base})
    trace = handlers.trace(model_given).get_trace()
    assert trace["x"]["type"] == trace["w"]["type"] == "deterministic"
    assert_allclose(trace["x"]["value"], 1 + 2 * np.cumsum(decentered), rtol=1e-5)
    assert set(trace) == {"x_decentered", "x", "w_base", "w"}


def test_param_in_the_body_is_hoisted():
    def model():
        def body(c, _):
            loc = numpyro.param("loc", 1.5)
            return c, numpyro.sample("x", dist.Normal(loc, 1.0))

        return scan(body, jnp.zeros(()), None, length=T)

    trace = handlers.trace(handlers.seed(model, 0)).get_trace()
    assert jnp.shape(trace["loc"]["value"]) == ()
    trace = handlers.trace(handlers.seed(handlers.substitute(model, data={"loc": 100.0}), 0)).get_trace()
    assert np.all(np.asarray(trace["x"]["value"]) > 50)


def test_param_that_depends_on_the_carry_is_refused():
    def model():
        scan(lambda c, _: (c, numpyro.param("loc", c)), jnp.zeros(()), None, length=T)

    with pytest.raises(ValueError, match=r"param 'loc'.*in front of scan"):
        handlers.trace(handlers.seed(model, 0)).get_trace()


def test_lift_scope_block_and_uncondition_act_on_sites_in_the_body():
    def model():
        def body(c, _):
            loc = numpyro.param("loc", 0.0)
            numpyro.sample("y", dist.Normal(loc, 1.0), obs=jnp.ones(()))
            return c, numpyro.sample("x", dist.Normal(loc, 1.0))

        return scan(body, jnp.zeros(()), None, length=T)

    seeded = handlers.seed(model, 0)
    assert set(handlers.trace(handlers.block(seeded, hide=["x"])).get_trace()) == {"loc", "y"}
    assert set(handlers.trace(handlers.scope(seeded, prefix="s")).get_trace()) == {"s/loc", "s/x", "s/y"}
    unconditioned = handlers.trace(handlers.uncondition(seeded)).get_trace()
    assert not unconditioned["y"]["is_observed"]
    assert len(set(np.asarray(unconditioned["y"]["value"]))) == T
    lifted = handlers.lift(model, prior={"loc": dist.Normal(50.0, 1.0)})
    trace = handlers.trace(handlers.seed(lifted, 0)).get_trace()
    assert trace["loc"]["type"] == "sample"


def test_scoped_names_take_values_and_reparameterisation():
    def model():
        with handlers.scope(prefix="s"):
            scan(lambda c, _: (numpyro.sample("x", dist.Normal(c, 1.0)), None), jnp.zeros(()), None, length=T)

    values = np.arange(4.0)
    trace = handlers.trace(handlers.substitute(model, data={"s/x": values})).get_trace()
    assert_allclose(trace["s/x"]["value"], values)
    reparameterised = handlers.reparam(model, config={"s/x": LocScaleReparam(0)})
    trace = handlers.trace(handlers.seed(reparameterised, 0)).get_trace()
    assert set(trace) == {"s/x_decentered", "s/x"}


@pytest.mark.parametrize("family", ["Normal", "Dirichlet", "MultivariateNormal"])
def test_under_jit_vmap_and_grad(family):
    layout = "two plates, inner"
    batch = np.stack([random_values(family, layout, "plain", seed=s) for s in range(3)])

    def density(values, c):
        return log_density(scan_model, (family, layout, "plain", c), {}, {"x": values})[0]

    one_by_one = jnp.stack([jax.jit(density)(v, 0.3) for v in batch])
    assert_allclose(jax.jit(jax.vmap(density, (0, None)))(batch, 0.3), one_by_one, rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda c: density(batch[0], c)))(0.3)
    finite_difference = (density(batch[0], 0.31) - density(batch[0], 0.29)) / 0.02
    assert_allclose(gradient, finite_difference, rtol=2e-2, atol=2e-2)


def test_improper_site_is_promoted_by_the_scan_itself():
    def model():
        def body(c, _):
            with numpyro.plate("p", INNER):
                x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.positive, (), ()))
            return c, x

        scan(body, jnp.zeros(()), None, length=T)

    values = np.ones((T, INNER))
    trace = handlers.trace(handlers.substitute(model, data={"x": values})).get_trace()
    assert trace["x"]["fn"].batch_shape == (T, INNER)


def test_user_written_handler_sees_the_vectorised_site():
    class Recorder(numpyro.primitives.Messenger):
        def __init__(self, fn=None):
            super().__init__(fn)
            self.shapes = []

        def process_message(self, msg):
            if msg["type"] == "sample" and msg.get("scan") != "ask":
                self.shapes.append(msg["fn"].batch_shape)

    with Recorder() as recorder:
        handlers.seed(scan_model, 0)("Normal", "one plate, full", "plain")
    assert recorder.shapes == [(T, INNER)]


# Errors


def run_model(body, init=0.0, xs=None, length=T, data=None, **kwargs):
    def model():
        return scan(body, jnp.asarray(init), xs, length=length, **kwargs)

    return handlers.trace(handlers.substitute(handlers.seed(model, 0), data=data or {})).get_trace()


def normal_body(c, _):
    with numpyro.plate("p", INNER):
        x = numpyro.sample("x", dist.Normal(c, 1.0))
    return c, x


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((INNER,), ["'x'", "plate 'p' of size 5 at dim -1", r"shape \(4, 5\)", "scan of length 4"]),
        ((T, 3), ["'x'", "plate 'p' of size 5 at dim -1", r"value shape \(4, 3\)", r"must have shape \(4, 5\)"]),
        ((6, INNER), ["'x'", "6 steps", "scan has length 4", "at most 4"]),
        ((T, INNER, 2), ["'x'", r"value shape \(4, 5, 2\)", "the scan axis first"]),
    ],
)
def test_substituted_values_that_do_not_fit_are_explained(shape, words):
    with pytest.raises(ValueError) as error:
        run_model(normal_body, data={"x": np.zeros(shape)})
    for word in words:
        error.match(word)


def test_changing_carry_is_explained():
    def body(c, _):
        with numpyro.plate("p", INNER):
            return (numpyro.sample("x", dist.Normal(c, 1.0)),) * 2

    with pytest.raises(ValueError, match=r"carry has shape \(\) at the start and \(5,\) after one step"):
        run_model(body)


def test_wrong_batch_shape_in_the_body_names_the_plate():
    def body(c, _):
        with numpyro.plate("p", INNER):
            return c, numpyro.sample("x", dist.Normal(jnp.zeros(3), 1.0))

    with pytest.raises(ValueError) as error:
        run_model(body)
    for word in ["'x'", "'p'", "5", r"\(3,\)", "to_event|expand"]:
        error.match(word)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"xs": None, "length": None}, "pass length="),
        ({"xs": jnp.zeros(3), "length": 4}, "number of steps is ambiguous"),
        ({"xs": jnp.zeros(()), "length": None}, "is a scalar"),
    ],
)
def test_lengths_that_make_no_sense(kwargs, message):
    with pytest.raises(ValueError, match=message):
        run_model(normal_body, **kwargs)


def test_history_and_enumeration_are_refused_clearly():
    with pytest.raises(NotImplementedError, match="history=2"):
        run_model(normal_body, history=2)

    def body(c, _):
        return c, numpyro.sample("k", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    with pytest.raises(NotImplementedError, match=r"site 'k'.*enumeration"):
        run_model(body)


def test_duplicate_names_in_the_body():
    def body(c, _):
        numpyro.sample("x", dist.Normal(c, 1.0))
        return c, numpyro.sample("x", dist.Normal(c, 1.0))

    with pytest.raises(ValueError, match="two sites named 'x'"):
        run_model(body)


def test_missing_key_names_the_site():
    def model():
        return scan(normal_body, jnp.zeros(()), None, length=T)

    with pytest.raises(ValueError, match=r"site 'x'.*seed"):
        handlers.trace(model).get_trace()


def test_mutable_in_the_body_is_refused():
    def body(c, _):
        numpyro.primitives.mutable("m", {"n": 0})
        return c, None

    with pytest.raises(NotImplementedError, match=r"mutable 'm'.*carry"):
        run_model(body)


def test_without_handlers_scan_is_lax_scan():
    carry, ys = scan(lambda c, x: (c + x, c), 0.0, jnp.arange(3.0))
    assert_allclose(carry, 3.0)
    assert_allclose(ys, [0.0, 0.0, 1.0])


# cond


def branching(flag):
    def true_fun(scale):
        with numpyro.plate("p", INNER):
            return numpyro.sample("x", dist.Normal(20.0, scale))

    def false_fun(scale):
        with numpyro.plate("p", INNER):
            return numpyro.sample("x", dist.Normal(-20.0, scale))

    return cond(flag, true_fun, false_fun, jnp.asarray(0.5))


@pytest.mark.parametrize("flag", [True, False])
def test_cond_takes_the_distribution_of_its_branch(flag):
    trace = jax.jit(lambda flag: handlers.trace(handlers.seed(branching, 0)).get_trace(flag)["x"]["value"])(flag)
    assert trace.shape == (INNER,)
    assert np.all(np.sign(trace) == (1 if flag else -1))
    values = np.linspace(-1, 1, INNER)
    density, recorded = log_density(branching, (flag,), {}, {"x": values})
    assert recorded["x"]["fn"].batch_shape == (INNER,)
    expected = dist.Normal(20.0 if flag else -20.0, 0.5).log_prob(values).sum()
    assert_allclose(density, expected, rtol=1e-6)


def test_cond_under_vmap_and_inside_scan():
    values = np.zeros(INNER)
    density = jax.vmap(lambda flag: log_density(branching, (flag,), {}, {"x": values})[0])(jnp.array([True, False]))
    assert_allclose(density[0], density[1], rtol=1e-6)

    def model():
        scan(lambda c, flag: (c, branching(flag)), jnp.zeros(()), jnp.array([True, False, True, False]))

    trace = handlers.trace(handlers.seed(model, 0)).get_trace()
    assert trace["x"]["fn"].batch_shape == (T, INNER)
    assert_allclose(np.sign(trace["x"]["value"]).mean(-1), [1, -1, 1, -1])


def test_cond_explains_branches_that_differ():
    def model(flag):
        return cond(
            flag,
            lambda _: numpyro.sample("x", dist.Normal(0.0, 1.0)),
            lambda _: numpyro.sample("z", dist.Normal(0.0, 1.0)),
            None,
        )

    with pytest.raises(ValueError, match=r"only if true: \['x'\]; only if false: \['z'\]"):
        handlers.seed(model, 0)(True)

    def other(flag):
        return cond(
            flag,
            lambda _: numpyro.sample("x", dist.Normal(0.0, 1.0)),
            lambda _: numpyro.sample("x", dist.Cauchy(0.0, 1.0)),
            None,
        )

    with pytest.raises(ValueError, match="site 'x' differs between the branches"):
        handlers.seed(other, 0)(True)
    with pytest.raises(ValueError, match="pred must be a scalar"):
        handlers.seed(branching, 0)(jnp.array([True, False]))


def test_kinds_of_sites_agree_between_branches():
    def observed(x):
        numpyro.sample("x", dist.Normal(x, 1.0), obs=0.0)

    def latent(x):
        numpyro.sample("x", dist.Normal(x, 1.0))

    with pytest.raises(ValueError, match="site 'x' is of another kind"):
        handlers.seed(lambda: cond(True, observed, latent, 0.0), 0)()


def test_a_value_for_a_site_of_a_branch_must_fit():
    def branch(x):
        with numpyro.plate("p", INNER):
            numpyro.sample("x", dist.Normal(x, 1.0))

    model = handlers.substitute(lambda: cond(True, branch, branch, 0.0), data={"x": np.zeros(INNER + 1)})
    with pytest.raises(ValueError, match=rf"Site 'x'.*must have shape \({INNER},\)") as error:
        handlers.seed(model, 0)()
    assert "plate 'p' of size" in str(error.value)


def test_values_for_some_steps_of_a_scan_around_a_scan():
    with pytest.raises(NotImplementedError, match=rf"site 'x' of a nested scan is given values for the first {T - 1}"):
        handlers.seed(handlers.substitute(nested_model, data={"x": np.zeros((T - 1, 2, INNER, 2))}), 0)()


def test_the_carry_keeps_its_structure():
    with pytest.raises(ValueError, match="carry of another structure than init"):
        handlers.seed(lambda: scan(lambda c, _: ((c, c), None), 0.0, None, length=T), 0)()
