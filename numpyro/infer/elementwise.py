# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Which operations of JAX compute each element of their result from one element of each argument."""

from __future__ import annotations

__all__ = ["CALLS", "ELEMENTWISE", "OF_SHAPE"]

ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy cos cosh"
    " digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt igamma igammac integer_pow is_finite le lgamma log"
    " log1p logistic lt max min mul ne neg not or pow regularized_incomplete_beta rem round rsqrt select_n sign sin"
    " sinh sqrt square sub tan tanh xor".split()
)
"""By the names of the primitives."""

OF_SHAPE = frozenset({"broadcast_in_dim", "reshape", "squeeze", "transpose"})
"""Those that move elements about, repeat them or do nothing but change the shape."""

CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}
"""Those that only call a closed program, and the parameter that holds it."""
