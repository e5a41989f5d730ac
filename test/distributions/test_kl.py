# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Divergences in closed form against quadrature and summation of SciPy's densities, and against known identities."""

from __future__ import annotations

import itertools

from distributions.examples import EXAMPLES
import jax
import jax.numpy as jnp
import numpy as np
from precision import double_precision
import pytest
import scipy.stats

import numpyro.distributions as dist
from numpyro.distributions import constraints, transforms
from numpyro.distributions.kl import kl_divergence

BY_NAME = {example.name: example for example in EXAMPLES}

POSITIVE = ["Dagum", "Exponential", "Gamma", "Chi2", "HalfCauchy", "HalfNormal", "InverseGamma", "LogNormal", "Weibull"]
UNIT = ["Beta", "BetaProportion", "Kumaraswamy"]
POWERS = ["Pareto", "LogUniform", "LowerTruncatedPowerLaw", "DoublyTruncatedPowerLaw"]
LAPLACE = ["Laplace", "AsymmetricLaplace", "AsymmetricLaplaceQuantile"]
#: Each p with each q.
CONTINUOUS = {
    "by moments": ([*POSITIVE, *UNIT, "Pareto"], ["Gamma", "InverseGamma", "LogNormal", "Weibull"]),
    "by moments of special cases": ([*POSITIVE, *UNIT, *POWERS], ["Exponential", "Chi2", "HalfNormal"]),
    "by the mean logarithm": ([*POSITIVE, *UNIT, *POWERS], POWERS),
    "powers by moments": (POWERS[1:], ["Gamma", "InverseGamma", "LogNormal", "Weibull"]),
    "in the unit interval": (UNIT, ["Beta", "BetaProportion"]),
    "by mean and variance": (
        [*POSITIVE, *UNIT, *LAPLACE, "Normal", "Logistic", "Gumbel", "StudentT", "Uniform", "Cauchy"],
        ["Normal"],
    ),
    "by the mean excess": ([*LAPLACE, "Normal"], LAPLACE),
    **{name: ([name], [name]) for name in ("HalfCauchy", "Gumbel", "Cauchy", "Uniform")},
}
# The exponent is too heavy, or the mass too near to 0.
INFINITE = {("HalfCauchy", q) for q in ("Exponential", "Gamma", "Chi2", "HalfNormal", "InverseGamma", "Weibull")}
INFINITE |= {("HalfCauchy", "Normal"), ("Cauchy", "Normal"), ("Exponential", "InverseGamma")}
INFINITE |= {("HalfNormal", "InverseGamma")}


def compiled(function):
    """Compile without optimisation: the programs run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def moved(name):
    """Other parameters of an example, in double precision."""
    example = BY_NAME[name]
    point = example.batched(np.random.default_rng(len(name)), lambda position: ())
    return {key: x.astype(np.float64) if x.dtype == np.float32 else x for key, x in point.items()}


def by_quadrature(p, q, nodes=601):
    """Over the quantiles of p, from both ends, by the tanh-sinh rule (Takahasi and Mori 1974)."""
    s = np.linspace(-5.5, 5.5, nodes)
    t = np.pi * np.sinh(s)
    lower = np.exp(-np.logaddexp(0, -t))
    upper = np.exp(-np.logaddexp(0, t))
    with np.errstate(all="ignore"):
        x = np.where(lower < 0.5, p.ppf(lower), p.isf(upper))
        log_ratio = p.logpdf(x) - q.logpdf(x)
        terms = np.pi * np.cosh(s) * lower * upper * log_ratio
    return np.where(np.isfinite(terms), terms, 0.0).sum() * (s[1] - s[0])


def excludes(q, p):
    """Whether q gives no density to some of what is possible under p. All angles are possible."""
    if "vonmises" in (getattr(d, "dist", d).__class__.__name__[:8] for d in (p, q)):
        return False
    return bool(p.ppf(0.0) < q.ppf(0.0) - 1e-9 or p.ppf(1.0) > q.ppf(1.0) + 1e-9)


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_continuous_divergences_against_quadrature(kind):
    pairs = list(itertools.product(*CONTINUOUS[kind]))

    def divergences(first, second):
        make = lambda parameters, name: BY_NAME[name].constructor(**parameters[name])
        found = {(p, q): kl_divergence(make(first, p), make(second, q)) for p, q in pairs}
        zero = [kl_divergence(make(first, p), make(first, p)) for p, q in pairs if p == q]
        return found, zero

    first = {p: BY_NAME[p].double_point for p, _ in pairs}
    second = {q: moved(q) for _, q in pairs}
    with double_precision():
        found, zero = compiled(divergences)(first, second)
    np.testing.assert_allclose(np.asarray(zero), 0, atol=1e-12)
    for (p, q), value in found.items():
        if (p, q) in INFINITE or excludes(BY_NAME[q].reference(**second[q]), BY_NAME[p].scipy()):
            assert value == np.inf, (p, q)
        else:
            # A kink slows the rule down.
            nodes = 60_001 if {p, q} & set(LAPLACE) else 601
            want = by_quadrature(BY_NAME[p].scipy(), BY_NAME[q].reference(**second[q]), nodes)
            np.testing.assert_allclose(value, want, rtol=2e-6, atol=1e-9, err_msg=f"{p} from {q}")


COUNTS = {
    "Poisson": ["Poisson"],
    "geometric": ["GeometricProbs", "GeometricLogits"],
    "binomial": ["BinomialProbs", "BinomialLogits"],
    "finite": ["BernoulliProbs", "CategoricalLogits", "OrderedLogistic", "BinomialProbs"],
}


@pytest.mark.parametrize("kind", COUNTS)
def test_divergences_of_counts_against_sums(kind):
    """A finite support may be smaller than that of q, but not larger."""
    pairs = list(itertools.product(COUNTS[kind], COUNTS[kind]))
    first = {p: BY_NAME[p].double_point for p in COUNTS[kind]}
    second = {q: moved(q) | {key: x for key, x in first[q].items() if key == "total_count"} for q in COUNTS[kind]}
    k = np.arange(200)

    def divergences(first, second):
        # The number of trials is concrete.
        known = {name: {"total_count": 7} if "total_count" in BY_NAME[name].point else {} for name in COUNTS[kind]}
        make = lambda parameters, name: BY_NAME[name].cls(**parameters[name] | known[name])
        return [kl_divergence(make(first, p), make(second, q)) for p, q in pairs]

    with double_precision():
        found = compiled(divergences)(first, second)
    for (p, q), value in zip(pairs, found, strict=True):
        log_p = BY_NAME[p].scipy().logpmf(k)
        possible = np.isfinite(log_p)
        with np.errstate(divide="ignore"):
            log_q = BY_NAME[q].reference(**second[q]).logpmf(k)
        want = (np.exp(log_p[possible]) * (log_p[possible] - log_q[possible])).sum()
        np.testing.assert_allclose(value, want, rtol=1e-8, err_msg=f"{p} from {q}")


def test_divergences_of_trials_of_several_kinds():
    """Of so many trials as of one, so many times; where no value is possible under both, or some is not, infinite."""
    probs, other = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.4, 0.2])
    one = scipy.stats.entropy(probs, other)
    logits = dist.Multinomial(5, logits=np.log(other))
    np.testing.assert_allclose(kl_divergence(dist.Multinomial(5, probs), logits), 5 * one, rtol=1e-5)
    assert kl_divergence(dist.Multinomial(4, probs), logits) == np.inf
    few, many = dist.Binomial(3, 0.3), dist.Binomial(5, 0.4)
    k = np.arange(4)
    p, q = scipy.stats.binom(3, 0.3), scipy.stats.binom(5, 0.4)
    want = (p.pmf(k) * (p.logpmf(k) - q.logpmf(k))).sum()
    np.testing.assert_allclose(kl_divergence(few, many), want, rtol=1e-5)
    assert kl_divergence(many, few) == np.inf


# Vectors and matrices

GAUSSIANS = [
    "MultivariateNormal(scale_tril)",
    "MultivariateNormal(covariance_matrix)",
    "MultivariateNormal(precision_matrix)",
    "LowRankMultivariateNormal",
    "CirculantNormal",
    "CAR",
    "CAR(sparse)",
    "GaussianRandomWalk",
    "MatrixNormal",
    "Independent",
]


def test_divergences_of_gaussians_are_those_of_mean_and_covariance():
    """In every pair of the same event shape."""
    shape = {name: BY_NAME[name].at_point().event_shape for name in GAUSSIANS}
    pairs = [(p, q) for p, q in itertools.product(GAUSSIANS, GAUSSIANS) if shape[p] == shape[q]]
    first = {p: BY_NAME[p].double_point for p in GAUSSIANS}
    second = {q: moved(q) for q in GAUSSIANS}

    def divergences(first, second):
        make = lambda parameters, name: BY_NAME[name].constructor(**parameters[name])
        return [kl_divergence(make(first, p), make(second, q)) for p, q in pairs]

    with double_precision():
        found = compiled(divergences)(first, second)
    for (p, q), value in zip(pairs, found, strict=True):
        a, b = BY_NAME[p].scipy(), BY_NAME[q].reference(**second[q])
        a_cov, b_cov, distance = a.cov, b.cov, np.ravel(b.mean - a.mean)
        log_dets = np.linalg.slogdet(b_cov)[1] - np.linalg.slogdet(a_cov)[1]
        ratio = np.linalg.solve(b_cov, a_cov + np.outer(distance, distance))
        want = 0.5 * (np.trace(ratio) - len(distance) + log_dets)
        np.testing.assert_allclose(value, want, rtol=1e-7, err_msg=f"{p} from {q}")


def test_zero_sum_normal_has_as_many_free_numbers_as_its_degrees():
    other = np.array([0.9, 1.4])
    found = kl_divergence(dist.ZeroSumNormal(1.4, (3, 4)), dist.ZeroSumNormal(other, (3, 4)))
    want = 6 * kl_divergence(dist.Normal(0.0, 1.4), dist.Normal(0.0, other))
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def test_dirichlet_breaks_into_beta_variables():
    a, b = np.array([2.1, 1.3, 3.0]), np.array([0.7, 2.2, 1.5])
    found = kl_divergence(dist.Dirichlet(a), dist.Dirichlet(b))
    parts = [(scipy.stats.beta(x[0], x[1] + x[2]), scipy.stats.beta(x[1], x[2])) for x in (a, b)]
    np.testing.assert_allclose(found, sum(by_quadrature(p, q) for p, q in zip(*parts, strict=True)), rtol=1e-5)


@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_lkj_breaks_into_beta_variables(dimension):
    """The partial correlations of a C-vine (Lewandowski, Kurowicka and Joe 2009, section 2.4)."""
    want = 0.0
    for tree in range(1, dimension):
        p, q = (scipy.stats.beta(*(eta + 0.5 * (dimension - 1 - tree),) * 2) for eta in (1.7, 0.8))
        want += (dimension - tree) * by_quadrature(p, q)
    for family in (dist.LKJ, dist.LKJCholesky):
        np.testing.assert_allclose(kl_divergence(family(dimension, 1.7), family(dimension, 0.8)), want, rtol=1e-4)


@pytest.mark.parametrize("family", ["Wishart", "InverseWishart"])
def test_wishart_against_draws_of_scipy(family):
    reference = {"Wishart": scipy.stats.wishart, "InverseWishart": scipy.stats.invwishart}[family]
    V, W = np.array([[1.1, 0.3], [0.3, 0.8]]), np.array([[0.9, -0.1], [-0.1, 1.2]])
    p, q = reference(6.0, V), reference(7.5, W)
    x = np.moveaxis(p.rvs(20_000, random_state=0), 0, -1)
    log_ratio = p.logpdf(x) - q.logpdf(x)
    want, error = log_ratio.mean(), log_ratio.std() / np.sqrt(len(log_ratio))
    assert error < 0.05 * want
    for cls in (getattr(dist, family), getattr(dist, f"{family}Cholesky")):
        found = kl_divergence(cls(6.0, V), cls(7.5, rate_matrix=np.linalg.inv(W)))
        assert abs(found - want) < 5 * error


def test_von_mises_against_the_sum_over_the_circle():
    p, q = scipy.stats.vonmises(8.0, 0.3), scipy.stats.vonmises(2.0, 1.3)
    x = np.linspace(-np.pi, np.pi, 2000, endpoint=False)
    want = (p.pdf(x) * (p.logpdf(x) - q.logpdf(x))).mean() * 2 * np.pi
    np.testing.assert_allclose(kl_divergence(dist.VonMises(0.3, 8.0), dist.VonMises(1.3, 2.0)), want, rtol=1e-5)
    with pytest.raises(NotImplementedError, match="VonMises from Normal"):
        kl_divergence(dist.VonMises(0.3, 8.0), dist.Normal(0.0, 1.0))


# Wrappers

LOCS = np.array([0.3, -0.6, 1.1], np.float32)


def normal_divergence(distance):
    return 0.5 * distance**2


def test_expansion_repeats_and_events_add_up():
    p, q = dist.Normal(LOCS, 1.0), dist.Normal(0.0, 1.0)
    each = normal_divergence(LOCS)
    np.testing.assert_allclose(kl_divergence(p.expand((2, 3)), q), [each, each], rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(p, q.expand((2, 1))), [each, each], rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(p.to_event(1), q.expand((3,)).to_event(1)), each.sum(), rtol=1e-5)
    np.testing.assert_allclose(
        kl_divergence(p.expand((2, 3)).to_event(2), q.expand((3,)).to_event(1).expand((2,)).to_event(1)),
        2 * each.sum(),
        rtol=1e-5,
    )
    vector = dist.MultivariateNormal(np.zeros(3), np.eye(3))
    np.testing.assert_allclose(kl_divergence(p.expand((2, 3)).to_event(1), vector), [each.sum()] * 2, rtol=1e-5)
    np.testing.assert_allclose(
        kl_divergence(p.expand((2, 3)).to_event(2), vector.expand((2,)).to_event(1)), 2 * each.sum(), rtol=1e-5
    )


def test_what_is_masked_in_either_counts_nothing():
    p, q = dist.Normal(LOCS, 1.0), dist.Normal(0.0, 1.0)
    mask, other = np.array([True, False, True]), np.array([True, True, False])
    each = normal_divergence(LOCS)
    np.testing.assert_allclose(kl_divergence(p.mask(mask), q), np.where(mask, each, 0), rtol=1e-5)
    np.testing.assert_allclose(
        kl_divergence(p.mask(mask), q.expand((3,)).mask(other)), np.where(mask & other, each, 0), rtol=1e-5
    )
    np.testing.assert_allclose(kl_divergence(p.mask(False), q), np.zeros(3))


def test_a_point_mass_asks_for_the_density_there():
    q = dist.MultivariateNormal(np.zeros(2), np.eye(2))
    found = kl_divergence(dist.Delta(np.array([0.5, 1.0]), log_density=0.25, event_dim=1), q)
    np.testing.assert_allclose(found, 0.25 + np.log(2 * np.pi) + 0.5 * 1.25, rtol=1e-5)
    assert kl_divergence(dist.Delta(0.5), dist.Delta(0.5)) == 0
    assert kl_divergence(dist.Delta(0.5), dist.Delta(0.6)) == np.inf


def test_the_same_transforms_change_nothing():
    p, q = dist.Normal(LOCS, 1.0), dist.Normal(0.0, 1.0)
    for transform in (transforms.SigmoidTransform(), transforms.AffineTransform(0.5, 2.0)):
        both = (dist.TransformedDistribution(d, [transform, transforms.ExpTransform()]) for d in (p, q))
        np.testing.assert_allclose(kl_divergence(*both), normal_divergence(LOCS), rtol=1e-5)
    stick = transforms.StickBreakingTransform()
    both = [dist.TransformedDistribution(d.expand((3,)), stick) for d in (p, q)]
    np.testing.assert_allclose(kl_divergence(*both), normal_divergence(LOCS).sum(), rtol=1e-5)
    with pytest.raises(NotImplementedError, match="transforms that differ"):
        kl_divergence(
            dist.TransformedDistribution(p, transforms.ExpTransform()),
            dist.TransformedDistribution(q, transforms.SoftplusTransform()),
        )
    with pytest.raises(NotImplementedError, match="FoldedDistribution from FoldedDistribution"):
        kl_divergence(dist.FoldedDistribution(p), dist.FoldedDistribution(q))


def test_what_has_no_closed_form_is_named_and_can_be_registered():
    class Mine(dist.Distribution):
        support = constraints.real

    with pytest.raises(NotImplementedError, match=r"Mine from StudentT.*@kl_divergence.register\(Mine, StudentT\)"):
        kl_divergence(Mine(), dist.StudentT(3.0))

    @kl_divergence.register(Mine, dist.Distribution)
    def of_mine(p, q):
        return jnp.zeros(())

    class Derived(Mine):
        pass

    assert kl_divergence(Derived((3,)), dist.StudentT(3.0)).shape == (3,)
    with pytest.raises(ValueError, match=r"event shape \(\).*has \(2,\)"):
        kl_divergence(dist.Normal(0.0, 1.0), dist.Normal(np.zeros(2), 1.0).to_event(1))
    with pytest.raises(NotImplementedError, match="MixtureGeneral from Normal"):
        kl_divergence(BY_NAME["MixtureGeneral"].at_point(), dist.Normal(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="Poisson from Normal"):
        kl_divergence(dist.Poisson(1.0), dist.Normal(0.0, 1.0))


@pytest.mark.parametrize("name", ["Gamma", "Kumaraswamy", "Weibull", "LogNormal", "Dirichlet"])
def test_divergences_have_gradients_in_single_precision(name):
    other = {"Kumaraswamy": "Beta", "Weibull": "Gamma"}.get(name, name)
    p, q = BY_NAME[name].point, {key: x.astype(np.float32) for key, x in moved(other).items()}

    def divergence(p, q):
        return kl_divergence(BY_NAME[name].cls(**p), BY_NAME[other].cls(**q))

    gradient = jax.jit(jax.grad(divergence, argnums=(0, 1)))(p, q)
    with double_precision():
        exact = jax.jit(jax.grad(divergence, argnums=(0, 1)))(
            *({key: x.astype(np.float64) for key, x in point.items()} for point in (p, q))
        )
    jax.tree.map(lambda g, want: np.testing.assert_allclose(g, want, rtol=1e-3, atol=1e-4), gradient, exact)
