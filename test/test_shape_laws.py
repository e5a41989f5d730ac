# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The shape laws, over every distribution of the package, its wrappers, layouts of plates, and ways of stacking.

The distributions are collected from the package itself; one without example parameters in ``distributions/examples.py``
fails. Shapes are checked abstractly. Densities, gradients and statistics are compared to a plain Python loop over the
steps and over all elements of the plates, which calls a program for one element, without any batch dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
import copy
import functools
import pickle
from typing import Any, NamedTuple
import zlib

from distributions.examples import EXAMPLES, Example, distribution_classes, positive, real, shrinking
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
from numpyro import handlers
from numpyro.contrib.control_flow import scan
import numpyro.distributions as dist
from numpyro.distributions import constraints, transforms
from numpyro.distributions.batch_util import promote_batch_shape, vmap_over

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """Plate sizes, outermost first, and the batch shapes of the parameters, taken in turn."""

    plates: Shape
    batches: tuple[Shape, ...]

    def batch(self, position: int) -> Shape:
        return self.batches[position % len(self.batches)]


LAYOUTS = {
    "no plate": Layout((), ((),)),
    "plate, full": Layout((5,), ((5,),)),
    "plate, scalar": Layout((5,), ((),)),
    "plate, size 1": Layout((5,), ((1,),)),
    "plate, full and scalar": Layout((5,), ((5,), ())),
    "plate, scalar and full": Layout((5,), ((), (5,))),
    "two plates, full": Layout((4, 3), ((4, 3),)),
    "two plates, inner": Layout((4, 3), ((3,),)),
    "two plates, outer": Layout((4, 3), ((4, 1),)),
    "two plates, scalar": Layout((4, 3), ((),)),
    "two plates, mixed": Layout((4, 3), ((4, 1), (3,), ())),
}

# Steps are applied from left to right; the plates expand the result.
CHAINS: dict[str, tuple[str, ...]] = {
    "bare": (),
    "to_event": ("to_event",),
    "expand+to_event": ("expand", "to_event"),
    "to_event(2)": ("to_event", "to_event"),
    "mask": ("mask",),
    "transform": ("transform",),
    "mask+to_event": ("mask", "to_event"),
    "to_event+mask": ("to_event", "mask"),
    "transform+to_event": ("transform", "to_event"),
    "to_event+transform": ("to_event", "transform"),
    "transform+mask+expand+to_event+mask": ("transform", "mask", "expand", "to_event", "mask"),
}

INNER = 2


class Case(NamedTuple):
    """An example, wrapped, under plates: parameters for each of some steps, and values of the site."""

    example: Example
    chain: tuple[str, ...]
    layout: Layout
    parameters: dict[str, np.ndarray]
    extras: dict[str, np.ndarray]
    base_values: np.ndarray

    @property
    def inputs(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        return self.parameters, self.extras

    @property
    def inner(self) -> Shape:
        return (INNER,) * self.chain.count("to_event")

    @property
    def event_shape(self) -> Shape:
        return self.inner + self.example.at_point().event_shape

    @property
    def values(self) -> np.ndarray:
        if "transform" not in self.chain:
            return self.base_values
        shift, factor = self.extras["shift"], self.extras["factor"]
        return (self.lifted(shift, len(self.event_shape)) + self.lifted(factor, 0) * self.base_values).astype(
            np.float32
        )

    def lifted(self, parameter: np.ndarray, event_dim: int) -> np.ndarray:
        """A parameter with a size-1 dimension for each missing one between the steps and those it has.

        The result broadcasts with ``base_values`` if ``event_dim`` counts the trailing dimensions that it has of them.
        """
        steps, rest = parameter.shape[0], parameter.shape[1:]
        batch = rest[: len(rest) - event_dim]
        event = rest[len(batch) :] if event_dim else (1,) * len(self.event_shape)
        return parameter.reshape((steps, *(1,) * (len(self.layout.plates) - len(batch)), *batch, *event))

    def build(self, parameters: dict[str, Any], extras: dict[str, Any], expand: bool = True) -> dist.Distribution:
        """The distribution of one step."""
        d = self.example.constructor(**parameters)
        masks = iter(("mask", "second_mask"))
        for step in self.chain:
            if step == "to_event":
                d = d.to_event(1)
            elif step == "expand":
                d = d.expand((*d.batch_shape[:-1], INNER))
            elif step == "mask":
                d = d.mask(extras[next(masks)])
            elif step == "transform":
                d = dist.TransformedDistribution(d, transforms.AffineTransform(extras["shift"], extras["factor"]))
        return d.expand(self.layout.plates) if expand else d


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without optimisation: the programs run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def draws_at_point(name: str, count: int = 120) -> np.ndarray:
    """Draws of an example at its point: in the support of all variations of the parameters."""
    example = ALL[name]
    if example.values is not None:
        return np.resize(example.values, (count,) + example.values.shape[1:])
    return np.asarray(compiled(lambda d, key: d.sample(key, (count,)))(example.at_point(), jax.random.key(0)))


def make_case(example: Example, chain: str, layout: Layout, steps: Shape) -> Case:
    """Parameters that differ between steps, and as the layout says between plates. ``steps`` is flattened."""
    names = CHAINS[chain]
    rng = np.random.default_rng(zlib.crc32(repr((example.name, chain, layout, steps)).encode()))
    inner_rank = names.count("to_event")

    def batch(position: int) -> Shape:
        size = 1 if "expand" in names or position % 2 else INNER
        return layout.batch(position) + (size,) * inner_rank

    parameters = example.batched(rng, lambda position: steps + batch(position))
    event_rank = inner_rank + example.at_point().event_dim
    extras = {}
    if "transform" in names:
        # Powers of two, so that a point mass is found again after the way forth and back.
        extras["shift"] = rng.choice(np.float32([-0.5, 0.25, 1.0]), size=steps + layout.batch(0) + (1,) * event_rank)
        extras["factor"] = rng.choice(np.float32([0.5, -1.0, 2.0]), size=steps)
    inner_left, which = inner_rank, iter(("mask", "second_mask"))
    for position, step in enumerate(names):
        if step == "to_event":
            inner_left -= 1
        if step == "mask":
            size = 1 if "expand" in names[position:] else INNER
            shape = steps + layout.plates + (size,) * inner_left
            extras[next(which)] = rng.random(shape) < 0.6
    draws = draws_at_point(example.name)
    full = steps + layout.plates + (INNER,) * inner_rank
    values = draws[rng.integers(0, len(draws), size=full)]
    return Case(example, names, layout, parameters, extras, values)


class UserPareto(dist.Distribution):
    """In the documented style: parameters promoted by hand, shapes given to the base class, a support that depends."""

    arg_constraints = {"scale": constraints.positive, "alpha": constraints.positive}
    reparametrized_params = ["scale", "alpha"]

    def __init__(self, scale, alpha, *, validate_args=None):
        self.scale, self.alpha = dist.util.promote_shapes(scale, alpha)
        batch_shape = jax.lax.broadcast_shapes(jnp.shape(scale), jnp.shape(alpha))
        super().__init__(batch_shape=batch_shape, event_shape=(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        return constraints.greater_than(self.scale)

    def sample(self, key, sample_shape=()):
        return self.scale * jnp.exp(jax.random.exponential(key, self.shape(sample_shape)) / self.alpha)

    def log_prob(self, value):
        return jnp.log(self.alpha / self.scale) - (self.alpha + 1) * jnp.log(value / self.scale)

    @property
    def mean(self):
        return jnp.broadcast_to(self.alpha * self.scale / (self.alpha - 1), self.batch_shape)


class UserShifted(dist.Distribution):
    """Holds a distribution and an array that it makes itself, named in ``pytree_data_fields``."""

    support = constraints.real_vector
    pytree_data_fields = ("_base", "_weight")
    pytree_aux_fields = ("_power",)

    def __init__(self, loc, weight, *, power=2, validate_args=None):
        self._base = dist.Normal(loc, 1.0).to_event(1)
        self._weight = weight
        self._power = power
        batch_shape = jnp.broadcast_shapes(self._base.batch_shape, jnp.shape(weight))
        super().__init__(batch_shape, self._base.event_shape, validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        return self._base.expand(self.batch_shape).sample(key, sample_shape)

    def log_prob(self, value):
        return self._base.log_prob(value) - self._weight**self._power


class UserTriangle(dist.Distribution):
    """The shortest that works: one parameter, no fields."""

    arg_constraints = {"width": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, width):
        self.width = width
        super().__init__(jnp.shape(width))

    def sample(self, key, sample_shape=()):
        return self.width * (1 - jnp.sqrt(jax.random.uniform(key, self.shape(sample_shape))))

    def log_prob(self, value):
        return jnp.log(2 / self.width * (1 - value / self.width))


class UserRegression(dist.Distribution):
    """A vector event, a parameter that is a matrix, and a property that depends on the parameters."""

    arg_constraints = {"weights": constraints.real_matrix, "scale": constraints.positive}
    support = constraints.real_vector

    def __init__(self, weights, scale, *, validate_args=None):
        self.weights, self.scale = weights, scale
        batch_shape = jnp.broadcast_shapes(jnp.shape(weights)[:-2], jnp.shape(scale))
        super().__init__(batch_shape, jnp.shape(weights)[-2:-1], validate_args=validate_args)

    @property
    def loc(self):
        return self.weights.sum(-1)

    def sample(self, key, sample_shape=()):
        noise = jax.random.normal(key, self.shape(sample_shape))
        return self.loc + jnp.expand_dims(self.scale, -1) * noise

    def log_prob(self, value):
        return dist.Normal(self.loc, jnp.expand_dims(self.scale, -1)).log_prob(value).sum(-1)


USER_WRITTEN = [
    Example(UserPareto, {"scale": shrinking(0.5), "alpha": positive(4.0)}, "not in the package"),
    Example(UserShifted, {"loc": real([0.3, -1.0]), "weight": real(0.4)}, "not in the package"),
    Example(UserTriangle, {"width": positive(9.0)}, "not in the package", values=np.float32([0.5, 1.5, 2.5])),
    Example(UserRegression, {"weights": real(np.eye(3)[:2]), "scale": positive(1.2)}, "not in the package"),
]

ALL = {example.name: example for example in [*EXAMPLES, *USER_WRITTEN]}
DEEPEST = "transform+mask+expand+to_event+mask"
SMALL = ("plate, size 1", "plate, full and scalar", "two plates, mixed")
IN_A_HURRY = SMALL[1:]


def allowed(example: Example, chain: str) -> bool:
    return not ("transform" in CHAINS[chain] and example.at_point().is_discrete)


# One of each kind of parameters, events and wrapped things. On the others `make test` leaves some cases to
# `make test-all`.
REPRESENTATIVES = {
    "Normal",
    "Uniform",
    "Delta(vector)",
    "Independent(scalar scale)",
    "TransformedDistribution(vector)",
    "MultivariateNormal(scale_tril)",
    "LKJCholesky(onion)",
    "BinomialProbs",
    "CategoricalLogits",
    "MixtureSameFamily(vector)",
    "MixtureGeneral",
    "UserShifted",
}


#: All examples; `make test` runs the representatives.
MOSTLY_SLOW = [pytest.param(name, marks=() if name in REPRESENTATIVES else pytest.mark.slow) for name in ALL]


def cases(
    where: Callable[[str, str], bool], always: Callable[[str, str], bool] = lambda chain, layout: True
) -> list[Any]:
    """Examples, chains and layouts, all of which are tested always, or only on representatives if one is in a hurry."""
    return [
        pytest.param(
            name,
            chain,
            layout,
            id=f"{name}-{chain}-{layout}",
            marks=() if name in REPRESENTATIVES or always(chain, layout) else pytest.mark.slow,
        )
        for name, example in ALL.items()
        for chain in CHAINS
        for layout in LAYOUTS
        if where(chain, layout) and allowed(example, chain)
    ]


def at(t: Any, tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x)[t], tree)


def structure(d: dist.Distribution) -> tuple[Any, list[Shape]]:
    leaves, treedef = jax.tree.flatten(d)
    return treedef, [jnp.shape(leaf) for leaf in leaves]


def stackings(case: Case, steps: int) -> dict[str, Callable[[], dist.Distribution]]:
    """The ways in which a distribution for each step becomes one for all steps."""

    def stacked() -> dist.Distribution:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[case.build(*at(t, case.inputs)) for t in range(steps)])

    return {
        "vmap": lambda: jax.vmap(case.build)(*case.inputs),
        "scan": lambda: jax.lax.scan(lambda carry, given: (carry, case.build(*given)), None, case.inputs)[1],
        "stack": stacked,
    }


def check_shapes(d: dist.Distribution, batch: Shape, event: Shape, example: Example) -> None:
    """Law 3, and what law 4 says of the shapes of densities and draws."""
    assert d.batch_shape == batch
    assert d.event_shape == event
    assert d.shape((7,)) == (7, *batch, *event)
    assert d.log_prob(jnp.zeros((6, *batch, *event))).shape == (6, *batch)
    if example.can_sample:
        assert d.sample(jax.random.key(0), (6, 7)).shape == (6, 7, *batch, *event)


def check_shapes_of_statistics(d: dist.Distribution, batch: Shape, event: Shape, example: Example) -> None:
    """What else law 4 says of shapes."""
    value = jnp.zeros(batch + event)
    assert d.log_prob(value).shape == batch
    assert d.support(value).shape == batch
    if example.can_sample:
        assert d.sample(jax.random.key(0)).shape == batch + event
    found = statistics_of(d, value)
    for name in {"mean", "variance", "mode"} & found.keys():
        assert jnp.shape(found[name]) == batch + event, name
    for name in {"entropy", "support", "cdf", "log_cdf"} & found.keys():
        assert jnp.shape(found[name]) == batch, name
    # Supports that differ over the batch cannot be listed together.
    if d.has_enumerate_support and not {"total_count", "low"} & example.parameters.keys():
        values = d.enumerate_support()
        assert values.shape[1:] == batch + event
        assert d.enumerate_support(expand=False).shape == values.shape[:1] + (1,) * len(batch) + event


def statistics_of(d: dist.Distribution, value: Any) -> dict[str, Any]:
    """Those that the distribution has."""
    wanted: dict[str, Callable[[], Any]] = {
        "mean": lambda: d.mean,
        "variance": lambda: d.variance,
        "mode": lambda: d.mode,
        "entropy": lambda: d.entropy(),
        "support": lambda: d.support(value),
    }
    if not d.event_shape:
        wanted["cdf"] = lambda: d.cdf(value)
        wanted["log_cdf"] = lambda: d.log_cdf(value)
        wanted["icdf"] = lambda: d.icdf(jnp.full(d.batch_shape, 0.3))
    found = {}
    for name, statistic in wanted.items():
        try:
            found[name] = statistic()
        except NotImplementedError:
            continue
    return found


@pytest.mark.parametrize("cls", distribution_classes(), ids=lambda cls: cls.__name__)
def test_every_distribution_declares_example_parameters(cls):
    assert any(example.cls is cls for example in EXAMPLES), (
        f"{cls.__name__} has no entry in test/distributions/examples.py: add one, so that the laws are tested on it"
    )


@pytest.mark.parametrize(
    ("name", "chain", "layout"),
    cases(
        lambda chain, layout: chain == "bare" or layout in SMALL[1:],
        always=lambda chain, layout: (
            (chain == "bare" and layout in ("no plate", "plate, scalar", *IN_A_HURRY))
            or (chain in ("to_event", "mask", DEEPEST) and layout == "two plates, mixed")
        ),
    ),
)
def test_promotion_prepends_only_the_scan_length(name, chain, layout):
    """Laws 2 to 5: batch, event and sample shapes, of the stack, of the stack of stacks, and of its elements."""
    steps, outer = 7, 2
    case = make_case(ALL[name], chain, LAYOUTS[layout], (steps,))
    plates, event = case.layout.plates, case.event_shape

    def laws():
        one = case.build(*at(0, case.inputs))
        assert one.batch_shape == plates
        assert one.event_shape == event
        made = {way: stack() for way, stack in stackings(case, steps).items()}
        check_shapes(made["scan"], (steps, *plates), event, case.example)
        check_shapes_of_statistics(made["scan"], (steps, *plates), event, case.example)
        for way, d in made.items():
            assert structure(d) == structure(made["scan"]), way
        back = at(3, made["scan"])
        assert back.batch_shape == plates
        assert structure(back) == structure(one)

        def nest(_):
            return None, jax.lax.scan(lambda carry, given: (carry, case.build(*given)), None, case.inputs)[1]

        nested = jax.lax.scan(lambda carry, i: nest(i), None, jnp.arange(outer))[1]
        check_shapes(nested, (outer, steps, *plates), event, case.example)
        assert at(1, nested).batch_shape == (steps, *plates)
        assert at((1, 2), nested).batch_shape == plates
        for d in (one, made["scan"], nested):
            leaves, treedef = jax.tree.flatten(d)
            assert structure(jax.tree.unflatten(treedef, leaves)) == structure(d)
        return made["scan"]

    through_jit = jax.eval_shape(laws)
    assert through_jit.batch_shape == (steps, *plates)
    assert through_jit.event_shape == event


@functools.cache
def element_program(name: str) -> Callable[..., Any]:
    """Log density and its gradient for one element, without any batch dimension."""
    example = ALL[name]

    def log_prob(moving: Any, still: Any, value: Any) -> Any:
        return example.constructor(**moving, **still).log_prob(value)

    return compiled(jax.value_and_grad(log_prob) if example.differentiable else lambda *a: (log_prob(*a), {}))


def repeated(case: Case, full: Shape) -> dict[str, np.ndarray]:
    """The parameters of every element: of every step, and every index into the batch."""
    result = {}
    for name, parameter in case.example.parameters.items():
        event = parameter.value.shape
        given = case.parameters[name]
        batch = given.shape[1 : given.ndim - len(event)]
        given = given.reshape(given.shape[:1] + (1,) * (len(full) - 1 - len(batch)) + batch + event)
        result[name] = np.broadcast_to(given, full + event)
    return result


def looped(case: Case) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Log densities and gradients of the unwrapped example, by a Python loop over steps and all elements."""
    example = case.example
    program = element_program(example.name)
    full = case.base_values.shape[: case.base_values.ndim - example.at_point().event_dim]
    parameters = repeated(case, full)
    log_probs = np.empty(full)
    gradients = {name: np.empty(parameters[name].shape) for name in example.differentiable}
    for index in np.ndindex(full):
        moving = {name: parameters[name][index] for name in example.differentiable}
        still = {name: value[index] for name, value in parameters.items() if name not in moving}
        log_probs[index], gradient = program(moving, still, case.base_values[index])
        for name, g in gradient.items():
            gradients[name][index] = g
    return log_probs, gradients


def wrapped(case: Case, log_prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the wrappers make of log densities of the elements, and which of these count, by NumPy alone."""
    counts = np.ones(log_prob.shape)
    masks = iter(("mask", "second_mask"))
    for step in case.chain:
        if step == "to_event":
            log_prob = log_prob.sum(-1)
        elif step == "mask":
            mask = case.extras[next(masks)]
            log_prob = np.where(mask, log_prob, 0.0)
            counts = counts * mask.reshape(mask.shape + (1,) * (counts.ndim - mask.ndim))
        elif step == "transform":
            factor = np.log(np.abs(case.extras["factor"].astype(np.float64)))
            inner = log_prob.ndim - 1 - len(case.layout.plates)
            event_size = np.prod(case.event_shape) / INNER**inner
            log_prob = log_prob - event_size * factor.reshape((-1,) + (1,) * (log_prob.ndim - 1))
    return log_prob, counts


def summed_to(x: np.ndarray, shape: Shape, steps: int, event_dim: int) -> np.ndarray:
    """Sum over the dimensions along which a parameter of this shape was repeated."""
    batch = shape[1 : len(shape) - event_dim]
    full = (steps, *(1,) * (x.ndim - event_dim - 1 - len(batch)), *batch, *shape[len(shape) - event_dim :])
    axes = tuple(i for i, (have, want) in enumerate(zip(x.shape, full, strict=True)) if have != want)
    return x.sum(axes, keepdims=True).reshape(shape)


def check_density(name: str, chain: str, layout: Layout, steps: int, with_gradient: bool) -> None:
    example = ALL[name]
    case = make_case(example, chain, layout, (steps,))
    weights = np.random.default_rng(1).uniform(0.5, 1.5, size=(steps, *layout.plates)).astype(np.float32)
    moving = {name: case.parameters[name] for name in example.differentiable if with_gradient}
    still = {name: value for name, value in case.parameters.items() if name not in moving}

    @compiled
    def program(moving, still, extras, values):
        def total(moving):
            d = jax.vmap(case.build)({**moving, **still}, extras)
            log_prob = d.log_prob(values)
            return jnp.sum(weights * log_prob), (log_prob, d.support(values))

        if moving:
            return jax.grad(total, has_aux=True)(moving)
        return {}, total(moving)[1]

    gradient, (log_prob, supported) = program(moving, still, case.extras, case.values)
    base, base_gradient = looped(case)
    expected, counts = wrapped(case, base)
    assert np.all(np.isfinite(expected))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)
    assert np.all(supported)
    for parameter, g in gradient.items():
        event_dim = example.parameters[parameter].value.ndim
        weight = (counts.T * weights.T).T
        weight = weight.reshape(weight.shape + (1,) * event_dim)
        want = summed_to(weight * base_gradient[parameter], case.parameters[parameter].shape, steps, event_dim)
        np.testing.assert_allclose(g, want, rtol=1e-3, atol=1e-3, err_msg=f"gradient of {parameter}")


@pytest.mark.parametrize(
    ("name", "chain", "layout"),
    cases(
        lambda chain, layout: chain == "bare" or layout == "two plates, mixed",
        always=lambda chain, layout: chain == DEEPEST or (chain == "bare" and layout == IN_A_HURRY[0]),
    ),
)
def test_density_is_that_of_a_python_loop(name, chain, layout):
    with_gradient = layout in SMALL and chain in ("bare", DEEPEST)
    check_density(name, chain, LAYOUTS[layout], steps=2, with_gradient=with_gradient)


@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_density_where_the_plate_is_as_long_as_the_scan(name):
    """Where axes have the same size, one taken for the other raises no error."""
    check_density(name, "bare", Layout((3,), ((), (3,))), steps=3, with_gradient=True)


# Their draws are compared with the distribution function instead of the mean.
WITHOUT_MOMENTS = ("Cauchy", "HalfCauchy", "TransformedDistribution(scalar base)", "FoldedDistribution")


@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_statistics_and_draws_are_those_of_a_python_loop(name):
    """Law 4, for everything that is not a density; and that every element's draws are its own."""
    example, steps, draws = ALL[name], 2, 500
    case = make_case(example, "bare", LAYOUTS["two plates, mixed"], (steps,))
    full = (steps, *case.layout.plates)

    @compiled
    def stacked(inputs, values, key):
        d = jax.vmap(case.build)(*inputs)
        draw = d.sample(key, (draws,)) if example.can_sample else None
        ranks = d.cdf(draw) if name in WITHOUT_MOMENTS else None
        return statistics_of(d, values), draw, ranks

    @compiled
    def of_element(parameters, value):
        return statistics_of(example.constructor(**parameters), value)

    found, draw, ranks = stacked(case.inputs, case.base_values, jax.random.key(1))
    parameters = repeated(case, full)
    expected = [
        of_element({name: value[index] for name, value in parameters.items()}, case.base_values[index])
        for index in np.ndindex(full)
    ]
    assert found.keys() == expected[0].keys()
    expected = {
        name: np.reshape([one[name] for one in expected], full + np.shape(expected[0][name])) for name in expected[0]
    }
    for name, want in expected.items():
        np.testing.assert_allclose(found[name], want, rtol=2e-4, atol=1e-5, err_msg=name)
    if name in WITHOUT_MOMENTS:
        np.testing.assert_allclose(np.mean(ranks, 0), 0.5, atol=5 / np.sqrt(12 * draws))
    elif example.can_sample and {"mean", "variance"} <= expected.keys():
        spread = np.sqrt(expected["variance"] / draws)
        known = np.isfinite(expected["mean"]) & np.isfinite(spread)
        assert np.all(np.abs(np.mean(draw, 0) - expected["mean"])[known] <= 6 * spread[known] + 1e-5)


@pytest.mark.parametrize("name", ALL)
def test_all_ways_of_stacking_give_the_same_leaves(name):
    """And indexing gives back the leaves of one step; through ``jit`` they are the same."""
    steps = 3
    case = make_case(ALL[name], DEEPEST if allowed(ALL[name], DEEPEST) else "mask", LAYOUTS["two plates, mixed"], (3,))

    @compiled
    def program():
        made = {way: stack() for way, stack in stackings(case, steps).items()}
        ones = [case.build(*at(t, case.inputs)) for t in range(steps)]
        return made, [at(t, made["scan"]) for t in range(steps)], ones

    made, back, ones = program()
    same = lambda one, other: jax.tree.map(np.testing.assert_array_equal, one, other)
    same(made["scan"], made["vmap"])
    same(made["scan"], made["stack"])
    same(back, ones)
    same(jax.jit(lambda d: d)(made["scan"]), made["scan"])
    assert jax.jit(lambda d: d)(made["scan"]).batch_shape == (steps, *case.layout.plates)
    same(promote_batch_shape(made["scan"]), made["scan"])
    assert promote_batch_shape(made["scan"]).batch_shape == (steps, *case.layout.plates)


@pytest.mark.parametrize("name", [name for name, example in ALL.items() if example.make is None])
def test_leaves_are_the_parameters(name):
    """Laws 1 and 2: as many leaves as parameters, each with all batch dimensions."""
    example = ALL[name]
    case = make_case(example, "bare", LAYOUTS["two plates, mixed"], (1,))
    inputs = {name: value[0] for name, value in case.parameters.items()}
    d = example.constructor(**inputs)
    if name in ("UserShifted",):
        shapes = {(4, 1, 2), (1, 1, 1), (1, 3)}
    else:
        shapes = set()
        for name, value in inputs.items():
            event_dim = example.parameters[name].value.ndim
            shapes.add((1,) * (len(d.batch_shape) + event_dim - value.ndim) + value.shape)
        assert len(jax.tree.leaves(d)) == len(inputs)
    assert {leaf.shape for leaf in jax.tree.leaves(d)} == shapes


@pytest.mark.parametrize("name", ALL)
def test_copies_and_descriptions(name):
    example = ALL[name]
    case = make_case(example, "bare", LAYOUTS["two plates, mixed"], (1,))
    d = case.build({name: value[0] for name, value in case.parameters.items()}, {})
    for other in (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert type(other) is type(d)
        assert (other.batch_shape, other.event_shape) == (d.batch_shape, d.event_shape)
        assert structure(other) == structure(d)
        jax.tree.map(np.testing.assert_array_equal, other, d)
    assert repr(d).startswith(type(d).__name__)
    assert repr(d).endswith(f"(batch_shape=(4, 3), event_shape={d.event_shape})")


MAPPED = [
    pytest.param(name, parameter, id=f"{name}-{parameter}")
    for name, example in ALL.items()
    if example.make is None and name != "UserShifted"
    for parameter in example.parameters
]


@pytest.mark.parametrize(("name", "parameter"), MAPPED)
def test_vmap_over_one_parameter(name, parameter):
    """The others are not mapped over: inside, the batch shape is that without the mapped dimension."""
    example, size = ALL[name], 3
    rng = np.random.default_rng(2)
    point = {**example.point, parameter: example.parameters[parameter].batched(rng, (size,))}
    d = example.constructor(**point)
    value = draws_at_point(name)[0]
    seen = []

    @compiled
    def program(d, value):
        def of_one(d):
            seen.append(d.batch_shape)
            return d.log_prob(value)

        return jax.vmap(of_one, in_axes=(vmap_over(d, **{parameter: 0}),))(d), d.log_prob(value)

    mapped, batched = program(d, value)
    assert seen == [()]
    np.testing.assert_allclose(mapped, batched, rtol=1e-5)
    with pytest.raises(ValueError, match="no parameter nonsense"):
        vmap_over(d, nonsense=0)


def under_plates(sizes: Shape) -> ExitStack:
    """Plates of these sizes, the last one innermost, at dim -1."""
    stack = ExitStack()
    for i, size in enumerate(sizes):
        stack.enter_context(numpyro.plate(f"plate {i}", size, dim=i - len(sizes)))
    return stack


def site_in_scan(case: Case, rng_key: Any, outer: int | None) -> dict[str, Any]:
    """The site ``x`` of a model that makes the distribution in the body of a scan, or of a scan in a scan."""

    def step(carry, given):
        parameters, extras, values = given
        with under_plates(case.layout.plates):
            obs = None if case.example.can_sample else values
            numpyro.sample("x", case.build(parameters, extras, expand=False), obs=obs)
        return carry, None

    def model():
        if outer is None:
            scan(step, None, (*case.inputs, case.values))
        else:
            scan(lambda carry, _: (scan(step, carry, (*case.inputs, case.values))[0], None), None, jnp.arange(outer))

    return handlers.trace(handlers.seed(model, rng_key)).get_trace()["x"]


@pytest.mark.parametrize(
    ("name", "chain", "layout"),
    cases(
        lambda chain, layout: layout in SMALL if chain == "bare" else (chain, layout) == (DEEPEST, SMALL[-1]),
        always=lambda chain, layout: layout in IN_A_HURRY,
    ),
)
def test_sites_made_in_the_body_of_a_scan(name, chain, layout):
    """And of a scan in a scan."""
    steps = 7
    case = make_case(ALL[name], chain, LAYOUTS[layout], (steps,))

    def laws(rng_key):
        for outer in (None, 2):
            site = site_in_scan(case, rng_key, outer)
            batch = ((steps,) if outer is None else (outer, steps)) + case.layout.plates
            assert site["value"].shape == batch + case.event_shape
            check_shapes(site["fn"], batch, case.event_shape, case.example)

    jax.eval_shape(laws, jax.random.key(0))


@pytest.mark.parametrize("plates", [(), (5,), (4, 3)], ids=str)
@pytest.mark.parametrize("outer", [None, 2], ids=["scan", "nested scan"])
def test_scan_promotes_a_distribution_without_leaves(plates, outer):
    """Law 7."""
    flat = Example(
        dist.ImproperUniform,
        {},
        "it is improper",
        make=lambda: dist.ImproperUniform(constraints.ordered_vector, (), (3,)),
        can_sample=False,
        values=np.sort(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)),
    )
    steps = 7
    values = np.resize(flat.values, (steps, *plates, 3))
    case = Case(flat, (), Layout(plates, ((),)), {}, {}, values)
    batch = ((steps,) if outer is None else (outer, steps)) + plates
    site = jax.eval_shape(lambda key: site_in_scan(case, key, outer)["fn"], jax.random.key(0))
    assert (site.batch_shape, site.event_shape) == (batch, (3,))
