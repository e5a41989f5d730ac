# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Every strategy keeps the joint distribution: ``p(u) = p(x(u)) |dx/du|`` for the auxiliary value ``u``."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import numpyro
from numpyro import handlers
import numpyro.distributions as dist
from numpyro.infer.reparam import (
    DiscreteCosineReparam,
    ExplicitReparam,
    HaarReparam,
    LocScaleReparam,
    TransformReparam,
    UnitJacobianReparam,
)
from numpyro.infer.util import log_density

LOC, SCALE = np.float32([1.0, -2.0, 0.5, 3.0]), np.float32([0.5, 2.0, 1.0, 3.0])
AFFINE = dist.transforms.AffineTransform(LOC, SCALE)
ROTATION = dist.transforms.PermuteTransform(np.array([2, 0, 3, 1]))

CASES = {
    "normal, non-centred": (LocScaleReparam(0), lambda: dist.Normal(LOC, SCALE)),
    "normal, partly centred": (LocScaleReparam(0.3), lambda: dist.Normal(LOC, SCALE)),
    "normal, centred by element": (LocScaleReparam(np.float32([0, 0.5, 1, 0.2])), lambda: dist.Normal(LOC, SCALE)),
    "normal, expanded": (LocScaleReparam(0), lambda: dist.Normal(LOC[0], SCALE[0]).expand([4])),
    "normal, event": (LocScaleReparam(0.5), lambda: dist.Normal(LOC, SCALE).to_event(1)),
    "normal, expanded event": (LocScaleReparam(0), lambda: dist.Normal(0.5, SCALE[0]).expand([4]).to_event(1)),
    "student": (LocScaleReparam(0, shape_params=("df",)), lambda: dist.StudentT(4.0, LOC, SCALE)),
    "learnable": (LocScaleReparam(), lambda: dist.Normal(LOC, SCALE)),
    "transformed": (TransformReparam(), lambda: dist.TransformedDistribution(dist.Normal(0.0, 1.0), AFFINE)),
    "log-normal": (TransformReparam(), lambda: dist.LogNormal(LOC, SCALE).to_event(1)),
    "explicit": (ExplicitReparam(dist.transforms.ExpTransform().inv), lambda: dist.Gamma(SCALE, 2.0)),
    "explicit, event": (ExplicitReparam(AFFINE), lambda: dist.Normal(LOC, SCALE).to_event(1)),
    "permutation": (UnitJacobianReparam(ROTATION), lambda: dist.Normal(LOC, SCALE).to_event(1)),
    "cosine": (DiscreteCosineReparam(), lambda: dist.Normal(LOC, SCALE).to_event(1)),
    "haar": (HaarReparam(), lambda: dist.Normal(LOC, SCALE).to_event(1)),
}


def reparameterised(strategy, make):
    def model(obs=None):
        with handlers.reparam(config={"x": strategy}):
            return numpyro.sample("x", make(), obs=obs)

    return model


@pytest.mark.parametrize("strategy, make", CASES.values(), ids=CASES.keys())
def test_the_joint_density_is_kept(strategy, make):
    model = reparameterised(strategy, make)
    trace = handlers.trace(handlers.seed(model, 0)).get_trace()
    [auxiliary] = [name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]]
    assert auxiliary != "x" and trace["x"]["value"].shape == (4,)
    u = trace[auxiliary]["value"]

    def value_of(u):
        return handlers.substitute(handlers.seed(model, 0), data={auxiliary: u})()

    @jax.jit
    def both(u):
        density, _ = log_density(handlers.seed(model, 0), (), {}, {auxiliary: u})
        return density, make().log_prob(value_of(u)).sum(), jax.jacobian(value_of)(u)

    found, expected, jacobian = both(u)
    _, log_det = np.linalg.slogdet(jacobian)
    np.testing.assert_allclose(found, expected + log_det, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strategy, make", [CASES[name] for name in ("transformed", "log-normal", "explicit")])
def test_an_observed_value_keeps_its_density(strategy, make):
    value = np.float32([1.5, 2.0, 0.5, 4.0])
    density, _ = log_density(reparameterised(strategy, make), (value,), {}, {})
    np.testing.assert_allclose(density, make().log_prob(value).sum(), rtol=1e-5)


def test_the_parameters_of_a_transform_see_an_observation():
    def model(scale):
        with handlers.reparam(config={"x": TransformReparam()}):
            transform = dist.transforms.AffineTransform(0.0, scale)
            numpyro.sample("x", dist.TransformedDistribution(dist.Normal(0.0, 1.0), transform), obs=2.0)

    gradient = jax.grad(lambda scale: log_density(model, (scale,), {}, {})[0])(1.5)
    np.testing.assert_allclose(gradient, jax.grad(lambda s: dist.Normal(0.0, s).log_prob(2.0))(1.5), rtol=1e-5)


@pytest.mark.parametrize(
    "strategy, make, obs, message",
    [
        (LocScaleReparam(0), lambda: dist.Normal(LOC, SCALE), LOC, "observed site 'x'"),
        (HaarReparam(), lambda: dist.Normal(LOC, SCALE).to_event(1), LOC, "observed site 'x'"),
        (LocScaleReparam(0), lambda: dist.Gamma(SCALE), None, r"site 'x' \(Gamma\) has support"),
        (LocScaleReparam(0, ("df",)), lambda: dist.Normal(LOC, SCALE), None, "no parameter df"),
        (LocScaleReparam(0), lambda: dist.Normal(LOC, SCALE).mask(False), None, "masked distribution"),
        (TransformReparam(), lambda: dist.Normal(LOC, SCALE), None, "which is no TransformedDistribution"),
        (DiscreteCosineReparam(), lambda: dist.Normal(LOC, SCALE), None, "0 event dimensions"),
    ],
)
def test_what_cannot_be_reparameterised_is_explained(strategy, make, obs, message):
    with pytest.raises(ValueError, match=message):
        handlers.seed(reparameterised(strategy, make), 0)(obs)


def test_centredness_lies_between_0_and_1():
    with pytest.raises(ValueError, match=r"centered must lie in \[0, 1\], but it is 2"):
        LocScaleReparam(2)
