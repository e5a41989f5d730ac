# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Draws of every class that has reparameterised ones move with the parameters as their derivatives say."""

from __future__ import annotations

from distributions import test_distributions
from distributions.examples import EXAMPLES
import jax
import jax.numpy as jnp
import numpy as np
from precision import double_precision
import pytest

BY_NAME = {example.name: example for example in EXAMPLES if example.can_sample}
REPARAMETERISED = [
    name for name, example in BY_NAME.items() if example.differentiable and example.at_point().has_rsample
]

#: Gamma variates are drawn by rejection, and do not depend smoothly on the concentration: their derivatives are those
#: at a constant probability below the draw. Of these classes test_distributions.py compares them with derivatives of
#: the distribution function, or of an expectation.
BY_REJECTION = {
    "Beta",
    "BetaProportion",
    "Chi2",
    "Dirichlet",
    "Gamma",
    "InverseGamma",
    "InverseWishart",
    "InverseWishartCholesky",
    "LKJ",
    "LKJCholesky",
    "MultivariateStudentT",
    "StudentT",
    "Wishart",
    "WishartCholesky",
}


def direction(name: str, value: np.ndarray) -> np.ndarray:
    """A change of a parameter after which it is still one."""
    if name == "correlation_matrix":
        return value - np.eye(len(value))
    if value.ndim >= 2:
        return value
    return np.random.default_rng(0).normal(size=value.shape)


CASES = [name for name in REPARAMETERISED if BY_NAME[name].cls.__name__ not in BY_REJECTION]
DEAR = {"LeftTruncatedGamma", "RightTruncatedGamma", "TwoSidedTruncatedGamma"}
"""Whose programs take a minute to compile together; some of their draws are compared in the quick test_truncated.py."""


@pytest.mark.parametrize("name", [pytest.param(x, marks=pytest.mark.slow) if x in DEAR else x for x in CASES])
def test_draws_move_with_the_parameters(name):
    """The derivative of draws with the same random numbers, against finite differences."""
    example, step = BY_NAME[name], 1e-6
    moving = {key: example.double_point[key] for key in example.differentiable}
    still = {key: value for key, value in example.point.items() if key not in moving}
    directions = {key: direction(key, value) for key, value in moving.items()}

    def program(moving, directions, key):
        def draw(moving):
            return example.constructor(**moving, **still).rsample(key, (3,))

        found = {}
        for parameter, along in directions.items():
            only = {other: along if other == parameter else jnp.zeros_like(value) for other, value in moving.items()}
            slope = jax.jvp(draw, (moving,), (only,))[1]
            above, below = (draw({**moving, parameter: moving[parameter] + s * step * along}) for s in (1, -1))
            found[parameter] = slope, (above - below) / (2 * step)
        return found

    with double_precision():
        compiled = jax.jit(program, compiler_options={"xla_backend_optimization_level": 0})
        found = jax.tree.map(np.asarray, compiled(moving, directions, jax.random.key(1)))
    for parameter, (slope, difference) in found.items():
        assert np.isfinite(slope).all(), parameter
        atol = 1e-6 * (1 + np.abs(slope).max())
        np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=atol, err_msg=parameter)
    # A point stays where it is.
    assert any(np.any(slope != 0) for slope, _ in found.values()) or "Delta" in name


def test_draws_by_rejection_are_compared_elsewhere():
    compared = {BY_NAME[name].cls.__name__ for name in [*test_distributions.MONOTONE, *test_distributions.SEVERAL]}
    assert compared >= BY_REJECTION


def test_what_is_chosen_does_not_move():
    """Which component of a mixture, or which count, a draw is does not change with the parameters by little."""
    for name, example in BY_NAME.items():
        d = example.at_point()
        if d.is_discrete or "Mixture" in name:
            assert not d.has_rsample, name
