# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""``lax.cond`` whose branches contain sample statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from numpyro._shapes import shape_of
from numpyro.contrib.control_flow.body import Border, ask, hoist_params, tell, wrap_body
from numpyro.primitives import apply_stack, has_handlers

__all__ = ["cond"]


def cond(pred: Any, true_fun: Callable[[Any], Any], false_fun: Callable[[Any], Any], operand: Any) -> Any:
    """Run one of two functions with sample statements, depending on a boolean that may be traced.

    The two branches must have the same sites: for each, distributions of the same class and shapes (their parameters
    may differ). Outside, each site appears once, with the distribution of the branch that was taken.

    :param pred: scalar boolean.
    :param true_fun: function of ``operand`` that is run where ``pred`` is True.
    :param false_fun: function of ``operand`` that is run where ``pred`` is False.
    :param operand: pytree of arrays, the argument of both functions.
    :return: what the function that was run returns.
    :raises ValueError: where the branches differ in their sites, naming them.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.contrib.control_flow import cond
    >>> def model():
    ...     side = numpyro.sample("side", dist.Normal(0.0, 1.0))
    ...     def right(_):
    ...         return numpyro.sample("x", dist.Normal(20.0, 1.0))
    ...     def left(_):
    ...         return numpyro.sample("x", dist.Normal(-20.0, 1.0))
    ...     return cond(side > 0, right, left, None)
    >>> trace = numpyro.handlers.trace(numpyro.handlers.seed(model, 0)).get_trace()
    >>> bool((trace["side"]["value"] > 0) == (trace["x"]["value"] > 0))
    True
    """
    if not has_handlers():
        return lax.cond(pred, true_fun, false_fun, operand)
    if shape_of(pred):
        raise ValueError(
            f"cond: pred must be a scalar, but it has shape {shape_of(pred)}. To choose element by element, compute "
            f"both "
            "parameters and use jnp.where."
        )
    msg = apply_stack(
        {
            "type": "control_flow",
            "name": "_cond",
            "fn": lambda rng_key=None: rng_key,
            "args": (),
            "kwargs": {"rng_key": None},
            "value": None,
            "body_handlers": [],
        }
    )
    key, prefix = msg["kwargs"]["rng_key"], msg.get("scope_prefix", "")
    bodies = [wrap_body(true_fun, msg), wrap_body(false_fun, msg)]
    abstract_operand = jax.tree.map(lambda x: jax.ShapeDtypeStruct(shape_of(x), jnp.result_type(x)), operand)
    borders, results = [], []
    for body in bodies:
        border = Border(key, construct="cond")

        def look(operand: Any, body: Callable[[Any], Any] = body, border: Border = border) -> Any:
            with border:
                body(operand)
            return border.outputs

        results.append(jax.eval_shape(look, abstract_operand))
        borders.append(border)
    _check_branches(borders, results)
    sites, outputs = borders[0].sites, results[0]
    reserved = {name: len(outputs[name]["fn"].batch_shape) for name, site in sites.items() if site.type == "sample"}
    params = hoist_params(borders[0].param_messages | borders[1].param_messages, prefix, "cond")
    decisions = ask(sites, outputs, prefix, key, None)
    given = {name: decision.arrays for name, decision in decisions.items()}

    def branch(body: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(arguments: Any) -> Any:
            operand, key, arrays = arguments
            border = Border(key, decisions, arrays, params=params, construct="cond")
            with border:
                result = body(operand)
            return result, {name: border.outputs[name] for name in sites}

        return run

    result, told = lax.cond(pred, branch(bodies[0]), branch(bodies[1]), (operand, key, given))
    tell(sites, told, prefix, key, decisions, None, reserved)
    return result


def _check_branches(borders: list[Border], outputs: list[Any]) -> None:
    """The branches must have the same sites with distributions of the same kind."""
    names = [set(border.sites) for border in borders]
    if names[0] != names[1]:
        raise ValueError(
            f"cond: the branches have different sites (only if true: {sorted(names[0] - names[1])}; only if false: "
            f"{sorted(names[1] - names[0])}). Sample a site that only one branch needs in front of cond, or in both."
        )
    for name, site in borders[0].sites.items():
        other = borders[1].sites[name]
        if (site.type, site.is_observed) != (other.type, other.is_observed):
            raise ValueError(f"cond: site '{name}' is of another kind (type, observed) in one branch than in the other")
        structures: list[Any] = [jax.tree.structure(output[name]) for output in outputs]
        shapes = [[leaf.shape for leaf in jax.tree.leaves(output[name])] for output in outputs]
        if structures[0] != structures[1] or shapes[0] != shapes[1]:
            described = [
                f"{output[name]['fn']} with a value of shape {output[name]['value'].shape}"
                if site.type == "sample"
                else f"shape {output[name]['value'].shape}"
                for output in outputs
            ]
            raise ValueError(
                f"cond: site '{name}' differs between the branches: {described[0]} if true, {described[1]} if false. "
                f"Use the same "
                "class of distribution and the same parameter shapes in both."
            )
