# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Small programs as one piece of native code.

On a CPU, XLA runs a program as a sequence of kernels, each started by the runtime; around a small model's gradient the starts cost some 2.5 microseconds for each leapfrog step, many
times the arithmetic. A call that carries the attribute ``xla_cpu_small_call`` is compiled to a single function instead, loops included, as XLA itself does with the smallest
loops. It has no parallelism within, and no library routines, so it is used only where the work is small and each operation is a plain one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import numpy as np

__all__ = ["as_native_call", "work"]

_PLAIN = frozenset(
    """
    abs acos acosh add add_any and argmax argmin asin asinh atan atan2 atanh bitcast_convert_type broadcast broadcast_in_dim cbrt ceil clamp
    concatenate convert_element_type copy copy_p cos cosh cumlogsumexp cummax cummin cumprod cumsum digamma div dot_general dynamic_slice dynamic_update_slice eq erf
    erf_inv erfc exp exp2 expand_dims expm1 floor gather ge gt integer_pow iota is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or pad
    population_count pow reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum rem reshape rev round rsqrt scatter scatter-add scatter_add select_and_scatter_add
    select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh slice split sqrt square squeeze stop_gradient sub tan tanh transpose xor clz real imag
    """.split()
)
_CONTAINERS = frozenset(
    "pjit jit closed_call core_call remat checkpoint custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr cond scan while".split()
)


def as_native_call(fn: Callable[..., Any], *operands: Any) -> Any:
    """Call ``fn`` and have XLA compile the call to one native function, on a CPU. Elsewhere a plain call."""
    if jax.default_backend() != "cpu":
        return fn(*operands)
    try:
        from jax.experimental.xla_metadata import set_xla_metadata
    except ImportError:
        return fn(*operands)
    return set_xla_metadata(jax.jit(fn)(*operands), xla_cpu_small_call="true", inlineable="false")


def work(jaxpr: Any) -> float:
    """Rough number of arithmetic operations of a jaxpr; infinite if it has an operation that is not a plain one."""
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in _CONTAINERS:
            inner = [work(getattr(sub, "jaxpr", sub)) for sub in _subjaxprs(equation.params)]
            total += sum(inner) * equation.params.get("length", 16 if name == "while" else 1)
        elif name not in _PLAIN:
            return np.inf
        elif name == "dot_general":
            (contracting, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2.0 * _size(equation.outvars) * prod(shape[axis] for axis in contracting)
        else:
            total += max(_size(equation.outvars), _size(equation.invars) if name.startswith("reduce") else 0)
    return total


def _size(variables: Any) -> float:
    return float(sum(prod(variable.aval.shape) for variable in variables))


def _subjaxprs(params: dict[str, Any]) -> list[Any]:
    found = []
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(item, "eqns") or hasattr(item, "jaxpr"):
                found.append(item)
    return found
