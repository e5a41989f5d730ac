# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""How many threads work on a matrix.

On a CPU, JAX leaves factorisations and triangular systems to SciPy's BLAS, which shares each out among as many threads
as there are cores, and these wait for each other by spinning. That gains nothing for small matrices, and where another
program, or another chain, needs a core, each of a sampler's thousands of calls waits for it: the gradient of a Gaussian
process of 80 points took 2.4 ms in place of 0.04, and its chain 37 s in place of 1.8 (``benchmarks/README.md``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
import threading
from typing import Any

from numpyro.util import inner_programs

__all__ = ["has_small_matrices", "one_blas_thread"]

_SMALL = 512
"""Matrices of up to so many rows and columns are for one thread: on two idle cores, two were not faster up to 1000."""

_BY_LAPACK = frozenset(
    "cholesky cholesky_update eig eigh geqrf geqp3 hessenberg householder_product lu ormqr qr schur svd"
    " symmetric_product triangular_solve tridiagonal tridiagonal_solve".split()
)


def has_small_matrices(jaxpr: Any) -> bool:
    """Whether a program leaves matrices to LAPACK or BLAS, all of which are small.

    >>> import jax, jax.numpy as jnp
    >>> factor = jax.make_jaxpr(jnp.linalg.cholesky)
    >>> [has_small_matrices(factor(jnp.eye(size)).jaxpr) for size in (20, 2000)]
    [True, False]
    >>> has_small_matrices(jax.make_jaxpr(jnp.sin)(jnp.eye(20)).jaxpr)
    False
    """
    return 0 < _largest(jaxpr) <= _SMALL


def _largest(jaxpr: Any) -> int:
    size = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in _BY_LAPACK:
            size = max(size, *(max(var.aval.shape[-2:], default=1) for var in equation.invars))
        size = max([size, *(_largest(inner) for inner in inner_programs(equation))])
    return size


_lock = threading.Lock()
_users = 0
_limits: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """SciPy's and NumPy's BLAS use one thread in this process, until the last of those who asked for it is done.

    >>> with one_blas_thread():
    ...     pass
    """
    global _users, _limits
    with _lock:
        if _users == 0:
            _limits = _controller().limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limits.restore_original_limits()
                _limits = None


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  JAX loads it with the first factorisation; what is not loaded is not found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
