# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Entropies in closed form: against integrals and sums of SciPy's densities, and against draws for arrays."""

from __future__ import annotations

from distributions.examples import EXAMPLES
import jax
import jax.numpy as jnp
import numpy as np
from precision import double_precision
import pytest
import scipy.special
import scipy.stats

import numpyro.distributions as dist
from numpyro.distributions import transforms

BY_NAME = {example.name: example for example in EXAMPLES}
#: What has no entropy, and why. Whatever is not listed has one, which is tested.
WITHOUT = {
    "infinite sums": [
        "BetaNegativeBinomial",
        "GammaPoisson",
        "HurdlePoisson",
        "HurdleProbs",
        "HurdleProbs(NegativeBinomial2)",
        "NegativeBinomial2",
        "NegativeBinomialLogits",
        "NegativeBinomialProbs",
        "Poisson",
        "ZeroInflatedPoisson",
        "ZeroInflatedProbs",
        "ZeroInflatedProbs(NegativeBinomial2)",
    ],
    "mixtures": [
        "FoldedDistribution",
        "MixtureGeneral",
        "MixtureGeneral(different supports)",
        "MixtureSameFamily",
        "MixtureSameFamily(discrete)",
        "MixtureSameFamily(vector)",
    ],
    "integrals that are not elementary": [
        "LeftTruncatedDistribution(skewed)",
        "ProjectedNormal",
        "RelaxedBernoulliLogits",
        "RightTruncatedDistribution",
        "SineSkewed",
        "TruncatedPolyaGamma",
    ],
    "depends on a function of the user's": ["EulerMaruyama", "EulerMaruyama(vector)"],
    "no densities": [
        "ImproperUniform",
        "IntervalCensoredDistribution",
        "LeftCensoredDistribution",
        "RightCensoredDistribution",
        "Unit",
    ],
}
LACKING = {name for names in WITHOUT.values() for name in names}
POINTS = ["Delta", "Delta(vector)", "MaskedDistribution"]
HAVING = [name for name in BY_NAME if name not in LACKING and name not in POINTS]
BY_NUMBERS = [name for name in HAVING if callable(BY_NAME[name].reference) and not BY_NAME[name].at_point().event_shape]
BY_DRAWS = [name for name in HAVING if name not in BY_NUMBERS]


def compiled(function):
    """Compile without optimisation: the programs run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@pytest.mark.parametrize("name", sorted(LACKING))
def test_what_has_no_closed_form_says_so(name):
    with pytest.raises(NotImplementedError):
        BY_NAME[name].at_point().entropy()


def tanh_sinh(log_density, *ends):
    """Entropy of a density that needs no normaliser, smooth between the ends (Takahasi and Mori 1974)."""
    s = np.linspace(-4.0, 4.0, 2001)
    lower, upper = scipy.special.expit(np.pi * np.sinh(s)), scipy.special.expit(-np.pi * np.sinh(s))
    pieces = np.array([np.stack([ends[:-1], ends[1:]], -1)]).reshape(-1, 2, 1)
    low, length = pieces[:, 0], pieces[:, 1] - pieces[:, 0]
    x = np.where(lower < 0.5, low + length * lower, pieces[:, 1] - length * upper)
    weights = np.pi * np.cosh(s) * lower * upper * length * (s[1] - s[0])
    with np.errstate(all="ignore"):
        log_f = log_density(x)
    log_f = log_f - log_f[np.isfinite(log_f)].max()
    mass = np.where(np.isfinite(log_f), np.exp(log_f), 0.0) * weights
    return np.log(mass.sum()) - np.where(mass > 0, mass * np.where(mass > 0, log_f, 0.0), 0.0).sum() / mass.sum()


def by_numbers(example):
    reference = example.scipy()
    if hasattr(reference, "entropy"):
        with np.errstate(all="ignore"):
            entropy = reference.entropy()
        if np.isfinite(entropy):
            return entropy
    if example.at_point().is_discrete:
        with np.errstate(all="ignore"):
            log_p = np.asarray(reference.logpmf(np.arange(2000)))
        possible = np.isfinite(log_p)
        return -(np.exp(log_p[possible]) * log_p[possible]).sum()
    return tanh_sinh(reference.logpdf, reference.ppf(0.0), min(reference.ppf(1.0), reference.ppf(0.5) + 60))


@pytest.mark.parametrize("precision", ["double", "single"])
def test_entropy_of_numbers_against_integrals_and_sums(precision):
    points = {name: BY_NAME[name].double_point if precision == "double" else BY_NAME[name].point for name in BY_NUMBERS}
    known = {name: {k: v for k, v in p.items() if v.dtype == np.int32} for name, p in points.items()}
    moving = {name: {k: v for k, v in p.items() if v.dtype != np.int32} for name, p in points.items()}

    @compiled
    def entropies(moving):
        return {name: BY_NAME[name].constructor(**p, **known[name]).entropy() for name, p in moving.items()}

    with double_precision(precision == "double"):
        found = entropies(moving)
    tolerance = {"rtol": 2e-6, "atol": 1e-9} if precision == "double" else {"rtol": 2e-5, "atol": 2e-5}
    for name, value in found.items():
        np.testing.assert_allclose(value, by_numbers(BY_NAME[name]), **tolerance, err_msg=name)


@pytest.mark.parametrize("name", BY_DRAWS)
def test_entropy_of_arrays_is_the_mean_over_draws(name):
    """And it is that of each element of a batch."""
    example, count = BY_NAME[name], 8_000
    point = example.batched(np.random.default_rng(0), lambda position: (2,))
    moving = {key: value for key, value in point.items() if key != "total_count"}

    @compiled
    def run(moving, key):
        d = example.constructor(**point | moving)
        log_prob = d.log_prob(d.sample(key, (count,)))
        return d.entropy(), -log_prob.mean(0), log_prob.std(0) / np.sqrt(count)

    entropy, mean, error = run(moving, jax.random.key(0))
    assert np.shape(mean) == (2,)
    assert np.all(np.abs(np.broadcast_to(entropy, (2,)) - mean) < 5 * error + 1e-4)


BASES = {
    "Normal": (dist.Normal, scipy.stats.norm),
    "Laplace": (dist.Laplace, scipy.stats.laplace),
    "Logistic": (dist.Logistic, scipy.stats.logistic),
}
BOUNDS = [(-0.7, 1.2), (0.4, 1.9), (-3.0, -0.1), (0.2, 0.21), (9.0, 9.5), (-60.0, -59.0), (4.0, 4.0 + 1e-3)]
BOUNDS += [(-1.0, np.inf), (1.5, np.inf), (70.0, np.inf), (-np.inf, -0.4), (-np.inf, 2.0)]


@pytest.mark.parametrize("name", BASES)
def test_entropy_between_any_bounds(name):
    """Far in the tails, too."""
    family, reference = BASES[name]
    low, high = (np.array(ends) for ends in zip(*BOUNDS, strict=True))
    inner = np.isfinite(low) & np.isfinite(high)

    @compiled
    def run(low, high):
        base = family(0.3, 1.4)
        above = dist.LeftTruncatedDistribution(base, low[~inner & np.isfinite(low_known)]).entropy()
        below = dist.RightTruncatedDistribution(base, high[~inner & np.isfinite(high_known)]).entropy()
        return dist.TwoSidedTruncatedDistribution(base, low[inner], high[inner]).entropy(), above, below

    low_known, high_known = low, high
    for precision in ("double", "single"):
        with double_precision(precision == "double"):
            dtype = np.float64 if precision == "double" else np.float32
            found = np.concatenate(run(low.astype(dtype), high.astype(dtype)))
        want = []
        for a, b in zip(low.astype(dtype), high.astype(dtype), strict=True):
            a, b = float(a), float(b)
            a, b = (b - 60, b) if a == -np.inf else (a, min(b, a + 60))
            want.append(tanh_sinh(reference(0.3, 1.4).logpdf, *(x for x in (a, 0.3, b) if a <= x <= b)))
        tolerance = 1e-8 if precision == "double" else 3e-4
        np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance)


def test_what_is_certain_has_no_entropy():
    for gate in (0.0, 1.0):
        want = (1 - gate) * dist.Geometric(0.3).entropy()
        np.testing.assert_allclose(dist.ZeroInflatedProbs(dist.Geometric(0.3), gate).entropy(), want, rtol=1e-5)
    for hurdle in (dist.HurdleProbs(dist.Geometric(0.3), 1.0), dist.HurdleGamma(1.0, 2.0, 1.0)):
        assert hurdle.entropy() == 0
    assert dist.Binomial(5, 1.0).entropy() == pytest.approx(0.0, abs=1e-5)


def test_affine_maps_add_their_log_determinants():
    base = dist.Laplace(np.array([0.3, -0.5, 1.0]), 1.4)
    maps = [
        transforms.AffineTransform(1.0, -2.0),
        transforms.PermuteTransform(np.array([2, 0, 1])),
        transforms.DiscreteCosineTransform(),
    ]
    found = dist.TransformedDistribution(base, maps).entropy()
    np.testing.assert_allclose(found, 3 * base.entropy() + 3 * np.log(2), rtol=1e-5)
    # After an exponential, what is affine still is; another exponential is not.
    positive = dist.TransformedDistribution(base, [transforms.ExpTransform(), transforms.AffineTransform(0.0, 3.0)])
    np.testing.assert_allclose(positive.entropy(), base.entropy() + base.loc + np.log(3), rtol=1e-5)
    with pytest.raises(NotImplementedError, match="ExpTransform"):
        dist.TransformedDistribution(base, [transforms.ExpTransform()] * 2).entropy()


@pytest.mark.parametrize(
    "name", ["Wishart", "LKJ", "MultivariateStudentT", "TwoSidedTruncatedDistribution", "Binomial"]
)
def test_entropies_have_gradients(name):
    step = 1e-5
    make = {
        "Wishart": lambda x: dist.Wishart(5 + x, scale_tril=jnp.eye(2)),
        "LKJ": lambda x: dist.LKJ(3, x),
        "MultivariateStudentT": lambda x: dist.MultivariateStudentT(x, jnp.zeros(2), jnp.eye(2)),
        "TwoSidedTruncatedDistribution": lambda x: dist.TruncatedNormal(x, 1.3, low=-1.0, high=2.0),
        "Binomial": lambda x: dist.Binomial(5, 0.1 * x),
    }[name]
    with double_precision():
        entropy = jax.jit(lambda x: make(x).entropy())
        slope = (entropy(1.7 + step) - entropy(1.7 - step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(entropy)(1.7), slope, rtol=1e-6)
