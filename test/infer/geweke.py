# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Geweke's joint distribution test of a kernel, for the tests of this folder.

The joint distribution of parameters and data is drawn in two ways: parameters from the prior and data given them
(*marginal-conditional*), and by turns, data given the parameters and parameters by the kernel given the data
(*successive-conditional*). If the kernel leaves each posterior invariant, both have the same moments.

Many successive-conditional chains run at once, each started from a draw of the joint distribution, so that under the
null hypothesis they are stationary from the first iteration on, and independent of each other: the standard error comes
from the spread of the chains' averages.

Statistics are compressed by the inverse hyperbolic sine. Without it products and fourth moments have kurtosis up to
100, and, where a kernel moves so slowly that a chain's average is hardly more than its start, so have the averages.
Then some hundreds of chains do not tell their own spread: scores of 4 occur though all is right.

Reference: Geweke (2004), Getting it right: joint distribution tests of posterior simulators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import unconstrain_fn


def z_scores(
    draw_joint: Callable[[Any], tuple[Any, Any]],
    start: Callable[[Any, Any, Any], Any],
    step: Callable[[Any, Any], tuple[Any, Any, Any]],
    statistics: Callable[[Any, Any], jax.Array],
    rng_key: Any,
    *,
    num_chains: int = 400,
    num_steps: int = 100,
) -> np.ndarray:
    """Differences between the two simulators' means of some statistics, in standard errors.

    :param draw_joint: ``draw_joint(key)`` gives parameters and data.
    :param start: ``start(key, parameters, data)`` gives the state of a kernel.
    :param step: ``step(key, state)`` moves the parameters by the kernel, draws data given them, and gives the state
        with these data, the parameters and the data.
    :param statistics: ``statistics(parameters, data)``, a vector.
    """

    def compressed(parameters: Any, data: Any) -> jax.Array:
        return jnp.arcsinh(statistics(parameters, data))

    @jax.jit
    def simulate(key: Any) -> tuple[jax.Array, jax.Array]:
        marginal_key, start_key, own_key, step_key = jax.random.split(key, 4)
        marginal = jax.vmap(lambda k: compressed(*draw_joint(k)))(jax.random.split(marginal_key, 50 * num_chains))

        def chain(joint_key: Any, own_key: Any, step_key: Any) -> jax.Array:
            state = start(own_key, *draw_joint(joint_key))

            def body(state: Any, key: Any) -> tuple[Any, jax.Array]:
                state, parameters, data = step(key, state)
                return state, compressed(parameters, data)

            return jnp.mean(lax.scan(body, state, jax.random.split(step_key, num_steps))[1], 0)

        keys = (jax.random.split(k, num_chains) for k in (start_key, own_key, step_key))
        return marginal, jax.vmap(chain)(*keys)

    marginal, successive = (np.asarray(x, np.float64) for x in simulate(rng_key))
    error = np.sqrt(marginal.var(0) / len(marginal) + successive.var(0) / len(successive))
    return (successive.mean(0) - marginal.mean(0)) / error


def model_z_scores(
    make_kernel: Callable[[Callable[..., Any]], Any],
    model: Callable[..., Any],
    statistics: Callable[[Any, Any], jax.Array],
    rng_key: Any,
    *,
    observed: str = "y",
    transition: Callable[[Any, Any, Any], Any] | None = None,
    **settings: int,
) -> np.ndarray:
    """:func:`z_scores` of a kernel for one chain, on a model.

    :param make_kernel: makes the kernel of ``model``; it must not adapt in sampling. It needs ``refresh``.
    :param model: ``model(y)`` with one observed site; ``model(None)`` draws the data.
    :param statistics: ``statistics(values, y)`` of the values of the latent sites (and, in chains, of the deterministic
        ones, which it should leave alone).
    :param observed: name of the observed site.
    :param transition: the kernel's ``sample(state, args, kwargs)``, if it is to be replaced, for instance to show that
        the test finds an error.
    """
    kernel = make_kernel(model)

    def draw_joint(key: Any) -> tuple[dict[str, Any], Any]:
        recorded = trace(seed(model, key)).get_trace(None)
        latent = {
            name: site["value"]
            for name, site in recorded.items()
            if site["type"] == "sample" and name != observed and not site["is_observed"]
        }
        return latent, recorded[observed]["value"]

    def draw_data(key: Any, values: Any) -> Any:
        handled = substitute(seed(model, key), data=values)
        return trace(handled).get_trace(None)[observed]["value"]

    def start(key: Any, values: Any, y: Any) -> tuple[Any, Any]:
        return kernel.init(key, 0, unconstrain_fn(model, (y,), {}, values), (y,), {}), y

    def step(key: Any, carry: tuple[Any, Any]) -> tuple[Any, Any, Any]:
        state, y = carry
        state = (transition or kernel.sample)(state, (y,), {})
        values = kernel.postprocess_fn((y,), {})(getattr(state, kernel.sample_field))
        y = draw_data(key, values)
        return (kernel.refresh(state, (y,), {}), y), values, y

    return z_scores(draw_joint, start, step, statistics, rng_key, **settings)
