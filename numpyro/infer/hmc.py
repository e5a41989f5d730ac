# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Hamiltonian Monte Carlo and the No-U-Turn Sampler.

:class:`HMC` and :class:`NUTS` put the parts together: a :mod:`potential <numpyro.infer.potential>`, a :mod:`metric
<numpyro.infer.metric>`, a :mod:`trajectory <numpyro.infer.trajectory>`, a :mod:`warm-up <numpyro.infer.warmup>`. The
loop around them is in :mod:`numpyro.infer.chain`.

**References:** Neal (2011), *MCMC using Hamiltonian dynamics*; Hoffman and Gelman (2014), *The No-U-Turn Sampler*;
Betancourt (2017), *A Conceptual Introduction to Hamiltonian Monte Carlo*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
import math
from typing import Any
import warnings

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp

from numpyro.infer.chain import FAILED, GIVEN, SEARCH, Chain, HMCState, Sampler, strongly_typed
from numpyro.infer.chains import advance_together
from numpyro.infer.compilation import quickly_compiled
from numpyro.infer.fisher import FisherAdaptation, LowRankFisherAdaptation
from numpyro.infer.initialization import init_to_uniform, uniform_radius
from numpyro.infer.integrator import euclidean_kinetic_energy
from numpyro.infer.metric import FlatSpace, flat_space
from numpyro.infer.target import Target
from numpyro.infer.target_kernel import Program, TargetKernel
from numpyro.infer.trajectory import HMCTrajectory, NUTSTrajectory
from numpyro.infer.warmup import Adaptation, BaseAdaptation

__all__ = ["HMC", "NUTS", "HMCProgram", "HMCState", "hmc", "momentum_generator"]

_ADAPTATIONS: dict[str, type[BaseAdaptation]] = {
    "welford": Adaptation,
    "fisher": FisherAdaptation,
    "fisher_low_rank": LowRankFisherAdaptation,
}


@dataclass(frozen=True, eq=False)
class HMCProgram(Program):
    """What :class:`HMC` compiles for a target.

    :param sampler: the parts of a chain.
    """

    sampler: Sampler
    compiled: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "find_start", jax.jit(self.find_start))

    @cached_property
    def advance(self) -> Any:
        """:meth:`Sampler.advance <numpyro.infer.chain.Sampler.advance>`, compiled; the buffers of draws are donated."""
        return quickly_compiled(self.sampler.advance, donate_argnums=(1,))

    @cached_property
    def advance_packed(self) -> Any:
        """The same for a chain whose scalars stand in vectors."""
        return quickly_compiled(self.sampler.advance_packed, donate_argnums=(1,))

    @cached_property
    def advance_together(self) -> Any:
        """The same for many chains."""
        return quickly_compiled(partial(advance_together, self.sampler), donate_argnums=(1,))

    def begin(self, rng_key: Any, init_params: Any, arrays: Any) -> HMCState:
        sampler, zero = self.sampler, jnp.zeros((), jnp.int32)
        phase = jnp.full((), SEARCH if init_params is None else GIVEN, jnp.int32)
        state = sampler.initial_state(rng_key)
        state = state if init_params is None else state._replace(z=sampler.space.ravel(init_params))
        chain = Chain(jax.tree.map(jnp.asarray, state), phase, zero, zero, zero, rng_key)
        chain, _ = sampler.advance(chain, {}, arrays, 0, 0, 1)
        # The potential energy may be finite where its gradient is not.
        potential = jnp.where(chain.phase == FAILED, jnp.inf, chain.state.potential_energy)
        return sampler.unravel(chain.state._replace(potential_energy=potential))

    def transition(self, state: HMCState, arrays: Any, stale: Any = None) -> HMCState:
        sampler = self.sampler
        return sampler.unravel(sampler.transition(sampler.ravel(state), arrays, stale))

    def refresh(self, state: HMCState, arrays: Any) -> HMCState:
        space = self.sampler.space
        potential, gradient = self.sampler.potential_and_grad(space.ravel(state.z), arrays)
        return state._replace(potential_energy=potential, z_grad=space.unravel(gradient))

    def find_start(self, rng_key: Any, init_params: Any, arrays: Any) -> HMCState:
        """:meth:`begin` by evaluations alone, so that no trajectory is compiled; where there is no start the potential
        energy is infinite."""
        position = None if init_params is None else self.sampler.space.ravel(init_params)
        start = self.target.find_start(rng_key, position, arrays, with_gradient=True)
        state = self.sampler.initial_state(rng_key)._replace(
            z=start.position, z_grad=start.gradient, potential_energy=start.potential_energy
        )
        return self.sampler.unravel(strongly_typed(jax.tree.map(jnp.asarray, state)))


class HMC(TargetKernel):
    """Hamiltonian Monte Carlo with trajectories of fixed length; step size and mass matrix adapt during warm-up.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params`` must be given to
        :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param kinetic_fn: ``kinetic_fn(inverse_mass_matrix, r)``, the kinetic energy of a momentum. Default:
        ``r^T M^-1 r / 2``.
    :param step_size: initial size of a leapfrog step, positive.
    :param inverse_mass_matrix: initial inverse mass matrix: a vector (a diagonal), a matrix, or a dict from tuples of
        site names to either. Entries are in the order of the flattened parameters. Default: the identity.
    :param adapt_step_size: whether to adapt the step size by dual averaging.
    :param adapt_mass_matrix: whether to estimate the inverse mass matrix, in the way that ``mass_adaptation`` says.
    :param dense_mass: False for a diagonal mass matrix, True for a dense one, or a list of tuples of site names, each
        of which has a dense block; the other sites have a diagonal one.
    :param target_accept_prob: acceptance probability at which the step size is aimed, in ``(0, 1)``. Larger values give
        smaller steps and fewer divergences.
    :param num_steps: number of leapfrog steps of a trajectory, at least 1. If ``trajectory_length`` is not None, the
        step size is fixed at ``trajectory_length / num_steps``.
    :param trajectory_length: length of a trajectory, positive. While the step size adapts, a trajectory has at most
        16384 steps.
    :param init_strategy: how to find a start; see :mod:`numpyro.infer.initialization`.
    :param find_heuristic_step_size: whether to look, at the start and where a window of the warm-up ends with a new
        mass matrix, for a step size whose acceptance probability is about 0.8.
    :param forward_mode_differentiation: differentiate the potential energy forwards; for models that use
        ``lax.while_loop``.
    :param regularize_mass_matrix: whether to shrink the covariance that ``"welford"`` estimates.
    :param mass_adaptation: how the inverse mass matrix is estimated. ``"welford"``: as the covariance of the draws of a
        window. ``"fisher"``: as the diagonal that minimises the Fisher divergence, from draws and gradients, at each
        iteration of the warm-up; dense blocks are still estimated as by ``"welford"``. ``"fisher_low_rank"``: the same,
        and up to 64 directions in which parameters are correlated. See :mod:`numpyro.infer.fisher`.
    :raises ValueError: if both or neither of ``model`` and ``potential_fn`` are given, or neither of ``num_steps`` and
        ``trajectory_length``.

    **Reference:** Neal (2011), *MCMC Using Hamiltonian Dynamics*; Hoffman and Gelman (2014), *The No-U-Turn Sampler*,
    section 3.2, for the adaptation of the step size.

    >>> from numpyro.infer import MCMC
    >>> kernel = HMC(potential_fn=lambda z: 0.5 * z**2, num_steps=4, trajectory_length=None)
    >>> mcmc = MCMC(kernel, num_warmup=100, num_samples=200, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), init_params=jnp.array(0.5))
    >>> mcmc.get_samples().shape
    (200,)
    """

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        kinetic_fn: Callable[..., Any] | None = None,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: bool | Sequence[Sequence[str]] = False,
        target_accept_prob: float = 0.8,
        num_steps: int | None = None,
        trajectory_length: float | None = 2 * math.pi,
        init_strategy: Callable[..., Any] = init_to_uniform,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        mass_adaptation: str = "welford",
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        if num_steps is None and trajectory_length is None and type(self)._needs_length:
            raise ValueError("At least one of `num_steps` or `trajectory_length` must be specified.")
        if num_steps is not None and num_steps < 1:
            raise ValueError(f"`num_steps` must be at least 1, but it is {num_steps}.")
        if mass_adaptation not in _ADAPTATIONS:
            raise ValueError(
                f"`mass_adaptation` must be one of {', '.join(map(repr, _ADAPTATIONS))}, but it is {mass_adaptation!r}."
            )
        if not 0 < target_accept_prob < 1:
            raise ValueError(f"`target_accept_prob` must lie strictly between 0 and 1, but it is {target_accept_prob}.")
        if num_steps is not None and trajectory_length is not None:
            warnings.warn(
                "`num_steps` and `trajectory_length` together fix the step size at trajectory_length / num_steps, so "
                "it does not adapt. Pass trajectory_length=None to let it adapt.",
                stacklevel=2,
            )
            step_size, adapt_step_size = trajectory_length / num_steps, False
        self._kinetic_fn = None if kinetic_fn is euclidean_kinetic_energy else kinetic_fn
        self._step_size = float(step_size)
        self._inverse_mass_matrix = inverse_mass_matrix
        self._adapt_step_size = adapt_step_size
        self._adapt_mass_matrix = adapt_mass_matrix
        self._dense_mass = dense_mass if isinstance(dense_mass, bool) else tuple(dense_mass)
        self._target_accept_prob = target_accept_prob
        self._num_steps = num_steps
        self._trajectory_length = trajectory_length
        self._find_heuristic_step_size = find_heuristic_step_size
        self._forward_mode_differentiation = forward_mode_differentiation
        self._regularize_mass_matrix = regularize_mass_matrix
        self._mass_adaptation = mass_adaptation

    _needs_length = True

    @property
    def target_accept_prob(self) -> float:
        """Acceptance probability at which the step size is aimed."""
        return self._target_accept_prob

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    @property
    def diagnostic_fields(self) -> tuple[str, ...]:
        return ("diverging", "energy", "num_steps")

    def get_diagnostics_str(self, state: HMCState) -> str:
        return (
            f"{int(state.num_steps)} steps of size {float(state.adapt_state.step_size):.2e}. "
            f"acc. prob={float(state.mean_accept_prob):.2f}"
        )

    def _trajectory(self) -> tuple[Any, tuple[int, int] | None]:
        """The trajectory and its bounds in warm-up and after."""
        return HMCTrajectory(), None if self._num_steps is None else (self._num_steps, self._num_steps)

    def _adaptation(self, space: FlatSpace) -> type[BaseAdaptation]:
        """The adaptation of the mass matrix that fits its blocks."""
        if self._mass_adaptation == "fisher_low_rank":
            if len(space.blocks) > 1 or space.blocks[0].dense:
                raise ValueError(
                    'mass_adaptation="fisher_low_rank" estimates by itself which parameters are correlated, so the '
                    "mass matrix cannot have dense blocks or more blocks than one. Leave out `dense_mass`, give "
                    '`inverse_mass_matrix` as a vector if at all, or write mass_adaptation="welford".'
                )
            if self._kinetic_fn is not None:
                raise ValueError(
                    'mass_adaptation="fisher_low_rank" needs the Euclidean kinetic energy: leave out `kinetic_fn`, or '
                    'write mass_adaptation="fisher" or "welford".'
                )
        elif any(block.dense for block in space.blocks):
            return Adaptation
        return _ADAPTATIONS[self._mass_adaptation]

    # Programs

    def flat_space(self, prototype: Any, keyed: bool) -> FlatSpace:
        return flat_space(prototype, self._dense_mass, self._inverse_mass_matrix, keyed)

    def compose(self, target: Target, num_warmup: int) -> HMCProgram:
        starts: Any = None
        if target.init_strategy is not None:
            starts = uniform_radius(target.init_strategy)
            starts = target.draw_start if starts is None else starts
        adaptation = self._adaptation(target.space)(
            target.space,
            num_warmup,
            self._adapt_step_size,
            self._adapt_mass_matrix,
            self._target_accept_prob,
            self._regularize_mass_matrix,
            mass_is_given=self._inverse_mass_matrix is not None,
        )
        trajectory, limits = self._trajectory()
        sampler = Sampler(
            space=target.space,
            adaptation=adaptation,
            trajectory=trajectory,
            potential_and_grad=target.potential_and_grad,
            starts=starts,
            step_size=self._step_size,
            inverse_mass_matrix=self._inverse_mass_matrix,
            limits=limits,
            trajectory_length=self._trajectory_length,
            find_step_size=self._find_heuristic_step_size and self._adapt_step_size,
            kinetic_fn=self._kinetic_fn,
        )
        return HMCProgram(target, sampler)

    # The kernel's interface

    def postprocess_fn(self, model_args: tuple[Any, ...] = (), model_kwargs: Any = None) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to the values of latent and deterministic sites."""
        return super().postprocess_fn(model_args, model_kwargs)

    def find_start(
        self,
        rng_key: Any,
        num_warmup: int,
        init_params: Any = None,
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
    ) -> HMCState:
        """What :meth:`init` gives, for a kernel that is part of another one: quicker to compile, and the step size is
        not searched for until the first iteration. Where there is no start the potential energy is infinite."""
        program, arrays = self._program_for(num_warmup, model_args, model_kwargs, init_params)
        return program.find_start(rng_key, init_params, arrays)

    def sample_after_change(
        self, state: HMCState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any], changed: Any
    ) -> HMCState:
        """:meth:`refresh` if ``changed``, then :meth:`sample`, with a single call of the gradient in the program."""
        if type(self).sample is not HMC.sample or type(self).refresh is not HMC.refresh:
            return super().sample_after_change(state, model_args, model_kwargs, changed)
        program, arrays = self._program_for(self._num_warmup, model_args, model_kwargs, state.z)
        return program.transition(state, arrays, changed)


class NUTS(HMC):
    """The No-U-Turn Sampler: HMC whose trajectories double until they turn back, with multinomial sampling of the next
    state.

    :param max_tree_depth: bound of the number of doublings, at least 1, or a pair of bounds for warm-up and for
        sampling. A trajectory has at most ``2**max_tree_depth - 1`` steps.
    :param trajectory_length: has no effect; it is accepted for compatibility.

    The other parameters are those of :class:`HMC`.

    **Reference:** Hoffman and Gelman (2014), *The No-U-Turn Sampler*; Betancourt (2017), *A Conceptual Introduction to
    Hamiltonian Monte Carlo*, for multinomial sampling and the criterion of turning back.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0, 10))
    ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
    >>> mcmc = MCMC(NUTS(model), num_warmup=200, num_samples=500, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), jnp.array([1.0, 2.0, 3.0]))
    >>> bool(abs(mcmc.get_samples()["mu"].mean() - 2) < 0.2)
    True
    """

    _needs_length = False

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        kinetic_fn: Callable[..., Any] | None = None,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: bool | Sequence[Sequence[str]] = False,
        target_accept_prob: float = 0.8,
        trajectory_length: float | None = None,
        max_tree_depth: int | tuple[int, int] = 10,
        init_strategy: Callable[..., Any] = init_to_uniform,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        mass_adaptation: str = "welford",
    ) -> None:
        super().__init__(
            model=model,
            potential_fn=potential_fn,
            kinetic_fn=kinetic_fn,
            step_size=step_size,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            dense_mass=dense_mass,
            target_accept_prob=target_accept_prob,
            num_steps=None,
            trajectory_length=None,
            init_strategy=init_strategy,
            find_heuristic_step_size=find_heuristic_step_size,
            forward_mode_differentiation=forward_mode_differentiation,
            regularize_mass_matrix=regularize_mass_matrix,
            mass_adaptation=mass_adaptation,
        )
        depths = tuple(max_tree_depth) if isinstance(max_tree_depth, Sequence) else (max_tree_depth, max_tree_depth)
        if len(depths) != 2 or not all(1 <= depth <= 30 for depth in depths):
            raise ValueError(
                "`max_tree_depth` must be a number from 1 to 30, or a pair of such numbers for warm-up and sampling, "
                f"but it is {max_tree_depth!r}."
            )
        self._max_tree_depth = depths

    @property
    def max_tree_depth(self) -> tuple[int, int]:
        """Bounds of the number of doublings, in warm-up and in sampling."""
        return self._max_tree_depth

    def _trajectory(self) -> tuple[Any, tuple[int, int] | None]:
        return NUTSTrajectory(max(self._max_tree_depth)), self._max_tree_depth


def momentum_generator(prototype_r: Any, mass_matrix_sqrt: Any, rng_key: Any) -> Any:
    """Draw a momentum ``r = S x``, ``x`` standard normal, from ``Normal(0, M)``, ``M = S S^T``.

    :param prototype_r: pytree of the structure of the momentum.
    :param mass_matrix_sqrt: ``S``: a vector, a lower triangular matrix, or a dict from tuples of names to either (then
        ``prototype_r`` is a dict).
    :param rng_key: random key.

    >>> momentum_generator({"x": jnp.zeros(2)}, jnp.ones(2), jax.random.PRNGKey(0))["x"].shape
    (2,)
    """
    if isinstance(mass_matrix_sqrt, dict):
        momentum: dict[str, Any] = {}
        keys = jax.random.split(rng_key, len(mass_matrix_sqrt))
        for (names, block), key in zip(mass_matrix_sqrt.items(), keys, strict=True):
            parts = momentum_generator(tuple(prototype_r[name] for name in names), block, key)
            momentum |= dict(zip(names, parts, strict=True))
        return momentum
    flat, unravel = ravel_pytree(prototype_r)
    noise = jax.random.normal(rng_key, flat.shape, flat.dtype)
    return unravel(mass_matrix_sqrt @ noise if jnp.ndim(mass_matrix_sqrt) == 2 else mass_matrix_sqrt * noise)


def hmc(
    potential_fn: Callable[..., Any] | None = None,
    potential_fn_gen: Callable[..., Any] | None = None,
    kinetic_fn: Callable[..., Any] | None = None,
    algo: str = "NUTS",
) -> tuple[Callable[..., HMCState], Callable[..., HMCState]]:
    """HMC or NUTS as a pair of functions.

    :param potential_fn: potential energy of a pytree of unconstrained parameters. Either this or ``potential_fn_gen``.
    :param potential_fn_gen: ``potential_fn_gen(*model_args, **model_kwargs)`` gives the potential energy.
    :param kinetic_fn: see :class:`HMC`.
    :param algo: ``"HMC"`` or ``"NUTS"``.
    :returns: ``init_kernel(init_params, num_warmup, ...)``, which takes the parameters of :class:`HMC` and
        :class:`NUTS` and gives an :class:`HMCState`, and
        ``sample_kernel(hmc_state, model_args=(), model_kwargs=None)``, which gives the next one.

    >>> init_kernel, sample_kernel = hmc(lambda z: 0.5 * jnp.sum(z**2))
    >>> state = sample_kernel(init_kernel(jnp.ones(3), num_warmup=10))
    >>> int(state.i), state.z.shape
    (1, (3,))
    """
    if (potential_fn is None) == (potential_fn_gen is None):
        raise ValueError("Only one of `potential_fn` or `potential_fn_gen` must be specified.")
    if algo not in ("HMC", "NUTS"):
        raise ValueError(f'`algo` must be "HMC" or "NUTS", but it is {algo!r}.')
    kernels: list[HMC] = []

    def init_kernel(
        init_params: Any,
        num_warmup: int,
        step_size: float = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: bool | Sequence[Sequence[str]] = False,
        target_accept_prob: float = 0.8,
        *,
        num_steps: int | None = None,
        trajectory_length: float | None = 2 * math.pi,
        max_tree_depth: int | tuple[int, int] = 10,
        find_heuristic_step_size: bool = False,
        forward_mode_differentiation: bool = False,
        regularize_mass_matrix: bool = True,
        mass_adaptation: str = "welford",
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
        rng_key: Any = None,
    ) -> HMCState:
        own: dict[str, Any] = {"num_steps": num_steps, "trajectory_length": trajectory_length}
        if algo == "NUTS":
            own = {"max_tree_depth": max_tree_depth}
        kernel: HMC = (NUTS if algo == "NUTS" else HMC)(
            potential_fn=potential_fn or potential_fn_gen,
            kinetic_fn=kinetic_fn,
            step_size=step_size,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            dense_mass=dense_mass,
            target_accept_prob=target_accept_prob,
            find_heuristic_step_size=find_heuristic_step_size,
            forward_mode_differentiation=forward_mode_differentiation,
            regularize_mass_matrix=regularize_mass_matrix,
            mass_adaptation=mass_adaptation,
            **own,
        )
        kernel._potential_fn_gen = potential_fn_gen
        kernels[:] = [kernel]
        rng_key = jax.random.PRNGKey(0) if rng_key is None else rng_key
        return kernel.init(rng_key, num_warmup, init_params, model_args, model_kwargs)

    def sample_kernel(
        hmc_state: HMCState, model_args: tuple[Any, ...] = (), model_kwargs: dict[str, Any] | None = None
    ) -> HMCState:
        if not kernels:
            raise RuntimeError("call `init_kernel` before `sample_kernel`: it fixes the settings of the sampler.")
        return kernels[0].sample(hmc_state, model_args, model_kwargs)

    return init_kernel, sample_kernel
