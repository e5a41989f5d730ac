# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The distributions of TensorFlow Probability (its JAX substrate) in models.

Every distribution of ``tensorflow_probability.substrates.jax.distributions`` can be made here by its name, with the
same parameters, and is then a :class:`~numpyro.distributions.Distribution`::

    from numpyro.contrib.tfp import distributions as tfd
    x = numpyro.sample("x", tfd.Weibull(1.5, 2.0))

An object that exists already is wrapped by :class:`TFPDistribution`. TensorFlow Probability is imported when the first
of them is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import Shape, insert_batch_dims, shape_of
from numpyro.distributions import Distribution, biject_to, constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms import Transform
from numpyro.distributions.util import lazy_property

__all__ = ["BijectorConstraint", "BijectorTransform", "TFPDistribution"]


def _is_array_like(value: Any) -> bool:
    is_number = isinstance(value, int | float | complex | np.generic) and not isinstance(value, bool)
    return is_number or isinstance(getattr(value, "shape", None), tuple)


def _as_parameter(value: Any) -> Any:
    """Lists of numbers are parameters too."""
    if isinstance(value, list | tuple):
        try:
            array = np.asarray(value)
        except ValueError:
            return value
        return array if array.dtype.kind in "biufc" else value
    return value


class TFPDistribution(Distribution):
    """A distribution of TensorFlow Probability.

    It keeps the parameters, and makes the TFP distribution from them when it is asked something, so that it obeys the
    shape laws as any other distribution: stacking the parameters of several stacks their batch shapes.

    :param tfp_dist: an instance of a class of ``tensorflow_probability.substrates.jax.distributions``. One that is made
        of others (a mixture, a transformed distribution) keeps them as they are; let their parameters have all batch
        dimensions if they are to be stacked.

    What :class:`~numpyro.distributions.Distribution` does not have is looked up in the TFP distribution.
    """

    pytree_data_fields = ("_parameters",)
    pytree_aux_fields = ("_family", "_options", "_parameter_event_dims")
    _parameters: dict[str, Any]

    def __init__(self, tfp_dist: Any, *, validate_args: bool | None = None) -> None:
        for name in ("parameters", "parameter_properties", "batch_shape", "event_shape", "log_prob"):
            if not hasattr(tfp_dist, name):
                raise TypeError(
                    f"TFPDistribution: {tfp_dist!r} is no distribution of TensorFlow Probability: it has no {name}."
                )
        properties = tfp_dist.parameter_properties()
        given = {name: _as_parameter(value) for name, value in tfp_dist.parameters.items() if value is not None}
        self._family = type(tfp_dist)
        self._parameters = {
            name: value
            for name, value in given.items()
            if _is_array_like(value) or (not _is_static(value) and jax.tree.leaves(value))
        }
        self._options = {name: value for name, value in given.items() if name not in self._parameters}
        self._parameter_event_dims = {
            name: _event_ndims(properties[name], tfp_dist) if name in properties else 0 for name in self._parameters
        }
        super().__init__(tuple(tfp_dist.batch_shape), tuple(tfp_dist.event_shape), validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        return getattr(self.tfp_dist, name)

    @lazy_property
    def tfp_dist(self) -> Any:
        """The distribution of TensorFlow Probability."""
        return self._family(**self._parameters, **self._options)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """What the TFP distribution answers whatever the values of its parameters, which may be abstract."""
        answers = []

        def build(parameters: dict[str, Any]) -> None:
            answers.append(question(self._family(**parameters, **self._options)))

        jax.eval_shape(build, self._parameters)
        return answers[0]

    def _field_batch_shapes(self) -> list[Shape]:
        return [tuple(self._ask(lambda d: d.batch_shape))]

    def _align_field(self, name: str, value: Any, rank: int) -> Any:
        return {
            key: insert_batch_dims(x, rank, self._parameter_event_dims[key]) if _is_array_like(x) else x
            for key, x in value.items()
        }

    @property
    def support(self) -> Any:
        """The image of TFP's default bijector from the unconstrained space; for integers, a set by the family."""
        bijector = self.tfp_dist.experimental_default_event_space_bijector()
        if bijector is not None:
            image = BijectorConstraint(bijector)
            return constraints.independent(image, self.event_dim - image.event_dim)
        make = DISCRETE_SUPPORTS.get(self._family.__name__)
        if make is not None:
            return make(self.tfp_dist)
        return constraints.dependent(is_discrete=True, event_dim=self.event_dim)

    @property
    def is_discrete(self) -> bool:
        return self._ask(lambda d: d.experimental_default_event_space_bijector() is None)

    @property
    def has_enumerate_support(self) -> bool:
        return self._family.__name__ in ("Bernoulli", "Categorical")

    @property
    def has_rsample(self) -> bool:
        return "FULLY_REPARAMETERIZED" in repr(self._ask(lambda d: d.reparameterization_type))

    def sample(self, key: Any, sample_shape: Sequence[int] = ()) -> Any:
        value = self.tfp_dist.sample(tuple(sample_shape), seed=key)
        # The TFP distribution does not know of an expansion along parameters of size 1 that was recorded here.
        if jnp.shape(value) == self.shape(sample_shape):
            return value
        return self._family(**self._expanded_parameters(), **self._options).sample(tuple(sample_shape), seed=key)

    def _expanded_parameters(self) -> dict[str, Any]:
        batch_shape = self.batch_shape
        expanded = {}
        for name, value in self._parameters.items():
            shape = shape_of(value)
            event = shape[len(shape) - self._parameter_event_dims[name] :]
            expanded[name] = jnp.broadcast_to(value, batch_shape + event) if _is_array_like(value) else value
        return expanded

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        return self.tfp_dist.log_prob(value)

    def cdf(self, value: Any) -> Any:
        return self.tfp_dist.cdf(value)

    def log_cdf(self, value: Any) -> Any:
        return self.tfp_dist.log_cdf(value)

    def icdf(self, q: Any) -> Any:
        return self.tfp_dist.quantile(q)

    @property
    def mean(self) -> Any:
        return self.tfp_dist.mean()

    @property
    def variance(self) -> Any:
        return self.tfp_dist.variance()

    @property
    def mode(self) -> Any:
        return self.tfp_dist.mode()

    def entropy(self) -> Any:
        return self.tfp_dist.entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        if not self.has_enumerate_support:
            raise NotImplementedError(f"{self._family.__name__} has no finite support to enumerate")
        size = 2 if self._family.__name__ == "Bernoulli" else _num_categories(self.tfp_dist)
        values = jnp.arange(size, dtype=self.tfp_dist.dtype).reshape((size,) + (1,) * len(self.batch_shape))
        return jnp.broadcast_to(values, (size, *self.batch_shape)) if expand else values

    def __repr__(self) -> str:
        name = f"TFPDistribution[{self._family.__name__}]"
        return f"{name}(batch_shape={self.batch_shape}, event_shape={self.event_shape})"


def _is_static(value: Any) -> bool:
    return isinstance(value, bool | str | bytes | type) or (callable(value) and not hasattr(value, "parameters"))


def _event_ndims(properties: Any, tfp_dist: Any) -> int:
    """Number of event dimensions of a parameter, which may depend on the distribution."""
    event_ndims = properties.event_ndims
    return int(event_ndims(tfp_dist) if callable(event_ndims) else event_ndims or 0)


def _num_categories(tfp_dist: Any) -> int:
    given = tfp_dist.parameters
    return shape_of(given["probs"] if given.get("logits") is None else given["logits"])[-1]


#: Supports of discrete distributions, from the TFP distribution.
DISCRETE_SUPPORTS: dict[str, Callable[[Any], Constraint]] = {
    "Bernoulli": lambda d: constraints.boolean,
    "Binomial": lambda d: constraints.integer_interval(0, d.total_count),
    "Categorical": lambda d: constraints.integer_interval(0, _num_categories(d) - 1),
    "Geometric": lambda d: constraints.nonnegative_integer,
    "NegativeBinomial": lambda d: constraints.nonnegative_integer,
    "Poisson": lambda d: constraints.nonnegative_integer,
}


class BijectorConstraint(Constraint):
    """The image of a bijector of TensorFlow Probability.

    :param bijector: a bijector from the unconstrained space.
    """

    def __init__(self, bijector: Any) -> None:
        self.bijector = bijector

    @property
    def event_dim(self) -> int:
        return int(self.bijector.inverse_min_event_ndims)

    def __call__(self, x: Any) -> Any:
        """Whether a value comes from somewhere: its inverse is finite, and leads back to it."""
        x = jnp.asarray(x)
        origin = self.bijector.inverse(x)
        lost = ~jnp.isfinite(origin)
        back = self.bijector.forward(jnp.where(lost, 0.0, origin))
        near = jnp.abs(back - x) <= 1e-3 * (1 + jnp.abs(x))
        axes = lambda n: tuple(range(-n, 0))
        found = ~jnp.any(lost, axes(int(self.bijector.forward_min_event_ndims)))
        return found & jnp.all(near, axes(self.event_dim))

    def feasible_like(self, prototype: Any) -> Any:
        transform = BijectorTransform(self.bijector)
        return transform(jnp.zeros(transform.inverse_shape(shape_of(prototype)), jnp.result_type(float)))


class BijectorTransform(Transform):
    """A bijector of TensorFlow Probability.

    :param bijector: an object with ``forward``, ``inverse`` and ``forward_log_det_jacobian``.
    """

    def __init__(self, bijector: Any) -> None:
        self.bijector = bijector

    @property
    def domain(self) -> Constraint:
        return constraints.independent(constraints.real, int(self.bijector.forward_min_event_ndims))

    @property
    def codomain(self) -> Constraint:
        return BijectorConstraint(self.bijector)

    def __call__(self, x: Any) -> Any:
        return self.bijector.forward(x)

    def _inverse(self, y: Any) -> Any:
        return self.bijector.inverse(y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        event_ndims = int(self.bijector.forward_min_event_ndims)
        result = self.bijector.forward_log_det_jacobian(x, event_ndims=event_ndims)
        # A bijector with a constant Jacobian determinant says it once.
        shape = shape_of(x)
        return jnp.broadcast_to(result, shape[: len(shape) - event_ndims])

    def forward_shape(self, shape: Sequence[int]) -> Shape:
        return tuple(self.bijector.forward_event_shape(tuple(shape)))

    def inverse_shape(self, shape: Sequence[int]) -> Shape:
        return tuple(self.bijector.inverse_event_shape(tuple(shape)))


biject_to.register(BijectorConstraint, lambda constraint: BijectorTransform(constraint.bijector))


def _tfp_distributions() -> Any:
    try:
        return importlib.import_module("tensorflow_probability.substrates.jax.distributions")
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "numpyro.contrib.tfp.distributions needs a TensorFlow Probability that works with the installed JAX "
            f"({jax.__version__}): pip install tensorflow-probability, or tfp-nightly for a JAX newer than that. "
            f"Importing it failed: {error}"
        ) from error


def __getattr__(name: str) -> Any:
    """What TFP has under this name; a class of distributions as a function that makes a :class:`TFPDistribution`."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    tfd = _tfp_distributions()
    found = getattr(tfd, name)
    if not (isinstance(found, type) and issubclass(found, tfd.Distribution)):
        return found

    @functools.wraps(found, updated=())
    def make(*args: Any, **kwargs: Any) -> TFPDistribution:
        return TFPDistribution(found(*_unwrapped(args), **_unwrapped(kwargs)))

    return make


def _unwrapped(arguments: Any) -> Any:
    """Arguments with TFP's own distributions in the places of wrapped ones."""
    is_wrapped = lambda x: isinstance(x, TFPDistribution)
    if isinstance(arguments, dict):
        return {name: value.tfp_dist if is_wrapped(value) else value for name, value in arguments.items()}
    return [value.tfp_dist if is_wrapped(value) else value for value in arguments]
