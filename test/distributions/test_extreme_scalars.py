# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Log densities of numbers at extreme parameters and far in the tails, against mpmath, for every class that has them.

In single and double precision. The error may be some roundings of the result, and what a rounding of the value and of
each parameter does to it. Gradients must be finite wherever the density is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import itertools
from typing import Any, NamedTuple

from distributions.examples import EXAMPLES, distribution_classes
import jax
import mpmath
from mpmath import mp
import numpy as np
from precision import double_precision
import pytest

import numpyro.distributions as dist


class Family(NamedTuple):
    """A class of distributions, with points to evaluate it at.

    :param make: builds it from its parameters.
    :param exact: the log density by mpmath, of the parameters and the value.
    :param points: tuples of parameters and a value.
    :param whole: positions of arguments that are whole numbers.
    """

    make: Callable[..., Any]
    exact: Callable[..., Any]
    points: list[tuple[float, ...]]
    whole: tuple[int, ...] = ()


def every(*choices: list[float]) -> list[tuple[float, ...]]:
    return list(itertools.product(*choices))


def located(*shapes: list[float]) -> list[tuple[float, ...]]:
    """Parameters of shape, location and scale, and values from the middle to far beyond what is ever drawn."""
    z = [-1e10, -1e4, -40.0, -3.0, -1e-3, 0.0, 1e-6, 0.3, 5.0, 100.0, 1e6]
    places = [(0.0, 1.0), (0.0, 1e-12), (0.3, 1e12), (1e3, 0.1)]
    return [(*shape, loc, scale, loc + scale * x) for shape in every(*shapes) for loc, scale in places for x in z]


def log_sum_exp(*terms: Any) -> Any:
    return mp.log(sum(mp.exp(term) for term in terms))


def log1mexp(x: Any) -> Any:
    return mp.log(-mp.expm1(x))


def log_normal(loc, scale, x):
    return -(((x - loc) / scale) ** 2) / 2 - mp.log(scale) - mp.log(2 * mp.pi) / 2


def log_student(df, loc, scale, x):
    z = (x - loc) / scale
    front = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2 - mp.log(scale)
    return front - (df + 1) / 2 * mp.log1p(z * z / df)


def log_cauchy(loc, scale, x):
    return -mp.log(mp.pi * scale) - mp.log1p(((x - loc) / scale) ** 2)


def log_logistic(loc, scale, x):
    z = abs((x - loc) / scale)
    return -z - mp.log(scale) - 2 * mp.log1p(mp.exp(-z))


def log_gumbel(loc, scale, x):
    z = (x - loc) / scale
    return -z - mp.exp(-z) - mp.log(scale)


def log_asymmetric_laplace(loc, scale, kappa, x):
    z = (x - loc) / scale
    return -mp.log(scale * (kappa + 1 / kappa)) - (z * kappa if z > 0 else -z / kappa)


def log_asymmetric_laplace_quantile(loc, scale, q, x):
    z = (x - loc) / scale
    return mp.log(q * (1 - q) / scale) - (q * z if z > 0 else -(1 - q) * z)


def log_gamma(c, rate, x):
    return c * mp.log(rate) - mp.loggamma(c) + (c - 1) * mp.log(x) - rate * x


def log_beta(a, b, x):
    return (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - mp.loggamma(a) - mp.loggamma(b) + mp.loggamma(a + b)


def log_weibull(scale, k, x):
    u = x / scale
    return mp.log(k / scale) + (k - 1) * mp.log(u) - u**k


def log_levy(loc, c, x):
    d = x - loc
    return mp.log(c / (2 * mp.pi)) / 2 - c / (2 * d) - mp.mpf(1.5) * mp.log(d)


def log_gompertz(eta, b, x):
    return mp.log(b * eta) + b * x - eta * mp.expm1(b * x)


def log_dagum(p, a, b, x):
    u = a * mp.log(x / b)
    return mp.log(a * p / x) + p * u - (p + 1) * mp.log1p(mp.exp(u))


def log_kumaraswamy(a, b, x):
    return mp.log(a * b) + (a - 1) * mp.log(x) + (b - 1) * log1mexp(a * mp.log(x))


def log_relaxed_bernoulli(t, logits, x):
    # Maddison et al. (2017), eq. 22
    a, b = logits - t * mp.log(x), -t * mp.log1p(-x)
    return mp.log(t) + logits - (t + 1) * (mp.log(x) + mp.log1p(-x)) - 2 * log_sum_exp(a, b)


def log_binomial(p, n, k):
    ways = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
    return ways + (k * mp.log(p) if k else 0) + ((n - k) * mp.log1p(-p) if n > k else 0)


def expit(x):
    return 1 / (1 + mp.exp(-x))


def log_expit(x):
    return -mp.log1p(mp.exp(-x))


def log_binomial_logits(logits, n, k):
    ways = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
    return ways + k * log_expit(logits) + (n - k) * log_expit(-logits)


def log_poisson(rate, k):
    return k * mp.log(rate) - rate - mp.loggamma(k + 1)


def log_negative_binomial(n, log_more, log_stop, k):
    return mp.loggamma(n + k) - mp.loggamma(n) - mp.loggamma(k + 1) + n * log_stop + k * log_more


def log_negative_binomial2(mean, c, k):
    return log_negative_binomial(c, mp.log(mean / (mean + c)), mp.log(c / (mean + c)), k)


def log_beta_binomial(a, b, n, k):
    ways = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
    top = mp.loggamma(a + k) + mp.loggamma(b + n - k) - mp.loggamma(a + b + n)
    return ways + top - (mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b))


def log_beta_negative_binomial(a, b, n, k):
    ways = mp.loggamma(n + k) - mp.loggamma(n) - mp.loggamma(k + 1)
    top = mp.loggamma(a + k) + mp.loggamma(b + n) - mp.loggamma(a + b + n + k)
    return ways + top - (mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b))


def log_ordered_logistic(predictor, low, high, k):
    if k == 0:
        return log_expit(low - predictor)
    if k == 2:
        return log_expit(predictor - high)
    return log_expit(high - predictor) + log_expit(predictor - low) + log1mexp(low - high)


def normal_tail(z):
    """Probability above z."""
    return mp.erfc(z / mp.sqrt(2)) / 2


def log_normal_between(low, high):
    return mp.log(normal_tail(low) - normal_tail(high)) if low > 0 else mp.log(normal_tail(-high) - normal_tail(-low))


def log_truncated_normal(loc, scale, low, high, x):
    return log_normal(loc, scale, x) - log_normal_between((low - loc) / scale, (high - loc) / scale)


def log_truncated_cauchy(loc, scale, low, high, x):
    z = lambda end: mp.atan((end - loc) / scale) if mp.isfinite(end) else mp.sign(end) * mp.pi / 2
    return log_cauchy(loc, scale, x) - mp.log((z(high) - z(low)) / mp.pi)


def log_truncated_gamma(c, rate, low, high, x):
    mass = mp.gammainc(c, rate * low, rate * high if mp.isfinite(high) else mp.inf, regularized=True)
    return log_gamma(c, rate, x) - mp.log(mass)


def log_power_law(alpha, low, high, x):
    e = 1 + alpha
    ratio = mp.log(high / low)
    mass = ratio if e == 0 else mp.expm1(e * ratio) / e
    return alpha * mp.log(x / low) - mp.log(low) - mp.log(mass)


def log_von_mises(loc, kappa, x):
    return kappa * mp.cos(x - loc) - mp.log(2 * mp.pi) - mp.log(mp.besseli(0, kappa))


def zero_inflated(log_gate, log_open, log_mass, k):
    return log_sum_exp(log_gate, log_open + log_mass(k)) if k == 0 else log_open + log_mass(k)


def hurdle(log_gate, log_open, log_mass, k):
    return log_gate if k == 0 else log_open + log_mass(k) - log1mexp(log_mass(mp.mpf(0)))


TINY_TO_LARGE = [1e-6, 0.01, 0.7, 3.0, 1e3, 1e8]
POSITIVE = [1e-30, 1e-6, 0.1, 1.0, 7.0, 1e4]
PROBS = [1e-30, 1e-6, 0.3, 0.999]
LOGITS = [-1e4, -80.0, -3.0, 0.0, 1e-3, 15.0, 100.0]
COUNTS = [0, 1, 2, 9, 10, 1000, 10**7]


def near(mean: float, spread: float) -> list[float]:
    """Whole numbers around a mean."""
    return sorted({max(0, round(mean + z * spread)) for z in (-4, -1, 0, 2, 6)})


def poisson_points() -> Iterator[tuple[float, ...]]:
    for rate in [1e-30, 1e-3, 0.8, 30.0, 1e4, 1e8]:
        yield from ((rate, k) for k in {0, 1, 50, *near(rate, rate**0.5)})


def binomial_points(probs: list[float]) -> Iterator[tuple[float, ...]]:
    for p, n in every(probs, [1, 30, 10**5, 3 * 10**8]):
        yield from ((p, n, k) for k in {0, 1, n, n - 1, *near(n * p, (n * p * (1 - p)) ** 0.5)} if 0 <= k <= n)


def negative_binomial_points() -> Iterator[tuple[float, ...]]:
    """Concentration, probability of more, count."""
    for c, p in every([1e-4, 0.6, 20.0, 1e5, 1e8], [1e-6, 0.3, 0.99]):
        mean = c * p / (1 - p)
        yield from ((c, p, k) for k in {0, 1, 30, *near(mean, (mean / (1 - p)) ** 0.5)} if k < 2e9)


def conjugate_points() -> Iterator[tuple[float, ...]]:
    for a, b in every([1e-5, 0.3, 40.0, 1e5, 1e8], [1e-5, 2.5, 1e3, 1e8]):
        for n in (1, 40, 10**6):
            mean = n * a / max(b - 1, 0.5)
            yield from ((a, b, n, k) for k in {0, 1, 17, *near(mean, mean**0.5)} if k < 1e9)


def logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


SHAPE = [1e-3, 0.5, 4.0, 1e4, 1e8]
ENDS = [
    (low, high, low + share * (high - low))
    for low, high in [(-1.0, 2.0), (5.0, 6.0), (-30.0, -29.0), (30.0, 1e3), (-1e-4, 1e-4), (-1e3, 1e3), (12.0, 12.001)]
    for share in (0.0, 0.01, 0.5, 1.0)
]
GAMMA_ENDS = [
    (c, rate, low, high, low + share * (high - low))
    for c, rate, low, high in [
        (2.6, 1.7, 0.9, 2.1),
        (0.3, 1.0, 1e-6, 1e-5),
        (0.3, 1.0, 40.0, 45.0),
        (50.0, 2.0, 1e-3, 2.0),
        (50.0, 2.0, 100.0, 101.0),
        (1e4, 1.0, 9e3, 9.1e3),
        (1e4, 1.0, 1.1e4, 1.2e4),
    ]
    for share in (0.3,)
]


FAMILIES: dict[str, Family] = {
    "Normal": Family(dist.Normal, log_normal, located()),
    "Cauchy": Family(dist.Cauchy, log_cauchy, located()),
    "StudentT": Family(dist.StudentT, log_student, located(SHAPE)),
    "Laplace": Family(dist.Laplace, lambda loc, scale, x: -abs(x - loc) / scale - mp.log(2 * scale), located()),
    "Logistic": Family(dist.Logistic, log_logistic, located()),
    "Gumbel": Family(dist.Gumbel, log_gumbel, [p for p in located() if (p[-1] - p[0]) / p[1] > -80]),
    "SoftLaplace": Family(
        dist.SoftLaplace,
        lambda loc, scale, x: -mp.log(mp.pi * scale) - mp.log(mp.cosh((x - loc) / scale)),
        [p for p in located() if abs((p[-1] - p[0]) / p[1]) < 1e7],
    ),
    "AsymmetricLaplace": Family(
        dist.AsymmetricLaplace,
        log_asymmetric_laplace,
        [(loc, scale, kappa, x) for kappa, loc, scale, x in located([1e-6, 0.3, 1.0, 1e6])],
    ),
    "AsymmetricLaplaceQuantile": Family(
        dist.AsymmetricLaplaceQuantile,
        log_asymmetric_laplace_quantile,
        [(loc, scale, q, x) for q, loc, scale, x in located([1e-12, 0.3, 0.999])],
    ),
    "Exponential": Family(
        dist.Exponential, lambda rate, x: mp.log(rate) - rate * x, every([1e-20, 0.7, 1e20], [0.0, *POSITIVE])
    ),
    "Gamma": Family(dist.Gamma, log_gamma, every(TINY_TO_LARGE, [1e-6, 0.7, 1e5], POSITIVE)),
    "Chi2": Family(dist.Chi2, lambda df, x: log_gamma(df / 2, mp.mpf(0.5), x), every(TINY_TO_LARGE, POSITIVE)),
    "InverseGamma": Family(
        dist.InverseGamma,
        lambda c, rate, x: log_gamma(c, rate, 1 / x) - 2 * mp.log(x),
        every(TINY_TO_LARGE, [1e-6, 0.7, 1e5], POSITIVE),
    ),
    "LogNormal": Family(
        dist.LogNormal,
        lambda loc, scale, x: log_normal(loc, scale, mp.log(x)) - mp.log(x),
        every([-60.0, 0.0, 40.0], [1e-4, 1.0, 1e4], [1e-35, *POSITIVE, 1e35]),
    ),
    "HalfNormal": Family(
        dist.HalfNormal,
        lambda scale, x: log_normal(0, scale, x) + mp.log(2),
        every([1e-6, 0.7, 1e6], [0.0, 1e-10, 1e-3, 1.0, 1e4]),
    ),
    "HalfCauchy": Family(
        dist.HalfCauchy,
        lambda scale, x: log_cauchy(0, scale, x) + mp.log(2),
        every([1e-12, 0.7, 1e12], [0.0, *POSITIVE, 1e25]),
    ),
    "Weibull": Family(
        dist.Weibull,
        log_weibull,
        [
            (scale, k, scale * u)
            for scale, k in every([1e-12, 1.3, 1e12], [1e-3, 0.5, 1.0, 4.0, 1e3, 1e5])
            for u in (1e-20, 1e-3, 1 - 1e-5, 1.0, 1 + 1e-5, 20.0)
            if k * np.log(u) < 80
        ],
    ),
    "Pareto": Family(
        dist.Pareto,
        lambda scale, alpha, x: mp.log(alpha / scale) - (alpha + 1) * mp.log(x / scale),
        [(m, a, m * u) for m, a in every([1e-12, 1.3, 1e12], [1e-6, 0.5, 30.0, 1e8]) for u in (1.001, 1.1, 3.0, 1e20)],
    ),
    "Levy": Family(
        dist.Levy,
        log_levy,
        [(loc, c, loc + c * u) for loc, c in [(0.0, 1e-10), (0.0, 1.0), (0.3, 1e10)] for u in (1e-4, 0.1, 1.0, 1e15)],
    ),
    "Gompertz": Family(
        dist.Gompertz,
        log_gompertz,
        [
            (eta, b, u / b)
            for eta, b in every([1e-10, 0.6, 1e6], [1e-10, 1.3, 1e10])
            for u in (0.0, 1e-12, 1e-3, 0.3, 4.0, 30.0)
        ],
    ),
    "Dagum": Family(
        dist.Dagum,
        log_dagum,
        [
            (p, a, b, b * u)
            for p, a, b in every([1e-3, 1.6, 1e4], [0.1, 4.0, 300.0], [1e-10, 1.4, 1e10])
            for u in (1e-15, 0.1, 0.999, 1.0, 1.01, 30.0, 1e15)
        ],
    ),
    "Uniform": Family(
        dist.Uniform,
        lambda low, high, x: -mp.log(high - low),
        [(0.0, 1.0, 0.3), (-1e20, 1e20, 5.0), (1.0, 1.0 + 1e-5, 1.0), (-1e-30, 1e-30, 1e-30)],
    ),
    "Beta": Family(dist.Beta, log_beta, every(TINY_TO_LARGE, TINY_TO_LARGE, [1e-35, 1e-5, 0.3, 0.5, 1 - 1e-6])),
    "BetaProportion": Family(
        dist.BetaProportion,
        lambda mean, k, x: log_beta(mean * k, (1 - mean) * k, x),
        every([1e-6, 0.3, 0.999], [1e-4, 2.0, 1e4, 1e8], [1e-30, 1e-4, 0.3, 0.999]),
    ),
    "Kumaraswamy": Family(
        dist.Kumaraswamy,
        log_kumaraswamy,
        every([1e-4, 0.3, 3.0, 1e4], [1e-4, 0.3, 3.0, 1e4], [1e-30, 1e-3, 0.5, 0.999, 1 - 1e-6]),
    ),
    "LogUniform": Family(
        dist.LogUniform,
        lambda low, high, x: -mp.log(x) - mp.log(mp.log(high / low)),
        [(1e-30, 1e30, 1e-20), (0.3, 2.5, 1.0), (1.0, 1.001, 1.0005), (1e-30, 1e-29, 3e-30)],
    ),
    "RelaxedBernoulliLogits": Family(
        dist.RelaxedBernoulliLogits,
        log_relaxed_bernoulli,
        every([1e-3, 0.3, 4.0, 100.0], [-60.0, -1.0, 0.0, 30.0], [1e-30, 1e-4, 0.3, 0.999]),
    ),
    "VonMises": Family(
        dist.VonMises,
        log_von_mises,
        every([0.0, -2.0, 3.0], [1e-8, 0.3, 20.0, 1e3, 1e6, 1e8], [0.0, 1e-4, -2.001, 3.1, 1.0]),
    ),
    "BernoulliProbs": Family(
        dist.BernoulliProbs, lambda p, k: mp.log(p) if k else mp.log1p(-p), every(PROBS, [0, 1]), whole=(1,)
    ),
    "BernoulliLogits": Family(
        dist.BernoulliLogits, lambda t, k: log_expit(t if k else -t), every(LOGITS, [0, 1]), whole=(1,)
    ),
    "BinomialProbs": Family(
        lambda p, n: dist.BinomialProbs(p, n), log_binomial, list(binomial_points(PROBS)), whole=(1, 2)
    ),
    "BinomialLogits": Family(
        dist.BinomialLogits,
        log_binomial_logits,
        [(logit(p), n, k) for p, n, k in binomial_points([1e-12, 1e-4, 0.3, 0.999])],
        whole=(1, 2),
    ),
    "GeometricProbs": Family(
        dist.GeometricProbs, lambda p, k: mp.log(p) + k * mp.log1p(-p), every(PROBS, COUNTS), whole=(1,)
    ),
    "GeometricLogits": Family(
        dist.GeometricLogits, lambda t, k: log_expit(t) + k * log_expit(-t), every(LOGITS, COUNTS), whole=(1,)
    ),
    "DiscreteUniform": Family(
        dist.DiscreteUniform,
        lambda low, high, k: -mp.log(high - low + 1),
        [(0, 0, 0), (-(10**6), 10**6, 3), (5, 10**9, 7)],
        whole=(0, 1, 2),
    ),
    "CategoricalProbs": Family(
        lambda p: dist.CategoricalProbs(jax.numpy.stack([p, 1 - p])),
        lambda p, k: mp.log1p(-p) if k else mp.log(p),
        every([1e-30, 1e-6, 0.3, 0.5], [0, 1]),
        whole=(1,),
    ),
    "CategoricalLogits": Family(
        lambda a, b: dist.CategoricalLogits(jax.numpy.stack([a, b])),
        lambda a, b, k: (b if k else a) - log_sum_exp(a, b),
        every([-1e4, 0.0, 3.0], [-90.0, 0.0, 1e4], [0, 1]),
        whole=(2,),
    ),
    "OrderedLogistic": Family(
        lambda eta, low, high: dist.OrderedLogistic(eta, jax.numpy.stack([low, high])),
        log_ordered_logistic,
        every([-1e3, -20.0, 0.3, 60.0], [-30.0, 0.2], [0.2001, 1.0, 70.0], [0, 1, 2]),
        whole=(3,),
    ),
    "Poisson": Family(dist.Poisson, log_poisson, list(poisson_points()), whole=(1,)),
    "GammaPoisson": Family(
        dist.GammaPoisson,
        lambda c, rate, k: log_negative_binomial(c, -mp.log1p(rate), -mp.log1p(1 / rate), k),
        [(c, (1 - p) / p, k) for c, p, k in negative_binomial_points()],
        whole=(2,),
    ),
    "NegativeBinomialProbs": Family(
        dist.NegativeBinomialProbs,
        lambda c, p, k: log_negative_binomial(c, mp.log(p), mp.log1p(-p), k),
        list(negative_binomial_points()),
        whole=(2,),
    ),
    "NegativeBinomialLogits": Family(
        dist.NegativeBinomialLogits,
        lambda c, t, k: log_negative_binomial(c, log_expit(t), log_expit(-t), k),
        [(c, logit(p), k) for c, p, k in negative_binomial_points()],
        whole=(2,),
    ),
    "NegativeBinomial2": Family(
        dist.NegativeBinomial2,
        log_negative_binomial2,
        [(c * p / (1 - p), c, k) for c, p, k in negative_binomial_points()],
        whole=(2,),
    ),
    "BetaBinomial": Family(
        dist.BetaBinomial,
        log_beta_binomial,
        [(a, b, n + k, k) for a, b, n, k in conjugate_points()],
        whole=(2, 3),
    ),
    "BetaNegativeBinomial": Family(
        dist.BetaNegativeBinomial,
        log_beta_negative_binomial,
        [(a, b, n, k) for a, b, n, k in conjugate_points()] + [(2.5, 3.0, 1e-4, 3), (1e8, 1e3, 1e8, 10**9)],
        whole=(3,),
    ),
    "ZeroInflatedProbs": Family(
        lambda gate, rate: dist.ZeroInflatedProbs(dist.Poisson(rate), gate),
        lambda gate, rate, k: zero_inflated(mp.log(gate), mp.log1p(-gate), lambda k: log_poisson(rate, k), k),
        every([1e-20, 1e-3, 0.5, 0.999], [1e-12, 0.8, 30.0, 1e6], [0, 1, 40]),
        whole=(2,),
    ),
    "ZeroInflatedLogits": Family(
        lambda gate, rate: dist.ZeroInflatedLogits(dist.Poisson(rate), gate),
        lambda t, rate, k: zero_inflated(log_expit(t), log_expit(-t), lambda k: log_poisson(rate, k), k),
        every([-200.0, -1.0, 20.0, 1e3], [1e-12, 0.8, 30.0, 1e6], [0, 1, 40]),
        whole=(2,),
    ),
    "ZeroInflatedPoisson": Family(
        dist.ZeroInflatedPoisson,
        lambda gate, rate, k: zero_inflated(mp.log(gate), mp.log1p(-gate), lambda k: log_poisson(rate, k), k),
        every([1e-20, 1e-3, 0.5, 0.999], [1e-12, 0.8, 30.0, 1e6], [0, 1, 40]),
        whole=(2,),
    ),
    "HurdleProbs": Family(
        lambda gate, rate: dist.HurdleProbs(dist.Poisson(rate), gate),
        lambda gate, rate, k: hurdle(mp.log(gate), mp.log1p(-gate), lambda k: log_poisson(rate, k), k),
        every([1e-20, 1e-3, 0.5, 0.999], [1e-12, 1e-4, 0.8, 30.0, 1e6], [0, 1, 40]),
        whole=(2,),
    ),
    "HurdleLogits": Family(
        lambda gate, rate: dist.HurdleLogits(dist.Poisson(rate), gate),
        lambda t, rate, k: hurdle(log_expit(t), log_expit(-t), lambda k: log_poisson(rate, k), k),
        every([-200.0, -1.0, 20.0, 1e3], [1e-12, 1e-4, 0.8, 30.0, 1e6], [0, 1, 40]),
        whole=(2,),
    ),
    "HurdlePoisson": Family(
        dist.HurdlePoisson,
        lambda gate, rate, k: hurdle(mp.log(gate), mp.log1p(-gate), lambda k: log_poisson(rate, k), k),
        every([1e-20, 1e-3, 0.5, 0.999], [1e-12, 1e-4, 0.8, 30.0, 1e6], [0, 1, 40]),
        whole=(2,),
    ),
    "HurdleGamma": Family(
        dist.HurdleGamma,
        lambda gate, c, rate, x: mp.log1p(-gate) + log_gamma(c, rate, x) if x else mp.log(gate),
        every([1e-20, 0.5, 0.999], [1e-4, 2.0, 1e6], [1e-6, 0.7, 1e5], [0.0, 1e-20, 1.0, 1e4]),
    ),
    "HurdleLogNormal": Family(
        dist.HurdleLogNormal,
        lambda gate, loc, scale, x: (
            mp.log1p(-gate) + log_normal(loc, scale, mp.log(x)) - mp.log(x) if x else mp.log(gate)
        ),
        every([1e-20, 0.5, 0.999], [-60.0, 0.3], [1e-3, 1.0, 100.0], [0.0, 1e-30, 1.0, 1e30]),
    ),
    "FoldedDistribution": Family(
        lambda loc, scale: dist.FoldedDistribution(dist.Normal(loc, scale)),
        lambda loc, scale, x: log_sum_exp(log_normal(loc, scale, x), log_normal(loc, scale, -x)),
        every([-30.0, 0.0, 1.0], [0.1, 1.0, 1e6], [0.0, 1e-6, 2.0, 1e5]),
    ),
    "MaskedDistribution": Family(
        lambda loc, scale: dist.MaskedDistribution(dist.Normal(loc, scale), True), log_normal, located()
    ),
    "ExpandedDistribution": Family(
        lambda loc, scale: dist.ExpandedDistribution(dist.Normal(loc, scale), ()), log_normal, located()
    ),
    "TransformedDistribution": Family(
        lambda loc, scale: dist.TransformedDistribution(
            dist.Normal(loc, scale), [dist.transforms.AffineTransform(0.0, 2.0), dist.transforms.ExpTransform()]
        ),
        lambda loc, scale, x: log_normal(2 * loc, 2 * scale, mp.log(x)) - mp.log(x),
        every([-30.0, 0.0, 20.0], [1e-3, 1.0, 1e4], [1e-35, *POSITIVE, 1e35]),
    ),
    "MixtureSameFamily": Family(
        lambda t, loc, scale: dist.MixtureSameFamily(
            dist.Categorical(logits=jax.numpy.stack([t, 0.0 * t])), dist.Normal(jax.numpy.stack([loc, -loc]), scale)
        ),
        lambda t, loc, scale, x: log_sum_exp(
            log_expit(t) + log_normal(loc, scale, x), log_expit(-t) + log_normal(-loc, scale, x)
        ),
        every([-200.0, -1.0, 0.0, 30.0], [0.0, 0.3, 50.0], [0.1, 1.0], [-1e4, -20.0, 0.0, 1e-3, 50.0, 1e6]),
    ),
    "MixtureGeneral": Family(
        lambda t, loc: dist.MixtureGeneral(
            dist.Categorical(logits=jax.numpy.stack([t, 0.0 * t])), [dist.Normal(loc, 1.0), dist.Cauchy(0.0, 1.0)]
        ),
        lambda t, loc, x: log_sum_exp(log_expit(t) + log_normal(loc, 1, x), log_expit(-t) + log_cauchy(0, 1, x)),
        every([-200.0, -1.0, 30.0], [0.0, 50.0], [-1e4, -20.0, 0.0, 1e-3, 50.0, 1e6]),
    ),
    "LeftTruncatedDistribution": Family(
        lambda low: dist.TruncatedNormal(0.3, 1.4, low=low),
        lambda low, x: log_truncated_normal(mp.mpf(0.3), mp.mpf(1.4), low, mp.inf, x),
        [(low, low + d) for low in (-1e3, -8.0, 0.0, 5.0, 40.0, 1e3) for d in (0.0, 1e-3, 1.0, 10.0)],
    ),
    "RightTruncatedDistribution": Family(
        lambda high: dist.TruncatedCauchy(0.3, 1.4, high=high),
        lambda high, x: log_truncated_cauchy(mp.mpf(0.3), mp.mpf(1.4), -mp.inf, high, x),
        [(high, high - d) for high in (-1e8, -1e3, -8.0, 0.0, 5.0, 1e8) for d in (0.0, 1e-3, 1.0, 1e9)],
    ),
    "TwoSidedTruncatedDistribution": Family(
        lambda low, high: dist.TruncatedNormal(0.0, 1.0, low=low, high=high),
        lambda low, high, x: log_truncated_normal(mp.mpf(0), mp.mpf(1), low, high, x),
        ENDS,
    ),
    "LeftTruncatedGamma": Family(
        lambda c, rate, low: dist.TruncatedGamma(c, rate, low=low),
        lambda c, rate, low, x: log_truncated_gamma(c, rate, low, mp.inf, x),
        [(c, rate, low, x) for c, rate, low, _, x in GAMMA_ENDS],
    ),
    "RightTruncatedGamma": Family(
        lambda c, rate, high: dist.TruncatedGamma(c, rate, high=high),
        lambda c, rate, high, x: log_truncated_gamma(c, rate, mp.mpf(0), high, x),
        [(c, rate, high, x) for c, rate, _, high, x in GAMMA_ENDS],
    ),
    "TwoSidedTruncatedGamma": Family(
        lambda c, rate, low, high: dist.TruncatedGamma(c, rate, low=low, high=high), log_truncated_gamma, GAMMA_ENDS
    ),
    "LowerTruncatedPowerLaw": Family(
        dist.LowerTruncatedPowerLaw,
        lambda alpha, low, x: alpha * mp.log(x / low) + mp.log(-1 - alpha) - mp.log(low),
        [(a, m, m * u) for a, m in every([-1.0001, -3.0, -1e4], [1e-20, 0.7, 1e20]) for u in (1.0, 1.001, 3.0, 1e10)],
    ),
    "DoublyTruncatedPowerLaw": Family(
        dist.DoublyTruncatedPowerLaw,
        log_power_law,
        [
            (a, m, m * r, m * (1 + share * (r - 1)))
            for a in (-1e3, -3.0, -1.0001, -1.0, -0.9999, 0.0, 2.0, 200.0)
            for m, r in [(1e-10, 3.0), (0.7, 1.001), (0.7, 3.0), (1.0, 1e8)]
            for share in (0.0, 0.3, 1.0)
        ],
    ),
    "LeftCensoredDistribution": Family(
        lambda loc, scale: dist.LeftCensoredDistribution(dist.Normal(loc, scale), True),
        lambda loc, scale, x: mp.log(normal_tail((loc - x) / scale)),
        every([0.0, 3.0], [0.1, 1.0, 1e4], [-1e3, -10.0, -1.0, 0.0, 4.0]),
    ),
    "RightCensoredDistribution": Family(
        lambda loc, scale: dist.RightCensoredDistribution(dist.Normal(loc, scale), True),
        lambda loc, scale, x: mp.log(normal_tail((x - loc) / scale)),
        every([0.0, 3.0], [0.1, 1.0, 1e4], [1e3, 10.0, 1.0, 0.0, -4.0]),
    ),
}

#: Classes of numbers without an entry, and why.
ELSEWHERE = {
    "Delta": "a point mass: its log density is a parameter",
    "ImproperUniform": "its log density is 0",
    "TFPDistribution": "the density is TensorFlow Probability's",
    "TruncatedPolyaGamma": "no parameters; test_truncated.py compares it to its series",
}


def classes_of_numbers() -> list[str]:
    scalar = {example.cls.__name__ for example in EXAMPLES if not example.at_point().event_shape}
    return sorted(scalar & {cls.__name__ for cls in distribution_classes()})


def test_every_class_of_numbers_is_evaluated_at_extremes():
    assert sorted([*FAMILIES, *ELSEWHERE]) == classes_of_numbers()


def sensitivity(family: Family, point: list[Any], density: Any, position: int) -> Any:
    """What a relative change of an argument does to the density, as far as it is one-sided there."""
    if point[position] == 0:
        return mp.mpf(0)
    moved = list(point)
    moved[position] *= 1 + mp.mpf(10) ** -20
    return abs(family.exact(*moved) - density) * mp.mpf(10) ** 20


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("name", FAMILIES)
def test_log_density_is_exact_and_its_gradient_finite(name, precision):
    family = FAMILIES[name]
    dtype = np.float32 if precision == "single" else np.float64
    columns = [
        np.array(column, np.int32 if position in family.whole else dtype)
        for position, column in enumerate(zip(*family.points, strict=True))
    ]
    moving = tuple(position for position in range(len(columns)) if position not in family.whole)

    def log_prob(*arguments):
        return family.make(*arguments[:-1]).log_prob(arguments[-1])

    with double_precision(precision == "double"):
        program = jax.vmap(jax.value_and_grad(log_prob, moving) if moving else lambda *a: (log_prob(*a), ()))
        found, gradients = jax.tree.map(np.asarray, jax.jit(program)(*columns))
    eps = float(np.finfo(dtype).eps)
    failures = []
    with mpmath.workdps(45):
        for i, value in enumerate(found):
            point = [mp.mpf(float(column[i])) for column in columns]
            expected = mp.mpf(family.exact(*point))
            if abs(expected) > np.finfo(dtype).max:
                continue
            moves = [sensitivity(family, point, expected, position) for position in moving]
            allowed = eps * (16 * (abs(expected) + 5) + 4 * sum(moves))
            if not abs(mp.mpf(float(value)) - expected) <= allowed:
                share = abs(mp.mpf(float(value)) - expected) / allowed
                failures.append((float(share), [float(x) for x in point], float(value), float(expected)))
            is_number = [move < abs(point[p]) * np.finfo(dtype).max / 8 for move, p in zip(moves, moving, strict=True)]
            finite = [np.isfinite(gradient[i]) for gradient in gradients]
            if not all(f or (point[p] and not n) for f, n, p in zip(finite, is_number, moving, strict=True)):
                failures.append((np.inf, [float(x) for x in point], [float(g[i]) for g in gradients], float(expected)))
    failures.sort(key=lambda failure: -failure[0])
    assert not failures, f"{len(failures)} of {len(found)}: {failures[:4]}"
