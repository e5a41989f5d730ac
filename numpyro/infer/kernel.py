# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""What a Markov chain Monte Carlo algorithm is: a way to begin, and a way to go on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from jax import lax

from numpyro.util import identity

__all__ = ["MCMCKernel"]


class MCMCKernel(ABC):
    """Base class of the algorithms that :class:`~numpyro.infer.mcmc.MCMC` runs.

    A subclass defines :meth:`init`, :meth:`sample` and :attr:`sample_field`. The state may be any pytree whose fields
    are attributes, such as a ``NamedTuple``; a field ``rng_key`` holds the random key.

    >>> import jax, jax.numpy as jnp
    >>> from typing import NamedTuple
    >>> from numpyro.infer import MCMC
    >>> class State(NamedTuple):
    ...     x: jax.Array
    ...     rng_key: jax.Array
    >>> class RandomWalk(MCMCKernel):
    ...     '''Metropolis's algorithm for a standard normal distribution.'''
    ...     sample_field = "x"
    ...     def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
    ...         return State(init_params, rng_key)
    ...     def sample(self, state, model_args, model_kwargs):
    ...         rng_key, step_key, accept_key = jax.random.split(state.rng_key, 3)
    ...         y = state.x + jax.random.normal(step_key)
    ...         accept = jnp.log(jax.random.uniform(accept_key)) < 0.5 * (state.x**2 - y**2)
    ...         return State(jnp.where(accept, y, state.x), rng_key)
    >>> mcmc = MCMC(RandomWalk(), num_warmup=100, num_samples=1000, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), init_params=jnp.array(3.0))
    >>> mcmc.get_samples().shape
    (1000,)
    """

    is_pure: bool = False
    """Whether :meth:`init` and :meth:`sample` depend on nothing but their arguments, so that they may be compiled once
    and used again for other data of the same shape."""

    @property
    @abstractmethod
    def sample_field(self) -> str:
        """Name of the field of the state that holds the draw."""

    @property
    def default_fields(self) -> tuple[str, ...]:
        """Names of the fields that are collected without being asked for."""
        return (self.sample_field,)

    @property
    def diagnostic_fields(self) -> tuple[str, ...]:
        """Names of the fields that :mod:`numpyro.infer.convergence` looks at after a run. They are collected, but not
        shown among the extra fields unless they are asked for."""
        return ()

    @property
    def is_ensemble_kernel(self) -> bool:
        """Whether the kernel moves all chains at once: its keys, parameters and states have a leading axis of
        chains."""
        return False

    @abstractmethod
    def init(
        self, rng_key: Any, num_warmup: int, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> Any:
        """The state of a chain at its start.

        :param rng_key: random key.
        :param num_warmup: number of iterations in which the kernel may adapt.
        :param init_params: where to start, or None.
        :param model_args: arguments of the model.
        :param model_kwargs: keyword arguments of the model.
        """

    @abstractmethod
    def sample(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Any:
        """The state after one more iteration. It must be traceable by JAX."""

    def prepare(
        self,
        num_warmup: int,
        init_params: Any,
        model_args: tuple[Any, ...],
        model_kwargs: dict[str, Any],
        lead: tuple[int, ...] = (),
    ) -> bool:
        """Look at the arguments of a run before anything is compiled.

        :param init_params: where to start, or the parameters from which to go on, or None.
        :param lead: shape of the leading axes that ``init_params`` has: the number of chains, if there are several.
        :returns: whether arrays among the model's arguments may be inputs of the compiled program; otherwise they are
            constants in it.
        """
        return self.is_pure

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        """Raise an error if a chain cannot begin with ``state``, which :meth:`init` made within a compiled program.

        :param init_params: where the user wanted to start, or None.
        """
        return

    def postprocess_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """A function applied to each draw, such as the one from unconstrained to constrained parameters."""
        return identity

    def get_constrain_fn(self, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to the values of the latent sites."""
        return identity

    def get_diagnostics_str(self, state: Any) -> str:
        """What the progress bar says of a state."""
        return ""

    def refresh(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None) -> Any:
        """The state with whatever depends on the model's arguments computed anew; for kernels that are part of another
        one."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `refresh`, so it cannot be a part of a composite kernel."
        )

    def sample_after_change(
        self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any], changed: Any
    ) -> Any:
        """One iteration from a state that was made for other arguments of the model if ``changed``, a boolean scalar;
        for kernels that are part of another one."""
        fresh = lax.cond(changed, lambda s: self.refresh(s, model_args, model_kwargs), lambda s: s, state)
        return self.sample(fresh, model_args, model_kwargs)

    def _what_is_drawn(self, state: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]) -> Any:
        """A computation whose text tells one target from another, to know a run again by. That of a whole iteration
        does, but depends on what JAX has traced before; the density of a model does not."""
        return self.sample(state, model_args, model_kwargs)

    def _programs_for_now(self) -> dict[Any, Any] | None:
        """Where what is compiled for this kernel is kept, as long as nothing that its model reads from outside has
        changed; None for the :class:`~numpyro.infer.mcmc.MCMC` object that runs it."""
        return None

    def wrap_model(self, wrapper: Callable[..., Any]) -> MCMCKernel:
        """The same kernel for the model ``wrapper(model)``."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `wrap_model`.")
