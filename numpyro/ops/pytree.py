# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Traces of models as pytrees, and the names of the axes that scans put into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

__all__ = ["AxisFrame", "PytreeTrace", "scan_axis_names"]


class AxisFrame(NamedTuple):
    """An axis of a scan, described like a plate."""

    name: str
    dim: int
    size: int


def scan_axis_names(trace: Mapping[str, Mapping[str, Any]], names: Sequence[str] = ()) -> dict[Any, str]:
    """A name for the axis of each scan in a trace, in the order in which they appear: those given, then ``scan``,
    ``scan_1`` and so on.

    :param trace: messages by name of the site.
    :param names: names for the first scans.
    """
    axes = dict.fromkeys(axis for site in trace.values() for axis in site.get("scan_axes", ()))
    taken = {*trace, *names}
    fresh = (name for name in ("scan", *(f"scan_{i}" for i in range(1, len(axes) + len(taken) + 1))))
    rest = [name for name in fresh if name not in taken]
    return dict(zip(axes, [*names, *rest], strict=False))


@jax.tree_util.register_pytree_node_class
class PytreeTrace:
    """A trace that functions which JAX transforms can return: ``jax.eval_shape`` of one shows a model's sites without
    running it.

    The leaves are the arrays in values and scales of the sites, and in what else they hold; names, types, plates and
    hints are static. After it was flattened, a site from within ``scan`` also has the scan's axis among its plates
    (``cond_indep_stack``), left of the others, so that who names dimensions by plates names all of them.

    :param trace: messages by name of the site, as from :class:`numpyro.handlers.trace`.

    >>> import jax.numpy as jnp
    >>> import numpyro, numpyro.distributions as dist
    >>> def sites():
    ...     model = numpyro.handlers.seed(lambda: numpyro.sample("x", dist.Normal(jnp.zeros(3), 1.0)), 0)
    ...     return PytreeTrace(numpyro.handlers.trace(model).get_trace())
    >>> jax.eval_shape(sites).trace["x"]["value"].shape
    (3,)
    """

    def __init__(self, trace: Mapping[str, dict[str, Any]]) -> None:
        self.trace = trace

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        names = scan_axis_names(self.trace)
        arrays: list[Any] = []
        static = []
        for name, site in self.trace.items():
            described = {key: value for key, value in site.items() if key not in ("scan_axes", "rng_key")}
            if site.get("scan_axes"):
                described["cond_indep_stack"] = [*site["cond_indep_stack"], *_axis_frames(site, names)]
            flat = {key: jax.tree.flatten(value) for key, value in described.items()}
            leaves = [leaf for part, _ in flat.values() for leaf in part]
            arrays += [leaf for leaf in leaves if _is_array(leaf)]
            marks = [_ARRAY if _is_array(leaf) else leaf for leaf in leaves]
            static.append((name, {key: treedef for key, (_, treedef) in flat.items()}, marks))
        return tuple(arrays), _Static(static)

    @classmethod
    def tree_unflatten(cls, aux_data: Any, children: Any) -> PytreeTrace:
        arrays = iter(children)
        trace = {}
        for name, treedefs, marks in aux_data.sites:
            leaves = iter(marks)
            site = {}
            for key, treedef in treedefs.items():
                own = [next(leaves) for _ in range(treedef.num_leaves)]
                site[key] = jax.tree.unflatten(treedef, [next(arrays) if x is _ARRAY else x for x in own])
            trace[name] = site
        return cls(trace)


class _Static:
    """What is static about a trace; equal to itself only."""

    def __init__(self, sites: list[Any]) -> None:
        self.sites = sites


_ARRAY = object()


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _axis_frames(site: Mapping[str, Any], names: Mapping[Any, str]) -> list[AxisFrame]:
    """The axes of scans around a site as plates, innermost first: left of all plates."""
    left = min((frame.dim for frame in site["cond_indep_stack"]), default=0)
    axes = list(reversed(site["scan_axes"]))
    return [AxisFrame(names[axis], left - 1 - i, axis.length) for i, axis in enumerate(axes)]
