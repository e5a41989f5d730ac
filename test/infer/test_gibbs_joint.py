# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Geweke's joint distribution test of the kernels that move discrete sites, and of energy conserving subsampling.

Draws of parameters and data from the model are compared with chains in which a kernel moves the parameters given the
data and the data are drawn given the parameters, by turns. Chains start from draws of the model, so they are
stationary if the kernel is right (Geweke 2004, *Getting it right: joint distribution tests of posterior simulators*).
"""

from __future__ import annotations

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, HMCECS, NUTS, DiscreteGibbs, DiscreteHMCGibbs, Gibbs, MixedHMC

pytestmark = pytest.mark.slow

CHAINS, STEPS = 400, 60


def z_scores(draw_joint, start, step, statistics):
    """Differences of the means of statistics between both ways of drawing, in standard errors."""

    @jax.jit
    def simulate(key):
        first, *others = jax.random.split(key, 4)
        one_key, keys = jax.random.split(first, 50 * CHAINS), [jax.random.split(k, CHAINS) for k in others]
        draws = jax.vmap(lambda k: statistics(*draw_joint(k)))(one_key)

        def chain(joint_key, start_key, step_key):
            def body(carry, key):
                carry, values, y = step(key, carry)
                return carry, statistics(values, y)

            carry = start(start_key, *draw_joint(joint_key))
            return lax.scan(body, carry, jax.random.split(step_key, STEPS))[1].mean(0)

        return draws, jax.vmap(chain)(*keys)

    draws, chains = (np.asarray(x, np.float64) for x in simulate(jax.random.PRNGKey(5)))
    return (chains.mean(0) - draws.mean(0)) / np.sqrt(draws.var(0) / len(draws) + chains.var(0) / len(chains))


def joint(y=None):
    """Discrete and continuous sites and one observation, all of which depend on each other."""
    c = numpyro.sample("c", dist.Categorical(jnp.array([0.2, 0.5, 0.3])))
    x = numpyro.sample("x", dist.Normal(c - 1.0, 0.8))
    s = numpyro.sample("s", dist.Gamma(3.0, 2.0 + c))
    return numpyro.sample("y", dist.Normal(x * s, 0.5), obs=y)


INNER = {"step_size": 0.3, "num_steps": 4, "trajectory_length": None}
GEWEKE = {
    "DiscreteHMCGibbs": lambda: DiscreteHMCGibbs(HMC(joint, **INNER)),
    "DiscreteHMCGibbs-modified": lambda: DiscreteHMCGibbs(NUTS(joint, step_size=0.4), modified=True),
    "DiscreteHMCGibbs-walk": lambda: DiscreteHMCGibbs(HMC(joint, **INNER), random_walk=True),
    "MixedHMC": lambda: MixedHMC(HMC(joint, **INNER), num_discrete_updates=3),
    "MixedHMC-modified": lambda: MixedHMC(HMC(joint, **INNER), modified=True, num_discrete_updates=4),
    "MixedHMC-walk": lambda: MixedHMC(HMC(joint, **INNER), random_walk=True, modified=True),
    "Gibbs-blocks": lambda: Gibbs(
        [(HMC(joint, **INNER), ["x"]), (DiscreteGibbs(joint), ["c"]), (HMC(joint, **INNER), None)]
    ),
}


@pytest.mark.parametrize("name", GEWEKE)
def test_joint_distribution(name):
    kernel = GEWEKE[name]()

    def draw_joint(key):
        recorded = numpyro.handlers.trace(numpyro.handlers.seed(joint, key)).get_trace()
        return {site: recorded[site]["value"] for site in ("c", "x", "s")}, recorded["y"]["value"]

    def start(key, values, y):
        return kernel.init(key, 0, values | {"s": jnp.log(values["s"])}, (y,), {}), y

    def step(key, carry):
        state, y = carry
        state = kernel.sample(state, (y,), {})
        values = kernel.postprocess_fn((y,), {})(state.z)
        y = values["x"] * values["s"] + 0.5 * jax.random.normal(key)
        return (kernel.refresh(state, (y,), {}), y), values, y

    def statistics(values, y):
        c, x, s = values["c"], values["x"], jnp.log(values["s"])
        return jnp.stack([c == 1, c == 2, x, x**2, s, s**2, x * s, c * x, c * s, y, y**2, y * s])

    assert np.max(np.abs(z_scores(draw_joint, start, step, statistics))) < 4.5


def regression(y):
    x = numpyro.sample("x", dist.Normal(0.5, 0.8))
    with numpyro.plate("data", 12, subsample_size=4):
        numpyro.sample("y", dist.Normal(x, 1.5), obs=numpyro.subsample(y, event_dim=0))


@pytest.mark.parametrize("degree", [1, 2])
def test_joint_distribution_with_subsampling(degree):
    """The log likelihoods differ from their polynomials by the same for all data, so the estimate is exact."""
    proxy = HMCECS.taylor_proxy({"x": jnp.array(0.2)}, degree)
    kernel = HMCECS(HMC(regression, **INNER), num_blocks=2, proxy=proxy)

    def draw_data(key, x):
        return x + 1.5 * jax.random.normal(key, (12,))

    def draw_joint(key):
        x = 0.5 + 0.8 * jax.random.normal(key)
        return {"x": x}, draw_data(jax.random.fold_in(key, 1), x)

    def start(key, values, y):
        return kernel.init(key, 0, values, (y,), {}), y

    def step(key, carry):
        state, y = carry
        state = kernel.sample(state, (y,), {})
        y = draw_data(key, state.z["x"])
        return (kernel.refresh(state, (y,), {}), y), state.z, y

    def statistics(values, y):
        x = values["x"]
        return jnp.stack([x, x**2, y[0], y[0] * x, y.mean(), y.mean() ** 2])

    assert np.max(np.abs(z_scores(draw_joint, start, step, statistics))) < 4.5
