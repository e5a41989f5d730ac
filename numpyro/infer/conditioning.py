# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A model given values of some of its sites, and what sites it has.

A kernel that updates some sites of a model runs on the model *conditioned* on the values of the others. The values
travel as a keyword argument of the model, :data:`GIBBS_SITES_KWARG`, so that they are inputs of whatever is compiled
for it: new values compile nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._shapes import shape_of
from numpyro.distributions.constraints.constraint import IndependentConstraint
from numpyro.distributions.constraints.elementwise import Boolean, IntegerInterval
from numpyro.handlers import condition, seed, substitute, trace
from numpyro.infer.arguments import combine, partition
from numpyro.infer.initialization import init_to_sample
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.programs import programs_of, settings_of
from numpyro.infer.random_words import cheaply_seeded

__all__ = [
    "GIBBS_SITES_KWARG",
    "ByShapes",
    "any_changed",
    "check_names",
    "conditioned",
    "deterministic_sites",
    "discrete_latent_sites",
    "discrete_support_sizes",
    "drawn_trace",
    "finite_support",
    "inputs_of_outputs",
    "latent_sample_sites",
    "listed",
    "prototype_trace",
    "refuse_all_observed",
    "refuse_discrete",
    "refuse_enumerated",
    "subsample_plate_sizes",
    "with_conditioning",
    "with_deterministic",
]

GIBBS_SITES_KWARG = "_gibbs_sites"
"""The keyword argument by which a conditioned model is given the values of sites."""

Model = Callable[..., Any]


class _Conditioned:
    """A model that takes values of sites by :data:`GIBBS_SITES_KWARG`."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = kwargs.pop(GIBBS_SITES_KWARG, None)
        if not values:
            return self.model(*args, **kwargs)
        return substitute(condition(self.model, data=values), data=values)(*args, **kwargs)


def conditioned(model: Model) -> Model:
    """The model that takes values of sites by the keyword :data:`GIBBS_SITES_KWARG`.

    Sample sites among them are observed at their values; plates have them as indices. A model that is conditioned
    already is returned as it is.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = conditioned(lambda: numpyro.sample("x", dist.Normal(0.0, 1.0)))
    >>> model(**with_conditioning({}, {"x": 2.0}))
    2.0
    """
    return model if isinstance(model, _Conditioned) else _Conditioned(model)


def with_conditioning(
    model_kwargs: dict[str, Any] | None, values: Mapping[str, Any], *, allowed: Collection[str] | None = None
) -> dict[str, Any]:
    """Keyword arguments of a conditioned model, with values of sites added to those that they hold.

    :param model_kwargs: keyword arguments of the model.
    :param values: values by site name.
    :param allowed: the names that may be given; None for any.
    :raises ValueError: if a name is not allowed.
    """
    if allowed is not None and not set(values) <= set(allowed):
        unknown = sorted(set(values) - set(allowed))
        raise ValueError(f"no values may be given for {listed(unknown)}; the sites that may be are {listed(allowed)}.")
    kwargs = dict(model_kwargs or {})
    kwargs[GIBBS_SITES_KWARG] = {**kwargs.get(GIBBS_SITES_KWARG, {}), **values}
    return kwargs


def any_changed(old: Any, new: Any) -> jax.Array:
    """Whether any entry differs between two pytrees of the same structure: a boolean scalar.

    >>> bool(any_changed({"x": np.arange(3)}, {"x": np.array([0, 1, 3])}))
    True
    """
    differs = [jnp.any(a != b) for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)]
    return jnp.any(jnp.stack(differs)) if differs else jnp.zeros((), bool)


def prototype_trace(
    model: Model, rng_key: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """The model's trace with latent sites drawn from their priors, improper ones uniformly in unconstrained space.

    :param model: a model.
    :param rng_key: random key.
    :param model_args: arguments of the model.
    :param model_kwargs: keyword arguments of the model.
    """
    return drawn_trace(model, rng_key, model_args, model_kwargs or {}, {})


def drawn_trace(
    model: Model, rng_key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], values: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """:func:`prototype_trace` with given values of some latent sites."""
    drawn = substitute(cheaply_seeded(model, rng_seed=rng_key), substitute_fn=init_to_sample)
    return trace(substitute(drawn, data=values)).get_trace(*args, **kwargs)


def latent_sample_sites(model_trace: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Names of the sample sites that are not observed, in the order of the trace.

    :param model_trace: a trace; see :func:`prototype_trace`.
    """
    return tuple(name for name, site in model_trace.items() if site["type"] == "sample" and not site.get("is_observed"))


def discrete_latent_sites(model_trace: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Names of the latent sites that are discrete, without those marked ``infer={"enumerate": "parallel"}``.

    :param model_trace: a trace; see :func:`prototype_trace`.
    """
    latent = latent_sample_sites(model_trace)
    return tuple(
        name
        for name in latent
        if model_trace[name]["fn"].is_discrete and model_trace[name]["infer"].get("enumerate") != "parallel"
    )


def refuse_enumerated(model_trace: Mapping[str, dict[str, Any]], kernel: str) -> None:
    """Raise an error if latent discrete sites are marked ``infer={"enumerate": "parallel"}``.

    :param model_trace: a trace; see :func:`prototype_trace`.
    :param kernel: name of the kernel that was to update discrete sites.
    """
    discrete = [name for name in latent_sample_sites(model_trace) if model_trace[name]["fn"].is_discrete]
    marked = sorted(set(discrete) - set(discrete_latent_sites(model_trace)))
    if marked:
        raise ValueError(
            f"the discrete sites {listed(marked)} are marked infer={{'enumerate': 'parallel'}}, but enumeration is not "
            f"available yet. Leave the mark out, and {kernel} updates them value by value."
        )


def refuse_all_observed(model_trace: Mapping[str, dict[str, Any]]) -> None:
    """Raise an error if no sample site is latent.

    :param model_trace: a trace; see :func:`prototype_trace`.
    """
    if latent_sample_sites(model_trace):
        return
    observed = [name for name, site in model_trace.items() if site["type"] == "sample"]
    what = f"its sample sites, {listed(observed)}, are all observed" if observed else "it has no sample site at all"
    raise ValueError(
        f"the model has no latent site: {what}, so there is nothing to infer. Leave out obs= where a value is unknown, "
        "or call numpyro.infer.log_density to evaluate the model."
    )


def refuse_discrete(model_trace: Mapping[str, dict[str, Any]], *, is_subsampled: bool = False) -> None:
    """Raise an error if latent sites are discrete, saying by what they can be sampled.

    :param model_trace: a trace; see :func:`prototype_trace`.
    :param is_subsampled: whether the model must subsample its data, which kernels of discrete sites refuse.
    """
    latent = latent_sample_sites(model_trace)
    discrete = [name for name in latent if model_trace[name]["fn"].is_discrete]
    if not discrete:
        return
    has_no_end = [name for name in discrete if not _has_finite_support(name, model_trace[name]["fn"])]
    whole = "look at all data (leave subsample_size out) and sample them" if is_subsampled else "sample them"
    if has_no_end:
        how = (
            f"{whole} along with the others by a function of your own in HMCGibbs or Gibbs (since {listed(has_no_end)} "
            "cannot be updated value by value)"
        )
    elif len(discrete) == len(latent):
        how = f"{whole} by DiscreteGibbs(model), since no latent site is continuous"
    else:
        how = (
            f"{whole} along with the others by DiscreteHMCGibbs(NUTS(model)) or MixedHMC(HMC(model)), or by a function "
            "of your own in HMCGibbs or Gibbs"
        )
    raise ValueError(
        f"the latent sites {listed(discrete)} are discrete, so the posterior has no gradient in them: {how}. Or sum "
        "them out (for instance with MixtureSameFamily), or observe them: sampling discrete sites by enumeration is "
        "not available yet."
    )


def discrete_support_sizes(model_trace: Mapping[str, dict[str, Any]], sites: Sequence[str]) -> dict[str, np.ndarray]:
    """The number of values that each element of a discrete site can take, as arrays of the sites' shapes.

    :param model_trace: a trace; see :func:`prototype_trace`.
    :param sites: names of discrete sites in it.
    :raises ValueError: if a site has no finite support, or its bounds are not concrete.
    """
    sizes = {}
    for name in sites:
        _, _, size = finite_support(name, model_trace[name]["fn"])
        if isinstance(size, jax.core.Tracer):
            raise ValueError(f"the support of site '{name}' has bounds that are not concrete here.")
        sizes[name] = np.broadcast_to(np.asarray(size), shape_of(model_trace[name]["value"]))
    return sizes


def subsample_plate_sizes(model_trace: Mapping[str, dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Size and subsample size of the plates that are subsampled, by name.

    :param model_trace: a trace; see :func:`prototype_trace`.
    """
    plates = {name: site["args"] for name, site in model_trace.items() if site["type"] == "plate"}
    return {name: (args[0], args[1]) for name, args in plates.items() if len(args) > 1 and args[0] > args[1]}


def deterministic_sites(model_trace: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Names of the deterministic sites of a trace."""
    return tuple(name for name, site in model_trace.items() if site["type"] == "deterministic")


def finite_support(name: str, fn: Any) -> tuple[Any, Any, Any]:
    """Lowest value, step, and number of values of a univariate discrete distribution.

    They broadcast with a draw. They are numbers or arrays of NumPy if they are known without running the model.

    :param name: name of the site, for messages.
    :param fn: its distribution.
    :raises ValueError: if the support is not a finite range of numbers.
    """
    support = fn.support
    while isinstance(support, IndependentConstraint):
        support = support.base_constraint
    if isinstance(support, Boolean):
        return 0, 1, 2
    if isinstance(support, IntegerInterval):
        lower, upper = (_on_host(bound) for bound in (support.lower_bound, support.upper_bound))
        return lower, 1, upper - lower + 1
    if fn.event_shape or not fn.has_enumerate_support:
        what = f"event shape {tuple(fn.event_shape)}" if fn.event_shape else "no finite support"
        raise ValueError(
            f"the discrete site '{name}' has {what}: {type(fn).__name__} cannot be updated value by value. Update it "
            "by a function of your own, with HMCGibbs or CustomGibbs, or truncate it to a Categorical."
        )
    values = fn.enumerate_support(expand=False)
    values = _on_host(jnp.reshape(values, (values.shape[0],)))
    step = values[1] - values[0] if len(values) > 1 else 1
    if isinstance(values, np.ndarray) and not np.all(np.diff(values) == step):
        raise ValueError(f"the values of the discrete site '{name}' are not evenly spaced: {values}.")
    return values[0], step, len(values)


def _has_finite_support(name: str, fn: Any) -> bool:
    try:
        finite_support(name, fn)
    except ValueError:
        return False
    return True


def inputs_of_outputs(fn: Callable[[dict[str, Any]], dict[str, Any]], inputs: dict[str, Any]) -> dict[str, set[str]]:
    """Which of the inputs each output of ``fn`` is computed from, by name. Loops and branches count as a whole: each
    of their outputs is computed from all of their inputs.

    >>> inputs_of_outputs(lambda x: {"c": 2 * x["a"], "d": jnp.ones(3)}, {"a": 1.0, "b": 2.0})
    {'c': {'a'}, 'd': set()}
    """
    closed, out = jax.make_jaxpr(fn, return_shape=True)(inputs)
    names = [name for name in sorted(inputs) for _ in jax.tree.leaves(inputs[name])]
    found = iter(_origins(closed.jaxpr, [{name} for name in names]))
    return {name: set().union(*(next(found) for _ in jax.tree.leaves(part))) for name, part in sorted(out.items())}


def _origins(jaxpr: Any, inputs: list[set[str]]) -> list[set[str]]:
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(atom: Any) -> set[str]:
        return set() if hasattr(atom, "val") else known.get(atom, set())

    for equation in jaxpr.eqns:
        arguments = [of(atom) for atom in equation.invars]
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if equation.primitive.name in ("jit", "pjit", "closed_call", "custom_jvp_call", "remat") and inner is not None:
            outputs = _origins(getattr(inner, "jaxpr", inner), arguments)
        else:
            outputs = [set().union(*arguments)] * len(equation.outvars)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [of(atom) for atom in jaxpr.outvars]


def _on_host(x: Any) -> Any:
    return x if isinstance(x, jax.core.Tracer) else np.asarray(x)


def listed(names: Collection[str]) -> str:
    """Names for a message."""
    return ", ".join(map(repr, names)) or "none"


def check_names(init_params: Mapping[str, Any] | None, names: Collection[str]) -> None:
    """Refuse initial values for sites that are not latent.

    :param init_params: values by site name.
    :param names: names of the latent sites.
    :raises ValueError: if there are others.
    """
    unknown = sorted(set(init_params or {}) - set(names))
    if unknown:
        raise ValueError(f"`init_params` has values for {listed(unknown)}, but the latent sites are {listed(names)}.")


def with_deterministic(
    model: Callable[..., Any], names: Sequence[str], constrain: Callable[[Any], Any], args: Any, kwargs: Any
) -> Callable[[Any], Any]:
    """``constrain``, with the values of the deterministic sites ``names`` of a conditioned model."""

    def postprocess(z: Any) -> Any:
        values = constrain(z)
        recorded = trace(seed(model, rng_seed=0)).get_trace(*args, **with_conditioning(kwargs, values))
        return values | {name: recorded[name]["value"] for name in names}

    return postprocess


class ByShapes:
    """Mixin of kernels with a model: what is found out about it once for each kind of arguments, and what is compiled
    for it; both only as long as nothing that it reads from outside changes."""

    _model: Model
    _layouts: dict[Any, Any]

    def _once(self, find: Callable[[Any, Any], Any], args: Any, kwargs: Any) -> Any:
        """``find(args, kwargs)``, which depends on nothing but the shapes of the arrays in them. It is called with
        abstract arrays."""
        arrays, static = partition((args, kwargs))
        key = (static, tuple((np.shape(array), np.dtype(array.dtype).name) for array in arrays))
        if key not in self._layouts:
            found: list[Any] = []
            jax.eval_shape(lambda arrays: found.append(find(*combine(arrays, static))), arrays)
            self._layouts[key] = found[0]
        return self._layouts[key]

    def _what_is_drawn(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Any:
        recorded = prototype_trace(self._model, jax.random.PRNGKey(0), model_args, model_kwargs)
        samples = (site for site in recorded.values() if site["type"] == "sample")
        return [(site["fn"].log_prob(site["value"]), site["scale"]) for site in samples]

    def _programs_for_now(self) -> dict[Any, Any] | None:
        for kernel in self._parts_of_it():
            kernel._programs_for_now()
        shared = programs_of(self._model, settings_of(self))  # type: ignore[arg-type]
        if shared is not None:
            self._layouts = shared.setdefault("layouts", {})
        return shared

    def _parts_of_it(self) -> Sequence[MCMCKernel]:
        """The kernels of which this one is made, whose layouts belong to the same moment."""
        return ()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_layouts": {}}
