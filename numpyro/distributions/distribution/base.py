# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The distribution interface: parameters as pytree leaves, shapes derived from them, validation.

A distribution is a pytree *by declaration*: its leaves are the instance attributes named in ``arg_constraints`` and
``pytree_data_fields``. When it is flattened, each array leaf is given exactly ``len(batch_shape)`` batch dimensions
before its own event dimensions, by inserting dimensions of size 1. ``batch_shape`` is computed from the leaves; what is
recorded at construction is the rank, and the sizes of those dimensions in which the leaves have size 1.

Stacking every leaf along a new leading axis, as ``lax.scan``, ``vmap`` and ``tree.map(jnp.stack, ...)`` do, therefore
prepends one dimension to the batch shape and moves no other; indexing every leaf takes it away again. Nothing in a
family or a wrapper needs to know about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, broadcast_shapes, can_expand, insert_batch_dims, shape_of
from numpyro.distributions import constraints
from numpyro.distributions._eager import Static, call_compiled, compiled_form
from numpyro.distributions._pytree import DERIVED, is_array
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.site_checks import value_conflict
from numpyro.util import find_stack_level, not_jax_tracer

__all__ = ["Distribution", "DistributionMeta", "enable_validation", "validation_enabled"]


def enable_validation(is_validate: bool = True) -> None:
    """Check parameters and values of all distributions made from now on.

    With validation on, a parameter outside its constraint raises a ``ValueError`` when it is concrete, and a value
    outside the support gives a warning (when it is concrete) and the log density ``-inf`` (always).

    >>> import numpyro
    >>> numpyro.enable_validation()
    >>> try:
    ...     numpyro.distributions.Normal(0.0, -1.0)
    ... except ValueError as error:
    ...     print(str(error).splitlines()[0])
    Normal: parameter 'scale' must satisfy Positive(lower_bound=0.0), but it is -1.0
    >>> numpyro.enable_validation(False)
    """
    Distribution.set_default_validate_args(is_validate)


@contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Switch validation on (or off) inside a ``with`` block; see :func:`enable_validation`."""
    before = Distribution._validate_args
    enable_validation(is_validate)
    try:
        yield
    finally:
        enable_validation(before)


#: Instance attributes that the base class keeps; everything else an instance holds is a parameter, a child, or static.
_BOOKKEEPING = frozenset(
    {
        "_given_batch_shape",
        "_expansion",
        "_event_shape",
        "_event_dims",
        "_field_names",
        "_validate_args",
        *DERIVED,
    }
)


def _holds_arrays(value: Any) -> bool:
    """Whether a value holds anything that a JAX transformation could change."""
    if isinstance(value, bool | int | float | complex | str | bytes | None):
        return False
    return any(is_array(leaf) for leaf in jax.tree.leaves(value))


def _distributions_in(value: Any) -> list[Distribution]:
    """The distributions that a field holds, alone or in a list, tuple or dict."""
    leaves = jax.tree.leaves(value, is_leaf=lambda x: isinstance(x, Distribution))
    return [leaf for leaf in leaves if isinstance(leaf, Distribution)]


def _is_numeric(value: Any) -> bool:
    """Whether a value is an array (concrete, traced or abstract) or a number."""
    return is_array(value) or isinstance(value, int | float | complex)


class DistributionMeta(type):
    """Finishes the construction of a distribution once the constructors of all its classes have run."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        distribution = super().__call__(*args, **kwargs)
        if isinstance(distribution, Distribution) and distribution._validate_args:
            distribution.validate_args(strict=False)
        return distribution


class Distribution(metaclass=DistributionMeta):
    """Base class of all distributions.

    A subclass declares its parameters in ``arg_constraints``, its ``support``, and implements :meth:`sample` and
    :meth:`log_prob`. It needs nothing else to work under ``jit``, ``vmap``, ``scan`` and plates.

    :param batch_shape: shape over which independent, not identically distributed draws are made.
    :param event_shape: shape of one draw.
    :param validate_args: whether to check parameters and values; None takes the global setting, see
        :func:`enable_validation`.

    >>> import jax, jax.numpy as jnp
    >>> import numpyro.distributions as dist
    >>> class Triangle(dist.Distribution):
    ...     arg_constraints = {"width": dist.constraints.positive}
    ...     support = dist.constraints.nonnegative
    ...     def __init__(self, width, *, validate_args=None):
    ...         self.width = width
    ...         super().__init__(jnp.shape(width), (), validate_args=validate_args)
    ...     def sample(self, key, sample_shape=()):
    ...         u = jax.random.uniform(key, self.shape(sample_shape))
    ...         return self.width * (1 - jnp.sqrt(u))
    ...     def log_prob(self, value):
    ...         return jnp.log(2 / self.width * (1 - value / self.width))
    >>> stacked = jax.lax.map(lambda w: Triangle(w).expand([5]), jnp.arange(1.0, 4.0))
    >>> stacked.batch_shape, stacked.sample(jax.random.key(0)).shape
    ((3, 5), (3, 5))
    """

    #: Parameters and the constraint on each.
    arg_constraints: ClassVar[dict[str, Any]] = {}
    #: Instance attributes, besides the parameters, that hold arrays or pytrees (such as wrapped distributions).
    pytree_data_fields: ClassVar[tuple[str, ...]] = ()
    #: Instance attributes that are static. An attribute that holds no array need not be named.
    pytree_aux_fields: ClassVar[tuple[str, ...]] = ()
    #: Set of values with nonzero density.
    support: Any = None
    #: Whether :meth:`enumerate_support` is available.
    has_enumerate_support: bool = False
    #: Parameters through which :meth:`rsample` differentiates.
    reparametrized_params: ClassVar[list[str]] = []

    _validate_args: bool = False
    # The classes that expand, to_event and mask make. They build on this one, so they enter themselves here.
    _wrappers: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "log_prob" in cls.__dict__:
            setattr(cls, "log_prob", _checked(cls.__dict__["log_prob"]))  # noqa: B010
        for name in ("mean", "variance", "mode", "entropy"):
            if name in cls.__dict__:
                setattr(cls, name, _of_full_shape(cls.__dict__[name]))
        jax.tree_util.register_pytree_node(cls, lambda d: d.tree_flatten(), cls.tree_unflatten)

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        *,
        validate_args: bool | None = None,
    ) -> None:
        self._given_batch_shape = tuple(batch_shape)
        self._event_shape = tuple(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args

    def _declare(
        self, *, event_shape: Sequence[int] = (), validate_args: bool | None = None, **parameters: Any
    ) -> None:
        """Store parameters and let the batch shape follow from them: the whole constructor of a simple family.

        A parameter that is None is not stored. Parameters keep the shapes they were given in; formulas broadcast.
        """
        for name, value in parameters.items():
            if isinstance(value, list | tuple):
                parameters[name] = value = np.asarray(value)
            if value is not None:
                setattr(self, name, value)
        batch_shapes = [
            self._batch_part(value, self._declared_event_dim(name))
            for name, value in parameters.items()
            if value is not None
        ]
        try:
            batch_shape = broadcast_shapes(*batch_shapes)
        except ValueError:
            shapes = ", ".join(f"{name} {shape_of(value)}" for name, value in parameters.items() if value is not None)
            raise ValueError(
                f"{type(self).__name__}: the batch shapes of its parameters do not broadcast together. Shapes: "
                f"{shapes}. "
                "Insert dimensions of size 1 (x[..., None]) so that dimensions that mean the same stand at the same "
                "place, "
                "counted from the right."
            ) from None
        Distribution.__init__(self, batch_shape, event_shape, validate_args=validate_args)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Parameters are attributes, named in ``arg_constraints``."""

    # Shapes

    @property
    def batch_shape(self) -> Shape:
        """Shape over which draws are independent: one distribution for each index."""
        shape = self.__dict__.get("_derived")
        if shape is None:
            shape = self._derived = self._derive_batch_shape()
        return shape

    @property
    def event_shape(self) -> Shape:
        """Shape of one draw from one distribution of the batch."""
        return self._event_shape

    @property
    def event_dim(self) -> int:
        """Number of dimensions of one draw."""
        return len(self.event_shape)

    def shape(self, sample_shape: Sequence[int] = ()) -> Shape:
        """Shape of ``sample(key, sample_shape)``: ``sample_shape + batch_shape + event_shape``."""
        return tuple(sample_shape) + self.batch_shape + self.event_shape

    @classmethod
    def infer_shapes(cls, *args: Any, **kwargs: Any) -> tuple[Shape, Shape]:
        """Batch and event shape that parameters of the given shapes lead to, without any array.

        >>> import numpyro.distributions as dist
        >>> dist.MultivariateNormal.infer_shapes((5, 2), scale_tril=(2, 2))
        ((5,), (2,))
        """
        abstract = [
            {name: jax.ShapeDtypeStruct(tuple(shape), jnp.result_type(float)) for name, shape in kwargs.items()},
            tuple(jax.ShapeDtypeStruct(tuple(shape), jnp.result_type(float)) for shape in args),
        ]
        result = jax.eval_shape(lambda named, positional: cls(*positional, **named), *abstract)
        return result.batch_shape, result.event_shape

    def _derive_batch_shape(self) -> Shape:
        """Batch shape: what was given to the constructor, or what the leaves say after a transformation."""
        given = self.__dict__.get("_given_batch_shape")
        if given is not None:
            return given
        shapes = self._field_batch_shapes()
        expansion = self.__dict__.get("_expansion", ())
        if not shapes:
            return tuple(1 if size is None else size for size in expansion)
        shape = broadcast_shapes(*shapes)
        recorded = ((None,) * len(shape) + expansion)[len(expansion) :]
        return tuple(
            size if size != 1 or wanted is None else wanted for size, wanted in zip(shape, recorded, strict=True)
        )

    def _field_batch_shapes(self) -> list[Shape]:
        """Batch shape of each field that has one."""
        shapes = []
        for name, value in self._data_fields().items():
            if _is_numeric(value):
                shapes.append(self._batch_part(value, self._field_event_dim(name, value)))
            for child in _distributions_in(value):
                shape = child.batch_shape
                shapes.append(shape[: len(shape) - self._extra_rank(name)])
        return shapes

    @staticmethod
    def _batch_part(value: Any, event_dim: int) -> Shape:
        shape = shape_of(value)
        return shape[: max(len(shape) - event_dim, 0)]

    # Pytree

    @classmethod
    @functools.cache
    def _declared_data(cls) -> frozenset[str]:
        """Names of the attributes whose values are data, over all base classes."""
        names: set[str] = set()
        for base in cls.__mro__:
            constraint_names = base.__dict__.get("arg_constraints", {})
            names.update(constraint_names if isinstance(constraint_names, dict) else ())
            names.update(base.__dict__.get("pytree_data_fields", ()))
        return frozenset(names)

    @classmethod
    @functools.cache
    def _declared_aux(cls) -> frozenset[str]:
        return frozenset(name for base in cls.__mro__ for name in base.__dict__.get("pytree_aux_fields", ()))

    def _data_fields(self) -> dict[str, Any]:
        """Instance attributes that hold data: the declared ones, and any other in which an array is found."""
        names = self.__dict__.get("_field_names")
        if names is not None:
            return {name: self.__dict__[name] for name in names}
        declared, static = self._declared_data(), self._declared_aux()
        return {
            name: value
            for name, value in sorted(self.__dict__.items())
            if name not in _BOOKKEEPING
            and value is not None
            and name not in static
            and (name in declared or _holds_arrays(value))
        }

    def _declared_event_dim(self, name: str) -> int:
        constraint: Any = type(self).arg_constraints.get(name)
        try:
            return int(constraint.event_dim)
        except (AttributeError, NotImplementedError, TypeError):
            return 0

    def _field_event_dim(self, name: str, value: Any) -> int:
        """Number of trailing dimensions of an array field that do not belong to the batch.

        A declared parameter says so by its constraint. For one with more dimensions than batch and constraint
        account for, and for an undeclared array, the dimensions beyond the batch are its own.
        """
        recorded = self.__dict__.get("_event_dims")
        if recorded is not None and name in recorded:
            return recorded[name]
        given = self.__dict__.get("_given_batch_shape")
        shape = shape_of(value)
        if name in self.arg_constraints:
            declared = self._declared_event_dim(name)
            return declared if given is None else max(declared, len(shape) - len(given))
        if given is None:
            return 0
        own = len(shape) - len(given)
        if own < 0:
            # It broadcasts with the batch, or with the events.
            ends_in_event = self.event_dim and shape[-self.event_dim :] == self.event_shape
            own = self.event_dim if ends_in_event else 0
        return own if can_expand(shape[: len(shape) - own], given) else len(shape)

    def _extra_rank(self, name: str) -> int:
        """How many batch dimensions a wrapped distribution has beyond those of this one."""
        return 0

    def _align_field(self, name: str, value: Any, rank: int) -> Any:
        """A field's value with its arrays aligned to ``rank`` batch dimensions of this distribution."""
        if isinstance(value, Distribution):
            return value._aligned(rank + self._extra_rank(name))
        if isinstance(value, Constraint):
            return value.aligned(rank + self.event_dim)
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            return type(value)(self._align_field(name, item, rank) for item in value)
        if isinstance(value, dict):
            return {key: self._align_field(name, item, rank) for key, item in value.items()}
        if _is_numeric(value):
            return insert_batch_dims(value, rank, self._field_event_dim(name, value))
        return value

    def _is_aligned(self) -> bool:
        return "_given_batch_shape" not in self.__dict__

    def _aligned(self, rank: int | None = None) -> Distribution:
        """This distribution with every leaf at exactly ``rank`` batch dimensions (by default, its own rank)."""
        if self._is_aligned() and (rank is None or rank == len(self.batch_shape)):
            return self
        if type(self).tree_flatten is not Distribution.tree_flatten:
            return self
        own_rank = len(self.batch_shape)
        rank = own_rank if rank is None else max(rank, own_rank)
        aligned: Any = object.__new__(type(self))
        event_dims = {}
        fields = self._data_fields()
        for name, value in fields.items():
            if _is_numeric(value):
                event_dims[name] = self._field_event_dim(name, value)
        aligned.__dict__.update(
            {
                name: value
                for name, value in self.__dict__.items()
                if name not in fields and name not in ("_given_batch_shape", "_derived", "_lazy_cache")
            }
        )
        aligned._event_dims = event_dims
        aligned._field_names = tuple(fields)
        for name, value in fields.items():
            aligned.__dict__[name] = self._align_field(name, value, rank)
        wanted = (1,) * (rank - own_rank) + self.batch_shape
        shapes = aligned._field_batch_shapes()
        aligned._expansion = wanted if not shapes else _sizes_to_record(broadcast_shapes(*shapes), wanted)
        return aligned

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        """Leaves, each aligned to the batch rank, and the static rest."""
        aligned = self if self._is_aligned() else self._aligned()
        fields = aligned._data_fields()
        static = tuple(
            (name, Static(value))
            for name, value in sorted(aligned.__dict__.items())
            if name not in fields and name not in ("_derived", "_lazy_cache", "_field_names")
        )
        return tuple(fields.values()), (tuple(fields), static)

    @classmethod
    def tree_unflatten(cls, aux_data: Any, children: Sequence[Any]) -> Distribution:
        """Put leaves back, whatever they are; shapes are computed from them when somebody asks."""
        names, static = aux_data
        distribution: Any = object.__new__(cls)
        attributes = distribution.__dict__
        for name, holder in static:
            attributes[name] = holder.value
        attributes.update(zip(names, children, strict=True))
        attributes["_field_names"] = names
        distribution._drop_padding()
        return distribution

    def _drop_padding(self) -> None:
        """Where only some parameters were mapped over, take the dimension that aligned the others to them off them.

        As long as all leaves are transformed alike they have the same batch rank, and this does nothing.
        """
        attributes = self.__dict__
        event_dims = attributes.get("_event_dims", {})
        ranks = {
            name: len(np.shape(attributes[name])) - dim
            for name, dim in event_dims.items()
            if is_array(attributes[name])
        }
        if len(set(ranks.values())) < 2 or max(ranks.values()) > len(attributes["_expansion"]):
            return
        for name, rank in ranks.items():
            value = attributes[name]
            excess = rank - min(ranks.values())
            if excess and np.shape(value)[:excess] == (1,) * excess:
                attributes[name] = value.reshape(np.shape(value)[excess:])

    # Sampling and density

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """Draw independent samples.

        :param key: a JAX random key.
        :param sample_shape: shape of the independent draws.
        :return: array of shape ``sample_shape + batch_shape + event_shape``.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be sampled")

    def rsample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        """Draw samples that are differentiable with respect to the parameters; see :attr:`has_rsample`."""
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self).__name__} has no reparameterised sampler")
        return self.sample(key, sample_shape)

    def sample_with_intermediates(self, key: Any, sample_shape: Sequence[int] = ()) -> tuple[Any, Any]:
        """Draw samples, with what :meth:`log_prob` can reuse of the computation."""
        return self.sample(key, sample_shape), []

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        """Log density.

        :param value: values of shape ``S + batch_shape + event_shape``.
        :return: array of shape ``S + batch_shape``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no density")

    def cdf(self, value: Any) -> Any:
        """Cumulative distribution function."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form cdf")

    def log_cdf(self, value: Any) -> Any:
        """Logarithm of the cumulative distribution function."""
        return jnp.log(self.cdf(value))

    def icdf(self, q: Any) -> Any:
        """Quantile function: the inverse of :meth:`cdf`."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form icdf")

    @property
    def mean(self) -> Any:
        """Mean, of shape ``batch_shape + event_shape``."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form mean")

    @property
    def variance(self) -> Any:
        """Variance of each element, of shape ``batch_shape + event_shape``."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form variance")

    @property
    def mode(self) -> Any:
        """Value of the highest density, of shape ``batch_shape + event_shape``."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form mode")

    def entropy(self) -> Any:
        """Differential (or, for a discrete distribution, Shannon) entropy in nats, of shape ``batch_shape``."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form entropy")

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values of a univariate discrete distribution along a new leading axis.

        :param expand: whether to repeat the values over the batch; else the batch dimensions have size 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no finite support to enumerate")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Draw: ``d(rng_key=key, sample_shape=(...))``; with ``sample_intermediates=True`` also the intermediates."""
        key = kwargs.pop("rng_key", None)
        if kwargs.pop("sample_intermediates", False):
            return self.sample_with_intermediates(key, *args, **kwargs)
        return self.sample(key, *args, **kwargs)

    # Wrapping

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """The distribution with its batch shape expanded; draws along the new dimensions are independent.

        >>> import numpyro.distributions as dist
        >>> dist.Normal(0.0, 1.0).expand([5, 3]).batch_shape
        (5, 3)
        """
        batch_shape = tuple(batch_shape)
        if batch_shape == self.batch_shape:
            return self
        return self._wrappers["expand"](self, batch_shape)

    def expand_by(self, sample_shape: Sequence[int]) -> Distribution:
        """The distribution with ``sample_shape`` prepended to its batch shape."""
        return self.expand(tuple(sample_shape) + self.batch_shape)

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> Distribution:
        """Turn the last batch dimensions into event dimensions (all of them by default).

        >>> import numpyro.distributions as dist
        >>> d = dist.Normal(0.0, 1.0).expand([5, 3]).to_event(1)
        >>> d.batch_shape, d.event_shape
        ((5,), (3,))
        """
        if reinterpreted_batch_ndims is None:
            reinterpreted_batch_ndims = len(self.batch_shape)
        if reinterpreted_batch_ndims == 0:
            return self
        return self._wrappers["to_event"](self, reinterpreted_batch_ndims)

    def mask(self, mask: Any) -> Distribution:
        """The distribution with the log density replaced by 0 where ``mask`` is False.

        :param mask: a boolean, or a boolean array that broadcasts with ``batch_shape``.
        """
        if mask is True:
            return self
        return self._wrappers["mask"](self, mask)

    # Properties

    @property
    def has_rsample(self) -> bool:
        """Whether samples are differentiable with respect to all parameters."""
        return set(self.reparametrized_params) == set(self.arg_constraints)

    @property
    def is_discrete(self) -> bool:
        """Whether the support is discrete."""
        return self.support.is_discrete

    def _feasible_like(self, prototype: Any) -> Any:
        """Some value at which the density can be computed, of the prototype's shape; None if no such value is known."""
        if not isinstance(self.support, Constraint) or constraints.is_dependent(self.support):
            return None
        return self.support.feasible_like(prototype)

    def get_args(self) -> dict[str, Any]:
        """The parameters by name, as they were given (those that were not given are left out)."""
        return {name: self.__dict__[name] for name in self.arg_constraints if self.__dict__.get(name) is not None}

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Set whether distributions are validated by default."""
        if value not in (True, False):
            raise ValueError(f"validation is switched by True or False, not by {value!r}")
        Distribution._validate_args = value

    def validate_args(self, strict: bool = True) -> None:
        """Check that each parameter satisfies its constraint.

        :param strict: raise if a parameter is abstract (inside ``jit``), and so cannot be checked.
        :raises ValueError: naming distribution, parameter, constraint and the offending values.
        """
        for name, value in self.get_args().items():
            constraint = self._argument_constraint(name)
            if constraint is None or constraints.is_dependent(constraint):
                continue
            if not not_jax_tracer(value):
                if strict:
                    raise RuntimeError(f"{type(self).__name__}.validate_args was called inside jit: {name} is abstract")
                continue
            if not isinstance(value, np.ndarray | np.generic | int | float | complex | jax.Array):
                continue
            value = np.asarray(value)
            holds = np.asarray(constraint(value))
            if not holds.all():
                offending = value if holds.ndim == 0 else value[~np.broadcast_to(holds, value.shape[: holds.ndim])]
                raise ValueError(
                    f"{type(self).__name__}: parameter '{name}' must satisfy {constraint}, but it is "
                    f"{np.array2string(offending, threshold=8, precision=6) if offending.ndim else offending}\n"
                    f"(shape {value.shape}, {holds.size - np.count_nonzero(holds)} of {holds.size} entries)."
                )

    def _argument_constraint(self, name: str) -> Any:
        return self.arg_constraints[name]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={self.batch_shape}, event_shape={self.event_shape})"


jax.tree_util.register_pytree_node(Distribution, lambda d: d.tree_flatten(), Distribution.tree_unflatten)


def _sizes_to_record(shape: Shape, wanted: Shape) -> tuple[int | None, ...]:
    """Sizes that ``wanted`` has beyond those of ``shape``; None where ``shape`` says it already."""
    padded = (1,) * (len(wanted) - len(shape)) + shape
    return (
        tuple(
            want if have == 1 and want != 1 else None for have, want in zip(padded[-len(wanted) :], wanted, strict=True)
        )
        if wanted
        else ()
    )


def _of_full_shape(summary: Any) -> Any:
    """Let a family write its moments and entropy as plain formulas: broadcast the result to the promised shape."""
    fget = summary.fget if isinstance(summary, property) else summary
    if not inspect.isfunction(fget) or getattr(fget, "_is_full", False):
        return summary

    @functools.wraps(fget)
    def full(self: Distribution, *args: Any, **kwargs: Any) -> Any:
        result = fget(self, *args, **kwargs)
        shape = self.shape() if isinstance(summary, property) else self.batch_shape
        if isinstance(result, int | float):
            result = np.asarray(result, jnp.result_type(float))
        return jnp.broadcast_to(result, shape)

    full._is_full = True  # type: ignore[attr-defined]
    return property(full, summary.fset) if isinstance(summary, property) else full


def _checked(log_prob: Callable[..., Any]) -> Callable[..., Any]:
    """Check the value's shape before a density is computed, and, with validation on, its membership in the support.

    A density of the package that is called eagerly is computed by one compiled program.
    """
    if getattr(log_prob, "_is_checked", False):
        return log_prob

    def guarded(self: Distribution, value: Any, holds: Any) -> Any:
        if holds is None:
            return log_prob(self, value)
        inside = jnp.reshape(holds, jnp.shape(holds) + (1,) * self.event_dim)
        safe_value = jnp.where(inside, value, self.support.feasible_like(jnp.asarray(value)))
        return jnp.where(holds, log_prob(self, safe_value), -jnp.inf)

    is_ours = log_prob.__module__.startswith("numpyro.distributions.")
    form = compiled_form(lambda self, value: guarded(self, value, _inside_support(self, value))) if is_ours else None

    @functools.wraps(log_prob)
    def checked(self: Distribution, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, list | tuple):
            value = np.asarray(value)
        explanation = value_conflict(self, shape_of(value))
        if explanation is not None:
            raise ValueError(f"{type(self).__name__}.log_prob: {explanation}")
        if args or kwargs.get("intermediates"):
            return log_prob(self, value, *args, **kwargs)
        holds = _inside_support(self, value)
        if holds is not None and not_jax_tracer(holds) and not np.all(np.asarray(holds)):
            warnings.warn(
                f"{type(self).__name__}.log_prob: some values lie outside the support, {self.support}; their log "
                "density is -inf.",
                stacklevel=find_stack_level(),
            )
        if form is not None:
            is_done, result = call_compiled(form, self, value)
            if is_done:
                return result
        return guarded(self, value, holds)

    checked._is_checked = True  # type: ignore[attr-defined]
    return checked


def _inside_support(d: Distribution, value: Any) -> Any:
    """Which of the values lie in the support; None if validation is off, or the support is not known."""
    if not d._validate_args or not isinstance(d.support, Constraint) or constraints.is_dependent(d.support):
        return None
    return d.support(value)
