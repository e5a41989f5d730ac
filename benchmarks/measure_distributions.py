# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Measure distributions with the ``numpyro`` of this environment, on orders that come line by line on standard input.

An order is a JSON list, the name of a function of :data:`ORDERS` and its arguments; the answer is a line of JSON.
``distributions.py`` gives orders to one such process for each library by turns.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import os
import sys
import time
from typing import Any

from distribution_cases import ALL_CASES
import jax
import jax.numpy as jnp
import numpy as np

import numpyro.distributions as dist

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
programs: dict[str, Callable[[], Any]] = {}


def first(name: str, value: list[Any], clock: str) -> dict[str, float]:
    """Seconds, and programs compiled, of building a distribution from Python numbers and of its first density.

    In a child process, forked before this one has started JAX's runtime. There everything has been imported; before
    the clock starts, the child compiles a trivial program, so that what JAX loads for the first program of a process
    is not in the time.
    """
    receiver, sender = os.pipe()
    if os.fork() == 0:
        try:
            answer = json.dumps(_first(name, np.array(value[0], value[1]), CLOCKS[clock]))
        except Exception as error:
            answer = json.dumps({"error": f"{type(error).__name__}: {error}"})
        os.write(sender, answer.encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as file:
        answer = json.load(file)
    os.wait()
    return answer


def _first(name: str, value: np.ndarray, now: Callable[[], float]) -> dict[str, float]:
    compiled = [0]

    def count(event: str, duration: float, **_: Any) -> None:
        compiled[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.block_until_ready(jax.jit(lambda: 0.0)())
    jax.monitoring.register_event_duration_secs_listener(count)
    parameters = ALL_CASES[name].host_parameters()
    begin = now()
    distribution = ALL_CASES[name].build(name, dist, parameters)
    built = now()
    compiled_building = compiled[0]
    jax.block_until_ready(distribution.log_prob(value.item() if value.ndim == 0 else value))
    return {
        "build": built - begin,
        "first": now() - begin,
        "compiled_building": compiled_building,
        "compiled": compiled[0],
    }


def draw(name: str, path: str) -> list[Any]:
    """Write values for the case to a file; answer one of them, and the type."""
    case = ALL_CASES[name]
    if case.values is not None:
        values = case.values(np.random.default_rng(0), case.draws).astype(np.float32)
    else:
        parameters = case.host_parameters()
        sample = jax.jit(lambda key, p: case.build(name, dist, p).sample(key, case.sample_shape))
        values = np.asarray(sample(jax.random.PRNGKey(0), parameters))
    np.save(path, values)
    return [values[0].tolist(), values.dtype.name]


def prepare(name: str, path: str) -> list[str]:
    """Compile the programs of a case, with parameters and values as arguments; answer their names."""
    case = ALL_CASES[name]
    values = jnp.asarray(np.load(path))
    parameters = {key: jnp.asarray(value) for key, value in case.host_parameters().items()}
    differentiable = {key: parameters[key] for key in case.differentiable()}
    key = jax.random.PRNGKey(1)

    def log_prob(parameters: Any, values: Any) -> Any:
        return case.build(name, dist, parameters).log_prob(values)

    def total(differentiable: Any, values: Any) -> Any:
        return log_prob(parameters | differentiable, values).sum()

    is_continuous = values.dtype == np.float32 and name != "Delta"
    wanted = tuple(index for index, used in enumerate([differentiable, is_continuous]) if used)
    density, gradient = jax.jit(log_prob), jax.jit(jax.grad(total, wanted))
    sample = jax.jit(lambda key, parameters: case.build(name, dist, parameters).sample(key, case.sample_shape))
    programs.clear()
    programs["log_prob"] = lambda: density(parameters, values)
    if wanted:
        programs["gradient"] = lambda: gradient(differentiable, values)
    if case.values is None:
        programs["sample"] = lambda: sample(key, parameters)
    for program in programs.values():
        jax.block_until_ready(program())
    return list(programs)


def run(program: str, times: int, clock: str) -> float:
    """Seconds of the fastest of some calls of a program of the case that was prepared; a slow one is called once."""
    now, best = CLOCKS[clock], float("inf")
    for _ in range(times):
        if best < float("inf") and best > 0.1:
            break
        begin = now()
        jax.block_until_ready(programs[program]())
        best = min(best, now() - begin)
    return best


def forget() -> None:
    """Drop what has been compiled."""
    programs.clear()
    jax.clear_caches()


ORDERS = {function.__name__: function for function in (first, draw, prepare, run, forget)}

if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        try:
            answer = {"answer": ORDERS[order](*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
