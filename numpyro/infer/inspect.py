# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Which sites of a model depend on which, and a picture of them.

A model is traced twice, both times abstractly, so that none of its arithmetic runs: once for the names, shapes and
plates of its sites; then as a function of the values of all sample and param sites at once, through whose jaxpr
:func:`~numpyro.ops.provenance.eval_provenance` follows each of them into the log densities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from numpyro.contrib.control_flow.body import placeholder
from numpyro.distributions.distribution import ExpandedDistribution, Independent, MaskedDistribution
from numpyro.handlers import seed, trace
from numpyro.infer.model_graph import CLONE, generate_graph_specification, nested_boxes, render_graph, save
from numpyro.ops.provenance import eval_provenance
from numpyro.ops.pytree import scan_axis_names
from numpyro.primitives import Messenger

__all__ = ["get_dependencies", "get_model_relations", "render_model"]


def get_dependencies(
    model: Callable[..., Any],
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
) -> dict[str, dict[str, dict[str, set[str]]]]:
    """How the sample sites of a model depend on each other, before and after the data are seen.

    :param model: a model.
    :param model_args: its arguments.
    :param model_kwargs: its keyword arguments.
    :returns: a dict with two keys. ``"prior_dependencies"`` maps each sample site to the sites on which its density
        depends, itself among them. ``"posterior_dependencies"`` maps each latent site to itself and those later sites
        with which it shares a factor of the joint density: what depends on it, and what has a child with it (the
        moral graph of the model). To each pair belongs the set of plates and scans across whose indices the two
        sites depend on each other; it is empty if entry ``i`` of one goes with entry ``i`` of the other alone.

    Deterministic sites, and sample sites with the distribution ``Delta``, are looked through. Plates come into play
    where a site outside a plate depends on one inside it, scans also where a site depends on its own earlier values;
    otherwise sites in the same plate or scan are taken to depend on each other index by index.

    **Reference:** Webb et al. (2018), *Faithful Inversion of Generative Models for Effective Amortized Inference*,
    section 3.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model():
    ...     with numpyro.plate("p", 5):
    ...         a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    ...     numpyro.sample("b", dist.Normal(a.sum(), 1.0), obs=0.0)
    >>> dependencies = get_dependencies(model)
    >>> dependencies["prior_dependencies"] == {"a": {"a": set()}, "b": {"a": set(), "b": set()}}
    True
    >>> dependencies["posterior_dependencies"] == {"a": {"a": {"p"}, "b": set()}}
    True
    """
    sites = _look(model, model_args, model_kwargs)
    names = [name for name, site in sites.items() if site["type"] == "sample" and site["family"] != "Delta"]
    found = _provenance(model, model_args, model_kwargs, sites, names)
    parents = {name: [other for other in names if other != name and other in found[name]] for name in names}
    prior: dict[str, dict[str, set[str]]] = {
        name: {other: set() for other in names if other == name or other in parents[name]} for name in names
    }
    plates = {name: {*sites[name]["scans"], *(frame.name for frame in sites[name]["frames"])} for name in names}
    for name in names:
        prior[name][name] |= set(sites[name]["scans"]) if name in found[name] else set()
    posterior: dict[str, dict[str, set[str]]] = {}
    order = {name: position for position, name in enumerate(names)}
    for name in names:
        if sites[name]["is_observed"]:
            continue
        related: dict[str, set[str]] = {name: set(prior[name][name])}
        for child in names:
            if name != child and name not in parents[child]:
                continue
            for other in (child, *parents[child]):
                if order[other] >= order[name]:
                    across = (plates[name] & plates[other]) - plates[child]
                    related[other] = related.get(other, set()) | across
        posterior[name] = related
    return {"prior_dependencies": prior, "posterior_dependencies": posterior}


def get_model_relations(
    model: Callable[..., Any],
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Sites, plates and dependencies of a model, which :func:`render_model` draws.

    :param model: a model or guide.
    :param model_args: its arguments; arrays may be ``jax.ShapeDtypeStruct``.
    :param model_kwargs: its keyword arguments.
    :returns: a dict:

        - ``sample_sample`` maps each sample or deterministic site to the sample sites on which it depends directly. A
          site inside ``scan`` that depends on itself depends on its value at an earlier step.
        - ``sample_param`` maps it to the param sites on which it depends.
        - ``sample_dist`` maps it to the name of its distribution, or ``"Deterministic"``.
        - ``param_constraint`` maps each param site to its constraint, or to ``""``.
        - ``plate_sample`` maps each plate to the sites in it. Plates that cross cannot be drawn as nested boxes: a
          plate whose sites need a second one appears again as ``NAME__CLONE``.
        - ``observed`` lists the observed sites.
        - ``scan_sample`` maps the axis of each scan to the sites in it; only if there is a scan.

    >>> import numpyro, numpyro.distributions as dist
    >>> def model(data):
    ...     mean = numpyro.sample("mean", dist.Normal(0, 1))
    ...     scale = numpyro.sample("scale", dist.LogNormal(mean, 1))
    ...     with numpyro.plate("N", len(data)):
    ...         numpyro.sample("obs", dist.Normal(mean, scale), obs=data)
    >>> relations = get_model_relations(model, (jnp.ones(10),))
    >>> relations["sample_sample"], relations["plate_sample"], relations["observed"]
    ({'mean': [], 'scale': ['mean'], 'obs': ['mean', 'scale']}, {'N': ['obs']}, ['obs'])
    """
    sites = _look(model, model_args, model_kwargs)
    drawn = [name for name, site in sites.items() if site["type"] in ("sample", "deterministic")]
    samples = [name for name in drawn if sites[name]["type"] == "sample"]
    params = [name for name, site in sites.items() if site["type"] == "param"]
    found = _provenance(model, model_args, model_kwargs, sites, [*samples, *params])
    scans = {scan for name in drawn for scan in sites[name]["scans"]}
    boxes = nested_boxes(
        {name: [*sites[name]["scans"], *(frame.name for frame in sites[name]["frames"])] for name in drawn}
    )
    relations: dict[str, Any] = {
        "sample_sample": {name: [other for other in samples if other in found[name]] for name in drawn},
        "sample_param": {name: [other for other in params if other in found[name]] for name in drawn},
        "sample_dist": {name: sites[name]["family"] for name in drawn},
        "param_constraint": {name: sites[name]["constraint"] for name in params},
        "plate_sample": {},
        "observed": [name for name in samples if sites[name]["is_observed"]],
    }
    for box, inside in boxes.items():
        is_scan = box.split(CLONE)[0] in scans
        relations.setdefault("scan_sample" if is_scan else "plate_sample", {})[box] = inside
    return relations


def render_model(
    model: Callable[..., Any],
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
    filename: str | None = None,
    render_distributions: bool = False,
    render_params: bool = False,
) -> Any:
    """Draw a model: an ellipse for each site (grey if observed, dashed if deterministic), a box for each plate, a
    dashed box for each scan, an arrow for each direct dependency.

    :param model: a model or guide.
    :param model_args: its arguments; arrays may be ``jax.ShapeDtypeStruct``.
    :param model_kwargs: its keyword arguments.
    :param filename: write the picture to this file, in the format of its ending (``.pdf``, ``.png``, ``.svg``); it
        needs the program ``dot`` of Graphviz.
    :param render_distributions: add the names of the distributions, and with ``render_params`` the constraints of the
        parameters.
    :param render_params: draw param sites too.
    :returns: a ``graphviz.Digraph``, which a notebook shows as a picture.
    :raises ImportError: if the package ``graphviz`` is missing (``pip install 'numpyro[graphviz]'``).

    .. code-block:: python

        numpyro.render_model(model, (data,), render_distributions=True)
    """
    relations = get_model_relations(model, model_args, model_kwargs)
    graph = render_graph(generate_graph_specification(relations, render_params), render_distributions)
    if filename is not None:
        save(graph, filename)
    return graph


class _Given(Messenger):
    """Gives sites their values, latent, observed or param, and the others some value of the right shape."""

    def __init__(self, fn: Callable[..., Any], values: dict[str, Any]) -> None:
        super().__init__(fn)
        self.values = values

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] not in ("sample", "param") or msg.get("scan") == "tell":
            return
        if msg["name"] in self.values:
            msg["value"] = self.values[msg["name"]]
        elif msg["type"] == "sample" and msg["value"] is None and _family(msg["fn"]) != "Delta":
            abstract = msg.get("abstract_value")
            if abstract is not None:
                msg["value"] = jnp.zeros(abstract.shape, abstract.dtype)
            else:
                msg["value"] = placeholder(msg["fn"], msg["kwargs"].get("sample_shape", ()))


def _look(model: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, dict[str, Any]]:
    """What is static about the sites, and their abstract values."""
    sites: dict[str, dict[str, Any]] = {}
    abstract, arguments = _arguments(args, kwargs)

    def look(inputs: Any) -> Any:
        args, kwargs = arguments(inputs)
        recorded = trace(_Given(seed(model, rng_seed=0), {})).get_trace(*args, **kwargs)
        scans = scan_axis_names(recorded)
        for name, site in recorded.items():
            if site["type"] not in ("sample", "deterministic", "param"):
                continue
            sites[name] = {
                "type": site["type"],
                "is_observed": bool(site.get("is_observed", False)),
                "frames": list(site["cond_indep_stack"]),
                "scans": [scans[axis] for axis in site.get("scan_axes", ())],
                "family": "Deterministic" if site["type"] == "deterministic" else _family(site["fn"]),
                "constraint": str(site["kwargs"].get("constraint", "")) if site["type"] == "param" else "",
            }
        return {name: recorded[name]["value"] for name in sites}

    for name, value in jax.eval_shape(look, abstract).items():
        sites[name]["value"] = value
    return sites


def _provenance(
    model: Callable[..., Any], args: Any, kwargs: Any, sites: dict[str, Any], names: Sequence[str]
) -> dict[str, frozenset[str]]:
    """For each site, on which of ``names`` its density depends directly, or its value if it is deterministic. A sample
    site is among its own only if its distribution depends on it."""
    abstract, arguments = _arguments(args, kwargs)

    def densities(**inputs: Any) -> Any:
        args, kwargs = arguments(inputs[_ARGUMENTS])
        given = {name: inputs[name] for name in names}
        recorded = trace(_Given(seed(model, rng_seed=0), given)).get_trace(*args, **kwargs)
        return {
            name: (_log_prob(site), jax.tree.leaves(site["fn"]))
            if sites[name]["type"] == "sample"
            else (site["value"], [])
            for name, site in recorded.items()
            if name in sites
        }

    inputs = {name: sites[name]["value"] for name in names}
    found = {}
    for name, (value, parameters) in eval_provenance(densities, **inputs, **{_ARGUMENTS: abstract}).items():
        from_value, from_parameters = (frozenset().union(*jax.tree.leaves(x)) for x in (value, parameters))
        found[name] = from_value - ({name} - from_parameters)
    return found


#: No site has this name.
_ARGUMENTS = "the arguments of the model"


def _arguments(args: Any, kwargs: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The abstract arrays among the arguments, and the function from real ones to ``(args, kwargs)``."""
    leaves, treedef = jax.tree.flatten((tuple(args or ()), dict(kwargs or {})))
    is_abstract = [isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves]

    def rebuild(inputs: list[Any]) -> Any:
        rest = iter(inputs)
        filled = [next(rest) if hole else leaf for leaf, hole in zip(leaves, is_abstract, strict=True)]
        return jax.tree.unflatten(treedef, filled)

    return [leaf for leaf, hole in zip(leaves, is_abstract, strict=True) if hole], rebuild


def _log_prob(site: dict[str, Any]) -> Any:
    """The log density; where there is none, the parameters, which it would depend on."""
    try:
        return site["fn"].log_prob(site["value"])
    except NotImplementedError:
        return jax.tree.leaves(site["fn"])


def _family(fn: Any) -> str:
    while isinstance(fn, Independent | ExpandedDistribution | MaskedDistribution):
        fn = fn.base_dist
    return type(fn).__name__
