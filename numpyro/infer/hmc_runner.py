# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""HMC and NUTS as :class:`~numpyro.infer.mcmc.MCMC` runs them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.chain import FAILED, GIVEN, RESUME, SEARCH, Chain
from numpyro.infer.chains import advance_together
from numpyro.infer.compilation import quickly_compiled
from numpyro.infer.fields import site_of, without_sites
from numpyro.infer.hmc import HMC
from numpyro.infer.runner import (
    Group,
    Plan,
    Request,
    Runner,
    check_number_of_keys,
    concrete,
    fetched,
    is_batch,
    looks_of,
)
from numpyro.infer.target import is_concrete

if TYPE_CHECKING:
    from numpyro.infer.mcmc import MCMC

__all__ = ["HMCRunner"]


class HMCRunner(Runner):
    """Runs HMC and NUTS: everything between the random key and the draws is compiled."""

    kernel: HMC

    def __init__(self, mcmc: MCMC, request: Request, plan: Plan) -> None:
        super().__init__(mcmc, request, plan)
        self.kernel = mcmc.sampler  # type: ignore[assignment]
        request, lead = self.request, (self.count,) if self.batched else ()
        resumed = request.resumed
        likeness = request.init_params if resumed is None else resumed.z
        self.program, arrays = self.kernel.program(
            mcmc.num_warmup, request.args, request.kwargs, likeness, batched=self.batched
        )
        self.arrays = self.place_arrays(arrays)
        self.sampler = self.program.sampler
        if is_batch(request.rng_key):
            check_number_of_keys(request.rng_key, self.count)
        self.initial = self.sampler.initial_state()
        if request.init_params is not None and resumed is None:
            self.program.target.check_shapes(request.init_params, lead)

    def start(self, group: Group) -> tuple[Chain, dict[str, Any]]:
        """The carry of a chain, or of all of them, before its first iteration. Made on the host: nothing is
        dispatched."""
        together = isinstance(group, range)
        lead = (self.count,) if together else ()
        space, request = self.sampler.space, self.request
        run_key = self._run_key(group)

        def on_host(tree: Any) -> Any:
            whole = together or not self.batched
            return jax.tree.map(lambda x: concrete(x) if whole else concrete(x)[group], tree)

        if request.resumed is not None:
            phase = RESUME
            state = on_host(_without_keys(request.resumed))
            z, gradient = (space.ravel_on_host(part, lead) for part in (state.z, state.z_grad))
            state = self._fitted(state._replace(z=z, z_grad=gradient), lead)
        else:
            phase = SEARCH if request.init_params is None else GIVEN
            state = jax.tree.map(lambda x: np.broadcast_to(x, lead + x.shape), self.initial)
            if request.init_params is not None:
                state = state._replace(z=space.ravel_on_host(on_host(request.init_params), lead))
        state = state._replace(rng_key=run_key, adapt_state=state.adapt_state._replace(rng_key=run_key))
        number = np.asarray(group, np.int32) + np.int32(self.placement.chains.start)
        zeros = np.zeros(lead, np.int32)
        chain = Chain(state, np.full(lead, phase, np.int32), zeros, zeros, number, run_key)
        draws = self.buffers(jax.tree.map(looks_of, chain.state), lead)
        carry = self.place_carry((chain, draws))
        self.compile_ahead((carry, self.arrays), partial(self._ahead, carry))
        return carry

    def _ahead(self, carry: tuple[Chain, dict[str, Any]]) -> Future[Any]:
        """The loop, compiled in the background."""
        inputs: Any = self._packed(carry) if self._is_packed else carry
        return self.compiled(self._compiled(), inputs, self._rest(self.plan.stop, self.plan.first))

    def _run_key(self, group: Group) -> Any:
        """The random key from which a chain's own is made: the same for all chains, whose numbers set them apart,
        unless the user gave one for each."""
        key, together = self.request.rng_key, isinstance(group, range)
        if is_batch(key):
            return key if together else key[group]
        if not together:
            return key
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(key, (self.count,))
        return np.tile(np.asarray(key), (self.count, 1)) if is_concrete(key) else jnp.tile(key, (self.count, 1))

    def _fitted(self, state: Any, lead: tuple[int, ...]) -> Any:
        """The state to resume with the dtypes of this program."""
        leaves, expected = jax.tree.leaves(state), jax.tree.leaves(self.initial)
        treedef: Any = jax.tree.structure(state)
        if treedef != jax.tree.structure(self.initial) or [x.shape for x in leaves] != [
            lead + x.shape for x in expected
        ]:
            raise ValueError(
                "`post_warmup_state` does not belong to this sampler: its parameters, mass matrix or number of chains "
                f"differ from those of a state of {type(self.kernel).__name__} with {self.count} chain(s). Assign "
                "`mcmc.last_state` of a run with the same model, settings and number of chains."
            )
        cast = [concrete(leaf).astype(x.dtype) for leaf, x in zip(leaves, expected, strict=True)]
        return jax.tree.unflatten(treedef, cast)

    def advance(self, carry: tuple[Chain, dict[str, Any]], stop: int, first: int) -> tuple[Chain, dict[str, Any]]:
        self.wait_for_loop()
        rest, program = self._rest(stop, first), self._compiled()
        if not self._is_packed:
            return self.place_carry(program(*carry, *rest))
        inputs = self._packed(carry)
        packed, draws = self.in_threads(program, inputs, rest) if self.is_threaded else program(*inputs, *rest)
        return self.sampler.packing.unpack(jax.tree.map(fetched, packed)), draws

    @property
    def _is_packed(self) -> bool:
        """Whether a program is for one chain, which is at hand between calls."""
        return (self.method == "sequential" or self.is_threaded) and self.home is None and not self.is_traced

    def _packed(self, carry: tuple[Chain, dict[str, Any]]) -> tuple[list[Any], dict[str, Any]]:
        chain, draws = carry
        return self.sampler.packing.pack_on_host(jax.tree.map(fetched, chain)), draws

    def _rest(self, stop: int, first: int) -> tuple[Any, ...]:
        return (self.arrays, np.int32(stop), np.int32(first), np.int32(self.plan.thinning))

    def _compiled(self) -> Any:
        if self._is_packed:
            return self.program.advance_packed
        if self.method == "sequential":
            return self.program.advance
        if self.method == "vectorized":
            return self.program.advance_together
        key = (self.method, self.count)
        if key not in self.program.compiled:
            advance = self.sampler.advance
            if self.method == "parallel":
                together: Any = partial(advance_together, self.sampler)
                if jax.default_backend() == "cpu":
                    # A step costs a core as much for each chain, whether they make it together or by themselves.
                    together = lambda chains, draws, *rest: lax.map(lambda c: advance(*c, *rest), (chains, draws))
                fn = self.placement.over_devices(advance, together)
            else:
                method: Any = self.method

                def fn(chain: Chain, draws: dict[str, Any], *rest: Any) -> Any:
                    return method(lambda carry: advance(*carry, *rest))((chain, draws))

            self.program.compiled[key] = quickly_compiled(fn, donate_argnums=(1,))
        return self.program.compiled[key]

    def check(self, carry: tuple[Chain, dict[str, Any]]) -> None:
        """Wait for the chains; raise the error if one has no start."""
        chain, _ = carry
        failed = np.asarray(chain.phase) == FAILED
        if not failed.any():
            return
        position = np.asarray(chain.state.z)
        if failed.ndim:
            position = position[np.argmax(failed)]
        params = self.sampler.space.unravel_on_host(position)
        origin: str | None = None
        if self.request.resumed is not None:
            origin = "`post_warmup_state`"
        elif self.request.init_params is not None:
            origin = "`init_params`"
        self.program.target.refuse(params, self.arrays, origin)

    def marked(self, carry: tuple[Chain, dict[str, Any]]) -> tuple[Chain, dict[str, Any]]:
        chain, draws = carry
        failed = jnp.asarray(chain.phase) == FAILED

        def mark(x: Any) -> Any:
            x = jnp.asarray(x)
            where = failed.reshape(failed.shape + (1,) * (x.ndim - failed.ndim))
            return jnp.where(where, jnp.nan, x) if jnp.issubdtype(x.dtype, jnp.floating) else x

        return chain, jax.tree.map(mark, draws)

    def state(self, carry: tuple[Chain, dict[str, Any]]) -> Any:
        return carry[0].state

    def iteration(self, carry: tuple[Chain, dict[str, Any]]) -> int:
        return int(np.min(np.asarray(carry[0].state.i)))

    def density(self, carry: Any) -> tuple[Any, Any]:
        space = self.sampler.space
        return self.program.target.density, (space.treedef, space.shapes, space.order, space.blocks)

    def diagnosed(self, state: Any) -> Any:
        if type(self.kernel).get_diagnostics_str is not HMC.get_diagnostics_str:
            return state
        shown = {
            name: getattr(state, name) for name in ("i", "num_steps", "accept_prob", "mean_accept_prob", "diverging")
        }
        adapt_state = state.adapt_state
        adapt_state = adapt_state._replace(**dict.fromkeys(adapt_state._fields))
        adapt_state = adapt_state._replace(step_size=state.adapt_state.step_size)
        return state._replace(**(dict.fromkeys(state._fields) | shown | {"adapt_state": adapt_state}))

    def _programs(self) -> dict[Any, Any]:
        return self.program.compiled

    def collected_one(self, draw: dict[str, Any], arrays: list[Any]) -> dict[str, Any]:
        unravel = self.sampler.space.unravel
        params = unravel(draw["z"])
        given = self.postprocess_fn
        values = self.program.target.constrain(params, arrays) if given is None else given(params)
        collected = draw | {"z": without_sites(values, self.excluded)}
        collected |= {f"z.{name}": site_of(params, name) for name in self.unconstrained}
        return collected | ({"z_grad": unravel(draw["z_grad"])} if "z_grad" in draw else {})

    def public_state(self) -> Callable[[Any], Any]:
        return self.sampler.unravel


def _without_keys(state: Any) -> Any:
    """An :class:`~numpyro.infer.hmc.HMCState` without its random keys."""
    return state._replace(rng_key=None, adapt_state=state.adapt_state._replace(rng_key=None))
