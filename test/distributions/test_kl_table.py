# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences between given pairs, against quadrature, sums and known identities; and that no rule is left untested."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
from typing import Any

from distributions.examples import Truncated, _Hurdled, _Kumaraswamy, _with_zeros
from distributions.test_kl import BY_NAME, CONTINUOUS, COUNTS, GAUSSIANS, by_quadrature, compiled, excludes
import jax
import numpy as np
from precision import double_precision
import pytest
import scipy.special
import scipy.stats
from scipy.stats import norm

import numpyro.distributions as dist
from numpyro.distributions.kl import dispatch, kl_divergence

Pair = tuple[Any, Any]


def power_law(alpha: float, low: float, high: float) -> Any:
    return (
        scipy.stats.truncpareto(-1 - alpha, high / low, scale=low) if low else scipy.stats.powerlaw(alpha + 1, 0, high)
    )


GAMMA = scipy.stats.gamma(2.6, scale=1 / 1.7)
KUMARASWAMY = _Kumaraswamy(a=0.0, b=1.0)
#: Distributions of numbers with an end, by name: ours and SciPy's.
ENDED: dict[str, Pair] = {
    "Uniform": (lambda: dist.Uniform(0.4, 0.9), scipy.stats.uniform(0.4, 0.5)),
    "Uniform, wide": (lambda: dist.Uniform(0.0, 9.0), scipy.stats.uniform(0.0, 9.0)),
    "Uniform, both signs": (lambda: dist.Uniform(-1.0, 2.0), scipy.stats.uniform(-1.0, 3.0)),
    "LogUniform": (lambda: dist.LogUniform(0.5, 1.5), scipy.stats.loguniform(0.5, 1.5)),
    "LogUniform, wide": (lambda: dist.LogUniform(0.3, 5.0), scipy.stats.loguniform(0.3, 5.0)),
    "Pareto": (lambda: dist.Pareto(0.8, 9.0), scipy.stats.pareto(9.0, scale=0.8)),
    "Pareto, wide": (lambda: dist.Pareto(0.3, 1.4), scipy.stats.pareto(1.4, scale=0.3)),
    "LowerTruncatedPowerLaw": (lambda: dist.LowerTruncatedPowerLaw(-9.0, 0.7), scipy.stats.pareto(8.0, scale=0.7)),
    "DoublyTruncatedPowerLaw": (lambda: dist.DoublyTruncatedPowerLaw(-1.6, 0.7, 2.1), power_law(-1.6, 0.7, 2.1)),
    "DoublyTruncatedPowerLaw from 0": (
        lambda: dist.DoublyTruncatedPowerLaw(0.7, 0.0, 3.0),
        power_law(0.7, 0.0, 3.0),
    ),
    "Beta": (lambda: dist.Beta(2.1, 1.3), scipy.stats.beta(2.1, 1.3)),
    "TruncatedNormal": (
        lambda: dist.TruncatedNormal(0.3, 1.4, low=0.2, high=1.2),
        Truncated(norm(0.3, 1.4), 0.2, 1.2),
    ),
    "LeftTruncatedDistribution": (lambda: dist.TruncatedNormal(0.3, 1.4, low=0.1), Truncated(norm(0.3, 1.4), 0.1)),
    "RightTruncatedDistribution": (
        lambda: dist.TruncatedNormal(-0.2, 1.1, high=3.0),
        Truncated(norm(-0.2, 1.1), high=3.0),
    ),
    "LeftTruncatedGamma": (lambda: dist.TruncatedGamma(2.6, 1.7, low=0.5), Truncated(GAMMA, 0.5)),
    "RightTruncatedGamma": (lambda: dist.TruncatedGamma(2.6, 1.7, high=2.1), Truncated(GAMMA, 0.0, 2.1)),
    "TwoSidedTruncatedGamma": (
        lambda: dist.TruncatedGamma(2.6, 1.7, low=0.6, high=1.9),
        Truncated(GAMMA, 0.6, 1.9),
    ),
}
#: Whose moments exist.
SMALL = [pair for key, pair in ENDED.items() if key != "Pareto, wide"]
OTHERS: dict[str, Pair] = {
    "Normal": (lambda: dist.Normal(0.4, 1.2), norm(0.4, 1.2)),
    "Exponential": (lambda: dist.Exponential(1.3), scipy.stats.expon(scale=1 / 1.3)),
    "Gamma": (lambda: dist.Gamma(1.7, 2.3), scipy.stats.gamma(1.7, scale=1 / 2.3)),
    "HalfNormal": (lambda: dist.HalfNormal(1.3), scipy.stats.halfnorm(scale=1.3)),
    "Weibull": (lambda: dist.Weibull(1.2, 1.6), scipy.stats.weibull_min(1.6, scale=1.2)),
}
MORE_OTHERS: dict[str, Pair] = {
    "InverseGamma": (lambda: dist.InverseGamma(2.4, 1.3), scipy.stats.invgamma(2.4, scale=1.3)),
    "LogNormal": (lambda: dist.LogNormal(-0.2, 0.7), scipy.stats.lognorm(0.7, scale=np.exp(-0.2))),
}
POWERS = ["Uniform", "LogUniform", "Pareto", "LowerTruncatedPowerLaw", "DoublyTruncatedPowerLaw"]
POWERS += ["DoublyTruncatedPowerLaw from 0"]
POSITIVE = [pair for key, pair in {**OTHERS, **MORE_OTHERS}.items() if key != "Normal"]
#: Distributions with a moment generating function.
SMOOTH: dict[str, Pair] = {
    "AsymmetricLaplace": (
        lambda: dist.AsymmetricLaplace(0.2, 0.3, 1.4),
        scipy.stats.laplace_asymmetric(1.4, 0.2, 0.3),
    ),
    "AsymmetricLaplaceQuantile": (
        lambda: dist.AsymmetricLaplaceQuantile(0.2, 0.15, 0.3),
        scipy.stats.laplace_asymmetric((0.3 / 0.7) ** 0.5, 0.2, 0.15 / (0.3 * 0.7) ** 0.5),
    ),
    "Exponential": (lambda: dist.Exponential(2.3), scipy.stats.expon(scale=1 / 2.3)),
    "Gamma": (lambda: dist.Gamma(1.7, 2.3), scipy.stats.gamma(1.7, scale=1 / 2.3)),
    "Gompertz": (lambda: dist.Gompertz(0.6, 1.9), scipy.stats.gompertz(0.6, scale=1 / 1.9)),
    "Gumbel": (lambda: dist.Gumbel(0.3, 0.4), scipy.stats.gumbel_r(0.3, 0.4)),
    "HalfNormal": (lambda: dist.HalfNormal(0.8), scipy.stats.halfnorm(scale=0.8)),
    "Laplace": (lambda: dist.Laplace(-0.2, 0.3), scipy.stats.laplace(-0.2, 0.3)),
    "Logistic": (lambda: dist.Logistic(0.3, 0.25), scipy.stats.logistic(0.3, 0.25)),
    "Normal": (lambda: dist.Normal(0.4, 0.7), norm(0.4, 0.7)),
    "Uniform": (lambda: dist.Uniform(0.4, 0.9), scipy.stats.uniform(0.4, 0.5)),
}
EXPONENTIALS: dict[str, Pair] = {
    "Gumbel": (lambda: dist.Gumbel(0.1, 0.9), scipy.stats.gumbel_r(0.1, 0.9)),
    "Gompertz": (lambda: dist.Gompertz(0.9, 1.3), scipy.stats.gompertz(0.9, scale=1 / 1.3)),
}
KINKED: dict[str, Pair] = {
    "Laplace": (lambda: dist.Laplace(0.5, 0.8), scipy.stats.laplace(0.5, 0.8)),
    "AsymmetricLaplace": (
        lambda: dist.AsymmetricLaplace(0.6, 0.9, 1.4),
        scipy.stats.laplace_asymmetric(1.4, 0.6, 0.9),
    ),
    "AsymmetricLaplaceQuantile": (
        lambda: dist.AsymmetricLaplaceQuantile(-0.3, 0.15, 0.3),
        scipy.stats.laplace_asymmetric((0.3 / 0.7) ** 0.5, -0.3, 0.15 / (0.3 * 0.7) ** 0.5),
    ),
}
EXCESS = ["Exponential", "HalfNormal", "Logistic", "Uniform"]


def of_truncations() -> Iterator[tuple[Pair, Pair]]:
    """Of one distribution, whose moments need not have a closed form."""
    for family, reference in (
        (dist.Normal, norm),
        (dist.Cauchy, scipy.stats.cauchy),
        (dist.Logistic, scipy.stats.logistic),
        (dist.Gumbel, scipy.stats.gumbel_r),
    ):
        base = lambda family=family: family(0.3, 1.4)
        rv = reference(0.3, 1.4)
        narrow = (lambda base=base: dist.TruncatedDistribution(base(), low=-0.4, high=1.1), Truncated(rv, -0.4, 1.1))
        yield (
            narrow,
            (lambda base=base: dist.TruncatedDistribution(base(), low=-0.5, high=1.9), Truncated(rv, -0.5, 1.9)),
        )
        yield narrow, (lambda base=base: dist.TruncatedDistribution(base(), low=-0.7), Truncated(rv, -0.7))
        yield narrow, (lambda base=base: dist.TruncatedDistribution(base(), low=0.0), Truncated(rv, 0.0))
        yield narrow, (base, rv)


ALONE: list[tuple[Pair, Pair]] = [
    # The same scale, location or sharpness
    (
        (lambda: dist.Logistic(0.3, 1.4), scipy.stats.logistic(0.3, 1.4)),
        (lambda: dist.Logistic(-1.1, 1.4), scipy.stats.logistic(-1.1, 1.4)),
    ),
    (
        (lambda: dist.Logistic(0.3, 1.4), scipy.stats.logistic(0.3, 1.4)),
        (lambda: dist.Logistic(0.4, 1.4), scipy.stats.logistic(0.4, 1.4)),
    ),
    (
        (lambda: dist.Levy(0.3, 1.4), scipy.stats.levy(0.3, 1.4)),
        (lambda: dist.Levy(0.3, 0.6), scipy.stats.levy(0.3, 0.6)),
    ),
    (
        (lambda: dist.Dagum(1.3, 2.5, 0.7), scipy.stats.burr(2.5, 1.3, scale=0.7)),
        (lambda: dist.Dagum(0.8, 2.5, 0.7), scipy.stats.burr(2.5, 0.8, scale=0.7)),
    ),
    (
        (lambda: dist.Kumaraswamy(1.7, 2.2), KUMARASWAMY(1.7, 2.2)),
        (lambda: dist.Kumaraswamy(0.8, 3.1), KUMARASWAMY(0.8, 3.1)),
    ),
    # On the circle and the unit interval
    (
        (lambda: dist.VonMises(0.3, 2.0), scipy.stats.vonmises(2.0, 0.3)),
        (lambda: dist.Uniform(-4.0, 4.0), scipy.stats.uniform(-4.0, 8.0)),
    ),
    (ENDED["Uniform, both signs"], (lambda: dist.VonMises(0.7, 2.0), scipy.stats.vonmises(2.0, 0.7))),
    (ENDED["Uniform"], (lambda: dist.Beta(2.3, 0.7), scipy.stats.beta(2.3, 0.7))),
    (ENDED["Uniform"], (lambda: dist.BetaProportion(0.3, 5.0), scipy.stats.beta(1.5, 3.5))),
    (
        (lambda: dist.Uniform(0.0, 1.0), scipy.stats.uniform()),
        (lambda: dist.Beta(2.3, 0.7), scipy.stats.beta(2.3, 0.7)),
    ),
]

GIVEN: dict[str, list[tuple[Pair, Pair]]] = {
    "with an end": list(itertools.product(SMALL, [*ENDED.values(), *OTHERS.values()])),
    "powers": list(itertools.product([ENDED[name] for name in POWERS], MORE_OTHERS.values())),
    "positive from powers": list(itertools.product(POSITIVE, ENDED.values())),
    "exponentials": list(itertools.product(SMOOTH.values(), EXPONENTIALS.values())),
    "mean excess": list(itertools.product([SMOOTH[name] for name in EXCESS], KINKED.values())),
    "truncations of one": list(of_truncations()),
    "others": ALONE,
}
#: Of these q asks more than is known of p.
ASKS_FOR_MEAN_AND_VARIANCE = {
    "LeftTruncatedDistribution",
    "RightTruncatedDistribution",
    "TwoSidedTruncatedDistribution",
}
ASKS_FOR_MORE = {
    "Beta",
    "Gamma",
    "Weibull",
    "Pareto",
    "LogUniform",
    "LowerTruncatedPowerLaw",
    "DoublyTruncatedPowerLaw",
}
ASKS_FOR_MORE |= {"LeftTruncatedGamma", "RightTruncatedGamma", "TwoSidedTruncatedGamma"}


def name(pair: Pair) -> str:
    return type(pair[0]()).__name__


def is_unknown(p: str, q: str) -> bool:
    if q == "Beta":
        return p not in ("Beta", "Uniform")
    return (p.endswith("TruncatedDistribution") and q in ASKS_FOR_MORE) or (p, q) == ("Gompertz", "Gumbel")


def known(p: Any, q: Any) -> Any:
    """None if there is no rule."""
    try:
        return kl_divergence(p, q)
    except NotImplementedError:
        return None


@pytest.mark.parametrize("kind", GIVEN)
def test_divergences_of_given_pairs_against_quadrature(kind):
    evaluate = lambda: [known(p(), q()) for (p, _), (q, _) in GIVEN[kind]]
    with double_precision():
        # One program of hundreds of pairs takes four times as long to compile as their operations, which they share.
        found = evaluate() if len(GIVEN[kind]) > 300 else compiled(evaluate)()
    for value, (p, q) in zip(found, GIVEN[kind], strict=True):
        pair = f"{name(p)} from {name(q)}"
        assert (value is None) == is_unknown(name(p), name(q)), pair
        if value is None:
            continue
        if excludes(q[1], p[1]):
            assert value == np.inf, pair
        else:
            nodes = 60_001 if "Laplace" in pair else 601
            np.testing.assert_allclose(value, by_quadrature(p[1], q[1], nodes), rtol=2e-6, atol=2e-8, err_msg=pair)


def zeros_and_counts() -> list[tuple[Pair, Pair]]:
    """With and without extra zeros, of two families."""
    poisson, geometric = scipy.stats.poisson, lambda probs: scipy.stats.geom(probs, loc=-1)

    def forms(base: Any, rv: Any, gate: float) -> list[Pair]:
        logits = scipy.special.logit(gate)
        return [
            (base, rv),
            (lambda: dist.ZeroInflatedProbs(base(), gate), _with_zeros(gate, rv)),
            (lambda: dist.ZeroInflatedLogits(base(), logits), _with_zeros(gate, rv)),
            (lambda: dist.HurdleProbs(base(), gate), _Hurdled(gate, rv)),
            (lambda: dist.HurdleLogits(base(), logits), _Hurdled(gate, rv)),
        ]

    pairs: list[tuple[Pair, Pair]] = []
    for family, reference, first, second in ((dist.Poisson, poisson, 2.3, 1.4), (dist.Geometric, geometric, 0.3, 0.45)):
        pairs += itertools.product(
            forms(lambda family=family, x=first: family(x), reference(first), 0.3),
            forms(lambda family=family, x=second: family(x), reference(second), 0.2),
        )
    few = (lambda: dist.ZeroInflatedProbs(dist.Binomial(3, 0.4), 0.1), _with_zeros(0.1, scipy.stats.binom(3, 0.4)))
    pairs.append((few, (lambda: dist.ZeroInflatedPoisson(0.3, 2.0), _with_zeros(0.3, poisson(2.0)))))
    # Counts with the same concentration
    forms_of_counts = [
        (lambda: dist.NegativeBinomial2(2.3, 2.6), scipy.stats.nbinom(2.6, 2.6 / 4.9)),
        (lambda: dist.NegativeBinomialProbs(2.6, 0.3), scipy.stats.nbinom(2.6, 0.7)),
        (lambda: dist.NegativeBinomialLogits(2.6, -0.4), scipy.stats.nbinom(2.6, scipy.special.expit(0.4))),
        (lambda: dist.GammaPoisson(2.6, 1.7), scipy.stats.nbinom(2.6, 1.7 / 2.7)),
    ]
    return pairs + list(itertools.product(forms_of_counts, forms_of_counts))


OF_COUNTS = zeros_and_counts()


def test_divergences_of_counts_and_zeros_against_sums():
    k = np.arange(140)
    with double_precision():
        found = compiled(lambda: [kl_divergence(p(), q()) for (p, _), (q, _) in OF_COUNTS])()
    for value, (p, q) in zip(found, OF_COUNTS, strict=True):
        with np.errstate(divide="ignore"):
            log_p, log_q = p[1].logpmf(k), q[1].logpmf(k)
        possible = np.isfinite(log_p)
        want = (np.exp(log_p[possible]) * (log_p[possible] - log_q[possible])).sum()
        np.testing.assert_allclose(value, want, rtol=1e-8, atol=1e-12, err_msg=f"{name(p)} from {name(q)}")


def test_gates_that_are_certain():
    base = dist.Geometric(0.3)
    zero, none = dist.ZeroInflatedProbs(base, 1.0), dist.ZeroInflatedProbs(base, 0.0)
    np.testing.assert_allclose(kl_divergence(zero, base), -np.log(0.3), rtol=1e-6)
    np.testing.assert_allclose(kl_divergence(none, base), 0.0, atol=1e-6)
    assert kl_divergence(base, zero) == np.inf
    assert kl_divergence(base, dist.HurdleProbs(base, 0.0)) == np.inf
    assert kl_divergence(dist.HurdleGamma(0.2, 2.0, 1.0), dist.HurdleGamma(0.0, 2.0, 1.0)) == np.inf
    with pytest.raises(NotImplementedError, match="HurdleGamma from Poisson"):
        kl_divergence(dist.HurdleGamma(0.2, 2.0, 1.0), dist.Poisson(1.0))


OF_MIXED = [
    (lambda: dist.HurdleGamma(0.3, 2.6, 1.7), lambda: dist.HurdleGamma(0.4, 1.6, 0.7)),
    (lambda: dist.HurdleGamma(0.3, 2.6, 1.7), lambda: dist.HurdleLogNormal(0.4, 0.3, 0.7)),
    (lambda: dist.HurdleGamma(0.3, 2.6, 1.7), lambda: dist.HurdleProbs(dist.Exponential(0.7), 0.2)),
    (lambda: dist.HurdleProbs(dist.Exponential(0.7), 0.2), lambda: dist.HurdleGamma(0.3, 2.6, 1.7)),
    (lambda: dist.Gamma(2.6, 1.7), lambda: dist.HurdleGamma(0.4, 1.6, 0.7)),
]


def test_a_point_mass_beside_a_density():
    """The gates' divergence, and that of what passes them."""
    gates = [0.3, 0.3, 0.3, 0.2, 0.0], [0.4, 0.4, 0.2, 0.3, 0.4]
    bases = [
        (dist.Gamma(2.6, 1.7), dist.Gamma(1.6, 0.7)),
        (dist.Gamma(2.6, 1.7), dist.LogNormal(0.3, 0.7)),
        (dist.Gamma(2.6, 1.7), dist.Exponential(0.7)),
        (dist.Exponential(0.7), dist.Gamma(2.6, 1.7)),
        (dist.Gamma(2.6, 1.7), dist.Gamma(1.6, 0.7)),
    ]
    for (p, q), gate, other, (f, g) in zip(OF_MIXED, *gates, bases, strict=True):
        want = scipy.stats.entropy([gate, 1 - gate], [other, 1 - other]) + (1 - gate) * kl_divergence(f, g)
        np.testing.assert_allclose(kl_divergence(p(), q()), want, rtol=1e-5)
    assert kl_divergence(OF_MIXED[0][0](), dist.Gamma(2.6, 1.7)) == np.inf


OF_CATEGORIES = [
    (lambda: dist.DirichletMultinomial(np.array([2.1, 1.3, 3.0]), 5), [2.1, 1.3, 3.0]),
    (lambda: dist.DirichletMultinomial(np.array([0.7, 2.2, 1.5]), 5), [0.7, 2.2, 1.5]),
    (lambda: dist.MultinomialProbs(np.array([0.2, 0.5, 0.3]), 5), None),
    (lambda: dist.MultinomialLogits(np.log(np.array([0.4, 0.4, 0.2])), 5), None),
]


def test_divergences_of_counts_of_categories_against_sums():
    counts = np.array([(i, j, 5 - i - j) for i in range(6) for j in range(6 - i)])
    probs = {2: [0.2, 0.5, 0.3], 3: [0.4, 0.4, 0.2]}
    log_mass = [
        scipy.stats.multinomial(5, probs[i]).logpmf(counts)
        if alpha is None
        else scipy.stats.dirichlet_multinomial(alpha, 5).logpmf(counts)
        for i, (_, alpha) in enumerate(OF_CATEGORIES)
    ]
    pairs = list(itertools.product(range(4), range(4)))
    with double_precision():
        makes = [make for make, _ in OF_CATEGORIES]
        found = compiled(lambda: [kl_divergence(makes[i](), makes[j]()) for i, j in pairs])()
    for value, (i, j) in zip(found, pairs, strict=True):
        want = (np.exp(log_mass[i]) * (log_mass[i] - log_mass[j])).sum()
        np.testing.assert_allclose(value, want, rtol=1e-9, atol=1e-12)
    more = dist.DirichletMultinomial(np.array([2.1, 1.3, 3.0]), 6)
    assert kl_divergence(more, OF_CATEGORIES[0][0]()) == np.inf


# Arrays

ARRAYS: list[tuple[Any, Any]] = [
    (
        lambda: dist.SineBivariateVonMises(0.3, -0.2, 3.0, 2.0, 1.1),
        lambda: dist.SineBivariateVonMises(1.1, 0.4, 2.0, 2.5, -0.7),
    ),
]


@pytest.mark.parametrize("concentrations", [(3.0, 2.0, 1.1), (200.0, 300.0, 40.0)])
def test_sine_model_against_the_sum_over_the_torus(concentrations):
    x = np.linspace(-np.pi, np.pi, 400, endpoint=False)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), -1)
    with double_precision():
        p = dist.SineBivariateVonMises(0.3, -0.2, *concentrations)
        q = dist.SineBivariateVonMises(0.5, 0.1, 2.0, 2.5, -0.7)
        found, log_p, log_q = compiled(lambda: (kl_divergence(p, q), p.log_prob(grid), q.log_prob(grid)))()
    want = (np.exp(log_p) * (log_p - log_q)).sum() * (2 * np.pi / 400) ** 2
    np.testing.assert_allclose(found, want, rtol=1e-7)


def test_copulas_of_the_same_marginal_distributions():
    correlations = [np.array([[1.0, r], [r, 1.0]]) for r in (0.6, -0.2)]
    for make in (
        lambda R: dist.GaussianCopula(dist.Gamma(np.array([2.0, 0.7]), 1.3), R),
        lambda R: dist.GaussianCopulaBeta(np.array([2.0, 0.7]), 1.3, R),
    ):
        p, q = (make(R) for R in correlations)
        ratio = np.linalg.solve(correlations[1], correlations[0])
        want = 0.5 * (np.trace(ratio) - 2 - np.linalg.slogdet(ratio)[1])
        np.testing.assert_allclose(kl_divergence(p, q), want, rtol=1e-4)
    with pytest.raises(NotImplementedError, match="the same marginal"):
        kl_divergence(p, dist.GaussianCopulaBeta(np.array([2.0, 0.8]), 1.3, correlations[0]))


def test_heavy_tails_from_a_gaussian():
    """By the entropy, the mean and the covariance."""
    tril, loc = np.array([[1.1, 0.0], [0.4, 0.8]]), np.array([0.3, -0.6])
    other = np.array([[0.9, -0.1], [-0.1, 1.2]])
    with double_precision():
        p = dist.MultivariateStudentT(np.array([1.5, 2.5, 7.0]), loc, tril)
        found = kl_divergence(p, dist.MultivariateNormal(np.zeros(2), other))
    assert found[0] == np.inf
    for value, df in zip(found[1:], (2.5, 7.0), strict=True):
        entropy = scipy.stats.multivariate_t(loc, tril @ tril.T, df).entropy()
        covariance = df / (df - 2) * tril @ tril.T + np.outer(loc, loc)
        want = 0.5 * np.trace(np.linalg.solve(other, covariance)) + 0.5 * np.linalg.slogdet(2 * np.pi * other)[1]
        np.testing.assert_allclose(value, want - entropy, rtol=1e-8)


def test_independent_numbers_from_a_gaussian():
    covariance = np.array([[0.9, -0.1], [-0.1, 1.2]])
    vector = dist.MultivariateNormal(np.zeros(2), covariance)
    p = dist.Laplace(np.array([0.3, -0.6]), 1.4).to_event(1)
    second = np.diag([2 * 1.4**2] * 2) + np.outer([0.3, -0.6], [0.3, -0.6])
    want = 0.5 * np.trace(np.linalg.solve(covariance, second)) + 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    np.testing.assert_allclose(kl_divergence(p, vector), want - 2 * scipy.stats.laplace(0, 1.4).entropy(), rtol=1e-5)
    for wrong in (dist.VonMises(np.zeros(2), 1.0).to_event(1), dist.Poisson(np.ones(2)).to_event(1)):
        with pytest.raises(NotImplementedError):
            kl_divergence(wrong, vector)
    with pytest.raises(NotImplementedError):
        kl_divergence(vector, p)


def test_state_space_model_is_a_gaussian_of_paths():
    A, tril, start = np.array([[0.8, 0.1], [-0.2, 0.6]]), np.array([[1.1, 0.0], [0.4, 0.8]]), np.array([0.3, -0.6])
    B, other = np.array([[0.5, 0.0], [0.3, 0.9]]), np.array([[0.7, 0.0], [-0.2, 1.3]])

    def joint(A, tril, start):
        powers = [np.linalg.matrix_power(A, k) for k in range(4)]
        factor = np.block([[powers[t - s] @ tril if s <= t else np.zeros((2, 2)) for s in range(3)] for t in range(3)])
        return np.concatenate([powers[t + 1] @ start for t in range(3)]), factor @ factor.T

    with double_precision():
        p = dist.GaussianStateSpace(3, A, scale_tril=tril, initial_value=start)
        q = dist.GaussianStateSpace(3, B, scale_tril=other)
        rows = dist.MatrixNormal(np.zeros((3, 2)), np.eye(3), other)
        numbers = dist.Normal(np.zeros((3, 2)), 1.3).to_event(2)
        first = [kl_divergence(p, d) for d in (q, rows, numbers)]
        back = [kl_divergence(d, p) for d in (rows, numbers)]
    known = [
        joint(A, tril, start),
        joint(B, other, np.zeros(2)),
        (np.zeros(6), np.kron(np.eye(3), other @ other.T)),
        (np.zeros(6), 1.69 * np.eye(6)),
    ]

    def want(p, q):
        (a, S), (b, R) = p, q
        ratio = np.linalg.solve(R, S + np.outer(a - b, a - b))
        return 0.5 * (np.trace(ratio) - 6 + np.linalg.slogdet(R)[1] - np.linalg.slogdet(S)[1])

    np.testing.assert_allclose(first, [want(known[0], known[i]) for i in (1, 2, 3)], rtol=1e-8)
    np.testing.assert_allclose(back, [want(known[i], known[0]) for i in (2, 3)], rtol=1e-8)


def test_a_subspace_has_no_volume():
    zero_sum, normal = dist.ZeroSumNormal(1.4, (3,)), dist.Normal(np.zeros(3), 1.0).to_event(1)
    assert kl_divergence(zero_sum, normal) == np.inf
    assert kl_divergence(normal, zero_sum) == np.inf


def test_without_parameters_there_is_one_distribution():
    np.testing.assert_array_equal(
        kl_divergence(dist.TruncatedPolyaGamma((3,)), dist.TruncatedPolyaGamma()), np.zeros(3)
    )


# What must be the same

SAME = [
    (lambda x: dist.Logistic(0.3, x), "the same scale"),
    (lambda x: dist.Levy(x, 1.0), "the same loc"),
    (lambda x: dist.Dagum(1.0, x, 2.0), "the same sharpness"),
    (lambda x: dist.GammaPoisson(x, 1.0), "the same concentration"),
]


@pytest.mark.parametrize(("make", "message"), SAME)
def test_where_only_equal_parameters_have_a_closed_form_others_are_refused(make, message):
    with pytest.raises(NotImplementedError, match=message):
        kl_divergence(make(1.0), make(2.0))
    with pytest.raises(NotImplementedError, match=message):
        jax.jit(lambda x, y: kl_divergence(make(x), make(y)))(1.0, 1.0)
    assert jax.jit(lambda x: kl_divergence(make(x), make(x)) + 0 * x)(1.0) == pytest.approx(0.0, abs=1e-6)


def test_gradients_where_a_log_density_is_flat():
    """The second derivative of the log moments of a log-uniform variable, at the exponent where two formulas meet."""
    p = lambda low: kl_divergence(dist.LogUniform(low, 2.0), dist.LogNormal(0.0, 0.7))
    with double_precision():
        slope = (p(0.5 + 1e-6) - p(0.5 - 1e-6)) / 2e-6
        np.testing.assert_allclose(jax.grad(p)(0.5), slope, rtol=1e-6)


# No rule is left out


def compared() -> Iterator[tuple[type, type]]:
    """The pairs of classes that some test of this file or of test_kl.py compares with a reference."""
    for ps, qs in CONTINUOUS.values():
        yield from itertools.product(*([BY_NAME[name].cls for name in names] for names in (ps, qs)))
    for names in COUNTS.values():
        yield from itertools.product([BY_NAME[name].cls for name in names], repeat=2)
    for p, q in itertools.chain(*GIVEN.values(), OF_COUNTS):
        yield type(p[0]()), type(q[0]())
        if name(p).endswith("TruncatedDistribution"):
            # Among others it is one with mean, variance and entropy.
            yield dist.Distribution, type(q[0]())
    yield dist.HurdleGamma, dist.Gamma
    for p, q in itertools.chain(OF_MIXED, ARRAYS):
        yield type(p()), type(q())
    yield from itertools.product([type(make()) for make, _ in OF_CATEGORIES], repeat=2)
    one_class = "Dirichlet GaussianCopula LKJ LKJCholesky InverseWishart InverseWishartCholesky Wishart WishartCholesky"
    for cls in one_class.split() + [
        "MultinomialLogits",
        "MultinomialProbs",
        "TruncatedPolyaGamma",
        "VonMises",
        "Delta",
    ]:
        yield getattr(dist, cls), getattr(dist, cls)
    gaussians = [BY_NAME[name].cls for name in GAUSSIANS] + [dist.GaussianStateSpace, dist.ZeroSumNormal]
    yield from itertools.product([*gaussians, dist.MultivariateStudentT], gaussians)


def test_every_rule_is_compared_with_a_reference():
    def rule(p: type, q: type) -> Any:
        pairs = itertools.product(p.__mro__, q.__mro__)
        return next((pair for pair in pairs if pair in dispatch._RULES), None)

    ours = {pair for pair in dispatch._RULES if all(cls.__module__.startswith("numpyro.") for cls in pair)}
    left_out = ours - {rule(p, q) for p, q in compared()}
    assert not left_out, sorted(f"{p.__name__} from {q.__name__}" for p, q in left_out)
