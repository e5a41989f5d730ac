# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Each kernel leaves the joint distribution of parameters and data as it is."""

from __future__ import annotations

from geweke import model_z_scores, z_scores
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import AIES, ESS, HMC, NUTS, SA, BarkerMH

pytestmark = pytest.mark.slow
KEY = jax.random.PRNGKey(0)


def model(y):
    """A site on the real line, a positive one, and one on the simplex."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    tau = numpyro.sample("tau", dist.Gamma(4.0, 4.0))
    p = numpyro.sample("p", dist.Dirichlet(jnp.array([2.0, 3.0, 4.0])))
    numpyro.sample("y", dist.Normal(mu + p[..., 0], tau).expand([3]).to_event(1), obs=y)


def statistics(values, y):
    mu, tau, p = values["mu"], values["tau"], values["p"]
    first = jnp.stack([mu, tau, p[0], p[1], y.mean(), y[0]])
    mixed = jnp.stack([mu * y[0], tau * y[0] ** 2, mu * tau, p[0] * y[0], jnp.abs(y[1] - mu)])
    return jnp.concatenate([first, first**2, mixed])


KERNELS = {
    "HMC": lambda model: HMC(model, step_size=0.4, num_steps=3, trajectory_length=None),
    "NUTS": lambda model: NUTS(model, step_size=0.4, max_tree_depth=4),
    "BarkerMH": lambda model: BarkerMH(model, step_size=0.8),
}


@pytest.mark.parametrize("make_kernel", KERNELS.values(), ids=list(KERNELS))
def test_kernels_leave_the_joint_distribution_invariant(make_kernel):
    scores = model_z_scores(make_kernel, model, statistics, KEY)
    assert np.max(np.abs(scores)) < 4, scores


def test_the_test_finds_a_kernel_that_forgets_the_skew_of_its_proposal():
    """Barker's proposal with the acceptance probability of a symmetric one."""
    kernel = BarkerMH(model, step_size=0.8)

    def wrong(state, args, kwargs):
        proposed = kernel.sample(state._replace(potential_energy=jnp.asarray(jnp.inf)), args, kwargs)
        key = jax.random.fold_in(state.rng_key, 1)
        accept = jnp.log(jax.random.uniform(key)) < state.potential_energy - proposed.potential_energy
        return jax.tree.map(lambda a, b: jnp.where(accept, a, b), proposed, state)._replace(rng_key=proposed.rng_key)

    scores = model_z_scores(lambda model: kernel, model, statistics, KEY, transition=wrong)
    assert np.max(np.abs(scores)) > 8


SIZE, NOISE = 2, 0.7
MIX = jnp.array([[1.0, 0.0], [0.8, 0.6]])


def population_model(y):
    """Normal prior and data, for kernels whose state is a set of independent draws from the posterior."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0).expand([SIZE]).to_event(1))
    numpyro.sample("y", dist.Normal(MIX @ x, NOISE).to_event(1), obs=y)


def population_posterior(y):
    precision = jnp.eye(SIZE) + MIX.T @ MIX / NOISE**2
    covariance = jnp.linalg.inv(precision)
    return covariance @ MIX.T @ y / NOISE**2, covariance


POPULATIONS = {
    "SA": (lambda m: SA(m, adapt_state_size=10), 10),
    "SA diagonal": (lambda m: SA(m, adapt_state_size=4, dense_mass=False), 4),
    "AIES": (lambda m: AIES(m, moves={AIES.DEMove(): 1.0, AIES.StretchMove(): 1.0}), 6),
    "AIES split at random": (lambda m: AIES(m, moves={AIES.StretchMove(3.0): 1.0}, randomize_split=True), 4),
    "ESS": (lambda m: ESS(m, moves={ESS.DifferentialMove(): 1.0, ESS.RandomMove(): 1.0}, tune_mu=False), 6),
    "ESS bounded": (
        lambda m: ESS(m, moves={ESS.GaussianMove(): 1.0, ESS.KDEMove(): 1.0}, max_steps=2, max_iter=2, init_mu=3.0),
        6,
    ),
}


@pytest.mark.filterwarnings("ignore:.*twice as many walkers")
@pytest.mark.parametrize("make_kernel, count", POPULATIONS.values(), ids=list(POPULATIONS))
def test_kernels_of_populations_leave_the_joint_distribution_invariant(make_kernel, count):
    """With ``count`` points drawn independently from the posterior given ``y``, the distribution of ``y`` given the
    points is that of a parameter with prior ``p(y)`` and ``count`` normal observations, each of mean ``B y``."""
    kernel = make_kernel(population_model)
    evidence = jnp.linalg.inv(MIX @ MIX.T + NOISE**2 * jnp.eye(SIZE))
    _, covariance = population_posterior(jnp.zeros(SIZE))
    slope = covariance @ MIX.T / NOISE**2
    y_covariance = jnp.linalg.inv(evidence + count * slope.T @ jnp.linalg.inv(covariance) @ slope)
    y_slope = y_covariance @ slope.T @ jnp.linalg.inv(covariance)

    def draw_joint(key):
        y_key, x_key = jax.random.split(key)
        y = dist.MultivariateNormal(jnp.zeros(SIZE), precision_matrix=evidence).sample(y_key)
        loc, covariance = population_posterior(y)
        return dist.MultivariateNormal(loc, covariance).sample(x_key, (count,)), y

    def start(key, points, y):
        if kernel.is_ensemble_kernel:
            return kernel.init(jax.random.split(key, count), 0, {"x": points}, (y,), {}), y
        state = kernel.init(key, 0, {"x": points[0]}, (y,), {})
        program, _ = kernel.program(0, (y,), {})
        moments = program._moments(points)
        adapt_state = state.adapt_state._replace(zs=points, loc=moments[0], inv_mass_matrix_sqrt=moments[1])
        return kernel.refresh(state._replace(adapt_state=adapt_state), (y,), {}), y

    def step(key, carry):
        state, y = carry
        state = kernel.sample(state, (y,), {})
        points = state.z["x"] if kernel.is_ensemble_kernel else state.adapt_state.zs
        y = dist.MultivariateNormal(y_slope @ points.sum(0), y_covariance).sample(key)
        return (kernel.refresh(state, (y,), {}), y), points, y

    def statistics(points, y):
        mean, first = points.mean(0), points[0]
        squares = (points**2).mean(0)
        mixed = jnp.stack([y[0] * mean[0], y[1] * first[1], first[0] * first[1], (points[:, 0] * points[:, 1]).mean()])
        between = jnp.stack([first[0] * points[1, 0], first[1] * points[-1, 1], jnp.ptp(points[:, 0])])
        fourth = (points**4).mean(0)
        return jnp.concatenate([y, mean, first, y**2, mean**2, squares, mixed, between, fourth])

    scores = z_scores(draw_joint, start, step, statistics, KEY, num_chains=800, num_steps=150)
    assert np.max(np.abs(scores)) < 4, scores
