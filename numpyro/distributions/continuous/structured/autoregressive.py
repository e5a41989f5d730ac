# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Normal vectors on the nodes of a graph, each regressed on its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions import constraints
from numpyro.distributions.continuous.multivariate import multiply
from numpyro.distributions.continuous.real_line import HALF_LOG_2PI
from numpyro.distributions.continuous.structured.shared import vector_of
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.util import add_diag, cholesky_of_inverse
from numpyro.util import not_jax_tracer

__all__ = ["CAR"]


class CAR(Distribution):
    r"""Conditional autoregressive distribution of values on the nodes of a graph.

    .. math:: p(x) \propto \sqrt{|Q|} \exp\left(-\tfrac12 (x - \mu)^\top Q (x - \mu)\right),
        \quad Q = \tau (D - \alpha W)

    It is normal with precision matrix :math:`\tau (D - \alpha W)`, where W is the adjacency matrix and D the diagonal
    matrix of its row sums (Besag 1974; Jin, Carlin and Banerjee 2005 for the determinant).

    :param loc: mean :math:`\mu`, of shape ``B + (n,)``.
    :param correlation: :math:`\alpha`, in (-1, 1).
    :param conditional_precision: :math:`\tau > 0`.
    :param adj_matrix: :math:`W`, symmetric, without edges from a node to itself, each node with an edge: an array of
        shape ``B + (n, n)``, or with ``is_sparse`` a SciPy sparse matrix (or a NumPy array that is made into one).
    :param is_sparse: whether to compute with the edges only.

    **Source:** Besag (1974), *Spatial interaction and the statistical analysis of lattice systems*. Journal of the
    Royal Statistical Society B 36.

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> ring = jnp.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    >>> d = dist.CAR(jnp.zeros(3), 0.5, 1.0, ring)
    >>> round(float(d.log_prob(jnp.zeros(3))), 4)
    -1.8405
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "correlation": constraints.open_interval(-1, 1),
        "conditional_precision": constraints.positive,
        "adj_matrix": constraints.dependent(is_discrete=False, event_dim=2),
    }
    support = constraints.real_vector
    reparametrized_params = ["loc", "correlation", "conditional_precision"]
    pytree_aux_fields = ("is_sparse", "_edges")

    def __init__(
        self,
        loc: Any,
        correlation: Any,
        conditional_precision: Any,
        adj_matrix: Any,
        *,
        is_sparse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        self.is_sparse = is_sparse
        shape = tuple(np.shape(adj_matrix)) or tuple(adj_matrix.shape)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"CAR: adj_matrix must be square, but has shape {shape}.")
        given = {"loc": vector_of(loc), "correlation": correlation, "conditional_precision": conditional_precision}
        if is_sparse:
            self._edges = _edges_of(adj_matrix, shape)
        else:
            given["adj_matrix"] = adj_matrix
        self._declare(**given, event_shape=shape[-1:], validate_args=validate_args)

    @property
    def adj_matrix(self) -> Any:
        """Adjacency matrix."""
        return self._edges.dense if self.is_sparse else self.__dict__["adj_matrix"]

    @adj_matrix.setter
    def adj_matrix(self, value: Any) -> None:
        self.__dict__["adj_matrix"] = value

    @property
    def _degrees(self) -> Any:
        if self.is_sparse:
            return self._edges.degrees
        return jnp.asarray(self.adj_matrix, jnp.result_type(float)).sum(-1)

    def _quadratic_form(self, deviation: Any) -> Any:
        """:math:`x^\\top (D - \\alpha W) x`."""
        diagonal = (self._degrees * deviation**2).sum(-1)
        if self.is_sparse:
            edges, by_node = self._edges, jnp.moveaxis(deviation, -1, 0)
            weights = np.reshape(edges.weights, (-1,) + (1,) * (by_node.ndim - 1))
            neighbours = 2 * (weights * by_node[edges.rows] * by_node[edges.columns]).sum(0)
        else:
            neighbours = jnp.einsum("...i,...ij,...j->...", deviation, jnp.asarray(self.adj_matrix), deviation)
        return diagonal - self.correlation * neighbours

    @property
    def _scaled_eigenvalues(self) -> Any:
        """Those of the normalised adjacency matrix: on the host, in double precision, where the matrix is concrete."""
        if self.is_sparse:
            return self._edges.eigenvalues
        if not_jax_tracer(self.adj_matrix):
            return _scaled_eigenvalues(np.asarray(self.adj_matrix, np.float64), np)
        return _scaled_eigenvalues(jnp.asarray(self.adj_matrix, jnp.result_type(float)), jnp)

    def _log_det(self) -> Any:
        """Logarithm of the determinant of the precision matrix."""
        scaled = jnp.log1p(-jnp.asarray(self.correlation)[..., None] * self._scaled_eigenvalues).sum(-1)
        size = self.event_shape[0]
        return size * jnp.log(self.conditional_precision) + jnp.log(self._degrees).sum(-1) + scaled

    @property
    def precision_matrix(self) -> Any:
        """Precision matrix (dense)."""
        adjacency = jnp.asarray(self.adj_matrix)
        correlation = jnp.asarray(self.correlation)[..., None, None]
        structure = add_diag(-correlation * adjacency, jnp.broadcast_to(self._degrees, adjacency.shape[:-1]))
        return jnp.asarray(self.conditional_precision)[..., None, None] * structure

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        noise = jax.random.normal(key, self.shape(sample_shape))
        return self.loc + multiply(cholesky_of_inverse(self.precision_matrix), noise)

    def log_prob(self, value: Any) -> Any:
        deviation = value - jnp.broadcast_to(self.loc, shape_of(self.loc)[:-1] + self.event_shape)
        distance = self.conditional_precision * self._quadratic_form(deviation)
        return 0.5 * (self._log_det() - distance) - self.event_shape[0] * HALF_LOG_2PI

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return jnp.diagonal(jnp.linalg.inv(self.precision_matrix), axis1=-2, axis2=-1)

    @property
    def mode(self) -> Any:
        return self.loc

    def entropy(self) -> Any:
        return self.event_shape[0] * (0.5 + HALF_LOG_2PI) - 0.5 * self._log_det()


def _scaled_eigenvalues(adjacency: Any, xp: Any) -> Any:
    """Eigenvalues of :math:`D^{-1/2} W D^{-1/2}`, in the dtype that JAX computes in."""
    inverse_root = 1 / xp.sqrt(adjacency.sum(-1))
    scaled = inverse_root[..., :, None] * adjacency * inverse_root[..., None, :]
    return xp.linalg.eigvalsh(scaled).astype(jnp.result_type(float))


class _Edges:
    """A symmetric adjacency matrix on the host, its edges, and what the density needs of it."""

    def __init__(self, dense: np.ndarray) -> None:
        self.dense = dense
        self.rows, self.columns = np.nonzero(np.triu(dense))
        self.weights = dense[self.rows, self.columns]
        self.degrees = dense.sum(-1)
        self.eigenvalues = _scaled_eigenvalues(dense, np)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Edges) and np.array_equal(self.dense, other.dense)

    def __hash__(self) -> int:
        return hash(self.dense.tobytes())


def _edges_of(adj_matrix: Any, shape: tuple[int, ...]) -> _Edges:
    if len(shape) != 2 or isinstance(adj_matrix, jax.core.Tracer):
        raise ValueError(
            "CAR: with is_sparse=True, adj_matrix must be one concrete matrix: a SciPy sparse matrix or a NumPy array."
        )
    dense = adj_matrix.toarray() if hasattr(adj_matrix, "toarray") else np.asarray(adj_matrix)
    return _Edges(np.asarray(dense, np.float64))
