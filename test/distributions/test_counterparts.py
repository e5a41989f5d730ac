# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The list by family in docs/distributions.md tells the truth about SciPy and Stan.

What it writes as a call is evaluated and compared with our density: SciPy's by SciPy, Stan's by the densities of the
*Stan Functions Reference*, written down here. A class for which the table of examples has a counterpart in SciPy names
it, and one that has none says so by a dash.
"""

from __future__ import annotations

from collections.abc import Callable
import functools
import math
from pathlib import Path
import re
from typing import Any, NamedTuple

from distributions.examples import EXAMPLES
import jax
import numpy as np
from precision import double_precision
import pytest
import scipy.linalg
from scipy.special import betaln, expit, gammaln, softmax
import scipy.stats

import numpyro.distributions as dist

LIST = (Path(__file__).parent.parent.parent / "docs/distributions.md").read_text()


class Row(NamedTuple):
    """What the list says of a distribution."""

    parameters: str
    scipy: str
    stan: str


ROWS = {
    name: Row(*cells) for name, *cells in re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", LIST, re.MULTILINE)
}
CALL = re.compile(r"`(\w+\(.+?\))( T\[(.*?), (.*?)\])?`( with `<lower=0>`)?")

TRIL = np.array([[1.1, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.2, 0.3, 0.9]])
MATRIX = TRIL @ TRIL.T
LOC_SCALE = {"loc": 0.3, "scale": 1.4}
GAMMA = {"concentration": 2.6, "rate": 1.7}
BETA = {"concentration1": 2.5, "concentration0": 1.8}
PROBS = np.array([0.125, 0.5, 0.375])
LOGITS = np.array([0.2, 1.5, -0.3])

#: Parameters at which the calls are evaluated, of all distributions that have some.
POINTS: dict[str, dict[str, Any]] = {
    "Normal": LOC_SCALE,
    "StudentT": {"df": 4.5, **LOC_SCALE},
    "Cauchy": LOC_SCALE,
    "Laplace": LOC_SCALE,
    "AsymmetricLaplace": {**LOC_SCALE, "asymmetry": 1.6},
    "AsymmetricLaplaceQuantile": {**LOC_SCALE, "quantile": 0.3},
    "Logistic": LOC_SCALE,
    "Gumbel": LOC_SCALE,
    "SoftLaplace": LOC_SCALE,
    "Exponential": {"rate": 1.7},
    "Gamma": GAMMA,
    "Chi2": {"df": 5.2},
    "InverseGamma": GAMMA,
    "LogNormal": {"loc": 0.3, "scale": 0.6},
    "HalfNormal": {"scale": 1.4},
    "HalfCauchy": {"scale": 1.4},
    "Weibull": {"scale": 1.4, "concentration": 2.2},
    "Pareto": {"scale": 0.7, "alpha": 3.4},
    "Levy": LOC_SCALE,
    "Gompertz": {"concentration": 0.6, "rate": 1.3},
    "Dagum": {"concentration": 1.6, "sharpness": 4.2, "scale": 1.4},
    "Uniform": {"low": -0.5, "high": 1.2},
    "Beta": BETA,
    "BetaProportion": {"mean": 0.4, "concentration": 5.0},
    "LogUniform": {"low": 0.3, "high": 2.5},
    "MultivariateNormal": {"loc": LOGITS, "covariance_matrix": MATRIX},
    "LowRankMultivariateNormal": {"loc": LOGITS, "cov_factor": TRIL[:, :2], "cov_diag": PROBS},
    "CirculantNormal": {"loc": LOGITS, "covariance_row": np.array([2.0, 0.5, 0.5])},
    "MultivariateStudentT": {"df": 5.0, "loc": LOGITS, "scale_tril": TRIL},
    "Dirichlet": {"concentration": 10 * PROBS},
    "ZeroSumNormal": {"scale": 1.4, "event_shape": (3,)},
    "CAR": {
        "loc": LOGITS,
        "correlation": 0.6,
        "conditional_precision": 1.7,
        "adj_matrix": np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
    },
    "GaussianRandomWalk": {"scale": 1.4, "num_steps": 3},
    "MatrixNormal": {"loc": TRIL[:, :2], "scale_tril_row": TRIL, "scale_tril_column": TRIL[:2, :2]},
    "LKJ": {"dimension": 3, "concentration": 1.7},
    "LKJCholesky": {"dimension": 3, "concentration": 1.7},
    "Wishart": {"concentration": 6.5, "scale_matrix": MATRIX},
    "WishartCholesky": {"concentration": 6.5, "scale_tril": TRIL},
    "InverseWishart": {"concentration": 6.5, "scale_matrix": MATRIX},
    "InverseWishartCholesky": {"concentration": 6.5, "scale_tril": TRIL},
    "Bernoulli": {"probs": 0.3},
    "BernoulliProbs": {"probs": 0.3},
    "BernoulliLogits": {"logits": -0.6},
    "Binomial": {"total_count": 7, "probs": 0.3},
    "BinomialProbs": {"total_count": 7, "probs": 0.3},
    "BinomialLogits": {"total_count": 7, "logits": -0.6},
    "Geometric": {"probs": 0.3},
    "GeometricProbs": {"probs": 0.3},
    "GeometricLogits": {"logits": -0.6},
    "CategoricalProbs": {"probs": PROBS},
    "CategoricalLogits": {"logits": LOGITS},
    "OrderedLogistic": {"predictor": 0.3, "cutpoints": np.array([-0.8, 0.5, 1.4])},
    "Multinomial": {"total_count": 7, "probs": PROBS},
    "MultinomialProbs": {"total_count": 7, "probs": PROBS},
    "MultinomialLogits": {"total_count": 7, "logits": LOGITS},
    "Poisson": {"rate": 2.3},
    "DiscreteUniform": {"low": -2, "high": 6},
    "BetaBinomial": {**BETA, "total_count": 7},
    "BetaNegativeBinomial": {"concentration1": 2.5, "concentration0": 14.0, "n": 3.0},
    "DirichletMultinomial": {"concentration": 10 * PROBS, "total_count": 7},
    "GammaPoisson": GAMMA,
    "NegativeBinomial": {"total_count": 2.6, "probs": 0.3},
    "NegativeBinomialProbs": {"total_count": 2.6, "probs": 0.3},
    "NegativeBinomialLogits": {"total_count": 2.6, "logits": -0.6},
    "NegativeBinomial2": {"mean": 2.3, "concentration": 2.6},
    "VonMises": {"loc": 0.3, "concentration": 8.0},
    "TruncatedNormal": {**LOC_SCALE, "low": -0.5, "high": 1.2},
    "TruncatedCauchy": {**LOC_SCALE, "low": -0.5, "high": 1.2},
    "TruncatedGamma": {**GAMMA, "low": 0.9, "high": 2.1},
    "LowerTruncatedPowerLaw": {"alpha": -4.4, "low": 0.7},
    "DoublyTruncatedPowerLaw": {"alpha": -1.6, "low": 0.7, "high": 2.1},
}
#: Their calls have a distribution in the place of a parameter, or stand for one.
OF_DISTRIBUTIONS = {
    "LeftTruncatedGamma",
    "MixtureGeneral",
    "RightTruncatedGamma",
    "TwoSidedTruncatedGamma",
}


class Stan(NamedTuple):
    """A distribution of Stan's: the log density, perhaps up to a constant, and the distribution function."""

    log_density: Callable[[Any], Any]
    cdf: Callable[[Any], Any] | None = None


def like(rv: Any) -> Stan:
    return Stan(getattr(rv, "logpdf", None) or rv.logpmf, getattr(rv, "cdf", None))


def _neg_binomial(alpha: Any, beta: Any) -> Stan:
    return like(scipy.stats.nbinom(alpha, beta / (beta + 1)))


def _skew_double_exponential(mu: Any, sigma: Any, tau: Any) -> Stan:
    def log_density(y: Any) -> Any:
        distance = (1 - tau) * max(mu - y, 0) + tau * max(y - mu, 0)
        return math.log(2 * tau * (1 - tau) / sigma) - 2 / sigma * distance

    return Stan(log_density)


def _ordered_logistic(eta: Any, c: Any) -> Stan:
    probs = -np.diff(np.concatenate([[1.0], expit(eta - c), [0.0]]))
    return Stan(lambda k: np.log(probs[k - 1]))


def _on_factor(rv: Any) -> Stan:
    """Of the Cholesky factor: the density of the matrix, times 2^K prod L_kk^(K - k + 1)."""

    def log_density(factor: Any) -> Any:
        size = len(factor)
        jacobian = size * math.log(2) + sum((size - k) * math.log(factor[k, k]) for k in range(size))
        return rv.logpdf(factor @ factor.T) + jacobian

    return Stan(log_density)


def _lkj_corr_cholesky(eta: Any) -> Stan:
    return Stan(lambda L: sum((len(L) - k + 2 * eta - 2) * math.log(L[k - 1, k - 1]) for k in range(2, len(L) + 1)))


def _beta_neg_binomial(r: Any, alpha: Any, beta: Any) -> Stan:
    return Stan(
        lambda n: gammaln(n + r) - gammaln(n + 1) - gammaln(r) + betaln(beta + n, alpha + r) - betaln(alpha, beta)
    )


STAN: dict[str, Callable[..., Stan]] = {
    "bernoulli": lambda theta: like(scipy.stats.bernoulli(theta)),
    "bernoulli_logit": lambda alpha: like(scipy.stats.bernoulli(expit(alpha))),
    "beta": lambda alpha, beta: like(scipy.stats.beta(alpha, beta)),
    "beta_binomial": lambda N, alpha, beta: like(scipy.stats.betabinom(N, alpha, beta)),
    "beta_neg_binomial": _beta_neg_binomial,
    "beta_proportion": lambda mu, kappa: like(scipy.stats.beta(mu * kappa, (1 - mu) * kappa)),
    "binomial": lambda N, theta: like(scipy.stats.binom(N, theta)),
    "binomial_logit": lambda N, alpha: like(scipy.stats.binom(N, expit(alpha))),
    "categorical": lambda theta: Stan(lambda y: np.log(theta[y - 1])),
    "categorical_logit": lambda beta: Stan(lambda y: np.log(softmax(beta)[y - 1])),
    "cauchy": lambda mu, sigma: like(scipy.stats.cauchy(mu, sigma)),
    "chi_square": lambda nu: like(scipy.stats.chi2(nu)),
    "dirichlet": lambda alpha: like(scipy.stats.dirichlet(alpha)),
    "dirichlet_multinomial": lambda alpha: Stan(
        lambda y: scipy.stats.dirichlet_multinomial.logpmf(y, alpha, int(y.sum()))
    ),
    "discrete_range": lambda low, high: like(scipy.stats.randint(low, high + 1)),
    "double_exponential": lambda mu, sigma: like(scipy.stats.laplace(mu, sigma)),
    "exponential": lambda beta: like(scipy.stats.expon(scale=1 / beta)),
    "gamma": lambda alpha, beta: like(scipy.stats.gamma(alpha, scale=1 / beta)),
    "gumbel": lambda mu, beta: like(scipy.stats.gumbel_r(mu, beta)),
    "inv_gamma": lambda alpha, beta: like(scipy.stats.invgamma(alpha, scale=beta)),
    "inv_wishart": lambda nu, sigma: like(scipy.stats.invwishart(nu, sigma)),
    "inv_wishart_cholesky": lambda nu, L: _on_factor(scipy.stats.invwishart(nu, L @ L.T)),
    "lkj_corr": lambda eta: Stan(lambda R: (eta - 1) * np.linalg.slogdet(R)[1]),
    "lkj_corr_cholesky": _lkj_corr_cholesky,
    "logistic": lambda mu, sigma: like(scipy.stats.logistic(mu, sigma)),
    "lognormal": lambda mu, sigma: like(scipy.stats.lognorm(sigma, scale=math.exp(mu))),
    "multi_normal": lambda mu, sigma: like(scipy.stats.multivariate_normal(mu, sigma)),
    "multi_normal_cholesky": lambda mu, L: like(scipy.stats.multivariate_normal(mu, L @ L.T)),
    "multi_normal_prec": lambda mu, omega: like(scipy.stats.multivariate_normal(mu, np.linalg.inv(omega))),
    "multi_student_t_cholesky": lambda nu, mu, L: like(scipy.stats.multivariate_t(mu, L @ L.T, nu)),
    "multinomial": lambda theta: Stan(lambda y: scipy.stats.multinomial.logpmf(y, int(y.sum()), theta)),
    "multinomial_logit": lambda g: Stan(lambda y: scipy.stats.multinomial.logpmf(y, int(y.sum()), softmax(g))),
    "neg_binomial": _neg_binomial,
    "neg_binomial_2": lambda mu, phi: like(scipy.stats.nbinom(phi, phi / (mu + phi))),
    "normal": lambda mu, sigma: like(scipy.stats.norm(mu, sigma)),
    "ordered_logistic": _ordered_logistic,
    "pareto": lambda y_min, alpha: like(scipy.stats.pareto(alpha, scale=y_min)),
    "poisson": lambda rate: like(scipy.stats.poisson(rate)),
    "skew_double_exponential": _skew_double_exponential,
    "student_t": lambda nu, mu, sigma: like(scipy.stats.t(nu, mu, sigma)),
    "uniform": lambda alpha, beta: like(scipy.stats.uniform(alpha, beta - alpha)),
    "von_mises": lambda mu, kappa: like(scipy.stats.vonmises(kappa, mu)),
    "weibull": lambda alpha, sigma: like(scipy.stats.weibull_min(alpha, scale=sigma)),
    "wishart": lambda nu, sigma: like(scipy.stats.wishart(nu, sigma)),
    "wishart_cholesky": lambda nu, L: _on_factor(scipy.stats.wishart(nu, L @ L.T)),
}
#: What the column for Stan names besides distributions.
STAN_WORDS = {"T", "lcdf", "lccdf", "log_diff_exp", "log_mix", "log_sum_exp", "gaussian_dlm_obs", "multi_gp"}
#: Densities that Stan gives up to a constant, or that have one more dimension there.
PROPORTIONAL = {"LKJ", "LKJCholesky", "ZeroSumNormal"}

FUNCTIONS = {
    "arange": np.arange,
    "circulant": scipy.linalg.circulant,
    "diag": np.diag,
    "exp": np.exp,
    "expit": expit,
    "inv": np.linalg.inv,
    "minimum": np.minimum,
    "softmax": softmax,
    "sqrt": np.sqrt,
}


def evaluate(call: str, name: str, functions: dict[str, Any]) -> Any:
    """A call of the list, with the parameters by their names and by the symbols that the list gives them."""
    point = POINTS[name]
    symbols = {
        re.sub(r"\W|_(?=\d)", "", symbol): point[parameter]
        for parameter, symbol in re.findall(r"`(\w+)`(?: of[^,`$]*| of [^,`$]*)? \$([^$]+)\$", ROWS[name].parameters)
        if parameter in point
    }
    names = {**functions, **FUNCTIONS, **point, **symbols}
    names = {"lambda_" if key == "lambda" else key: value for key, value in names.items()}
    return eval(re.sub(r"\blambda\b", "lambda_", call), {}, names)


@functools.cache
def draws_of(name: str) -> tuple[Any, Any]:
    """Values that our distribution draws, and their log densities."""

    def draw(key: Any) -> tuple[Any, Any]:
        d = getattr(dist, name)(**POINTS[name])
        draws = d.sample(key, (4,))
        return draws, d.log_prob(draws)

    with double_precision():
        compiled = jax.jit(draw, compiler_options={"xla_backend_optimization_level": 0})
        draws, log_prob = map(np.asarray, compiled(jax.random.key(3)))
    # SciPy wants the sum to be 1 to the last digit.
    return draws / draws.sum(-1, keepdims=True) if name == "Dirichlet" else draws, log_prob


def calls(column: str) -> list[str]:
    return [name for name, row in ROWS.items() if CALL.search(getattr(row, column)) and name not in OF_DISTRIBUTIONS]


@pytest.mark.parametrize("name", calls("scipy"))
def test_the_distribution_that_the_list_names_in_scipy_has_our_density(name):
    match = CALL.search(ROWS[name].scipy)
    frozen = evaluate(match[1], name, vars(scipy.stats))
    values, log_prob = draws_of(name)
    log_density = getattr(frozen, "logpdf", None) or frozen.logpmf
    np.testing.assert_allclose(log_prob, [log_density(value) for value in values], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", calls("stan"))
def test_the_distribution_that_the_list_names_in_stan_has_our_density(name):
    match = CALL.search(ROWS[name].stan)
    functions = STAN
    if name == "ZeroSumNormal":
        # On a sum_to_zero_vector, whose elements are each given that density.
        functions = {"normal": lambda mu, sigma: Stan(lambda x: scipy.stats.norm.logpdf(x, mu, sigma).sum())}
    stan = evaluate(match[1], name, functions)
    values, log_prob = draws_of(name)
    shift = 1 if "(from 1)" in ROWS[name].stan else 0
    expected = np.array([stan.log_density(value + shift) for value in values])
    if match[5]:
        expected = expected + math.log(2)
    if match[2]:
        low, high = (evaluate(end, name, {}) if end else None for end in (match[3], match[4]))
        mass = (1.0 if high is None else stan.cdf(high)) - (0.0 if low is None else stan.cdf(low))
        expected = expected - math.log(mass)
    if name in PROPORTIONAL:
        expected, log_prob = expected - expected[0], log_prob - log_prob[0]
        assert np.abs(log_prob).max() > 0.1
    np.testing.assert_allclose(log_prob, expected, rtol=1e-9, atol=1e-9)


def test_every_name_in_the_column_for_stan_is_one_of_stans():
    wrong = []
    for name, row in ROWS.items():
        for code in re.findall(r"`([^`]+)`", row.stan):
            [word] = re.findall(r"^\w+", code) or [""]
            if word and word not in STAN and word not in STAN_WORDS and code != "~":
                wrong.append(f"{name}: {code}")
    others = {"jacobian", "target", "sum_to_zero_vector", "sum_to_zero_matrix"}
    assert [w for w in wrong if w.split(": ")[1].split(" ")[0] not in others] == []


def test_a_class_without_counterpart_says_so():
    """By a dash, perhaps with a remark in brackets."""
    for name, row in ROWS.items():
        for cell in (row.scipy, row.stan):
            assert cell.startswith("– (") or cell == "–" or "`" in cell or "statement" in cell or "prior" in cell, name


def test_a_class_with_a_counterpart_in_the_examples_names_it_in_the_list():
    """The examples say which of SciPy's distributions their numbers are compared with."""
    named = {}
    for example in EXAMPLES:
        if not callable(example.reference):
            continue
        reference = example.scipy()
        reference = getattr(reference, "frozen", None) or getattr(reference, "rv", None) or reference
        kind = getattr(reference, "dist", None)
        kind = getattr(kind, "name", None) or type(kind or reference).__name__.removesuffix("_frozen").removesuffix(
            "_gen"
        )
        if hasattr(scipy.stats, str(kind)) and example.cls.__name__ in ROWS and example.make is None:
            named.setdefault(example.cls.__name__, set()).add(kind)
    assert len(named) > 50
    for name, kinds in named.items():
        for kind in kinds - {"rv_discrete", "rv_sample"}:
            assert f"`{kind}" in ROWS[name].scipy, (name, kind)
