# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The mass matrix: its block structure, its square roots, and the flat coordinates in which the sampler works.

A mass matrix ``M = S S^T`` is a block matrix with dense or diagonal blocks. With ``r = S p`` and ``z = z0 + S^-T y``
the kinetic energy ``r^T M^-1 r / 2`` becomes ``p^T p / 2``, and the gradient with respect to ``y`` is ``S^-1 dU/dz``.
In these *whitened* coordinates no trajectory needs to know the metric (Neal 2011, section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "Block",
    "FlatSpace",
    "LowRank",
    "MassMatrix",
    "any_is_negative",
    "are_finite",
    "factorize",
    "flat_space",
    "identity_mass",
    "inner_products",
    "multiply",
    "squared_norm",
]


class MassMatrix(NamedTuple):
    """A mass matrix ``M = S S^T``. Each part is an array (a vector stands for a diagonal), a :class:`LowRank`, or a
    dict of these, one for each block.

    :param inverse: ``M^-1``.
    :param sqrt: ``S``, lower triangular if it is an array.
    :param sqrt_inv: ``S^-1``.
    """

    inverse: Any
    sqrt: Any
    sqrt_inv: Any


_EXACT = lax.Precision.HIGHEST
"""Of inner products and products with the mass matrix. By default a GPU may round single precision to ten bits in
products, and a kinetic energy with it."""


def _product(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return jnp.matmul(matrix, vector, precision=_EXACT)


class LowRank(NamedTuple):
    """A matrix that differs from a diagonal one in some directions:
    ``diag(left) (I + V diag(values - 1) V^T) diag(right)``.

    Products with vectors of length ``n`` cost ``O(n k)`` for ``k`` directions.

    :param left: vector of length ``n``, or None for ones.
    :param vectors: ``V``, ``k`` orthonormal columns of length ``n``; columns whose value is 1 have no effect.
    :param values: ``k`` numbers.
    :param right: vector of length ``n``, or None for ones.

    >>> inverse = LowRank(jnp.array([1.0, 2.0]), jnp.array([[0.0], [1.0]]), jnp.array([3.0]), jnp.array([1.0, 2.0]))
    >>> print(inverse.to_dense())
    [[ 1.  0.]
     [ 0. 12.]]
    >>> bool(jnp.allclose(inverse @ jnp.ones(2), inverse.to_dense() @ jnp.ones(2)))
    True
    """

    left: Any
    vectors: Any
    values: Any
    right: Any

    @property
    def T(self) -> LowRank:
        """The transpose."""
        return LowRank(self.right, self.vectors, self.values, self.left)

    def __matmul__(self, x: jax.Array) -> jax.Array:
        x = x if self.right is None else self.right * x
        x = x + _product(self.vectors, (self.values - 1) * _product(self.vectors.T, x))
        return x if self.left is None else self.left * x

    def to_dense(self) -> jax.Array:
        """The matrix as an array."""
        return jax.vmap(self.__matmul__, out_axes=1)(jnp.eye(len(self.vectors), dtype=jnp.asarray(self.vectors).dtype))


class Block(NamedTuple):
    """Entries ``start:stop`` of the flat vector, which have a mass matrix of their own.

    :param names: the sites; it is the key of the block in mass matrices that are dicts.
    :param dense: whether the block's matrix is dense or diagonal.
    """

    names: tuple[str, ...]
    start: int
    stop: int
    dense: bool

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class FlatSpace:
    """The flat coordinates of a pytree of parameters, with the sites of each block next to each other.

    :param treedef: structure of the parameters.
    :param shapes: shapes of the leaves.
    :param dtypes: dtypes of the leaves.
    :param order: the order in which leaves are laid out.
    :param blocks: blocks of the mass matrix.
    :param keyed: whether mass matrices are dicts by block, or one array.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    order: tuple[int, ...]
    blocks: tuple[Block, ...]
    keyed: bool

    @property
    def size(self) -> int:
        return sum(map(prod, self.shapes))

    @property
    def dtype(self) -> Any:
        return jnp.result_type(*self.dtypes)

    def ravel(self, params: Any) -> jax.Array:
        """Lay a pytree out as a vector."""
        leaves = jax.tree.leaves(params)
        parts = [jnp.ravel(leaves[i]).astype(self.dtype) for i in self.order]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def ravel_on_host(self, params: Any, lead: tuple[int, ...] = ()) -> np.ndarray:
        """:meth:`ravel`, in NumPy for concrete arrays. ``lead`` is the shape of leading axes that each of them has."""
        leaves = jax.tree.leaves(params)
        xp: Any = jnp if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves) else np
        return xp.concatenate([xp.reshape(xp.asarray(leaves[i], self.dtype), (*lead, -1)) for i in self.order], axis=-1)

    def unravel(self, vector: jax.Array) -> Any:
        """Inverse of :meth:`ravel`."""
        leaves: list[Any] = [None] * len(self.shapes)
        start = 0
        for i in self.order:
            size = prod(self.shapes[i])
            part = lax.slice_in_dim(vector, start, start + size)
            leaves[i] = part.reshape(self.shapes[i]).astype(self.dtypes[i])
            start += size
        return jax.tree.unflatten(self.treedef, leaves)

    def unravel_on_host(self, vector: np.ndarray) -> Any:
        """:meth:`unravel` of a concrete vector, in NumPy."""
        leaves: list[Any] = [None] * len(self.shapes)
        stops = np.cumsum([prod(self.shapes[i]) for i in self.order])
        for i, part in zip(self.order, np.split(vector, stops[:-1]), strict=True):
            leaves[i] = part.reshape(self.shapes[i]).astype(self.dtypes[i])
        return jax.tree.unflatten(self.treedef, leaves)

    def parts(self, matrix: Any) -> list[Any]:
        """The blocks of a mass matrix (or of anything that is kept block by block), in the order of ``blocks``."""
        return [matrix[block.names] for block in self.blocks] if self.keyed else [matrix]

    def joined(self, parts: Sequence[Any]) -> Any:
        """Inverse of :meth:`parts`."""
        if not self.keyed:
            return parts[0]
        return {block.names: part for block, part in zip(self.blocks, parts, strict=True)}


def flat_space(
    prototype: Any,
    dense_mass: bool | Sequence[Sequence[str]] = False,
    inverse_mass_matrix: Any = None,
    keyed: bool = False,
) -> FlatSpace:
    """Work out the flat coordinates and the blocks of the mass matrix.

    :param prototype: parameters, or their abstract values.
    :param dense_mass: False (diagonal), True (dense), or a list of tuples of site names, each a dense block; the other
        sites form a diagonal block.
    :param inverse_mass_matrix: initial value given by the user; blocks given as matrices are dense.
    :param keyed: whether to keep mass matrices as dicts, as is done for models.
    :raises ValueError: if names or shapes do not match the parameters.
    """
    paths, treedef = jax.tree_util.tree_flatten_with_path(prototype)
    if not paths:
        raise ValueError("there are no parameters to sample: the initial parameters are an empty pytree.")
    shapes = tuple(tuple(np.shape(leaf)) for _, leaf in paths)
    dtypes = tuple(_floating(leaf) for _, leaf in paths)
    names: list[Any] = [path[0].key if isinstance(prototype, Mapping) else None for path, _ in paths]
    sites = tuple(dict.fromkeys(names))

    groups: list[tuple[tuple[str, ...], bool]]
    if isinstance(inverse_mass_matrix, Mapping):
        groups = [(_names(key), np.ndim(value) == 2) for key, value in inverse_mass_matrix.items()]
        keyed, origin = True, "inverse_mass_matrix"
    elif isinstance(dense_mass, bool):
        dense = dense_mass or (inverse_mass_matrix is not None and np.ndim(inverse_mass_matrix) == 2)
        groups, origin = [(sites, dense)], "dense_mass"
    else:
        groups, origin = [(_names(group), True) for group in dense_mass], "dense_mass"
        keyed = keyed or bool(groups)
        if inverse_mass_matrix is not None and groups:
            raise ValueError(
                "with `dense_mass` given as a list of blocks, `inverse_mass_matrix` must be a dict with one array for "
                "each block, such as "
                f"{{{groups[0][0]!r}: matrix}}, but it is an array of shape {np.shape(inverse_mass_matrix)}."
            )
    if keyed and not isinstance(prototype, Mapping):
        raise ValueError(
            f"`{origin}` names blocks of sites, so the parameters must be a dict by site name, but they are a "
            f"{type(prototype).__name__}."
        )
    listed = [name for group, _ in groups for name in group]
    unknown = [name for name in listed if name not in sites]
    if unknown:
        raise ValueError(
            f"`{origin}` names {', '.join(map(repr, unknown))}, which is no latent site of the model: its latent sites "
            f"are {', '.join(map(repr, sites))}."
        )
    repeated = sorted({name for name in listed if listed.count(name) > 1})
    if repeated:
        raise ValueError(f"`{origin}` names {', '.join(map(repr, repeated))} in more than one block.")
    rest = tuple(name for name in sites if name not in listed)
    if rest:
        groups.append((rest, False))

    order: list[int] = []
    blocks: list[Block] = []
    start = 0
    for group, dense in groups:
        members = [i for name in group for i in range(len(names)) if names[i] == name]
        stop = start + sum(prod(shapes[i]) for i in members)
        blocks.append(Block(group, start, stop, dense))
        order += members
        start = stop
    return FlatSpace(treedef, shapes, dtypes, tuple(order), tuple(blocks), keyed)


def _names(group: str | Sequence[str]) -> tuple[str, ...]:
    return (group,) if isinstance(group, str) else tuple(group)


def _floating(leaf: Any) -> Any:
    dtype = jnp.result_type(leaf)
    return dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)


def identity_mass(space: FlatSpace, inverse_mass_matrix: Any = None) -> MassMatrix:
    """The initial mass matrix: the user's, or the identity. Its arrays are NumPy's, unless the user's are traced.

    :raises ValueError: if a given block does not have the size of its sites.
    """
    if isinstance(inverse_mass_matrix, Mapping):
        given = {_names(key): value for key, value in inverse_mass_matrix.items()}
    else:
        given = {} if inverse_mass_matrix is None else {space.blocks[0].names: inverse_mass_matrix}
    parts: list[tuple[Any, Any, Any]] = []
    for block in space.blocks:
        value = given.get(block.names)
        if value is None:
            ones = np.eye(block.size) if block.dense else np.ones(block.size)
            parts.append((ones, ones, ones))
            continue
        shape = np.shape(value)
        if shape not in ((block.size,), (block.size, block.size)):
            where = f" of block {block.names}" if space.keyed else ""
            raise ValueError(
                f"`inverse_mass_matrix`{where} has shape {shape}, but its parameters have {block.size} entries in all: "
                f"give a diagonal of shape ({block.size},) or a matrix of shape ({block.size}, {block.size})."
            )
        if isinstance(value, jax.core.Tracer):
            value = jnp.asarray(value, space.dtype)
            parts.append(factorize(jnp.diag(value) if block.dense and len(shape) == 1 else value))
        else:
            value = np.asarray(value, np.float64)
            parts.append(_factorize_on_host(np.diag(value) if block.dense and len(shape) == 1 else value, block))
    mass = MassMatrix(*(space.joined(part) for part in zip(*parts, strict=True)))
    return jax.tree.map(lambda x: x if isinstance(x, jax.core.Tracer) else np.asarray(x, space.dtype), mass)


def _factorize_on_host(inverse: np.ndarray, block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:func:`factorize` in NumPy, for a matrix that a user gave.

    :raises ValueError: if it is not positive definite.
    """
    if inverse.ndim == 1 and (inverse > 0).all():
        root = np.sqrt(inverse)
        return inverse, 1 / root, root
    if inverse.ndim == 2 and np.allclose(inverse, inverse.T, rtol=1e-5) and (np.linalg.eigvalsh(inverse) > 0).all():
        sqrt_inv = np.linalg.cholesky(inverse[::-1, ::-1])[::-1, ::-1].T
        return inverse, np.linalg.inv(sqrt_inv), sqrt_inv
    where = f" of block {block.names}" if block.names[0] is not None else ""
    raise ValueError(
        f"`inverse_mass_matrix`{where} must be positive (a diagonal of positive entries, or a symmetric, positive "
        f"definite matrix), but it is {inverse.tolist()}."
    )


def factorize(inverse: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """From one block of ``M^-1`` get that block, ``S`` and ``S^-1``, where ``M = S S^T`` and ``S`` is lower triangular.

    Reversing rows and columns turns Cholesky's factor into an upper triangular one, ``M^-1 = U U^T``, so
    ``S^-1 = U^T``; ``M`` is never formed.

    >>> inverse, sqrt, sqrt_inv = factorize(jnp.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> bool(jnp.allclose(sqrt_inv.T @ sqrt_inv, inverse)), bool(jnp.allclose(sqrt @ sqrt_inv, jnp.eye(2), atol=1e-6))
    (True, True)
    """
    if inverse.ndim == 1:
        root = jnp.sqrt(inverse)
        return inverse, 1 / root, root
    upper = jnp.linalg.cholesky(inverse[::-1, ::-1])[::-1, ::-1]
    sqrt_inv = upper.T
    sqrt = lax.linalg.triangular_solve(sqrt_inv, jnp.eye(len(inverse), dtype=inverse.dtype), left_side=True, lower=True)
    return inverse, sqrt, sqrt_inv


def multiply(space: FlatSpace, matrix: Any, vector: jax.Array, transpose: bool = False) -> jax.Array:
    """Product of a block matrix and a flat vector."""
    parts = []
    for block, part in zip(space.blocks, space.parts(matrix), strict=True):
        x = vector if len(space.blocks) == 1 else lax.slice_in_dim(vector, block.start, block.stop)
        if block.dense or isinstance(part, LowRank):
            matrix = part.T if transpose else part
            parts.append(matrix @ x if isinstance(part, LowRank) else _product(matrix, x))
        else:
            parts.append(part * x)
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def are_finite(vector: jax.Array) -> jax.Array:
    """Whether no number is infinite or NaN.

    Products with zero are not zero then. A product of a matrix and a vector is no piece of code to compile, a test of
    each number and a reduction would be three.

    >>> print(are_finite(jnp.ones(3)), are_finite(jnp.array([0.0, jnp.inf])))
    True False
    """
    return jnp.isfinite((jnp.zeros((2, vector.size), vector.dtype) @ vector)[0])


_SHORT, _LONG = 64, 4096
"""Sizes between which an inner product is a part of a product of matrices.

A sum in order, which is what XLA makes of an inner product on a CPU, waits for each addition, and is two pieces of code
to compile. The product of matrices does not and is none; but the vectors have to lie in memory, where each element
is computed once."""


def inner_products(vectors: Sequence[jax.Array], other: jax.Array) -> jax.Array:
    """Inner products of flat vectors with another one, together.

    >>> x, y = jnp.arange(3.0), jnp.ones(3)
    >>> print(inner_products([x, y], y))
    [3. 3.]
    """
    if not _SHORT <= other.size <= _LONG:
        return jnp.stack([jnp.vdot(x, other, precision=_EXACT) for x in vectors])
    return _product(jnp.stack(vectors), lax.optimization_barrier(other))


def squared_norm(vector: jax.Array) -> jax.Array:
    """Inner product of a flat vector with itself.

    >>> print(squared_norm(jnp.array([1.0, 2.0])))
    5.0
    """
    if not _SHORT <= vector.size <= _LONG:
        return jnp.vdot(vector, vector, precision=_EXACT)
    # With a single row it would be an inner product again.
    return inner_products([vector, vector], vector)[0]


def any_is_negative(pairs: Sequence[tuple[Sequence[jax.Array], jax.Array]]) -> jax.Array:
    """Whether one of some inner products is negative or zero: of any of a group of flat vectors with the vector that
    belongs to the group.

    >>> x, y, z = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), jnp.array([1.0, 1.0])
    >>> print(any_is_negative([([x, y], z), ([y], y)]), any_is_negative([([x, y], x)]))
    False True
    """
    others = [other for _, other in pairs]
    if not _SHORT <= others[0].size <= _LONG:
        return jnp.any(jnp.concatenate([inner_products(vectors, other) for vectors, other in pairs]) <= 0)
    products = lax.dot_general(
        jnp.stack([jnp.stack(vectors) for vectors, _ in pairs]),
        jnp.stack(others),
        (((2,), (1,)), ((0,), (0,))),
        precision=_EXACT,
    )
    return jnp.any(products <= 0)
