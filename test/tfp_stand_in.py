# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A stand-in for the interface of TensorFlow Probability's distributions, as far as the wrapper asks for it.

TFP seldom works with the newest JAX. The stand-in lets its wrapper be tested always.
"""

from __future__ import annotations

from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np

import numpyro.distributions as dist

Properties = namedtuple("Properties", "event_ndims")


class Bijector:
    """One that acts on single numbers."""

    forward_min_event_ndims = inverse_min_event_ndims = 0

    def __init__(self, forward, inverse, log_slope):
        self.forward, self.inverse, self._log_slope = forward, inverse, log_slope

    def forward_log_det_jacobian(self, x, event_ndims):
        assert event_ndims == 0
        return self._log_slope(x)

    def forward_event_shape(self, shape):
        return shape

    inverse_event_shape = forward_event_shape


IDENTITY = Bijector(lambda x: x, lambda y: y, lambda x: jnp.zeros(()))
SOFTPLUS = Bijector(jax.nn.softplus, lambda y: jnp.log(jnp.expm1(y)), jax.nn.log_sigmoid)


class StandIn:
    """What TFP documents of its distributions."""

    event_ndims: dict[str, int]
    reparameterization_type = "FULLY_REPARAMETERIZED"
    dtype = np.float32
    bijector = IDENTITY

    def __init__(self, *args, **kwargs):
        named = dict(zip(self.event_ndims, args, strict=False)) | kwargs
        # TFP converts its parameters to arrays when it is made.
        self.values = {name: jnp.asarray(named[name]) for name in self.event_ndims}
        self.parameters = {"validate_args": False, "name": type(self).__name__, **named}

    @classmethod
    def parameter_properties(cls):
        return {name: Properties(event_ndims) for name, event_ndims in cls.event_ndims.items()}

    @property
    def batch_shape(self):
        shapes = (self.values[name].shape[: self.values[name].ndim - n] for name, n in self.event_ndims.items())
        return jnp.broadcast_shapes(*shapes)

    event_shape = ()

    def experimental_default_event_space_bijector(self):
        return self.bijector

    @property
    def inner(self):
        raise NotImplementedError

    def sample(self, sample_shape, seed):
        return self.inner.sample(seed, sample_shape)

    def log_prob(self, value):
        return self.inner.log_prob(value)

    def mean(self):
        return self.inner.mean

    def variance(self):
        return self.inner.variance

    def mode(self):
        return self.inner.mode

    def entropy(self):
        return self.inner.entropy()

    def cdf(self, value):
        return self.inner.cdf(value)

    def log_cdf(self, value):
        return self.inner.log_cdf(value)

    def quantile(self, q):
        return self.inner.icdf(q)


class Normal(StandIn):
    event_ndims = {"loc": 0, "scale": 0}
    loc = property(lambda self: self.values["loc"])

    def __init__(self, loc, scale, validate_args=False, name="Normal"):
        super().__init__(loc, scale)

    @property
    def inner(self):
        return dist.Normal(**self.values)


class Gamma(StandIn):
    event_ndims = {"concentration": 0, "rate": 0}
    bijector = SOFTPLUS

    def __init__(self, concentration, rate, validate_args=False, name="Gamma"):
        super().__init__(concentration, rate)

    @property
    def inner(self):
        return dist.Gamma(**self.values)


class MultivariateNormalTriL(StandIn):
    event_ndims = {"loc": 1, "scale_tril": 2}

    def __init__(self, loc, scale_tril, validate_args=False, name="MultivariateNormalTriL"):
        super().__init__(loc, scale_tril)

    event_shape = property(lambda self: self.values["loc"].shape[-1:])

    @property
    def inner(self):
        return dist.MultivariateNormal(self.values["loc"], scale_tril=self.values["scale_tril"])


class Poisson(StandIn):
    event_ndims = {"rate": 0}
    bijector = None
    reparameterization_type = "NOT_REPARAMETERIZED"

    def __init__(self, rate, validate_args=False, name="Poisson"):
        super().__init__(rate)

    @property
    def inner(self):
        return dist.Poisson(**self.values)


class Categorical(StandIn):
    event_ndims = {"probs": 1}
    bijector = None
    reparameterization_type = "NOT_REPARAMETERIZED"
    dtype = np.int32

    def __init__(self, probs, validate_args=False, name="Categorical"):
        super().__init__(probs)

    @property
    def inner(self):
        return dist.Categorical(**self.values)

    def mean(self):
        raise NotImplementedError

    variance = mean


FAMILIES = (Normal, Gamma, MultivariateNormalTriL, Poisson, Categorical)
