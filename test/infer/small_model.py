# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A model of two parameters, three observations, and a Gibbs update of the first parameter."""

from __future__ import annotations

import numpy as np

import numpyro
import numpyro.distributions as dist

Y = np.array([1.0, 2.0, 0.5])


def model(y):
    mu = numpyro.sample("mu", dist.Normal(0, 10))
    noise = numpyro.sample("noise", dist.HalfNormal(1))
    numpyro.sample("y", dist.Normal(mu, noise), obs=y)


def update(rng_key, gibbs_sites, hmc_sites):
    return {"mu": dist.Normal(1.0, hmc_sites["noise"]).sample(rng_key)}
