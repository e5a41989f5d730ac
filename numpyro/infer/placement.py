# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Where chains run: on which devices, and in which process of a cluster.

Chains know nothing of each other. So each device runs a loop over its own chains and waits for no other, and each
process of a cluster runs its own part of the chains on its own devices; only when all are done do the processes
exchange draws. If a CPU is the one device, each chain is a thread, and they share its cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np

__all__ = ["DONE", "FAILED", "INTERRUPTED", "Placement", "in_any_process", "mesh_of", "place"]

DONE, INTERRUPTED, FAILED = range(3)

_CHAINS, _WHOLE = PartitionSpec("chains"), PartitionSpec()


class Placement(NamedTuple):
    """Which chains this process runs, and on how many devices.

    :param chains: numbers of the chains of this process.
    :param num_devices: number of devices of this process on which they stand, as many on each.
    :param num_processes: number of processes that share the chains.
    """

    chains: range
    num_devices: int = 1
    num_processes: int = 1

    @property
    def each(self) -> int:
        """Number of chains on a device."""
        return len(self.chains) // self.num_devices

    @property
    def shows(self) -> bool:
        """Whether this process is the one that shows progress and warnings."""
        return self.num_processes == 1 or jax.process_index() == 0

    # Threads

    @property
    def is_threaded(self) -> bool:
        """Whether the chains of this process share the cores of one CPU."""
        return self.each > 1 and self.num_devices == 1 and jax.default_backend() == "cpu"

    def over_threads(self, advance: Callable[[Any], Any], carry: Any) -> Any:
        """``advance`` for each chain, by a thread of its own; no more at a time than there are cores.

        :param advance: a compiled program: tracing would not see the settings of the calling thread.
        :param carry: arrays with a leading axis of chains.
        """
        carry = jax.tree.map(lambda x: x if _is_key(x) else np.asarray(x), carry)
        parts = [jax.tree.map(lambda x, i=i: x[i], carry) for i in range(self.each)]
        with ThreadPoolExecutor(min(len(parts), _num_cores())) as pool:
            advanced = list(pool.map(lambda part: jax.block_until_ready(advance(part)), parts))
        return jax.tree.map(lambda *x: jnp.stack(x) if _is_key(x[0]) else np.stack(x), *advanced)

    # Devices

    @property
    def mesh(self) -> Mesh:
        """The devices of this process on which its chains stand."""
        return Mesh(np.array(jax.local_devices()[: self.num_devices]), ("chains",))

    @property
    def sharding(self) -> NamedSharding:
        """How arrays with a leading axis of chains lie on the devices."""
        return NamedSharding(self.mesh, _CHAINS)

    @property
    def everywhere(self) -> NamedSharding:
        """How arrays lie that all devices need."""
        return NamedSharding(self.mesh, _WHOLE)

    def over_devices(self, one: Callable[..., Any], together: Callable[..., Any]) -> Callable[..., Any]:
        """A loop of its own on each device.

        :param one: ``one(a, b, *shared)`` advances one chain.
        :param together: the same for several chains, along the first axis of ``a`` and ``b``.
        :returns: the same for all chains of this process; ``shared`` goes to each device.
        """
        mesh, is_alone = self.mesh, self.each == 1

        def on_a_device(a: Any, b: Any, *shared: Any) -> Any:
            if not is_alone:
                return together(a, b, *shared)
            return jax.tree.map(lambda x: x[None], one(*jax.tree.map(lambda x: x[0], (a, b)), *shared))

        def mapped(a: Any, b: Any, *shared: Any) -> Any:
            specs = (_CHAINS, _CHAINS, *(_WHOLE for _ in shared))
            fn = jax.shard_map(on_a_device, mesh=mesh, in_specs=specs, out_specs=_CHAINS, check_vma=False)
            return fn(a, b, *shared)

        return mapped

    # Processes

    def share(self, tree: Any) -> Any:
        """This process's part of arrays with a leading axis of all chains."""
        return (
            tree if self.num_processes == 1 else jax.tree.map(lambda x: x[self.chains.start : self.chains.stop], tree)
        )

    def worst(self, outcome: int) -> int:
        """The worst outcome (:data:`DONE`, :data:`INTERRUPTED` or :data:`FAILED`) of all processes. Each waits for the
        others."""
        return outcome if self.num_processes == 1 else int(np.max(_all_of(np.array([outcome], np.int32))))

    def gather(self, tree: Any, on_host: bool) -> Any:
        """The arrays of all processes, one after the other along their first axes. Each process waits for the others.

        :param on_host: whether they are to be arrays of NumPy.
        """
        if self.num_processes == 1:
            return tree
        return jax.tree.map(lambda x: _all_of(x) if on_host or _is_key(x) else jnp.asarray(_all_of(x)), tree)


def place(num_chains: int, chain_method: Any) -> Placement:
    """Where chains run: with ``"parallel"`` on all devices of all processes, else on one.

    No device gets more chains than it must.

    :raises ValueError: if that would not be as many on each.
    """
    num_chains = int(num_chains)
    if chain_method != "parallel" or num_chains == 1:
        return Placement(range(num_chains))
    processes = jax.process_count()
    count, rest = divmod(num_chains, processes)
    if rest:
        raise ValueError(
            f'{num_chains} chains cannot be shared by {processes} processes: with chain_method="parallel", num_chains '
            f"must be a multiple of the number of processes, such as {processes * max(count, 1)} or "
            f"{processes * (count + 1)}."
        )
    devices = jax.local_device_count()
    each = -(-count // devices)
    if count % each:
        where = f"the {devices} devices of this process" if processes > 1 else f"the {devices} devices that JAX has"
        raise ValueError(
            f"{count} chains cannot be shared evenly by {where}, as chain_method='parallel' asks. "
            f"Choose a multiple of {devices} chains, such as {devices * (each - 1)} or {devices * each}; or, on a CPU, "
            f"call numpyro.set_host_device_count({count}) before anything else; or write chain_method='vectorized'."
        )
    first = count * jax.process_index()
    return Placement(range(first, first + count), count // each, processes)


def in_any_process(flag: bool) -> bool:
    """Whether ``flag`` is true in one of the processes. Each waits for the others."""
    return bool(np.any(_all_of(np.array([flag]))))


def mesh_of(arrays: list[Any]) -> Any:
    """The devices over which arrays are spread, if they are on several."""
    for array in arrays:
        sharding = getattr(array, "sharding", None)
        if isinstance(sharding, NamedSharding) and len(sharding.device_set) > 1:
            return sharding.mesh
    return None


def _num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _all_of(x: Any) -> Any:
    from jax.experimental.multihost_utils import process_allgather

    if _is_key(x):
        return jax.random.wrap_key_data(_all_of(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    return process_allgather(np.asarray(x), tiled=True)
