# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What holds of every distribution at and beyond the edges: of its support, of its parameters, of the numbers."""

from __future__ import annotations

import os
from pathlib import Path
import re
import subprocess
import sys

from distributions.examples import EXAMPLES
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.distribution import validation_enabled

BY_NAME = {example.name: example for example in EXAMPLES}


#: Those that give values outside their support another log density, with the reason.
NOT_MINUS_INFINITY = {
    "ImproperUniform": "flat by definition; validation tells what lies outside",
    "IntervalCensoredDistribution": "bounds that the variable cannot reach still bound it",
    "LeftCensoredDistribution": "a bound that the variable cannot reach still bounds it",
    "RightCensoredDistribution": "a bound that the variable cannot reach still bounds it",
    "VonMises": "the density has a period, so that data may be given in any turn",
}

#: Those whose support is written as the positive numbers, but whose density has a limit at 0, which it takes there.
DENSITY_AT_ZERO = {"Exponential", "FoldedDistribution", "Gompertz", "HalfCauchy", "HalfNormal"}


def compiled(function):
    """Compile without optimisation: the programs run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def inside_and_outside(example):
    """A value of the support, and values that may lie outside, stacked."""
    if example.values is not None:
        value = example.values[0]
    else:
        value = np.asarray(jax.jit(lambda d, key: d.sample(key))(example.at_point(), jax.random.key(2)))
    value = value.astype(np.float32)
    turned = value[..., ::-1] + 0.25 if value.ndim else value + 0.25
    beyond = [value - 1000.0, value + 1000.0, -value - 0.5, 2 * value + 0.5, 0 * value, turned]
    return np.stack([value, *beyond]).astype(np.float32)


@pytest.mark.parametrize("name", [name for name in BY_NAME if "Unit" not in name])
def test_outside_the_support_the_log_density_is_minus_infinity(name):
    """Under jit: with validation for every class, without it for numbers and counts. Gradients stay finite. An infinite
    number has no density, although it may be called positive."""
    example = BY_NAME[name]
    values = inside_and_outside(example)
    moving = {key: example.point[key] for key in example.differentiable}
    still = {key: v for key, v in example.point.items() if key not in moving}

    @compiled
    def program(moving, values):
        def at(moving, value):
            plain = example.constructor(**moving, **still).log_prob(value)
            return plain, plain

        gradient, plain = jax.vmap(jax.grad(at, has_aux=True), (None, 0))(moving, values)
        with validation_enabled():
            d = example.constructor(**moving, **still)
            checks = d.log_prob(values), d.support(values)
        d = example.constructor(**moving, **still)
        infinite = [] if d.is_discrete else [d.log_prob(jnp.full(d.shape(), x)) for x in (jnp.inf, -jnp.inf)]
        return gradient, plain, *checks, infinite

    gradient, plain, checked, inside, infinite = jax.tree.map(np.asarray, program(moving, values))
    assert inside[0]
    reason = NOT_MINUS_INFINITY.get(example.cls.__name__)
    assert np.all(checked[~inside] == -np.inf) or reason, "with validation"
    np.testing.assert_allclose(checked[inside], plain[inside], rtol=1e-5)
    if example.cls.__name__ in DENSITY_AT_ZERO:
        inside = inside | (values == 0)
    if not example.at_point().event_shape and not reason:
        assert np.all(plain[~inside] == -np.inf), "without validation"
        assert all(x == -np.inf for x in infinite), "of infinite numbers"
    assert not np.any(np.isnan(plain))
    # Inside, a density may be too small for a number.
    for parameter, slopes in gradient.items():
        assert np.all(np.isfinite(slopes[~inside | np.isfinite(plain)])), parameter


# Parameters


def violations():
    """Every class with every parameter that has a constraint, once outside it."""
    for name, example in BY_NAME.items():
        d = example.at_point()
        for parameter in d.get_args():
            constraint = d._argument_constraint(parameter)
            if isinstance(constraint, Constraint) and not constraints.is_dependent(constraint):
                yield pytest.param(name, parameter, id=f"{name}-{parameter}")


def spoiled(constraint, value):
    """A value of the same shape that violates the constraint."""
    value = np.asarray(value)
    if value.dtype.kind == "b":
        value = value.astype(int)
    tries = [-value - 1, 2 * value + 1, value + 0.5, value + 100, value - 100]
    if value.dtype.kind == "f":
        tries.append(np.full_like(value, np.nan))
    for wrong in tries:
        if not np.all(np.asarray(constraint(wrong))):
            return wrong
    raise AssertionError(f"{constraint} holds of everything that was tried")


@pytest.mark.parametrize(("name", "parameter"), list(violations()))
def test_a_parameter_outside_its_constraint_is_named(name, parameter):
    """Distribution, parameter, constraint, and the offending values."""
    example = BY_NAME[name]
    d = example.at_point()
    constraint = d._argument_constraint(parameter)
    wrong = spoiled(constraint, d.get_args()[parameter])
    leaves = dict(d.get_args())
    leaves[parameter] = wrong
    with pytest.raises(ValueError) as caught:
        d.__dict__.update(leaves)
        d.validate_args()
    message = str(caught.value)
    named = re.match(rf"{type(d).__name__}: parameter '(\w+)' must satisfy ", message)[1]
    # Of two ends in the wrong order, either may be named.
    assert named == parameter or {named, parameter} == {"low", "high"}
    assert str(d._argument_constraint(named)) in message
    shown = re.findall(r"-?(?:nan|\d+\.?\d*(?:e[-+]?\d+)?)", message.split("but it is", 1)[1])
    assert shown
    given = np.ravel(d.get_args()[named])
    assert any(np.isclose(float(number), given, rtol=1e-3, equal_nan=True).any() for number in shown)


# Construction

CONSTRUCT_ALL = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from distributions.examples import EXAMPLES

failed = []
for example in EXAMPLES:
    if example.cls.__module__.startswith("numpyro.contrib"):
        continue
    point = {name: x.item() if x.ndim == 0 else x for name, x in example.point.items()}
    if example.make is None:
        try:
            example.cls(**point).batch_shape
        except RuntimeError as error:
            failed.append(example.name)
print(*failed)
"""


def test_construction_from_numbers_compiles_nothing():
    """Without a platform to run on, the first operation would raise."""
    result = subprocess.run(
        [sys.executable, "-c", CONSTRUCT_ALL, str(Path(__file__).parent.parent)],
        env={**os.environ, "JAX_PLATFORMS": "none_such"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert not result.stdout.split()
