# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A run as ArviZ's ``InferenceData``: named dimensions, and everything that ArviZ's functions ask for.

Dimensions are named after the plates and scans that the model puts a site under; :func:`site_dimensions` finds them in
an abstract trace of the model. :meth:`MCMC.to_arviz <numpyro.infer.mcmc.MCMC.to_arviz>` is the interface. It needs the
package ``arviz`` (0.23; ArviZ 1.0 has no ``InferenceData`` any more), which brings xarray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from numpyro._version import __version__
from numpyro.contrib.control_flow.body import placeholder
from numpyro.handlers import seed, substitute, trace, uncondition
from numpyro.infer.conditioning import latent_sample_sites, subsample_plate_sizes
from numpyro.infer.util import Predictive, log_likelihood
from numpyro.ops.pytree import scan_axis_names
from numpyro.primitives import Messenger

if TYPE_CHECKING:
    from numpyro.infer.mcmc import MCMC

__all__ = ["Dimensions", "site_dimensions", "to_inference_data"]


class Dimensions(NamedTuple):
    """Names of the dimensions of a site's value; None where there is none.

    :param batch: those of scans and plates.
    :param event: those of one draw of its distribution.
    """

    batch: tuple[str | None, ...]
    event: tuple[str | None, ...]


def site_dimensions(
    model: Callable[..., Any], args: Any = (), kwargs: Any = None, scan_dims: Sequence[str] = ()
) -> dict[str, Dimensions]:
    """Names of the dimensions of the sample and deterministic sites of a model; nothing of it is computed.

    A dimension is named after its plate, or after its scan: the scans of a model are called ``scan_dims``, in the order
    in which they appear, and after that ``scan``, ``scan_1`` and so on. The hint ``infer={"event_dims": names}`` of a
    sample site names the dimensions of its event. Those of a deterministic site are told from each other by their
    sizes.

    :param model: a model.
    :param args: its arguments.
    :param kwargs: its keyword arguments.
    :param scan_dims: names for scans.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     with numpyro.plate("rows", 4, dim=-2), numpyro.plate("columns", 3):
    ...         numpyro.sample("x", dist.Dirichlet(np.ones(2)), infer={"event_dims": ["part"]})
    >>> site_dimensions(model)["x"]
    Dimensions(batch=('rows', 'columns'), event=('part',))
    """
    return _look(model, args, kwargs or {}, scan_dims)[0]


def to_inference_data(
    mcmc: MCMC,
    *,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Sequence[str | None]] | None = None,
    scan_dims: Sequence[str] = (),
    log_likelihood: bool = True,
    prior: Mapping[str, Any] | int | None = None,
    posterior_predictive: Mapping[str, Any] | bool | None = None,
    constant_data: Mapping[str, Any] | None = None,
    rng_key: Any = None,
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
) -> Any:
    """A run as ``arviz.InferenceData``; see :meth:`MCMC.to_arviz <numpyro.infer.mcmc.MCMC.to_arviz>`."""
    try:
        import arviz
    except ImportError as error:
        raise ImportError("to_arviz needs the package arviz: pip install 'numpyro[arviz]'.") from error
    flat = mcmc.get_samples()
    states = _by_chain(mcmc._states, mcmc._drawn_chains)
    samples = _as_dict(states[mcmc.sampler.sample_field])
    given = model = getattr(mcmc.sampler, "model", None)
    args: Any = mcmc._args if model_args is None else model_args
    kwargs = (mcmc._kwargs or {}) if model_kwargs is None else model_kwargs
    if model is not None and args is None:
        raise ValueError(
            "to_arviz: the model's arguments are not known, since this run was loaded from a file. Write "
            "to_arviz(model_args=(...), model_kwargs={...})."
        )
    found: dict[str, Dimensions] = {}
    observed: dict[str, Any] = {}
    if model is not None:
        model, partial = _on_all_data(model, args, kwargs)
        found, observed = _look(model, args, kwargs, scan_dims)
        for name in found.keys() - observed.keys():
            # A deterministic site of a subsampled plate has the size of a subsample.
            batch = tuple(None if dim in partial else dim for dim in found[name].batch)
            found[name] = found[name]._replace(batch=batch)
    build = _Builder(found, dict(coords or {}), dict(dims or {}))
    rng_key = jax.random.PRNGKey(0) if rng_key is None else rng_key
    groups = {
        "posterior": build(samples, ("chain", "draw"), check=True),
        "sample_stats": build(_sample_stats(mcmc.sampler, states), ("chain", "draw")),
    }
    if mcmc._warmup_draws is not None:
        warmup = _by_chain(mcmc._warmup_draws, mcmc._drawn_chains)
        draws = _as_dict(warmup[mcmc.sampler.sample_field])
        groups["warmup_posterior"] = build(draws, ("chain", "draw"))
        groups["warmup_sample_stats"] = build(_sample_stats(mcmc.sampler, warmup), ("chain", "draw"))
    if model is not None:
        if log_likelihood and observed:
            groups["log_likelihood"] = build(
                _log_likelihood(model, flat, args, kwargs, mcmc._drawn_chains, observed),
                ("chain", "draw"),
                event=False,
                check=True,
            )
        free = uncondition(model)
        if posterior_predictive is True:
            predictive = Predictive(free, flat, return_sites=list(observed))
            posterior_predictive = predictive(rng_key, *args, **kwargs) if observed else {}
        if isinstance(prior, int) and not isinstance(prior, bool):
            names = [name for name in found if name in samples or name in observed]
            prior = Predictive(free, num_samples=prior, return_sites=names)(rng_key, *args, **kwargs)
        if constant_data is None:
            constant_data = _constant_data(given, args, kwargs, observed)
    if isinstance(posterior_predictive, Mapping):
        shape = np.shape(next(iter(samples.values())))[:2]
        by_chain = {name: _grouped(name, value, shape) for name, value in posterior_predictive.items()}
        groups["posterior_predictive"] = build(by_chain, ("chain", "draw"))
    if isinstance(prior, Mapping):
        one_chain = {name: np.asarray(value)[None] for name, value in prior.items()}
        latent = {name: value for name, value in one_chain.items() if name in samples}
        rest = {name: value for name, value in one_chain.items() if name not in samples}
        groups["prior"] = build(latent, ("chain", "draw"))
        groups["prior_predictive"] = build(rest, ("chain", "draw"))
    groups["observed_data"] = build(observed, (), check=True)
    groups["constant_data"] = build(dict(constant_data or {}), ())
    filled: dict[str, Any] = {name: group for name, group in groups.items() if group.data_vars}
    return arviz.InferenceData(**(filled | {"save_warmup": True}))


class _Builder:
    """Makes datasets with the names of dimensions that a model gives, or the user."""

    def __init__(
        self, found: dict[str, Dimensions], coords: dict[str, Any], dims: dict[str, Sequence[str | None]]
    ) -> None:
        self.found, self.coords, self.dims = found, coords, dims

    def __call__(
        self, data: Mapping[str, Any], lead: tuple[str, ...], *, event: bool = True, check: bool = False
    ) -> Any:
        """A dataset of arrays whose first axes are ``lead``.

        :param event: whether the arrays have the dimensions of the sites' events.
        :param check: whether to refuse coordinates that do not fit; otherwise dimensions of another length, as in a
            forecast, are numbered.
        """
        import xarray

        variables: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for name, value in data.items():
            value = np.asarray(value)
            if value.size == 0:
                # The value of a factor.
                continue
            shape = value.shape[len(lead) :]
            names = (*lead, *self._names(name, shape, event))
            variables[name] = (names, value)
            for dim, size in zip(names, value.shape, strict=True):
                if sizes.setdefault(dim, size) != size:
                    raise ValueError(
                        f"to_arviz: dimension '{dim}' has size {size} at '{name}', but {sizes[dim]} elsewhere. Give "
                        f"the site dimensions of its own: dims={{'{name}': [...]}}."
                    )
        coords = {}
        for dim, size in sizes.items():
            given = self.coords.get(dim)
            if given is not None and len(given) != size and check:
                raise ValueError(f"to_arviz: coords has {len(given)} values for '{dim}', but its size is {size}.")
            coords[dim] = np.asarray(given) if given is not None and len(given) == size else np.arange(size)
        attributes = {
            "created_at": datetime.now(UTC).isoformat(),
            "inference_library": "numpyro",
            "inference_library_version": __version__,
        }
        return xarray.Dataset(variables, coords, attributes)

    def _names(self, name: str, shape: tuple[int, ...], event: bool) -> list[str]:
        given: Sequence[str | None]
        if name in self.dims:
            given = tuple(self.dims[name])
            if event and len(given) != len(shape):
                raise ValueError(f"to_arviz: dims names {len(given)} dimensions of '{name}', but its shape is {shape}.")
        else:
            found = self.found.get(name, Dimensions((), ()))
            given = (*found.batch, *found.event) if event else found.batch
        given = (*given, *(None for _ in shape))[: len(shape)]
        # ArviZ's own names for dimensions that have none.
        names = [f"{name}_dim_{i}" if dim is None else dim for i, dim in enumerate(given)]
        return [f"{dim}_plate" if dim in ("chain", "draw") else dim for dim in names]


class _Abstract(Messenger):
    """Gives every latent site some value of the right shape."""

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample" or msg["value"] is not None:
            return
        abstract = msg.get("abstract_value")
        if abstract is not None:
            msg["value"] = np.zeros(abstract.shape, abstract.dtype)
        else:
            msg["value"] = placeholder(msg["fn"], msg["kwargs"].get("sample_shape", ()))


def _on_all_data(model: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Callable[..., Any], Sequence[str]]:
    """The model with all indices of the plates that it subsamples, unless a latent site is among them, and the names of
    these plates."""
    plates: dict[str, np.ndarray] = {}
    local: list[str] = []

    def look() -> None:
        recorded = trace(_Abstract(seed(model, rng_seed=0))).get_trace(*args, **kwargs)
        plates.update({name: np.arange(size) for name, (size, _) in subsample_plate_sizes(recorded).items()})
        for name in latent_sample_sites(recorded):
            local.extend(frame.name for frame in recorded[name]["cond_indep_stack"] if frame.name in plates)

    jax.eval_shape(look)
    if local or not plates:
        return model, ()
    return substitute(model, data=plates), tuple(plates)


def _look(
    model: Callable[..., Any], args: Any, kwargs: Any, scan_dims: Sequence[str]
) -> tuple[dict[str, Dimensions], dict[str, Any]]:
    """Dimensions of the sites, and the values of the observed ones."""
    found: dict[str, Dimensions] = {}
    observed: dict[str, Any] = {}

    def look() -> dict[str, Any]:
        recorded = trace(_Abstract(seed(model, rng_seed=0))).get_trace(*args, **kwargs)
        scans = scan_axis_names(recorded, scan_dims)
        hidden = {}
        for name, site in recorded.items():
            if site["type"] not in ("sample", "deterministic"):
                continue
            is_auxiliary = site["type"] == "sample" and site["infer"].get("is_auxiliary")
            found[name] = _dimensions(site, [scans[axis] for axis in site.get("scan_axes", ())])
            if site.get("is_observed") and not is_auxiliary:
                observed[name] = site["value"]
                if isinstance(site["value"], jax.core.Tracer):
                    hidden[name] = site["value"]
        return hidden

    # Data that were given as they are, are known from an abstract trace; those that went through a scan are not.
    if jax.eval_shape(look):
        observed.update(jax.jit(look)())
    return found, observed


def _dimensions(site: dict[str, Any], scans: Sequence[str]) -> Dimensions:
    shape, plates = np.shape(site["value"]), {frame.dim: frame for frame in site["cond_indep_stack"]}
    rank = len(shape) - (site["fn"].event_dim if site["type"] == "sample" else _guessed_event_dim(shape, plates, scans))
    batch: list[str | None] = [*scans, *(None for _ in range(rank - len(scans)))]
    for dim, frame in plates.items():
        if -dim <= rank - len(scans) and shape[rank + dim] == frame.size:
            batch[rank + dim] = frame.name
    hinted = list(site.get("infer", {}).get("event_dims", []))
    event: list[str | None] = [*hinted, *(None for _ in shape)][: len(shape) - rank]
    return Dimensions(tuple(batch), tuple(event))


def _guessed_event_dim(shape: tuple[int, ...], plates: Mapping[int, Any], scans: Sequence[str]) -> int:
    """The fewest dimensions at the right without which all plates fit."""
    for event_dim in range(len(shape) - len(scans) + 1):
        rank = len(shape) - event_dim
        if all(-dim <= rank - len(scans) and shape[rank + dim] == frame.size for dim, frame in plates.items()):
            return event_dim
    return 0


_STATISTICS = {
    "accept_prob": "acceptance_rate",
    "adapt_state.step_size": "step_size",
    "mean_accept_prob": "mean_acceptance_rate",
    "num_steps": "n_steps",
    "potential_energy": "lp",
}
"""ArviZ's names of what the kernels call otherwise."""


def _sample_stats(kernel: Any, states: Mapping[str, Any]) -> dict[str, Any]:
    stats = {}
    for field, value in states.items():
        if field == kernel.sample_field or field.startswith(f"{kernel.sample_field}.") or not hasattr(value, "dtype"):
            continue
        name = field.removeprefix(".").removeprefix("hmc_state.")
        name = _STATISTICS.get(name, name)
        stats[name] = -value if name == "lp" else value
    depth = getattr(kernel, "max_tree_depth", None)
    if depth is not None and "n_steps" in stats:
        stats["tree_depth"] = np.ceil(np.log2(stats["n_steps"] + 1)).astype(np.int32)
        stats["reached_max_treedepth"] = stats["n_steps"] >= 2 ** depth[1] - 1
    return stats


def _log_likelihood(
    model: Any, flat: Any, args: Any, kwargs: Any, chains: int, observed: Mapping[str, Any]
) -> dict[str, Any]:
    """The log likelihood of the data; that is, not of factors."""
    result = log_likelihood(model, flat, *args, **kwargs)
    return _by_chain({name: value for name, value in result.items() if name in observed}, chains)


def _constant_data(model: Any, args: Any, kwargs: Any, observed: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays among the model's arguments that are not observed, by the names of its parameters."""
    try:
        named = dict(inspect.signature(model).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        named = dict(kwargs)
    data = [np.asarray(value) for value in observed.values()]

    def is_constant(value: Any) -> bool:
        if not isinstance(value, jax.Array | np.ndarray) or np.asarray(value).dtype.kind not in "biufc":
            return False
        array = np.asarray(value)
        return not any(array.shape == other.shape and np.array_equal(array, other, True) for other in data)

    return {name: value for name, value in named.items() if is_constant(value) and name not in observed}


def _by_chain(states: Any, chains: int) -> Any:
    """The collected fields on the host, with an axis of chains."""
    return jax.tree.map(lambda x: np.reshape(np.asarray(x), (chains, -1) + np.shape(x)[1:]), states)


def _grouped(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    value = np.asarray(value)
    if value.shape[:2] == shape:
        return value
    if value.shape[:1] != (int(np.prod(shape)),):
        raise ValueError(
            f"to_arviz: '{name}' of posterior_predictive has shape {value.shape}, but there are {shape[0]} chains of "
            f"{shape[1]} draws. Make it by Predictive(model, mcmc.get_samples())."
        )
    return value.reshape(*shape, *value.shape[1:])


def _as_dict(samples: Any) -> dict[str, Any]:
    if isinstance(samples, Mapping):
        return {name: value for name, value in samples.items() if hasattr(value, "dtype")}
    return {f"Param:{i}": leaf for i, leaf in enumerate(jax.tree.leaves(samples))}
