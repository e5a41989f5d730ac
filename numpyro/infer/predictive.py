# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Predictions and log likelihoods at many draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
from functools import partial
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.arguments import combine, partition
from numpyro.infer.compilation import quickly_compiled
from numpyro.infer.many_draws import over_draws
from numpyro.infer.programs import programs_of
from numpyro.infer.random_words import cheaply_seeded
from numpyro.primitives import Messenger

__all__ = ["Predictive", "log_likelihood"]


class _Values(Messenger):
    """Puts given values in the place of latent sample sites and parameters, and of deterministic sites if wished."""

    def __init__(self, fn: Any, data: dict[str, Any], condition_deterministic: bool = False) -> None:
        super().__init__(fn)
        self.data = data
        self.types = ("sample", "param", "deterministic") if condition_deterministic else ("sample", "param")

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] not in self.types or msg["name"] not in self.data or msg.get("is_observed"):
            return
        msg["value"] = self.data[msg["name"]]
        if msg["type"] == "sample":
            msg["intermediates"] = []


class Predictive:
    """Draws from the predictive distribution: runs a model with latent sites at given draws, and the others sampled.

    Leave what is to be predicted unobserved: pass None for the data. Sites inside ``scan`` take draws of
    fewer steps than the scan has: the rest is drawn, which is a forecast.

    :param model: the model.
    :param posterior_samples: draws by site name with leading axes for the draws, or None for the prior predictive.
    :param guide: a guide, whose draws take the place of ``posterior_samples``.
    :param params: values of ``param`` sites in model and guide.
    :param num_samples: number of draws; needed where neither ``posterior_samples`` nor batched ``params`` tell it.
    :param return_sites: names of the sites to return; by default sample sites without given draws, and deterministic
        ones.
    :param infer_discrete: not available yet.
    :param parallel: run all draws at once by ``vmap``, whatever memory that takes, rather than as many at a time as fit
        in some 64 MiB.
    :param batch_ndims: number of leading axes of the draws (1 by default, 0 for a single one, 2 for chains by draws).
    :param condition_deterministic: take deterministic sites from ``posterior_samples`` too; by default they are
        computed again.
    :param exclude_deterministic: the opposite of ``condition_deterministic``, its name in earlier versions.
    :raises ValueError: where the number of draws is unknown or the draws disagree about it.

    Later calls with arguments of the same shapes compile nothing, nor do those of another object with draws of the same
    shapes for the same model.

    >>> import jax, numpyro, numpyro.distributions as dist
    >>> def model(y=None):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    ...     return numpyro.sample("y", dist.Normal(mu, 1.0).expand([3]), obs=y)
    >>> draws = {"mu": jax.numpy.zeros(100)}
    >>> {name: x.shape for name, x in Predictive(model, draws)(jax.random.key(0)).items()}
    {'y': (100, 3)}
    """

    def __init__(
        self,
        model: Callable[..., Any],
        posterior_samples: dict[str, Any] | None = None,
        *,
        guide: Callable[..., Any] | None = None,
        params: dict[str, Any] | None = None,
        num_samples: int | None = None,
        return_sites: Sequence[str] | None = None,
        infer_discrete: bool = False,
        parallel: bool = False,
        batch_ndims: int | None = None,
        condition_deterministic: bool | None = None,
        exclude_deterministic: bool | None = None,
    ) -> None:
        if infer_discrete:
            raise NotImplementedError(
                "Predictive(infer_discrete=True) needs enumeration of discrete sites, which is not available yet"
            )
        if posterior_samples is None and guide is None and num_samples is None and not params:
            raise ValueError(
                "Predictive needs posterior_samples, a guide, params or num_samples to know how many draws to make"
            )
        if posterior_samples and guide is not None:
            raise ValueError("Predictive takes posterior_samples or a guide, which makes them, but not both")
        if exclude_deterministic is not None:
            warnings.warn(
                "exclude_deterministic is deprecated; write condition_deterministic="
                f"{not exclude_deterministic} instead",
                FutureWarning,
                stacklevel=2,
            )
            if condition_deterministic is None:
                condition_deterministic = not exclude_deterministic
        self.model = model
        self.posterior_samples = posterior_samples or {}
        self.guide = guide
        self.params = params or {}
        self.return_sites = return_sites
        self.infer_discrete = infer_discrete
        self.parallel = parallel
        self.batch_ndims = (0 if guide is not None else 1) if batch_ndims is None else batch_ndims
        self.condition_deterministic = bool(condition_deterministic)
        self.num_samples, self._batch_shape = self._draw_shape(num_samples)
        self._compiled: Callable[..., Any] | None = None

    @property
    def exclude_deterministic(self) -> bool:
        """Whether deterministic sites are computed again; the opposite of ``condition_deterministic``."""
        return not self.condition_deterministic

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}

    def _draw_shape(self, num_samples: int | None) -> tuple[int, tuple[int, ...]]:
        """Number of draws and their shape, from what was given."""
        batched = self.posterior_samples or (self.params if self.guide is None or self.batch_ndims else {})
        if self.guide is not None and not self.posterior_samples:
            if num_samples is None and not self.batch_ndims:
                num_samples = 1
            if not self.batch_ndims:
                return int(num_samples or 1), (int(num_samples or 1),)
        shape: tuple[int, ...] | None = None
        for name, value in batched.items():
            leading = shape_of(value)[: self.batch_ndims]
            if len(leading) < self.batch_ndims:
                raise ValueError(
                    f"Predictive: '{name}' has shape {shape_of(value)}, which has fewer than "
                    f"batch_ndims={self.batch_ndims} dimensions"
                )
            if shape is None:
                shape = leading
            elif shape != leading:
                raise ValueError(
                    f"Predictive: the draws disagree about their number: '{name}' has leading shape {leading}, others "
                    f"have {shape}"
                )
        if shape is None:
            if num_samples is None:
                raise ValueError("Predictive: num_samples is needed, since no draws are given that would tell it")
            return num_samples, (num_samples,)
        count = int(np.prod(shape))
        if num_samples is not None and num_samples != count:
            if not self.batch_ndims:
                return num_samples, (num_samples,)
            warnings.warn(
                f"Predictive: num_samples={num_samples} is not the number of draws in posterior_samples, {count}, "
                f"which is used",
                UserWarning,
                stacklevel=3,
            )
        return count, shape

    def __call__(self, rng_key: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Draw, with the given arguments of the model; returns arrays by site name, the draws' axes first."""
        arrays, static = partition((args, kwargs))
        try:
            return self._program()(static, rng_key, arrays, self.posterior_samples, self.params)
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
            # The model looks at its arguments' values (an `if`, a shape): they become constants of the program.
            constant = jax.jit(lambda rng_key, draws, params: self._predict(static, rng_key, arrays, draws, params))
            return constant(rng_key, self.posterior_samples, self.params)

    def _program(self) -> Callable[..., Any]:
        """The compiled program, which other objects share that differ in the draws only."""
        if self._compiled is None:
            bare = copy.copy(self)
            bare.posterior_samples, bare.params = {}, {}
            settings = {name: value for name, value in vars(bare).items() if name != "model"}
            given = tuple(sorted(self.posterior_samples)), tuple(sorted(self.params))
            programs = programs_of(self.model, ("Predictive", settings, given))
            programs = {} if programs is None else programs
            if "predict" not in programs:
                programs["predict"] = quickly_compiled(bare._predict, effort=1, static_argnums=0)
            self._compiled = programs["predict"]
        return self._compiled

    def _predict(self, static: Any, rng_key: Any, arrays: Any, draws: Any, params: Any) -> dict[str, Any]:
        args, kwargs = combine(arrays, static)
        if not self.batch_ndims and not (self.guide is not None or not draws):
            if self.num_samples == 1:
                return self._one(rng_key, draws, params, args, kwargs)
        keys = jax.random.split(rng_key, self.num_samples)
        flatten = partial(jax.tree.map, lambda x: jnp.reshape(x, (self.num_samples, *shape_of(x)[self.batch_ndims :])))
        batched_draws = flatten(draws) if self.batch_ndims else {}
        batched_params = flatten(params) if self.batch_ndims and self.guide is not None else {}
        shared_draws = {} if self.batch_ndims else draws
        shared_params = {} if self.batch_ndims and self.guide is not None else params

        def single(inputs: Any) -> dict[str, Any]:
            key, draw, param = inputs
            return self._one(key, draw | shared_draws, param | shared_params, args, kwargs)

        inputs = (keys, batched_draws, batched_params)
        result = over_draws(single, inputs, self.num_samples, together=self.parallel)
        shape = self._batch_shape if len(self._batch_shape) else (self.num_samples,)
        return jax.tree.map(lambda x: jnp.reshape(x, shape + x.shape[1:]), result)

    def _one(self, key: Any, draw: Any, params: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        """One run of the model."""
        if self.guide is not None:
            key, guide_key = jax.random.split(key)
            guide = substitute(cheaply_seeded(self.guide, rng_seed=guide_key), data=params)
            recorded = trace(guide).get_trace(*args, **kwargs)
            draw = {name: site["value"] for name, site in recorded.items() if site["type"] == "sample"}
            if self.condition_deterministic:
                draw |= {name: site["value"] for name, site in recorded.items() if site["type"] == "deterministic"}
        model = _Values(cheaply_seeded(self.model, rng_seed=key), {**params, **draw}, self.condition_deterministic)
        recorded = trace(model).get_trace(*args, **kwargs)
        if self.return_sites == "" or self.return_sites == ():
            wanted = [name for name, site in recorded.items() if site["type"] in ("sample", "deterministic")]
        elif self.return_sites is not None:
            wanted = list(self.return_sites)
            missing = [name for name in wanted if name not in recorded]
            if missing:
                raise ValueError(
                    f"Predictive: the model has no site {', '.join(map(repr, missing))}; it has {', '.join(recorded)}"
                )
        else:
            wanted = [
                name
                for name, site in recorded.items()
                if site["type"] == "deterministic"
                or (site["type"] == "sample" and (name not in draw or _is_longer(site["value"], draw[name])))
            ]
        return {name: recorded[name]["value"] for name in wanted}


def _is_longer(value: Any, given: Any) -> bool:
    """Whether a site has more steps than were given, so that the others were drawn."""
    return shape_of(value)[:1] > shape_of(given)[:1]


def log_likelihood(
    model: Callable[..., Any],
    posterior_samples: dict[str, Any],
    *args: Any,
    parallel: bool = False,
    batch_ndims: int = 1,
    **kwargs: Any,
) -> dict[str, Any]:
    """Log likelihood of each observation at each draw.

    :param model: the model.
    :param posterior_samples: draws of all latent sites by name, with ``batch_ndims`` leading axes.
    :param args: the model's arguments, with the data.
    :param parallel: all draws at once by ``vmap``, whatever memory that takes, rather than as many at a time as fit in
        some 64 MiB.
    :param batch_ndims: number of leading axes of the draws.
    :return: for each observed site an array of the draws' axes followed by the site's batch shape.

    >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> log_likelihood(model, {"mu": jnp.zeros(10)}, jnp.ones(3))["y"].shape
    (10, 3)
    """
    arrays, static = partition((args, kwargs))
    if batch_ndims:
        shapes = {shape_of(value)[:batch_ndims] for value in posterior_samples.values()}
        if len(shapes) != 1:
            raise ValueError(f"log_likelihood: the draws disagree about their number: leading shapes {sorted(shapes)}")
    programs = programs_of(model, ("log_likelihood", parallel, batch_ndims))
    programs = {} if programs is None else programs
    if "log_likelihood" not in programs:
        program = partial(_log_likelihood, model, parallel, batch_ndims)
        programs["log_likelihood"] = quickly_compiled(program, effort=1, static_argnums=0)
    try:
        return programs["log_likelihood"](static, posterior_samples, arrays)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        # The model looks at its arguments' values (an `if`, a shape): they become constants of the program.
        constant = partial(_log_likelihood, model, parallel, batch_ndims, static, arrays=arrays)
        return jax.jit(constant)(posterior_samples)


def _log_likelihood(
    model: Callable[..., Any], parallel: bool, batch_ndims: int, static: Any, draws: dict[str, Any], arrays: Any
) -> dict[str, Any]:
    args, kwargs = combine(arrays, static)

    def single(draw: Any) -> dict[str, Any]:
        recorded = trace(_Values(seed(model, rng_seed=0), draw)).get_trace(*args, **kwargs)
        return {
            name: site["fn"].log_prob(site["value"])
            for name, site in recorded.items()
            if site["type"] == "sample" and site["is_observed"] and name not in draw
        }

    if not batch_ndims:
        return single(draws)
    shape = next(shape_of(value)[:batch_ndims] for value in draws.values())
    count = int(np.prod(shape))
    flat = jax.tree.map(lambda x: jnp.reshape(x, (count, *jnp.shape(x)[batch_ndims:])), draws)
    result = over_draws(single, flat, count, together=parallel)
    return jax.tree.map(lambda x: jnp.reshape(x, shape + x.shape[1:]), result)
