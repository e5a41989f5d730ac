# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Shapes and densities of distributions made inside ``scan``, in NumPyro's public interface only.

A distribution made in the body of a scan of length ``T``, under plates of shape ``P``, must come out with batch shape
``(T,) + P``; its log density must be the stack of those of a plain Python loop; and it must be possible to draw from it
again. Here that is asked of many distributions under eight layouts of plates and parameters.

The file stands by itself: ``pytest test_scan_upstream.py`` runs it on any installed ``numpyro``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
from numpyro import handlers
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist
from numpyro.distributions import constraints, transforms

T = 7


class Layout(NamedTuple):
    """Plate sizes, outermost first, and the batch shape of the parameters that are given at each step."""

    plates: tuple[int, ...]
    batch: tuple[int, ...]


LAYOUTS = {
    "no plate": Layout((), ()),
    "plate, full": Layout((5,), (5,)),
    "plate, scalar": Layout((5,), ()),
    "plate, size 1": Layout((5,), (1,)),
    "two plates, full": Layout((4, 3), (4, 3)),
    "two plates, inner": Layout((4, 3), (3,)),
    "two plates, outer": Layout((4, 3), (4, 1)),
    "two plates, scalar": Layout((4, 3), ()),
}

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def real(*event: int) -> Draw:
    return lambda rng, batch: rng.normal(size=batch + event).astype(np.float32)


def positive(*event: int, low: float = 0.5) -> Draw:
    return lambda rng, batch: (low + rng.random(batch + event)).astype(np.float32)


def unit(*event: int) -> Draw:
    return lambda rng, batch: (0.1 + 0.8 * rng.random(batch + event)).astype(np.float32)


def simplex(size: int) -> Draw:
    return lambda rng, batch: rng.dirichlet(np.full(size, 3.0), size=batch).astype(np.float32)


def cholesky(size: int) -> Draw:
    return lambda rng, batch: (np.tril(0.3 * rng.normal(size=(*batch, size, size)), -1) + np.eye(size)).astype(
        np.float32
    )


def covariance(size: int) -> Draw:
    def draw(rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        factor = cholesky(size)(rng, batch)
        return factor @ np.swapaxes(factor, -1, -2)

    return draw


def boolean(rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
    return rng.random(batch) < 0.5


def integer(upper: int) -> Draw:
    return lambda rng, batch: rng.integers(0, upper + 1, size=batch)


def correlation_cholesky(size: int) -> Draw:
    def draw(rng: np.random.Generator, batch: tuple[int, ...]) -> np.ndarray:
        factor = cholesky(size)(rng, batch)
        return factor / np.linalg.norm(factor, axis=-1, keepdims=True)

    return draw


class Family(NamedTuple):
    """How to make a distribution from parameters, how to draw such parameters, and values of the distribution."""

    make: Callable[..., dist.Distribution]
    parameters: dict[str, Draw]
    values: Draw


LOC_SCALE: dict[str, Draw] = {"loc": real(), "scale": positive()}
VECTOR_LOC_SCALE: dict[str, Draw] = {"loc": real(2), "scale": positive(2)}
MVN: dict[str, Draw] = {"loc": real(2), "scale_tril": cholesky(2)}

FAMILIES = {
    "Normal": Family(dist.Normal, LOC_SCALE, real()),
    "Cauchy": Family(dist.Cauchy, LOC_SCALE, real()),
    "StudentT": Family(dist.StudentT, {"df": positive(low=3.0), **LOC_SCALE}, real()),
    "LogNormal": Family(dist.LogNormal, LOC_SCALE, positive()),
    "HalfNormal": Family(dist.HalfNormal, {"scale": positive()}, positive()),
    "HalfCauchy": Family(dist.HalfCauchy, {"scale": positive()}, positive()),
    "Exponential": Family(dist.Exponential, {"rate": positive()}, positive()),
    "Gamma": Family(dist.Gamma, {"concentration": positive(low=2.0), "rate": positive()}, positive()),
    "InverseGamma": Family(dist.InverseGamma, {"concentration": positive(low=3.0), "rate": positive()}, positive()),
    "Beta": Family(dist.Beta, {"concentration1": positive(low=2.0), "concentration0": positive(low=2.0)}, unit()),
    "Uniform": Family(
        lambda below, above: dist.Uniform(-below, 1 + above), {"below": positive(), "above": positive()}, unit()
    ),
    "Bernoulli(probs)": Family(dist.Bernoulli, {"probs": unit()}, integer(1)),
    "Bernoulli(logits)": Family(lambda logits: dist.Bernoulli(logits=logits), {"logits": real()}, integer(1)),
    "Binomial": Family(lambda probs: dist.Binomial(7, probs), {"probs": unit()}, integer(7)),
    "Poisson": Family(dist.Poisson, {"rate": positive()}, integer(3)),
    "Categorical(probs)": Family(dist.Categorical, {"probs": simplex(3)}, integer(2)),
    "Categorical(logits)": Family(lambda logits: dist.Categorical(logits=logits), {"logits": real(3)}, integer(2)),
    "Dirichlet": Family(dist.Dirichlet, {"concentration": positive(3, low=2.0)}, simplex(3)),
    "MultivariateNormal(scale_tril)": Family(
        lambda loc, scale_tril: dist.MultivariateNormal(loc, scale_tril=scale_tril), MVN, real(2)
    ),
    "MultivariateNormal(covariance_matrix)": Family(
        dist.MultivariateNormal, {"loc": real(2), "covariance_matrix": covariance(2)}, real(2)
    ),
    "MultivariateNormal(precision_matrix)": Family(
        dist.MultivariateNormal, {"loc": real(2), "precision_matrix": covariance(2)}, real(2)
    ),
    "MultivariateNormal(constant scale_tril)": Family(
        lambda loc: dist.MultivariateNormal(loc, scale_tril=jnp.eye(2)), {"loc": real(2)}, real(2)
    ),
    "LKJCholesky": Family(
        lambda concentration: dist.LKJCholesky(3, concentration), {"concentration": positive()}, correlation_cholesky(3)
    ),
    "Normal.to_event": Family(lambda loc, scale: dist.Normal(loc, scale).to_event(1), VECTOR_LOC_SCALE, real(2)),
    "Normal.to_event(2)": Family(
        lambda loc, scale: dist.Normal(loc, scale).to_event(2), {"loc": real(3, 2), "scale": positive(3, 2)}, real(3, 2)
    ),
    "LogNormal.to_event": Family(
        lambda loc, scale: dist.LogNormal(loc, scale).to_event(1), VECTOR_LOC_SCALE, positive(2)
    ),
    "Dirichlet.to_event": Family(
        lambda concentration: dist.Dirichlet(concentration).to_event(1),
        {"concentration": positive(2, 3, low=2.0)},
        lambda rng, batch: simplex(3)(rng, (*batch, 2)),
    ),
    "MultivariateNormal.to_event": Family(
        lambda loc, scale_tril: dist.MultivariateNormal(loc, scale_tril=scale_tril).to_event(1),
        {"loc": real(3, 2), "scale_tril": lambda rng, batch: cholesky(2)(rng, (*batch, 3))},
        real(3, 2),
    ),
    "Normal.mask": Family(
        lambda loc, scale, mask: dist.Normal(loc, scale).mask(mask), {**LOC_SCALE, "mask": boolean}, real()
    ),
    "MultivariateNormal.mask": Family(
        lambda loc, scale_tril, mask: dist.MultivariateNormal(loc, scale_tril=scale_tril).mask(mask),
        {**MVN, "mask": boolean},
        real(2),
    ),
    "TransformedDistribution": Family(
        lambda loc, scale: dist.TransformedDistribution(dist.Normal(loc, scale), transforms.ExpTransform()),
        LOC_SCALE,
        positive(),
    ),
    "TransformedDistribution(affine)": Family(
        lambda loc, scale: dist.TransformedDistribution(
            dist.StudentT(5.0), [transforms.AffineTransform(loc, scale), transforms.ExpTransform()]
        ),
        LOC_SCALE,
        positive(),
    ),
    "TransformedDistribution.to_event": Family(
        lambda loc, scale: dist.TransformedDistribution(dist.Normal(loc, scale), transforms.ExpTransform()).to_event(1),
        VECTOR_LOC_SCALE,
        positive(2),
    ),
    "FoldedDistribution": Family(
        lambda loc, scale: dist.FoldedDistribution(dist.Normal(loc, scale)), LOC_SCALE, positive()
    ),
    "MixtureSameFamily(Normal)": Family(
        lambda probs, loc, scale: dist.MixtureSameFamily(dist.Categorical(probs), dist.Normal(loc, scale)),
        {"probs": simplex(3), "loc": real(3), "scale": positive(3)},
        real(),
    ),
    "MixtureSameFamily(MultivariateNormal)": Family(
        lambda probs, loc: dist.MixtureSameFamily(
            dist.Categorical(probs), dist.MultivariateNormal(loc, scale_tril=jnp.eye(2))
        ),
        {"probs": simplex(3), "loc": real(3, 2)},
        real(2),
    ),
}

CASES = [
    pytest.param(family, layout, id=f"{name}-{where}")
    for name, family in FAMILIES.items()
    for where, layout in LAYOUTS.items()
]


def generator(family: Family, *shapes: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr((sorted(family.parameters), shapes)).encode()))


def parameters_of(family: Family, leading: tuple[int, ...], batch: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = generator(family, leading, batch)
    return {name: draw(rng, leading + batch) for name, draw in family.parameters.items()}


def values_of(family: Family, leading: tuple[int, ...], plates: tuple[int, ...]) -> np.ndarray:
    return family.values(generator(family, leading, plates), leading + plates)


def at(t: int, parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value[t] for name, value in parameters.items()}


def under_plates(sizes: tuple[int, ...]) -> ExitStack:
    """Plates of these sizes, the last one innermost, at dim -1."""
    stack = ExitStack()
    for i, size in enumerate(sizes):
        stack.enter_context(numpyro.plate(f"plate {i}", size, dim=i - len(sizes)))
    return stack


def model(family: Family, sizes: tuple[int, ...], parameters: Any, values: Any = None) -> None:
    def step(carry: None, inputs: Any) -> tuple[None, None]:
        parameters, value = inputs
        with under_plates(sizes):
            numpyro.sample("x", family.make(**parameters), obs=value)
        return None, None

    scan(step, None, (parameters, values))


def site_of(program: Callable[..., Any], key: jax.Array, *args: Any) -> dict[str, Any]:
    return handlers.trace(handlers.seed(program, key)).get_trace(*args)["x"]


def abstractly(function: Callable[[jax.Array], Any]) -> Any:
    """Shapes of what a function of a random key returns, without computing it."""
    return jax.tree.map(jnp.shape, jax.eval_shape(function, jax.random.PRNGKey(0)))


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_scan_puts_its_length_in_front_of_the_batch_shape(family, layout):
    parameters = parameters_of(family, (T,), layout.batch)
    event_shape = family.make(**at(0, parameters)).event_shape
    found = []

    def run(key):
        site = site_of(model, key, family, layout.plates, parameters)
        found.append((site["fn"].batch_shape, site["fn"].event_shape))
        return site["value"], site["fn"].log_prob(site["value"])

    value_shape, density_shape = abstractly(run)
    assert value_shape == (T, *layout.plates, *event_shape)
    assert found[-1] == ((T, *layout.plates), event_shape)
    assert density_shape == (T, *layout.plates)


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_drawing_again_from_a_scanned_distribution(family, layout):
    parameters = parameters_of(family, (T,), layout.batch)
    event_shape = family.make(**at(0, parameters)).event_shape

    def run(key):
        fn = site_of(model, key, family, layout.plates, parameters)["fn"]
        return fn.sample(key), fn.sample(key, (2, 6))

    once, many = abstractly(run)
    assert once == (T, *layout.plates, *event_shape)
    assert many == (2, 6, *once)


def check_density(family: Family, layout: Layout, steps: int) -> None:
    parameters = parameters_of(family, (steps,), layout.batch)
    values = values_of(family, (steps,), layout.plates)

    @jax.jit
    def run(parameters, values):
        fn = site_of(model, jax.random.PRNGKey(0), family, layout.plates, parameters, values)["fn"]
        looped = [family.make(**at(t, parameters)).log_prob(values[t]) for t in range(steps)]
        looped = jnp.stack([jnp.broadcast_to(density, layout.plates) for density in looped])
        return fn.log_prob(values), looped, fn.support(values)

    scanned, looped, supported = run(parameters, values)
    np.testing.assert_allclose(scanned, looped, rtol=1e-4, atol=1e-5)
    assert scanned.shape == looped.shape
    assert np.all(supported)


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_log_density_is_that_of_a_python_loop(family, layout):
    check_density(family, layout, steps=2)


@pytest.mark.parametrize(
    "name",
    [
        "Normal",
        "Dirichlet.to_event",
        "FoldedDistribution",
        "InverseGamma",
        "MixtureSameFamily(Normal)",
        "TransformedDistribution",
        "TransformedDistribution(affine)",
    ],
)
def test_log_density_where_the_plate_is_as_long_as_the_scan(name):
    """Where axes have the same size, one taken for the other raises no error."""
    check_density(FAMILIES[name], Layout((3,), ()), steps=3)


CORE = ["Normal", "LogNormal", "InverseGamma", "Dirichlet", "MultivariateNormal(scale_tril)", "Normal.to_event"]
CORE_CASES = [
    pytest.param(FAMILIES[name], layout, id=f"{name}-{where}") for name in CORE for where, layout in LAYOUTS.items()
]


@pytest.mark.parametrize(("family", "layout"), CORE_CASES)
def test_observed_values_enter_as_they_are(family, layout):
    parameters = parameters_of(family, (T,), layout.batch)
    values = values_of(family, (T,), layout.plates)

    def run(key):
        site = site_of(model, key, family, layout.plates, parameters, values)
        return site["value"], site["fn"].log_prob(site["value"])

    assert abstractly(run) == (values.shape, (T, *layout.plates))


@pytest.mark.parametrize(("family", "layout"), CORE_CASES)
def test_nested_scan_puts_both_lengths_in_front(family, layout):
    parameters = parameters_of(family, (2, T), layout.batch)
    found = []

    def nested(parameters):
        def outer(carry, given):
            model(family, layout.plates, given)
            return carry, None

        scan(outer, None, parameters)

    def run(key):
        site = site_of(nested, key, parameters)
        found.append(site["fn"].batch_shape)
        return site["fn"].log_prob(site["value"])

    assert abstractly(run) == (2, T, *layout.plates)
    assert found[-1] == (2, T, *layout.plates)


@pytest.mark.parametrize(("family", "layout"), [case for case in CORE_CASES if case.values[1].plates])
def test_a_plate_around_the_scan_is_one_inside_it(family, layout):
    parameters = parameters_of(family, (T,), layout.batch)
    found = []

    def around(parameters):
        with under_plates(layout.plates):
            model(family, (), parameters)

    def run(key):
        site = site_of(around, key, parameters)
        found.append(site["fn"].batch_shape)
        return site["fn"].log_prob(site["value"])

    assert abstractly(run) == (T, *layout.plates)
    assert found[-1] == (T, *layout.plates)


@pytest.mark.parametrize("where", [where for where in LAYOUTS if "size 1" not in where])
@pytest.mark.parametrize(
    "name", ["Normal", "LogNormal", "HalfNormal", "InverseGamma", "MultivariateNormal(scale_tril)"]
)
def test_draws_are_independent_along_the_scan_and_the_plates(name, where):
    """The parameters are the same at every step, so equal values betray one random number that was used twice."""
    family, layout = FAMILIES[name], LAYOUTS[where]
    parameters = {
        name: np.broadcast_to(value[:1], value.shape)
        for name, value in parameters_of(family, (T,), layout.batch).items()
    }

    @jax.jit
    def run(key):
        site = site_of(model, key, family, layout.plates, parameters)
        return site["value"], site["fn"].sample(key)

    for draws in run(jax.random.PRNGKey(2)):
        assert len(np.unique(draws)) == draws.size


@pytest.mark.parametrize("where", LAYOUTS)
def test_expand_in_the_body_changes_nothing(where):
    layout = LAYOUTS[where]
    family = Family(lambda loc, scale: dist.Normal(loc, scale).expand(layout.plates), LOC_SCALE, real())
    test_scan_puts_its_length_in_front_of_the_batch_shape(family, layout)
    test_drawing_again_from_a_scanned_distribution(family, layout)


@pytest.mark.parametrize("sizes", [(), (5,), (3, 2)], ids=str)
def test_improper_uniform_has_no_parameters_to_stack(sizes):
    family = Family(lambda: dist.ImproperUniform(constraints.real, (), ()), {}, real())
    values = values_of(family, (T,), sizes)
    found = []

    def run(key):
        site = site_of(model, key, family, sizes, {}, values)
        found.append(site["fn"].batch_shape)
        return site["fn"].log_prob(site["value"])

    assert abstractly(run) == (T, *sizes)
    assert found[-1] == (T, *sizes)


def test_a_random_walk_of_vectors_under_a_plate():
    """A batched MultivariateNormal whose location is carried, and whose scale is the same for all."""

    def walk():
        def step(carry, drift):
            with numpyro.plate("foo", 5):
                value = numpyro.sample("val", dist.MultivariateNormal(carry + drift, scale_tril=jnp.eye(2)))
            return value, value

        _, values = scan(step, jnp.zeros((5, 2)), jnp.ones((4, 5, 2)))
        numpyro.deterministic("values", values)

    trace = handlers.trace(handlers.seed(walk, jax.random.PRNGKey(0))).get_trace()
    table = [line.split() for line in numpyro.util.format_shapes(trace).splitlines()]
    assert ["val", "dist", "4", "5", "|", "2"] in table
    assert ["value", "4", "5", "|", "2"] in table
    values = trace["values"]["value"]
    means = jnp.concatenate([jnp.zeros((1, 5, 2)), values[:-1]]) + 1.0
    expected = -0.5 * ((values - means) ** 2).sum(-1) - jnp.log(2 * jnp.pi)
    np.testing.assert_allclose(trace["val"]["fn"].log_prob(values), expected, rtol=1e-4)
