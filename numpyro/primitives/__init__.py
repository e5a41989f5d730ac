# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The statements of a model, and the stack of effect handlers that gives them their meaning.

A statement builds a *message*, a dict that says what is wanted, and sends it through the stack
(:func:`apply_stack`): from the innermost handler outward each may change it, until one sets ``msg["stop"]``; then the
value is computed if none has been given; then the same handlers see the result, from the outermost inward. Outside
any handler a statement does the obvious thing and builds no message.

The idea is that of Pyro's messengers: Bingham et al., "Pyro: Deep Universal Probabilistic Programming", JMLR 20 (2019);
see also Plotkin and Pretnar, "Handlers of Algebraic Effects", ESOP (2009). ``docs/design/architecture.md`` lists the
keys of messages.
"""

from __future__ import annotations

from numpyro.primitives.plates import plate, plate_stack, subsample
from numpyro.primitives.stack import (
    CondIndepStackFrame,
    Messenger,
    apply_stack,
    default_process_message,
    forward,
    has_handlers,
    postprocess,
    process,
)
from numpyro.primitives.statements import (
    deterministic,
    factor,
    get_mask,
    module,
    mutable,
    param,
    prng_key,
    sample,
)

__all__ = [
    "CondIndepStackFrame",
    "Messenger",
    "apply_stack",
    "default_process_message",
    "deterministic",
    "factor",
    "forward",
    "get_mask",
    "has_handlers",
    "module",
    "mutable",
    "param",
    "plate",
    "plate_stack",
    "postprocess",
    "prng_key",
    "process",
    "sample",
    "subsample",
]
