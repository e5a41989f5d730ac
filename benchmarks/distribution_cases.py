# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""One case for each distribution class, written for NumPyro's public interface, and more with parameters by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

MILLION = 10**6
# Draws of vectors and of matrices: some hundred thousand elements.
VECTORS = 10**5
MATRICES = 2 * 10**4


class Case(NamedTuple):
    """A distribution at one point.

    :param parameters: numbers or nested lists of numbers; floats among them are differentiated.
    :param make: builds it from the module ``numpyro.distributions`` and the parameters; by default by its name.
    :param draws: how many values are drawn and evaluated.
    :param values: for a class that cannot be drawn from, values of its support, by a random generator and their number.
    :param rows: parameters of which each value has its own, near the number given for all, as in a regression.
    """

    parameters: dict[str, Any]
    make: Callable[..., Any] | None = None
    draws: int = MILLION
    values: Callable[[np.random.Generator, int], np.ndarray] | None = None
    rows: tuple[str, ...] = ()

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return () if self.rows else (self.draws,)

    def build(self, name: str, dist: Any, parameters: dict[str, Any]) -> Any:
        return getattr(dist, name)(**parameters) if self.make is None else self.make(dist, **parameters)

    def host_parameters(self) -> dict[str, Any]:
        """The parameters as a user writes them: Python numbers, and NumPy arrays."""
        rng = np.random.default_rng(1)
        parameters = {}
        for name, value in self.parameters.items():
            if isinstance(value, list):
                parameters[name] = np.array(value, np.float32 if _holds_floats(value) else np.int32)
            elif name in self.rows:
                parameters[name] = np.float32(value * rng.uniform(0.9, 1.1, self.draws))
            else:
                parameters[name] = value
        return parameters

    def differentiable(self) -> list[str]:
        return [name for name, value in self.parameters.items() if _holds_floats(value)]


def _holds_floats(value: Any) -> bool:
    return _holds_floats(value[0]) if isinstance(value, list) else isinstance(value, float)


def _drift(x: Any, t: Any) -> tuple[Any, Any]:
    return -0.5 * x, 0.8


def _adjacency(size: int) -> list[list[float]]:
    """A path graph."""
    return np.float32(np.eye(size, k=1) + np.eye(size, k=-1)).tolist()


LOC_SCALE = {"loc": 0.3, "scale": 1.4}
LOC_SCALE_POSITIVE = {"loc": 0.3, "scale": 0.6}
GAMMA = {"concentration": 2.6, "rate": 1.7}
BETA = {"concentration1": 2.5, "concentration0": 1.8}
PROBS = [0.1, 0.2, 0.3, 0.15, 0.25]
LOGITS = [0.2, 1.5, -0.3, 0.4, -1.0]
LOCS = [0.3, -0.6, 1.1]
TRIL = [[1.1, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.2, 0.3, 0.9]]
MATRIX = [[1.3, 0.3, 0.1], [0.3, 0.9, -0.2], [0.1, -0.2, 1.1]]
CORRELATION = [[1.0, 0.3], [0.3, 1.0]]

CASES = {
    # On the real line
    "AsymmetricLaplace": Case({**LOC_SCALE, "asymmetry": 1.6}),
    "AsymmetricLaplaceQuantile": Case({**LOC_SCALE, "quantile": 0.3}),
    "Cauchy": Case(LOC_SCALE),
    "Gumbel": Case(LOC_SCALE),
    "Laplace": Case(LOC_SCALE),
    "Logistic": Case(LOC_SCALE),
    "Normal": Case(LOC_SCALE),
    "SoftLaplace": Case(LOC_SCALE),
    "StudentT": Case({"df": 4.5, **LOC_SCALE}),
    # Positive
    "Chi2": Case({"df": 5.2}),
    "Dagum": Case({"concentration": 1.6, "sharpness": 4.2, "scale": 1.4}),
    "Exponential": Case({"rate": 1.7}),
    "Gamma": Case(GAMMA),
    "Gompertz": Case({"concentration": 0.6, "rate": 1.3}),
    "HalfCauchy": Case({"scale": 1.4}),
    "HalfNormal": Case({"scale": 1.4}),
    "HurdleGamma": Case({"gate": 0.3, **GAMMA}),
    "HurdleLogNormal": Case({"gate": 0.3, **LOC_SCALE_POSITIVE}),
    "InverseGamma": Case({"concentration": 3.6, "rate": 1.7}),
    "Levy": Case({"loc": -0.3, "scale": 1.4}),
    "LogNormal": Case(LOC_SCALE_POSITIVE),
    "Pareto": Case({"scale": 0.7, "alpha": 3.4}),
    "Weibull": Case({"scale": 1.4, "concentration": 2.2}),
    # On an interval
    "Beta": Case(BETA),
    "BetaProportion": Case({"mean": 0.4, "concentration": 5.0}),
    "Kumaraswamy": Case(BETA),
    "LogUniform": Case({"low": 0.3, "high": 2.5}),
    "RelaxedBernoulliLogits": Case({"temperature": 1.4, "logits": 0.6}),
    "Uniform": Case({"low": -0.5, "high": 1.2}),
    # Vectors
    "CAR": Case(
        {
            "loc": [0.1, 0.2, -0.3, 0.4, 0.0, 0.3],
            "correlation": 0.6,
            "conditional_precision": 1.7,
        },
        lambda d, **p: d.CAR(**p, adj_matrix=np.float32(_adjacency(6))),
        VECTORS,
    ),
    "CirculantNormal": Case({"loc": LOCS, "covariance_row": [2.0, 0.5, 0.5]}, draws=VECTORS),
    "Dirichlet": Case({"concentration": [2.1, 1.3, 3.0]}, draws=VECTORS),
    "EulerMaruyama": Case(
        {"loc": 0.3},
        lambda d, loc: d.EulerMaruyama(np.arange(10, dtype=np.float32), _drift, d.Normal(loc, 1.0)),
        VECTORS,
    ),
    "GaussianRandomWalk": Case({"scale": 1.4}, lambda d, scale: d.GaussianRandomWalk(scale, 10), VECTORS),
    "GaussianStateSpace": Case(
        {"transition_matrix": [[0.8, 0.1], [-0.2, 0.6]], "scale_tril": [[1.1, 0.0], [0.4, 0.8]]},
        lambda d, transition_matrix, scale_tril: d.GaussianStateSpace(10, transition_matrix, scale_tril=scale_tril),
        MATRICES,
    ),
    "LowRankMultivariateNormal": Case(
        {"loc": LOCS, "cov_factor": [[0.5], [-0.3], [0.2]], "cov_diag": [0.5, 0.8, 1.1]}, draws=VECTORS
    ),
    "MultivariateNormal": Case({"loc": LOCS, "covariance_matrix": MATRIX}, draws=VECTORS),
    "MultivariateStudentT": Case({"df": 5.0, "loc": LOCS, "scale_tril": TRIL}, draws=VECTORS),
    "ZeroSumNormal": Case({"scale": 1.4}, lambda d, scale: d.ZeroSumNormal(scale, (5,)), VECTORS),
    # Matrices
    "InverseWishart": Case({"concentration": 8.0, "scale_matrix": MATRIX}, draws=MATRICES),
    "InverseWishartCholesky": Case({"concentration": 8.0, "scale_tril": TRIL}, draws=MATRICES),
    "LKJ": Case({"concentration": 1.7}, lambda d, concentration: d.LKJ(4, concentration), MATRICES),
    "LKJCholesky": Case({"concentration": 1.7}, lambda d, concentration: d.LKJCholesky(4, concentration), MATRICES),
    "MatrixNormal": Case(
        {
            "loc": [[0.3, -0.6], [0.1, 0.4], [0.0, 1.0]],
            "scale_tril_row": TRIL,
            "scale_tril_column": [[1.1, 0], [0.4, 0.8]],
        },
        draws=MATRICES,
    ),
    "Wishart": Case({"concentration": 6.0, "scale_matrix": MATRIX}, draws=MATRICES),
    "WishartCholesky": Case({"concentration": 6.0, "scale_tril": TRIL}, draws=MATRICES),
    # Discrete
    "BernoulliLogits": Case({"logits": -0.6}),
    "BernoulliProbs": Case({"probs": 0.3}),
    "BetaBinomial": Case({**BETA, "total_count": 20}),
    "BetaNegativeBinomial": Case({"concentration1": 2.5, "concentration0": 14.0, "n": 3.0}),
    "BinomialLogits": Case({"logits": -0.6, "total_count": 20}),
    "BinomialProbs": Case({"probs": 0.3, "total_count": 20}),
    "CategoricalLogits": Case({"logits": LOGITS}),
    "CategoricalProbs": Case({"probs": PROBS}),
    "DirichletMultinomial": Case(
        {"concentration": [2.1, 1.3, 3.0]}, lambda d, concentration: d.DirichletMultinomial(concentration, 20), VECTORS
    ),
    "DiscreteUniform": Case({"low": 0, "high": 6}),
    "GammaPoisson": Case(GAMMA),
    "GeometricLogits": Case({"logits": -0.6}),
    "GeometricProbs": Case({"probs": 0.3}),
    "MultinomialLogits": Case({"logits": LOGITS}, lambda d, logits: d.MultinomialLogits(logits, 20), VECTORS),
    "MultinomialProbs": Case({"probs": PROBS}, lambda d, probs: d.MultinomialProbs(probs, 20), VECTORS),
    "NegativeBinomial2": Case({"mean": 2.3, "concentration": 2.6}),
    "NegativeBinomialLogits": Case({"total_count": 2.6, "logits": -0.6}),
    "NegativeBinomialProbs": Case({"total_count": 2.6, "probs": 0.3}),
    "OrderedLogistic": Case({"predictor": 0.3, "cutpoints": [-0.8, 0.5, 1.4]}),
    "Poisson": Case({"rate": 2.3}),
    # Extra zeros
    "HurdleLogits": Case(
        {"rate": 2.3, "gate_logits": -0.6}, lambda d, rate, gate_logits: d.HurdleLogits(d.Poisson(rate), gate_logits)
    ),
    "HurdlePoisson": Case({"gate": 0.3, "rate": 2.3}),
    "HurdleProbs": Case({"rate": 2.3, "gate": 0.3}, lambda d, rate, gate: d.HurdleProbs(d.Poisson(rate), gate)),
    "ZeroInflatedLogits": Case(
        {"rate": 2.3, "gate_logits": -0.6},
        lambda d, rate, gate_logits: d.ZeroInflatedLogits(d.Poisson(rate), gate_logits),
    ),
    "ZeroInflatedPoisson": Case({"gate": 0.3, "rate": 2.3}),
    "ZeroInflatedProbs": Case(
        {"rate": 2.3, "gate": 0.3}, lambda d, rate, gate: d.ZeroInflatedProbs(d.Poisson(rate), gate)
    ),
    # Directional
    "ProjectedNormal": Case({"concentration": [0.8, -0.3, 0.5]}, draws=VECTORS),
    "SineBivariateVonMises": Case(
        {"phi_loc": 0.3, "psi_loc": -0.2, "phi_concentration": 8.0, "psi_concentration": 5.0, "correlation": 2.1},
        draws=VECTORS,
    ),
    "SineSkewed": Case(
        {"loc": [0.3, -0.2], "skewness": [0.3, 0.4]},
        lambda d, loc, skewness: d.SineSkewed(d.VonMises(loc, 8.0).to_event(1), skewness),
        VECTORS,
    ),
    "VonMises": Case({"loc": 0.3, "concentration": 8.0}),
    # Truncated and censored
    "DoublyTruncatedPowerLaw": Case({"alpha": -1.6, "low": 0.7, "high": 2.1}),
    "IntervalCensoredDistribution": Case(
        LOC_SCALE,
        lambda d, loc, scale: d.IntervalCensoredDistribution(d.Normal(loc, scale), False, False),
        values=lambda rng, n: np.sort(rng.normal(0.3, 1.4, (n, 2))),
    ),
    "LeftCensoredDistribution": Case(
        LOC_SCALE, lambda d, loc, scale: d.LeftCensoredDistribution(d.Normal(loc, scale), True)
    ),
    "LeftTruncatedDistribution": Case(
        {**LOC_SCALE, "low": 0.9}, lambda d, low, **p: d.LeftTruncatedDistribution(d.Normal(**p), low)
    ),
    "LeftTruncatedGamma": Case({**GAMMA, "low": 0.9}, lambda d, low, **p: d.LeftTruncatedGamma(d.Gamma(**p), low)),
    "LowerTruncatedPowerLaw": Case({"alpha": -4.4, "low": 0.7}),
    "RightCensoredDistribution": Case(
        LOC_SCALE, lambda d, loc, scale: d.RightCensoredDistribution(d.Normal(loc, scale), True)
    ),
    "RightTruncatedDistribution": Case(
        {**LOC_SCALE, "high": 1.1}, lambda d, high, **p: d.RightTruncatedDistribution(d.Normal(**p), high)
    ),
    "RightTruncatedGamma": Case({**GAMMA, "high": 2.1}, lambda d, high, **p: d.RightTruncatedGamma(d.Gamma(**p), high)),
    "TruncatedPolyaGamma": Case({}, lambda d: d.TruncatedPolyaGamma(), VECTORS),
    "TwoSidedTruncatedDistribution": Case(
        {**LOC_SCALE, "low": -0.5, "high": 1.2},
        lambda d, low, high, **p: d.TwoSidedTruncatedDistribution(d.Normal(**p), low, high),
    ),
    "TwoSidedTruncatedGamma": Case(
        {**GAMMA, "low": 0.9, "high": 2.1},
        lambda d, low, high, **p: d.TwoSidedTruncatedGamma(d.Gamma(**p), low, high),
    ),
    # Copulas and mixtures
    "GaussianCopula": Case(
        {"loc": [0.3, -0.6], "scale": [0.6, 0.4]},
        lambda d, loc, scale: d.GaussianCopula(d.LogNormal(loc, scale), np.float32(CORRELATION)),
        VECTORS,
    ),
    "GaussianCopulaBeta": Case(
        {"concentration1": [2.5, 1.4], "concentration0": [1.8, 3.0]},
        lambda d, **p: d.GaussianCopulaBeta(**p, correlation_matrix=np.float32(CORRELATION)),
        10**3,
    ),
    "MixtureGeneral": Case(
        {**LOC_SCALE, "df": 4.5},
        lambda d, loc, scale, df: d.MixtureGeneral(
            d.Categorical(np.float32([0.4, 0.6])), [d.Normal(loc, scale), d.StudentT(df)]
        ),
    ),
    "MixtureSameFamily": Case(
        {"probs": [0.2, 0.5, 0.3], "loc": LOCS, "scale": [1.4, 0.7, 1.0]},
        lambda d, probs, loc, scale: d.MixtureSameFamily(d.Categorical(probs), d.Normal(loc, scale)),
    ),
    # Wrappers and the elementary ones
    "Delta": Case({"v": 0.75, "log_density": -0.4}),
    "ExpandedDistribution": Case(LOC_SCALE, lambda d, **p: d.Normal(**p).expand((3,)), VECTORS),
    "FoldedDistribution": Case(LOC_SCALE, lambda d, **p: d.FoldedDistribution(d.Normal(**p))),
    "ImproperUniform": Case(
        {}, lambda d: d.ImproperUniform(d.constraints.positive, (), ()), values=lambda rng, n: rng.exponential(size=n)
    ),
    "Independent": Case({"loc": LOCS, "scale": 1.4}, lambda d, **p: d.Normal(**p).to_event(1), VECTORS),
    "MaskedDistribution": Case(LOC_SCALE, lambda d, **p: d.Normal(**p).mask(True)),
    "TransformedDistribution": Case(
        LOC_SCALE_POSITIVE,
        lambda d, loc, scale: d.TransformedDistribution(
            d.Normal(0.0, 1.0), [d.transforms.AffineTransform(loc, scale), d.transforms.ExpTransform()]
        ),
    ),
    "Unit": Case({"log_factor": -0.4}),
}


def _by_row(name: str) -> Case:
    """The case of a class with parameters for each value; integers, and vectors, are the same for all."""
    case = CASES[name]
    rows = tuple(key for key, value in case.parameters.items() if isinstance(value, float))
    return case._replace(make=lambda dist, **p: case.build(name, dist, p), rows=rows)


#: Common families as they stand in regressions: what costs little for scalar parameters may cost much for arrays.
BY_ROW = {
    f"{name}:rows": _by_row(name)
    for name in (
        "AsymmetricLaplace",
        "Cauchy",
        "Gumbel",
        "Laplace",
        "Logistic",
        "Normal",
        "StudentT",
        "Exponential",
        "Gamma",
        "HalfCauchy",
        "HalfNormal",
        "InverseGamma",
        "LogNormal",
        "Pareto",
        "Weibull",
        "Beta",
        "BetaProportion",
        "Kumaraswamy",
        "Uniform",
        "BernoulliLogits",
        "BernoulliProbs",
        "BetaBinomial",
        "BinomialLogits",
        "BinomialProbs",
        "GammaPoisson",
        "GeometricLogits",
        "GeometricProbs",
        "NegativeBinomial2",
        "NegativeBinomialLogits",
        "NegativeBinomialProbs",
        "OrderedLogistic",
        "Poisson",
        "HurdlePoisson",
        "HurdleGamma",
        "HurdleLogNormal",
        "ZeroInflatedLogits",
        "ZeroInflatedPoisson",
        "VonMises",
        "IntervalCensoredDistribution",
        "LeftCensoredDistribution",
        "RightCensoredDistribution",
        "LeftTruncatedDistribution",
        "RightTruncatedDistribution",
        "TwoSidedTruncatedDistribution",
        "FoldedDistribution",
        "LowerTruncatedPowerLaw",
        "DoublyTruncatedPowerLaw",
    )
}
ALL_CASES = CASES | BY_ROW
