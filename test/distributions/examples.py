# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Example parameters for every distribution of the package: what the laws and the numbers are tested on.

A new family needs one entry in :data:`EXAMPLES`: its class, parameters at one point, how each may vary from one batch
element to the next, and the independent reference for its numbers or the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import importlib
import pkgutil
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.special import expit, softmax
import scipy.stats
import tfp_stand_in

import numpyro
from numpyro.contrib.tfp.distributions import TFPDistribution
import numpyro.distributions as dist
from numpyro.distributions import constraints, transforms

Shape = tuple[int, ...]


class Parameter(NamedTuple):
    """A parameter at one point, and how to vary it without leaving its range.

    ``value`` has no batch dimensions: all of its dimensions belong to the event. ``vary(rng, value)`` takes values with
    any leading dimensions.
    """

    value: np.ndarray
    vary: Callable[[np.random.Generator, np.ndarray], np.ndarray]

    def batched(self, rng: np.random.Generator, batch: Shape) -> np.ndarray:
        """Different values for the elements of a batch, of the dtype of the point."""
        value = np.broadcast_to(self.value, batch + self.value.shape)
        return np.asarray(self.vary(rng, value)).astype(self.value.dtype)


def _factor(rng: np.random.Generator, value: np.ndarray, event_dim: int) -> np.ndarray:
    batch = value.shape[: value.ndim - event_dim]
    return rng.uniform(0.8, 1.25, size=batch + (1,) * event_dim)


def real(value: Any) -> Parameter:
    """Any real numbers."""
    return Parameter(np.float32(value), lambda rng, x: x + rng.uniform(-0.5, 0.5, size=x.shape))


def positive(value: Any) -> Parameter:
    """Positive numbers, each on its own."""
    return Parameter(np.float32(value), lambda rng, x: x * _factor(rng, x, 0))


def shrinking(value: Any) -> Parameter:
    """Numbers that may only become smaller: bounds that stay below the draws at the point."""
    return Parameter(np.float32(value), lambda rng, x: x * rng.uniform(0.7, 1.0, size=x.shape))


def fixed(value: Any) -> Parameter:
    """Numbers that are the same in the whole batch."""
    return Parameter(np.float32(value), lambda rng, x: x)


def growing(value: Any) -> Parameter:
    """Numbers that may only grow in size: what lies between -1 and 1 of them stays there."""
    return Parameter(np.float32(value), lambda rng, x: x * rng.uniform(1.0, 1.5, size=x.shape))


def unit(value: Any) -> Parameter:
    """Numbers between 0 and 1."""
    return Parameter(np.float32(value), lambda rng, x: x ** _factor(rng, x, 0))


def simplex(value: Any) -> Parameter:
    """Probabilities that sum to one over the last dimension."""

    def vary(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
        x = x * _factor(rng, x, 0)
        return x / x.sum(-1, keepdims=True)

    return Parameter(np.float32(value), vary)


def positive_multiple(value: Any) -> Parameter:
    """Vectors that stay what they are when multiplied by a positive number."""
    return Parameter(np.float32(value), lambda rng, x: x * _factor(rng, x, 1))


def matrix(value: Any) -> Parameter:
    """Matrices that stay what they are when multiplied by a positive number: positive definite, Cholesky factors."""
    return Parameter(np.float32(value), lambda rng, x: x * _factor(rng, x, 2))


def count(value: Any) -> Parameter:
    """Integers, of which the smaller ones are in range too."""
    return Parameter(np.int32(value), lambda rng, x: x + rng.integers(0, 3, size=x.shape))


def boolean(value: Any) -> Parameter:
    """True or False."""
    return Parameter(np.bool_(value), lambda rng, x: rng.random(size=x.shape) < 0.6)


@dataclass(frozen=True)
class Example:
    """A distribution at one point of its parameters.

    :param cls: the class that this is an example of.
    :param parameters: parameters of ``make`` by name.
    :param reference: the same distribution in SciPy, from the parameters, or the reason why there is none.
    :param make: builds the distribution from (batched) parameters; the class itself by default.
    :param label: tells examples of one class apart.
    :param fixed: parameters without a gradient, besides integers and booleans.
    :param can_sample: whether it can be drawn from; else ``values`` gives values of the support, along a leading axis.
    """

    cls: type[dist.Distribution]
    parameters: dict[str, Parameter]
    reference: Callable[..., Any] | str
    make: Callable[..., dist.Distribution] | None = None
    label: str = ""
    fixed: tuple[str, ...] = ()
    can_sample: bool = True
    values: np.ndarray | None = None

    @property
    def name(self) -> str:
        return self.cls.__name__ + (f"({self.label})" if self.label else "")

    @property
    def constructor(self) -> Callable[..., dist.Distribution]:
        return self.cls if self.make is None else self.make

    @property
    def point(self) -> dict[str, np.ndarray]:
        """The parameters at the point, without batch dimensions."""
        return {name: parameter.value for name, parameter in self.parameters.items()}

    @property
    def differentiable(self) -> tuple[str, ...]:
        return tuple(
            name
            for name, parameter in self.parameters.items()
            if name not in self.fixed and parameter.value.dtype == np.float32
        )

    def batched(self, rng: np.random.Generator, batches: Callable[[int], Shape]) -> dict[str, np.ndarray]:
        """Parameters that vary over a batch, whose shape may differ from one parameter (by position) to the next."""
        return {
            name: parameter.batched(rng, batches(position))
            for position, (name, parameter) in enumerate(self.parameters.items())
        }

    def at_point(self) -> dist.Distribution:
        return self.constructor(**self.point)

    def scipy(self) -> Any:
        assert callable(self.reference)
        return self.reference(**self.double_point)

    @property
    def double_point(self) -> dict[str, np.ndarray]:
        """The point in double precision."""
        return {name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in self.point.items()}


def distribution_classes() -> list[type[dist.Distribution]]:
    """Every distribution class of the package that has a density."""
    for module in pkgutil.walk_packages(numpyro.__path__, numpyro.__name__ + "."):
        importlib.import_module(module.name)
    pending, seen = [dist.Distribution], set()
    while pending:
        cls = pending.pop()
        for subclass in cls.__subclasses__():
            if subclass not in seen and subclass.__module__.startswith("numpyro."):
                seen.add(subclass)
                pending.append(subclass)
    density = dist.Distribution.log_prob
    public = (cls for cls in seen if cls.log_prob is not density and not cls.__name__.startswith("_"))
    return sorted(public, key=lambda cls: cls.__name__)


def _lognorm(loc: Any, scale: Any) -> Any:
    return scipy.stats.lognorm(scale, scale=np.exp(loc))


def categorical(probs: np.ndarray) -> Any:
    """SciPy's distribution over 0 ... n - 1."""
    return scipy.stats.rv_discrete(values=(np.arange(len(probs)), probs / probs.sum()))


class WeightedSum:
    """A mixture of SciPy distributions, as far as the tests ask."""

    def __init__(self, weights: np.ndarray, components: list[Any]) -> None:
        self.weights, self.components = weights / weights.sum(), components

    def _sum(self, name: str, *args: Any) -> Any:
        terms = [getattr(component, name)(*args) for component in self.components]
        return sum(weight * term for weight, term in zip(self.weights, terms, strict=True))

    def logpdf(self, value: Any) -> Any:
        return np.log(self._sum("pdf", value))

    def logpmf(self, value: Any) -> Any:
        return np.log(self._sum("pmf", value))

    def cdf(self, value: Any) -> Any:
        return self._sum("cdf", value)

    def mean(self) -> Any:
        return sum(w * _mean(c) for w, c in zip(self.weights, self.components, strict=True))

    def var(self) -> Any:
        squares = (w * (_var(c) + _mean(c) ** 2) for w, c in zip(self.weights, self.components, strict=True))
        return sum(squares) - self.mean() ** 2


def _mean(rv: Any) -> Any:
    return rv.mean() if callable(rv.mean) else rv.mean


def _var(rv: Any) -> Any:
    return rv.var() if hasattr(rv, "var") else np.diag(rv.cov)


LOC = real(0.3)
SCALE = positive(1.4)
LOC_SCALE = {"loc": LOC, "scale": SCALE}


class _Kumaraswamy(scipy.stats.rv_continuous):
    """From the density and the quantiles; all else by SciPy's numerical integration."""

    def _pdf(self, x, concentration1, concentration0):
        a, b = concentration1, concentration0
        return a * b * x ** (a - 1) * (1 - x**a) ** (b - 1)

    def _ppf(self, q, concentration1, concentration0):
        return (-np.expm1(np.log1p(-q) / concentration0)) ** (1 / concentration1)

    def _isf(self, q, concentration1, concentration0):
        return (-np.expm1(np.log(q) / concentration0)) ** (1 / concentration1)


class _RelaxedBernoulli(scipy.stats.rv_continuous):
    """Maddison et al. (2017), eq. 22; moments by SciPy's numerical integration."""

    def _pdf(self, x, temperature, logits):
        odds, t = np.exp(logits), temperature
        return t * odds * x ** (-t - 1) * (1 - x) ** (-t - 1) / (odds * x**-t + (1 - x) ** -t) ** 2

    def _cdf(self, x, temperature, logits):
        return expit(temperature * (np.log(x) - np.log1p(-x)) - logits)

    def _argcheck(self, temperature, logits):
        return temperature > 0


class _Joint:
    """What the tests ask of a distribution of arrays: density, mean, and covariance of the elements in a row."""

    def __init__(self, frozen: Any, mean: Any, cov: Any) -> None:
        self.frozen, self.mean, self.cov = frozen, np.asarray(mean), np.asarray(cov).reshape(np.size(mean), -1)

    def logpdf(self, values: np.ndarray) -> np.ndarray:
        return np.array([self.frozen.logpdf(value) for value in values])


def _multivariate_t(df: Any, loc: Any, scale_tril: Any) -> _Joint:
    scale = scale_tril @ scale_tril.T
    return _Joint(scipy.stats.multivariate_t(loc, scale, df), loc, df / (df - 2) * scale)


def _matrix_normal(loc: Any, scale_tril_row: Any, scale_tril_column: Any) -> _Joint:
    rows, columns = scale_tril_row @ scale_tril_row.T, scale_tril_column @ scale_tril_column.T
    return _Joint(scipy.stats.matrix_normal(loc, rows, columns), loc, np.kron(rows, columns))


def _pairs(scale: np.ndarray) -> np.ndarray:
    """``V_ik V_jl + V_il V_jk``, by i, j, k, l."""
    return np.einsum("ik,jl->ijkl", scale, scale) + np.einsum("il,jk->ijkl", scale, scale)


def _wishart(concentration: Any, scale_matrix: Any) -> _Joint:
    frozen = scipy.stats.wishart(concentration, scale_matrix)
    return _Joint(frozen, concentration * scale_matrix, concentration * _pairs(scale_matrix))


def _inverse_wishart(concentration: Any, scale_matrix: Any) -> _Joint:
    """Covariance: von Rosen (1988), *Moments for the inverted Wishart distribution*."""
    excess = concentration - len(scale_matrix)
    covariance = 2 * np.einsum("ij,kl->ijkl", scale_matrix, scale_matrix) + (excess - 1) * _pairs(scale_matrix)
    covariance = covariance / (excess * (excess - 1) ** 2 * (excess - 3))
    return _Joint(scipy.stats.invwishart(concentration, scale_matrix), scale_matrix / (excess - 1), covariance)


def _pull_and_drift(x: Any, t: Any) -> tuple[Any, Any]:
    return -0.5 * x + t, 0.8


def _pull(x: Any, t: Any) -> tuple[Any, Any]:
    return -0.5 * x, 0.8 + 0.1 * x**2


GRAPH = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])


def _car(loc: Any, correlation: Any, conditional_precision: Any, adj_matrix: Any = GRAPH) -> Any:
    precision = conditional_precision * (np.diag(adj_matrix.sum(-1)) - correlation * adj_matrix)
    return scipy.stats.multivariate_normal(loc, np.linalg.inv(precision))


LOCS = real([0.3, -0.6, 1.1])
SCALES = positive([1.4, 0.7, 1.0])
VECTOR = real([0.3, -0.6])
TRIL = matrix([[1.1, 0.0], [0.4, 0.8]])

EXAMPLES = [
    # On the real line
    Example(dist.Normal, LOC_SCALE, scipy.stats.norm),
    Example(dist.Cauchy, LOC_SCALE, scipy.stats.cauchy),
    Example(dist.StudentT, {"df": positive(4.5), **LOC_SCALE}, scipy.stats.t),
    Example(dist.Laplace, LOC_SCALE, scipy.stats.laplace),
    Example(dist.Logistic, LOC_SCALE, scipy.stats.logistic),
    Example(dist.Gumbel, LOC_SCALE, scipy.stats.gumbel_r),
    Example(dist.SoftLaplace, LOC_SCALE, lambda loc, scale: scipy.stats.hypsecant(loc, scale)),
    Example(
        dist.AsymmetricLaplace,
        {**LOC_SCALE, "asymmetry": positive(1.6)},
        lambda loc, scale, asymmetry: scipy.stats.laplace_asymmetric(asymmetry, loc, scale),
    ),
    Example(
        dist.AsymmetricLaplaceQuantile,
        {**LOC_SCALE, "quantile": unit(0.3)},
        lambda loc, scale, quantile: scipy.stats.laplace_asymmetric(
            (quantile / (1 - quantile)) ** 0.5, loc, scale / (quantile * (1 - quantile)) ** 0.5
        ),
    ),
    # On the positive half-line
    Example(dist.Exponential, {"rate": positive(1.7)}, lambda rate: scipy.stats.expon(scale=1 / rate)),
    Example(
        dist.Gamma,
        {"concentration": positive(2.6), "rate": positive(1.7)},
        lambda concentration, rate: scipy.stats.gamma(concentration, scale=1 / rate),
    ),
    Example(dist.Chi2, {"df": positive(5.2)}, scipy.stats.chi2),
    Example(
        dist.InverseGamma,
        {"concentration": positive(3.6), "rate": positive(1.7)},
        lambda concentration, rate: scipy.stats.invgamma(concentration, scale=rate),
    ),
    Example(dist.LogNormal, {"loc": LOC, "scale": positive(0.6)}, _lognorm),
    Example(dist.HalfNormal, {"scale": SCALE}, lambda scale: scipy.stats.halfnorm(scale=scale)),
    Example(dist.HalfCauchy, {"scale": SCALE}, lambda scale: scipy.stats.halfcauchy(scale=scale)),
    Example(
        dist.Weibull,
        {"scale": SCALE, "concentration": positive(2.2)},
        lambda scale, concentration: scipy.stats.weibull_min(concentration, scale=scale),
    ),
    Example(
        dist.Pareto,
        {"scale": shrinking(0.7), "alpha": positive(3.4)},
        lambda scale, alpha: scipy.stats.pareto(alpha, scale=scale),
    ),
    Example(dist.Levy, {"loc": growing(-0.3), "scale": SCALE}, scipy.stats.levy),
    Example(
        dist.Gompertz,
        {"concentration": positive(0.6), "rate": positive(1.3)},
        lambda concentration, rate: scipy.stats.gompertz(concentration, scale=1 / rate),
    ),
    Example(
        dist.Dagum,
        {"concentration": positive(1.6), "sharpness": positive(4.2), "scale": SCALE},
        lambda concentration, sharpness, scale: scipy.stats.burr(sharpness, concentration, scale=scale),
    ),
    # On an interval
    Example(
        dist.Uniform,
        {"low": growing(-0.5), "high": growing(1.2)},
        lambda low, high: scipy.stats.uniform(low, high - low),
    ),
    Example(
        dist.Beta,
        {"concentration1": positive(2.5), "concentration0": positive(1.8)},
        lambda concentration1, concentration0: scipy.stats.beta(concentration1, concentration0),
    ),
    Example(
        dist.BetaProportion,
        {"mean": unit(0.4), "concentration": positive(5.0)},
        lambda mean, concentration: scipy.stats.beta(mean * concentration, (1 - mean) * concentration),
    ),
    Example(
        dist.Kumaraswamy, {"concentration1": positive(2.5), "concentration0": positive(1.8)}, _Kumaraswamy(a=0.0, b=1.0)
    ),
    Example(
        dist.LogUniform,
        {"low": shrinking(0.3), "high": fixed(2.5)},
        lambda low, high: scipy.stats.loguniform(low, high),
    ),
    Example(
        dist.RelaxedBernoulliLogits,
        {"temperature": positive(1.4), "logits": real(0.6)},
        _RelaxedBernoulli(a=0.0, b=1.0),
    ),
    Example(
        dist.HurdleGamma,
        {"gate": unit(0.3), "concentration": positive(2.6), "rate": positive(1.7)},
        "SciPy has no point masses; see test_continuous.py",
    ),
    Example(
        dist.HurdleLogNormal,
        {"gate": unit(0.3), **LOC_SCALE},
        "SciPy has no point masses; see test_continuous.py",
    ),
    # Vectors and matrices
    Example(
        dist.MultivariateStudentT,
        {"df": positive(5.0), "loc": VECTOR, "scale_tril": TRIL},
        _multivariate_t,
    ),
    Example(
        dist.LowRankMultivariateNormal,
        {"loc": LOCS, "cov_factor": real([[0.5, 0.1], [-0.3, 0.8], [0.2, 0.4]]), "cov_diag": positive([0.5, 0.8, 1.1])},
        lambda loc, cov_factor, cov_diag: scipy.stats.multivariate_normal(
            loc, cov_factor @ cov_factor.T + np.diag(cov_diag)
        ),
    ),
    Example(
        dist.MatrixNormal,
        {
            "loc": real([[0.3, -0.6], [0.1, 0.4], [0.0, 1.0]]),
            "scale_tril_row": matrix([[1.0, 0, 0], [0.4, 0.8, 0], [-0.3, 0.2, 1.3]]),
            "scale_tril_column": TRIL,
        },
        _matrix_normal,
    ),
    Example(
        dist.ZeroSumNormal,
        {"scale": SCALE},
        "SciPy has none on the subspace; see test_continuous.py",
        make=lambda scale: dist.ZeroSumNormal(scale, (3,)),
    ),
    Example(
        dist.ZeroSumNormal,
        {"scale": SCALE},
        "SciPy has none on the subspace; see test_continuous.py",
        make=lambda scale: dist.ZeroSumNormal(scale, (2, 3)),
        label="two axes",
    ),
    Example(
        dist.CirculantNormal,
        {"loc": LOCS, "covariance_row": positive_multiple([2.0, 0.5, 0.5])},
        lambda loc, covariance_row: scipy.stats.multivariate_normal(loc, scipy.linalg.circulant(covariance_row)),
    ),
    Example(
        dist.CirculantNormal,
        {"loc": real([0.1, -0.4, 0.2, 1.0]), "covariance_rfft": positive([3.1, 1.9, 1.1])},
        lambda loc, covariance_rfft: scipy.stats.multivariate_normal(
            loc, scipy.linalg.circulant(np.fft.irfft(covariance_rfft, 4))
        ),
        label="covariance_rfft",
    ),
    Example(
        dist.CAR,
        {
            "loc": LOCS,
            "correlation": shrinking(0.6),
            "conditional_precision": positive(1.7),
            "adj_matrix": fixed([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        },
        _car,
        fixed=("adj_matrix",),
    ),
    Example(
        dist.CAR,
        {"loc": LOCS, "correlation": shrinking(0.6), "conditional_precision": positive(1.7)},
        _car,
        make=lambda **p: dist.CAR(**p, adj_matrix=scipy.sparse.csr_array(GRAPH), is_sparse=True),
        label="sparse",
    ),
    Example(
        dist.GaussianRandomWalk,
        {"scale": SCALE},
        lambda scale: scipy.stats.multivariate_normal(
            np.zeros(3), scale**2 * np.minimum.outer(np.arange(1, 4), np.arange(1, 4))
        ),
        make=lambda scale: dist.GaussianRandomWalk(scale, 3),
    ),
    Example(
        dist.GaussianStateSpace,
        {
            "transition_matrix": matrix([[0.8, 0.1], [-0.2, 0.6]]),
            "scale_tril": TRIL,
            "initial_value": VECTOR,
        },
        "its joint covariance is in test_continuous.py",
        make=lambda transition_matrix, scale_tril, initial_value: dist.GaussianStateSpace(
            3, transition_matrix, scale_tril=scale_tril, initial_value=initial_value
        ),
    ),
    Example(
        dist.GaussianStateSpace,
        {
            "transition_matrix": matrix([[0.8, 0.1], [-0.2, 0.6]]),
            "covariance_matrix": matrix([[1.1, 0.3], [0.3, 0.8]]),
        },
        "its joint covariance is in test_continuous.py",
        make=lambda transition_matrix, covariance_matrix: dist.GaussianStateSpace(
            3, transition_matrix, covariance_matrix
        ),
        label="covariance_matrix",
    ),
    Example(
        dist.EulerMaruyama,
        {"t": fixed([0.0, 0.5, 1.5]), "loc": LOC},
        "a loop over time is in test_continuous.py",
        make=lambda t, loc: dist.EulerMaruyama(t, _pull_and_drift, dist.Normal(loc, 1.0)),
        fixed=("t",),
    ),
    Example(
        dist.EulerMaruyama,
        {"t": fixed([0.0, 0.5, 1.5]), "loc": VECTOR},
        "a loop over time is in test_continuous.py",
        make=lambda t, loc: dist.EulerMaruyama(t, _pull, dist.Normal(loc, 1.0).to_event(1)),
        label="vector",
        fixed=("t",),
    ),
    Example(
        dist.Wishart,
        {"concentration": positive(6.0), "scale_matrix": matrix([[1.1, 0.3], [0.3, 0.8]])},
        _wishart,
    ),
    Example(
        dist.Wishart,
        {"concentration": positive(6.0), "rate_matrix": matrix([[1.1, 0.3], [0.3, 0.8]])},
        lambda concentration, rate_matrix: _wishart(concentration, np.linalg.inv(rate_matrix)),
        label="rate_matrix",
    ),
    Example(
        dist.WishartCholesky,
        {"concentration": positive(6.0), "scale_tril": TRIL},
        "see test_continuous.py for the Jacobian",
    ),
    Example(
        dist.InverseWishart,
        {"concentration": positive(14.0), "scale_matrix": matrix([[1.1, 0.3], [0.3, 0.8]])},
        _inverse_wishart,
    ),
    Example(
        dist.InverseWishartCholesky,
        {"concentration": positive(8.0), "scale_tril": TRIL},
        "see test_continuous.py for the Jacobian",
    ),
    Example(
        dist.LKJ,
        {"concentration": positive(1.7)},
        "SciPy has none; see test_continuous.py for the Jacobian",
        make=lambda concentration: dist.LKJ(3, concentration),
    ),
    # Elementary
    Example(
        dist.Delta,
        {"v": fixed(0.75), "log_density": real(-0.4)},
        "a point mass has no density",
        fixed=("v",),
    ),
    Example(
        dist.Delta,
        {"v": fixed([0.75, -0.25]), "log_density": real(-0.4)},
        "a point mass has no density",
        make=lambda v, log_density: dist.Delta(v, log_density, event_dim=1),
        label="vector",
        fixed=("v",),
    ),
    Example(dist.Unit, {"log_factor": real(-0.4)}, "its value is empty"),
    Example(
        dist.ImproperUniform,
        {"lower": growing(-0.5)},
        "it is improper",
        make=lambda lower: dist.ImproperUniform(constraints.greater_than(lower), np.shape(lower), ()),
        can_sample=False,
        values=np.float32([0.2, 1.0, 3.0]),
    ),
    # Wrappers as such
    Example(
        dist.ExpandedDistribution,
        LOC_SCALE,
        scipy.stats.norm,
        make=lambda **p: dist.ExpandedDistribution(dist.Normal(**p), dist.Normal(**p).batch_shape),
    ),
    Example(
        dist.Independent,
        {"loc": LOCS, "scale": SCALES},
        lambda loc, scale: scipy.stats.multivariate_normal(loc, np.diag(scale**2)),
        make=lambda loc, scale: dist.Independent(dist.Normal(loc, scale), 1),
    ),
    Example(
        dist.Independent,
        {"loc": LOCS, "scale": SCALE},
        lambda loc, scale: scipy.stats.multivariate_normal(loc, scale**2 * np.eye(3)),
        make=lambda loc, scale: dist.Normal(loc, scale[..., None]).to_event(1),
        label="scalar scale",
    ),
    Example(
        dist.MaskedDistribution,
        {**LOC_SCALE, "mask": boolean(True)},
        lambda loc, scale, mask: scipy.stats.norm(loc, scale),
        make=lambda loc, scale, mask: dist.MaskedDistribution(dist.Normal(loc, scale), mask),
    ),
    Example(
        dist.TransformedDistribution,
        {"loc": LOC, "scale": positive(0.6)},
        _lognorm,
        make=lambda loc, scale: dist.TransformedDistribution(
            dist.Normal(0.0, 1.0), [transforms.AffineTransform(loc, scale), transforms.ExpTransform()]
        ),
        label="scalar base",
    ),
    Example(
        dist.TransformedDistribution,
        {"loc": LOCS, "scale": SCALES, "scale_tril": matrix([[1.0, 0, 0], [0.4, 0.8, 0], [-0.3, 0.2, 1.3]])},
        lambda loc, scale, scale_tril: scipy.stats.multivariate_normal(
            loc, scale_tril @ np.diag(scale**2) @ scale_tril.T
        ),
        make=lambda loc, scale, scale_tril: dist.TransformedDistribution(
            dist.Normal(0.0, scale), transforms.LowerCholeskyAffine(loc, scale_tril)
        ),
        label="vector",
    ),
    Example(
        dist.FoldedDistribution,
        LOC_SCALE,
        lambda loc, scale: scipy.stats.foldnorm(loc / scale, scale=scale),
        make=lambda loc, scale: dist.FoldedDistribution(dist.Normal(loc, scale)),
    ),
    # Vectors and matrices
    Example(
        dist.MultivariateNormal,
        {"loc": VECTOR, "scale_tril": TRIL},
        lambda loc, scale_tril: scipy.stats.multivariate_normal(loc, scale_tril @ scale_tril.T),
        label="scale_tril",
    ),
    Example(
        dist.MultivariateNormal,
        {"loc": VECTOR, "covariance_matrix": matrix(TRIL.value @ TRIL.value.T)},
        lambda loc, covariance_matrix: scipy.stats.multivariate_normal(loc, covariance_matrix),
        label="covariance_matrix",
    ),
    Example(
        dist.MultivariateNormal,
        {"loc": VECTOR, "precision_matrix": matrix(TRIL.value @ TRIL.value.T)},
        lambda loc, precision_matrix: scipy.stats.multivariate_normal(loc, np.linalg.inv(precision_matrix)),
        label="precision_matrix",
    ),
    Example(
        dist.Dirichlet,
        {"concentration": positive([2.1, 1.3, 3.0])},
        lambda concentration: scipy.stats.dirichlet(concentration),
    ),
    Example(
        dist.LKJCholesky,
        {"concentration": positive(1.6)},
        "SciPy has none; its density is integrated instead",
        make=lambda concentration: dist.LKJCholesky(3, concentration),
        label="onion",
    ),
    Example(
        dist.LKJCholesky,
        {"concentration": positive(1.6)},
        "SciPy has none; its density is integrated instead",
        make=lambda concentration: dist.LKJCholesky(3, concentration, "cvine"),
        label="cvine",
    ),
    # Discrete
    Example(dist.BernoulliProbs, {"probs": unit(0.3)}, lambda probs: scipy.stats.bernoulli(probs)),
    Example(dist.BernoulliLogits, {"logits": real(-0.6)}, lambda logits: scipy.stats.bernoulli(expit(logits))),
    Example(
        dist.BinomialProbs,
        {"probs": unit(0.3), "total_count": count(7)},
        lambda probs, total_count: scipy.stats.binom(total_count, probs),
    ),
    Example(
        dist.BinomialLogits,
        {"logits": real(-0.6), "total_count": count(7)},
        lambda logits, total_count: scipy.stats.binom(total_count, expit(logits)),
    ),
    Example(dist.CategoricalProbs, {"probs": simplex([0.125, 0.5, 0.375])}, lambda probs: categorical(probs)),
    Example(dist.CategoricalLogits, {"logits": real([0.2, 1.5, -0.3])}, lambda logits: categorical(softmax(logits))),
    Example(dist.Poisson, {"rate": positive(2.3)}, lambda rate: scipy.stats.poisson(rate)),
    # Mixtures
    Example(
        dist.MixtureSameFamily,
        {"probs": simplex([0.125, 0.5, 0.375]), "loc": LOCS, "scale": SCALE},
        lambda probs, loc, scale: WeightedSum(probs, [scipy.stats.norm(x, scale) for x in loc]),
        make=lambda probs, loc, scale: dist.MixtureSameFamily(
            dist.Categorical(probs), dist.Normal(loc, scale[..., None])
        ),
    ),
    Example(
        dist.MixtureSameFamily,
        {"logits": real([0.2, -0.4]), "loc": real([[0.3, -0.6], [2.0, 1.1]]), "scale_tril": TRIL},
        lambda logits, loc, scale_tril: WeightedSum(
            softmax(logits), [scipy.stats.multivariate_normal(x, scale_tril @ scale_tril.T) for x in loc]
        ),
        make=lambda logits, loc, scale_tril: dist.MixtureSameFamily(
            dist.Categorical(logits=logits), dist.MultivariateNormal(loc, scale_tril=scale_tril[..., None, :, :])
        ),
        label="vector",
    ),
    Example(
        dist.MixtureSameFamily,
        {"probs": simplex([0.375, 0.625]), "rate": positive([1.2, 4.0])},
        lambda probs, rate: WeightedSum(probs, [scipy.stats.poisson(x) for x in rate]),
        make=lambda probs, rate: dist.MixtureSameFamily(dist.Categorical(probs), dist.Poisson(rate)),
        label="discrete",
    ),
    Example(
        dist.MixtureGeneral,
        {"logits": real([0.2, -0.4]), **LOC_SCALE, "df": positive(4.5)},
        lambda logits, loc, scale, df: WeightedSum(softmax(logits), [scipy.stats.norm(loc, scale), scipy.stats.t(df)]),
        make=lambda logits, loc, scale, df: dist.MixtureGeneral(
            dist.Categorical(logits=logits), [dist.Normal(loc, scale), dist.StudentT(df)]
        ),
    ),
    Example(
        dist.MixtureGeneral,
        {"probs": simplex([0.375, 0.625]), "loc": LOC, "rate": positive(1.3)},
        lambda probs, loc, rate: WeightedSum(probs, [scipy.stats.norm(loc, 1.0), scipy.stats.expon(scale=1 / rate)]),
        make=lambda probs, loc, rate: dist.MixtureGeneral(
            dist.Categorical(probs), [dist.Normal(loc, 1.0), dist.Exponential(rate)], support=constraints.real
        ),
        label="different supports",
    ),
]


class Truncated:
    """A SciPy distribution given that its value lies in an interval."""

    def __init__(self, rv: Any, low: Any = -np.inf, high: Any = np.inf) -> None:
        self.rv, self.low, self.high = rv, low, high
        self.below, self.mass = rv.cdf(low), rv.cdf(high) - rv.cdf(low)

    def pdf(self, value: Any) -> Any:
        return np.exp(self.logpdf(value))

    def logpdf(self, value: Any) -> Any:
        inside = (value >= self.low) & (value <= self.high)
        return np.where(inside, self.rv.logpdf(value) - np.log(self.mass), -np.inf)

    def cdf(self, value: Any) -> Any:
        return (self.rv.cdf(np.clip(value, self.low, self.high)) - self.below) / self.mass

    def ppf(self, q: Any) -> Any:
        return np.clip(self.rv.ppf(self.below + q * self.mass), self.low, self.high)

    def isf(self, q: Any) -> Any:
        return self.ppf(1 - q)

    def mean(self) -> Any:
        return self.rv.expect(lb=self.low, ub=self.high, conditional=True)

    def var(self) -> Any:
        return self.rv.expect(lambda x: (x - self.mean()) ** 2, lb=self.low, ub=self.high, conditional=True)


class TruncatedBelowMoments(Truncated):
    """The same, of a distribution that has no moments there."""

    def mean(self) -> Any:
        return -np.inf

    def var(self) -> Any:
        return np.inf


def _gamma(concentration: Any, rate: Any) -> Any:
    return scipy.stats.gamma(concentration, scale=1 / rate)


GAMMA = {"concentration": positive(2.6), "rate": positive(1.7)}

EXAMPLES += [
    # Truncated
    Example(
        dist.LeftTruncatedDistribution,
        {**LOC_SCALE, "low": shrinking(0.9)},
        lambda loc, scale, low: scipy.stats.truncnorm((low - loc) / scale, np.inf, loc, scale),
        make=lambda loc, scale, low: dist.TruncatedNormal(loc, scale, low=low),
    ),
    Example(
        dist.LeftTruncatedDistribution,
        {**LOC_SCALE, "low": growing(-0.4)},
        lambda loc, scale, low: Truncated(scipy.stats.gumbel_r(loc, scale), low),
        make=lambda loc, scale, low: dist.TruncatedDistribution(dist.Gumbel(loc, scale), low=low),
        label="skewed",
    ),
    Example(
        dist.RightTruncatedDistribution,
        {**LOC_SCALE, "high": growing(1.1)},
        lambda loc, scale, high: TruncatedBelowMoments(scipy.stats.cauchy(loc, scale), high=high),
        make=lambda loc, scale, high: dist.TruncatedCauchy(loc, scale, high=high),
    ),
    Example(
        dist.TwoSidedTruncatedDistribution,
        {**LOC_SCALE, "low": growing(-0.5), "high": growing(1.2)},
        lambda loc, scale, low, high: scipy.stats.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale),
        make=lambda loc, scale, low, high: dist.TruncatedNormal(loc, scale, low=low, high=high),
    ),
    Example(
        dist.LeftTruncatedGamma,
        {**GAMMA, "low": shrinking(0.9)},
        lambda concentration, rate, low: Truncated(_gamma(concentration, rate), low),
        make=lambda concentration, rate, low: dist.TruncatedGamma(concentration, rate, low=low),
    ),
    Example(
        dist.RightTruncatedGamma,
        {**GAMMA, "high": growing(2.1)},
        lambda concentration, rate, high: Truncated(_gamma(concentration, rate), 0.0, high),
        make=lambda concentration, rate, high: dist.TruncatedGamma(concentration, rate, high=high),
    ),
    Example(
        dist.TwoSidedTruncatedGamma,
        {**GAMMA, "low": shrinking(0.9), "high": growing(2.1)},
        lambda concentration, rate, low, high: Truncated(_gamma(concentration, rate), low, high),
        make=lambda concentration, rate, low, high: dist.TruncatedGamma(concentration, rate, low=low, high=high),
    ),
    Example(
        dist.LowerTruncatedPowerLaw,
        {"alpha": growing(-4.4), "low": shrinking(0.7)},
        lambda alpha, low: scipy.stats.pareto(-1 - alpha, scale=low),
    ),
    Example(
        dist.DoublyTruncatedPowerLaw,
        {"alpha": real(-1.6), "low": shrinking(0.7), "high": growing(2.1)},
        lambda alpha, low, high: scipy.stats.truncpareto(-1 - alpha, high / low, scale=low),
    ),
    Example(
        dist.TruncatedPolyaGamma,
        {"scale": positive(1.4)},
        "SciPy has none; test_truncated.py compares it to its series",
        make=lambda scale: dist.TransformedDistribution(
            dist.TruncatedPolyaGamma(np.shape(scale)), transforms.AffineTransform(0.0, scale)
        ),
    ),
    # Censored
    Example(
        dist.LeftCensoredDistribution,
        {**LOC_SCALE, "censored": boolean(True)},
        "it is no density; test_censored.py compares it to distribution functions",
        make=lambda loc, scale, censored: dist.LeftCensoredDistribution(dist.Normal(loc, scale), censored),
    ),
    Example(
        dist.RightCensoredDistribution,
        {"concentration": positive(2.6), "rate": positive(1.7), "censored": boolean(True)},
        "it is no density; test_censored.py compares it to distribution functions",
        make=lambda concentration, rate, censored: dist.RightCensoredDistribution(
            dist.Gamma(concentration, rate), censored
        ),
    ),
    Example(
        dist.IntervalCensoredDistribution,
        {**LOC_SCALE, "left_censored": boolean(False), "right_censored": boolean(False)},
        "it is no density; test_censored.py compares it to distribution functions",
        make=lambda loc, scale, left_censored, right_censored: dist.IntervalCensoredDistribution(
            dist.Normal(loc, scale), left_censored, right_censored
        ),
        values=np.float32([[-0.5, 1.0], [0.2, 0.9], [-2.0, -0.7], [1.0, 4.0]]),
    ),
]


class Circular:
    """SciPy's von Mises distribution, with its mean and variance on the circle."""

    def __init__(self, loc: Any, concentration: Any) -> None:
        self.loc, self.rv = loc, scipy.stats.vonmises(concentration, loc)
        self.logpdf, self.cdf, self.ppf, self.entropy = self.rv.logpdf, self.rv.cdf, self.rv.ppf, self.rv.entropy
        self.ratio = scipy.special.ive(1, concentration) / scipy.special.ive(0, concentration)

    def mean(self) -> Any:
        return self.loc

    def var(self) -> Any:
        return 1 - self.ratio


ANGLES = {"phi_loc": LOC, "psi_loc": real(-0.2), "phi_concentration": positive(8.0), "psi_concentration": positive(5.0)}

EXAMPLES += [
    # Directional
    Example(dist.VonMises, {"loc": LOC, "concentration": positive(8.0)}, Circular),
    Example(
        dist.SineBivariateVonMises,
        {**ANGLES, "correlation": real(2.1)},
        "SciPy has none; test_directional.py compares it to numerical integration",
    ),
    Example(
        dist.SineBivariateVonMises,
        {**ANGLES, "weighted_correlation": unit(0.4)},
        "SciPy has none; test_directional.py compares it to numerical integration",
        make=lambda **p: dist.SineBivariateVonMises(**p),
        label="weighted",
    ),
    Example(
        dist.SineSkewed,
        {"loc": real([0.3, -0.2]), "concentration": positive(8.0), "skewness": simplex([0.4, 0.6])},
        "SciPy has none; test_directional.py compares it to numerical integration",
        make=lambda loc, concentration, skewness: dist.SineSkewed(
            dist.VonMises(loc, concentration[..., None]).to_event(1), 0.7 * skewness
        ),
    ),
    Example(
        dist.ProjectedNormal,
        {"concentration": real([0.8, -0.3, 0.5])},
        "SciPy has none; test_directional.py compares it to numerical integration",
    ),
]

CORRELATION = Parameter(
    np.float32([[1.0, 0.3], [0.3, 1.0]]),
    lambda rng, x: np.eye(2) + (x - np.eye(2)) * rng.uniform(0.5, 2.0, size=x.shape[:-2] + (1, 1)),
)
CORRELATION_CHOLESKY = Parameter(
    np.linalg.cholesky(CORRELATION.value),
    lambda rng, x: np.linalg.cholesky(CORRELATION.batched(rng, x.shape[:-2])),
)

EXAMPLES += [
    # Copulas
    Example(
        dist.GaussianCopula,
        {"loc": real([0.3, -0.6]), "scale": positive([0.6, 0.4]), "correlation_matrix": CORRELATION},
        "SciPy has none; test_copula.py compares it to a transformed normal vector",
        make=lambda loc, scale, correlation_matrix: dist.GaussianCopula(dist.LogNormal(loc, scale), correlation_matrix),
    ),
    Example(
        dist.GaussianCopulaBeta,
        {
            "concentration1": positive([2.5, 1.4]),
            "concentration0": positive([1.8, 3.0]),
            "correlation_matrix": CORRELATION,
        },
        "SciPy has none; test_copula.py compares it to a transformed normal vector",
    ),
    Example(
        dist.GaussianCopulaBeta,
        {"concentration": positive([2.5, 1.4]), "correlation_cholesky": CORRELATION_CHOLESKY},
        "SciPy has none; test_copula.py compares it to a transformed normal vector",
        make=lambda concentration, correlation_cholesky: dist.GaussianCopulaBeta(
            concentration, 3.0, correlation_cholesky=correlation_cholesky
        ),
        label="cholesky",
    ),
]


class _Hurdled:
    """Zero with the probability of the gate, else a draw from a SciPy distribution given that it is not zero."""

    def __init__(self, gate: float, base: Any) -> None:
        self.gate, self.base, self.nonzero = gate, base, -np.expm1(base.logpmf(0))

    def logpmf(self, value: np.ndarray) -> np.ndarray:
        rest = np.log1p(-self.gate) + self.base.logpmf(value) - np.log(self.nonzero)
        return np.where(value == 0, np.log(self.gate), rest)

    def cdf(self, value: np.ndarray) -> np.ndarray:
        return self.gate + (1 - self.gate) * (self.base.cdf(value) - 1 + self.nonzero) / self.nonzero

    def mean(self) -> float:
        return (1 - self.gate) * self.base.mean() / self.nonzero

    def var(self) -> float:
        return (1 - self.gate) * (self.base.var() + self.base.mean() ** 2) / self.nonzero - self.mean() ** 2


def _with_zeros(gate: float, base: Any) -> WeightedSum:
    return WeightedSum(np.array([gate, 1 - gate]), [scipy.stats.bernoulli(0.0), base])


class _CountVectors:
    """A SciPy distribution of vectors of counts."""

    def __init__(self, frozen: Any) -> None:
        self.frozen = frozen
        self.logpdf = frozen.logpmf
        self.mean, self.cov = frozen.mean(), frozen.cov()


def _nbinom(mean: float, concentration: float) -> Any:
    return scipy.stats.nbinom(concentration, concentration / (concentration + mean))


TOTAL = Parameter(np.int32(7), lambda rng, x: x)
GATE, GATE_LOGITS = unit(0.3), real(-0.6)
CUTPOINTS = positive_multiple([-0.8, 0.5, 1.4])

EXAMPLES += [
    # Counts and categories
    Example(dist.GeometricProbs, {"probs": unit(0.3)}, lambda probs: scipy.stats.geom(probs, loc=-1)),
    Example(dist.GeometricLogits, {"logits": real(-0.6)}, lambda logits: scipy.stats.geom(expit(logits), loc=-1)),
    Example(
        dist.MultinomialProbs,
        {"probs": simplex([0.125, 0.5, 0.375]), "total_count": TOTAL},
        lambda probs, total_count: _CountVectors(scipy.stats.multinomial(total_count, probs)),
    ),
    Example(
        dist.MultinomialLogits,
        {"logits": real([0.2, 1.5, -0.3]), "total_count": TOTAL},
        lambda logits, total_count: _CountVectors(scipy.stats.multinomial(total_count, softmax(logits))),
    ),
    Example(
        dist.DiscreteUniform,
        {"low": Parameter(np.int32(0), lambda rng, x: x - rng.integers(0, 3, size=x.shape)), "high": count(6)},
        lambda low, high: scipy.stats.randint(low, high + 1),
    ),
    Example(
        dist.OrderedLogistic,
        {"predictor": LOC, "cutpoints": CUTPOINTS},
        lambda predictor, cutpoints: categorical(np.diff(expit(cutpoints - predictor), prepend=0.0, append=1.0)),
    ),
    # Extra zeros
    Example(
        dist.ZeroInflatedProbs,
        {"gate": GATE, "rate": positive(2.3)},
        lambda gate, rate: _with_zeros(gate, scipy.stats.poisson(rate)),
        make=lambda gate, rate: dist.ZeroInflatedProbs(dist.Poisson(rate), gate),
    ),
    Example(
        dist.ZeroInflatedLogits,
        {"gate_logits": GATE_LOGITS, "probs": unit(0.4), "total_count": count(7)},
        lambda gate_logits, probs, total_count: _with_zeros(expit(gate_logits), scipy.stats.binom(total_count, probs)),
        make=lambda gate_logits, probs, total_count: dist.ZeroInflatedLogits(
            dist.Binomial(total_count, probs), gate_logits
        ),
    ),
    Example(
        dist.ZeroInflatedPoisson,
        {"gate": GATE, "rate": positive(2.3)},
        lambda gate, rate: _with_zeros(gate, scipy.stats.poisson(rate)),
    ),
    Example(
        dist.HurdleProbs,
        {"gate": GATE, "rate": positive(2.3)},
        lambda gate, rate: _Hurdled(gate, scipy.stats.poisson(rate)),
        make=lambda gate, rate: dist.HurdleProbs(dist.Poisson(rate), gate),
    ),
    Example(
        dist.HurdleProbs,
        {"gate": GATE, "rate": positive(1.7)},
        "SciPy has no point masses; see test_discrete.py",
        make=lambda gate, rate: dist.HurdleProbs(dist.Exponential(rate), gate),
        label="continuous",
    ),
    Example(
        dist.HurdleLogits,
        {"gate_logits": GATE_LOGITS, "probs": unit(0.4), "total_count": count(7)},
        lambda gate_logits, probs, total_count: _Hurdled(expit(gate_logits), scipy.stats.binom(total_count, probs)),
        make=lambda gate_logits, probs, total_count: dist.HurdleLogits(dist.Binomial(total_count, probs), gate_logits),
    ),
    Example(
        dist.HurdlePoisson,
        {"gate": GATE, "rate": positive(2.3)},
        lambda gate, rate: _Hurdled(gate, scipy.stats.poisson(rate)),
    ),
    # Counts with a conjugate prior
    Example(
        dist.BetaBinomial,
        {"concentration1": positive(2.5), "concentration0": positive(1.8), "total_count": count(7)},
        lambda concentration1, concentration0, total_count: scipy.stats.betabinom(
            total_count, concentration1, concentration0
        ),
    ),
    Example(
        dist.BetaNegativeBinomial,
        {"concentration1": positive(2.5), "concentration0": positive(14.0), "n": positive(3.0)},
        lambda concentration1, concentration0, n: scipy.stats.betanbinom(n, concentration0, concentration1),
    ),
    Example(
        dist.DirichletMultinomial,
        {"concentration": positive([2.1, 1.3, 3.0]), "total_count": TOTAL},
        lambda concentration, total_count: _CountVectors(
            scipy.stats.dirichlet_multinomial(concentration, int(total_count))
        ),
    ),
    Example(
        dist.GammaPoisson,
        {"concentration": positive(2.6), "rate": positive(1.7)},
        lambda concentration, rate: scipy.stats.nbinom(concentration, rate / (1 + rate)),
    ),
    Example(
        dist.NegativeBinomialProbs,
        {"total_count": positive(2.6), "probs": unit(0.3)},
        lambda total_count, probs: scipy.stats.nbinom(total_count, 1 - probs),
    ),
    Example(
        dist.NegativeBinomialLogits,
        {"total_count": positive(2.6), "logits": real(-0.6)},
        lambda total_count, logits: scipy.stats.nbinom(total_count, expit(-logits)),
    ),
    Example(
        dist.NegativeBinomial2,
        {"mean": positive(2.3), "concentration": positive(2.6)},
        _nbinom,
    ),
    Example(
        dist.ZeroInflatedProbs,
        {"gate": GATE, "mean": positive(2.3), "concentration": positive(2.6)},
        lambda gate, mean, concentration: _with_zeros(gate, _nbinom(mean, concentration)),
        make=lambda gate, mean, concentration: dist.ZeroInflatedNegativeBinomial2(mean, concentration, gate=gate),
        label="NegativeBinomial2",
    ),
    Example(
        dist.HurdleProbs,
        {"gate": GATE, "mean": positive(2.3), "concentration": positive(2.6)},
        lambda gate, mean, concentration: _Hurdled(gate, _nbinom(mean, concentration)),
        make=dist.HurdleNegativeBinomial2,
        label="NegativeBinomial2",
    ),
]

EXAMPLES += [
    # Of TensorFlow Probability
    Example(
        TFPDistribution,
        LOC_SCALE,
        scipy.stats.norm,
        make=lambda loc, scale: TFPDistribution(tfp_stand_in.Normal(loc, scale)),
    ),
    Example(
        TFPDistribution,
        {"loc": VECTOR, "scale_tril": TRIL},
        lambda loc, scale_tril: scipy.stats.multivariate_normal(loc, scale_tril @ scale_tril.T),
        make=lambda loc, scale_tril: TFPDistribution(tfp_stand_in.MultivariateNormalTriL(loc, scale_tril)),
        label="vector",
    ),
    Example(
        TFPDistribution,
        {"probs": simplex([0.125, 0.5, 0.375])},
        categorical,
        make=lambda probs: TFPDistribution(tfp_stand_in.Categorical(probs)),
        label="discrete",
    ),
]
