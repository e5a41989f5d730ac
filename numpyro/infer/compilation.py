# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""How much effort is spent on compiling a program, and how many threads run it.

XLA's compilation is most of the time of a first run. Options of its compiler make it shorter, at a price that depends
on what the program does: they are chosen here, by measurement (``benchmarks/README.md``).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import jax

from numpyro.infer.linear_algebra import has_small_matrices, one_blas_thread
from numpyro.util import inner_programs, is_tracing

__all__ = ["in_background", "on_one_cpu", "quickly_compiled"]

_NO_EMITTERS = {"xla_cpu_use_fusion_emitters": False}
"""Loops written as LLVM's code at once rather than through MLIR: 0.8 s for a first run of the eight schools instead of
1.3, and two thirds of the memory. The loops are vectorised less well: see ``_WEIGHTS``."""

_OPTIONS: dict[int, dict[str, Any]] = {
    0: {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True} | _NO_EMITTERS,
    1: {"xla_backend_optimization_level": 1},
    2: _NO_EMITTERS,
    3: {},
}

_LITTLE = 8000
"""Work, as :func:`_work` measures it, from which on the loops of a program are worth being vectorised: with less, one
pass takes at most some 2 microseconds more."""

_WEIGHTS = dict.fromkeys(
    "abs add add_any and clamp convert_element_type div eq floor ge gt integer_pow is_finite le lt max min mul ne neg"
    " not or reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum round rsqrt select_n sign sqrt square"
    " sub xor".split(),
    1,
)
"""What an element costs more where loops are vectorised less well, in units of 0.3 nanoseconds (measured)."""
_WEIGHTS |= dict.fromkeys(
    "acos acosh asin asinh atan atanh cbrt cosh erf erfc exp exp2 expm1 log log1p logistic pow sinh tan tanh".split(), 7
)
_WEIGHTS |= dict.fromkeys(
    "bessel_i0e bessel_i1e digamma erf_inv igamma igamma_grad_a igammac lgamma polygamma random_gamma_grad"
    " regularized_incomplete_beta zeta".split(),
    60,
)

_LOOPS = {"while": {"cond_jaxpr": "cond_nconsts", "body_jaxpr": "body_nconsts"}, "scan": {"jaxpr": "num_consts"}}
"""The parameters of a loop that hold its programs, and those that say how many inputs these have that do not change."""


def in_background(fn: Callable[[], Any]) -> Future[Any]:
    """What ``fn`` returns, or raises, in a thread of its own. Settings of JAX that hold in this thread only do not hold
    there, so it serves to compile what was lowered here; then a function made by ``jax.jit`` finds its program ready.

    >>> in_background(lambda: 2 + 3).result()
    5
    """
    pool = ThreadPoolExecutor(1, "numpyro")
    future = pool.submit(fn)
    pool.shutdown(wait=False)
    return future


def on_one_cpu() -> bool:
    """Whether the only device is a CPU: there are ways of computing that are good for that alone."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1


class quickly_compiled:
    """``jax.jit(fn)``, compiled with less effort where that can be asked for: on a CPU, outside other transformations.
    There, a program of small matrices gives each of them one thread, and a call of it returns when it is done.

    :param fn: the function.
    :param effort: 0 for what runs once, so that no optimisation pays; 1 for what runs as fast with the simpler
        optimisations; None for a program that runs long: without the part of the compiler that serves large arrays if
        it computes with small ones only.
    :param settings: further arguments of ``jax.jit``.

    >>> quickly_compiled(lambda x: x + 1, effort=1)(2).item()
    3
    """

    def __init__(self, fn: Callable[..., Any], *, effort: int | None = None, **settings: Any) -> None:
        self._fn, self._effort, self._settings = fn, effort, settings
        self._plain = jax.jit(fn, **settings)
        self._quick: dict[int, Any] = {}
        self._chosen: dict[Any, tuple[Any, bool]] = {}

    def at(self, *args: Any, **kwargs: Any) -> Any:
        """The function of ``jax.jit`` that is to be called here, with these arguments."""
        return self._choice(args, kwargs)[0]

    def threads(self, *args: Any, **kwargs: Any) -> AbstractContextManager[None]:
        """Within it, as many threads work on a matrix as is good for what is compiled for these arguments."""
        return one_blas_thread() if self._choice(args, kwargs)[1] else nullcontext()

    def _choice(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, bool]:
        """The function of ``jax.jit``, and whether matrices are for one thread."""
        # JAX refuses options of the compiler within another program.
        if is_tracing() or jax.default_backend() != "cpu":
            return self._plain, False
        looks = tuple(map(_look, jax.tree.leaves((args, kwargs))))
        if looks not in self._chosen:
            program = self._plain.trace(*args, **kwargs).jaxpr.jaxpr
            effort = self._effort
            if effort is None:
                effort = 2 if _work(program) <= _LITTLE else 3
            self._chosen[looks] = self._with_effort(effort), has_small_matrices(program)
        return self._chosen[looks]

    def _with_effort(self, effort: int) -> Any:
        if effort not in self._quick:
            options = _OPTIONS[effort] if _is_understood(effort) else {}
            self._quick[effort] = (
                jax.jit(self._fn, compiler_options=options, **self._settings) if options else self._plain
            )
        return self._quick[effort]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        program, is_serial = self._choice(args, kwargs)
        if not is_serial:
            return program(*args, **kwargs)
        with one_blas_thread():
            return jax.block_until_ready(program(*args, **kwargs))

    def trace(self, *args: Any, **kwargs: Any) -> Any:
        """``trace`` of the function of ``jax.jit``."""
        return self.at(*args, **kwargs).trace(*args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """``lower`` of the function of ``jax.jit``."""
        return self.at(*args, **kwargs).lower(*args, **kwargs)


def _look(x: Any) -> Any:
    """What a program depends on of an argument: of an array its shape, of anything but a number all of it."""
    return getattr(x, "shape", type(x) if isinstance(x, bool | int | float | complex) else x)


@cache
def _is_understood(effort: int) -> bool:
    """Whether this version of XLA has the options."""
    try:
        jax.jit(lambda: 0, compiler_options=_OPTIONS[effort]).lower().compile()
    except Exception:
        return False
    return True


def _work(jaxpr: Any) -> int:
    """How much a program computes at a time: in one pass of the loop that computes most, or outside of loops. Elements
    are weighted by ``_WEIGHTS``.

    >>> program = jax.make_jaxpr(lambda x: jax.lax.fori_loop(0, 9, lambda _, y: jax.numpy.exp(y) * 2, x))
    >>> _work(program(jax.numpy.ones(100)).jaxpr) // 100
    8
    """
    return max(_works(jaxpr, set()))


def _works(jaxpr: Any, constants: set[Any]) -> tuple[int, int]:
    """The work of a program without the loops in it, and the most of one of these.

    :param constants: variables that are the same in each pass of the loop around it. XLA computes before the loop what
        depends on nothing else.
    """
    constants = constants | set(jaxpr.constvars)
    is_constant = lambda atom: hasattr(atom, "val") or atom in constants
    own, most = 0, 0
    for equation in jaxpr.eqns:
        if all(map(is_constant, equation.invars)):
            constants.update(equation.outvars)
            continue
        if weight := _WEIGHTS.get(equation.primitive.name):
            own += weight * max(var.aval.size for var in (*equation.outvars, *equation.invars))
        loops = _LOOPS.get(equation.primitive.name, {})
        for program, count in loops.items():
            inner = equation.params[program].jaxpr
            most = max(most, *_works(inner, set(inner.invars[: equation.params[count]])))
        for inner in [] if loops else inner_programs(equation):
            arguments = equation.invars[-len(inner.invars) :]
            same = {var for var, x in zip(inner.invars, arguments, strict=False) if is_constant(x)}
            work, inside = _works(inner, same)
            own, most = own + work, max(most, inside)
    return own, most
