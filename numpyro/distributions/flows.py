# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms by autoregressive networks: normalising flows."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform

__all__ = ["BlockNeuralAutoregressiveTransform", "InverseAutoregressiveTransform"]


def _with_leaves(network: Callable[..., Any]) -> Callable[..., Any]:
    """The network as a pytree, where it is a partial application: bound parameters are leaves of the transform."""
    if isinstance(network, functools.partial) and not isinstance(network, jax.tree_util.Partial):
        return jax.tree_util.Partial(network.func, *network.args, **network.keywords)
    return network


class InverseAutoregressiveTransform(Transform):
    r"""Inverse autoregressive flow.

    .. math:: y_i = \mu_i(x_{<i}) + e^{s_i(x_{<i})}\, x_i

    The way forth costs one call of the network, the way back one for each element.

    **Reference:** Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling (2016), *Improving variational inference with
    inverse autoregressive flow*.

    :param autoregressive_nn: a function from vectors to the pair :math:`(\mu, s)`, each element of which depends on
        earlier elements only, such as ``functools.partial(apply_fn, params)`` of
        :func:`~numpyro.nn.AutoregressiveNN`.
    :param log_scale_min_clip: lower bound of s.
    :param log_scale_max_clip: upper bound of s. Both let the gradient pass.

    >>> import functools, jax, jax.numpy as jnp
    >>> from numpyro.nn import AutoregressiveNN
    >>> init_fn, apply_fn = AutoregressiveNN(3, [16])
    >>> _, params = init_fn(jax.random.key(0), (3,))
    >>> flow = InverseAutoregressiveTransform(functools.partial(apply_fn, params))
    >>> x = jnp.array([0.1, -1.0, 2.0])
    >>> bool(jnp.allclose(flow.inv(flow(x)), x, atol=1e-5))
    True
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(
        self,
        autoregressive_nn: Callable[..., Any],
        log_scale_min_clip: float = -5.0,
        log_scale_max_clip: float = 3.0,
    ) -> None:
        self.arn = _with_leaves(autoregressive_nn)
        self.log_scale_min_clip = log_scale_min_clip
        self.log_scale_max_clip = log_scale_max_clip

    def _parameters(self, x: Any) -> tuple[Any, Any]:
        mean, log_scale = self.arn(x)
        clipped = jnp.clip(log_scale, self.log_scale_min_clip, self.log_scale_max_clip)
        return mean, log_scale + lax.stop_gradient(clipped - log_scale)

    def __call__(self, x: Any) -> Any:
        return self.call_with_intermediates(x)[0]

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        mean, log_scale = self._parameters(x)
        return mean + jnp.exp(log_scale) * x, log_scale

    def _inverse(self, y: Any) -> Any:
        # After the k-th pass the first k elements, in the network's order, are right.
        def improve(_: Any, x: Any) -> Any:
            mean, log_scale = self._parameters(x)
            return (y - mean) * jnp.exp(-log_scale)

        return lax.fori_loop(0, jnp.shape(y)[-1], improve, jnp.zeros_like(jnp.asarray(y)))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        log_scale = self._parameters(x)[1] if intermediates is None else intermediates
        return log_scale.sum(-1)


class BlockNeuralAutoregressiveTransform(Transform):
    """Block neural autoregressive flow. It has no inverse in closed form.

    **Reference:** De Cao, Titov, Aziz (2019), *Block neural autoregressive flow*.

    :param bn_arn: a function from vectors to outputs and their log derivatives, such as
        ``functools.partial(apply_fn, params)`` of :func:`~numpyro.nn.BlockNeuralAutoregressiveNN`.

    >>> import functools, jax, jax.numpy as jnp
    >>> from numpyro.nn import BlockNeuralAutoregressiveNN
    >>> init_fn, apply_fn = BlockNeuralAutoregressiveNN(3, residual="gated")
    >>> _, params = init_fn(jax.random.key(0), (3,))
    >>> flow = BlockNeuralAutoregressiveTransform(functools.partial(apply_fn, params))
    >>> x = jnp.array([0.1, -1.0, 2.0])
    >>> by_autodiff = jnp.linalg.slogdet(jax.jacobian(flow)(x))[1]
    >>> bool(jnp.allclose(flow.log_abs_det_jacobian(x, flow(x)), by_autodiff, rtol=1e-4))
    True
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, bn_arn: Callable[..., Any]) -> None:
        self.bn_arn = _with_leaves(bn_arn)

    def __call__(self, x: Any) -> Any:
        return self.bn_arn(x)[0]

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        return self.bn_arn(x)

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError(
            "BlockNeuralAutoregressiveTransform has no inverse in closed form: the density of a transformed "
            "distribution is available only at its own draws, through the intermediates of sample_with_intermediates."
        )

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        log_derivative = self.bn_arn(x)[1] if intermediates is None else intermediates
        return log_derivative.sum(-1)
