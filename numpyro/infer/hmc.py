# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Hamiltonian Monte Carlo and the No-U-Turn Sampler.

:class:`HMC` and :class:`NUTS` put the parts together: a :mod:`potential <numpyro.infer.potential>`, a
    :mod:`metric <numpyro.infer.metric>`, a
:mod:`trajectory <numpyro.infer.trajectory>`, a :mod:`warm-up <numpyro.infer.warmup>`. The loop around them is in
    :mod:`numpyro.infer.chain`.

**References:** Neal (2011), *MCMC using Hamiltonian dynamics*; Hoffman and Gelman (2014), *The No-U-Turn Sampler*;
Betancourt (2017), *A Conceptual Introduction to Hamiltonian Monte Carlo*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
from functools import partial
import math
from typing import Any
import warnings

import jax
from jax.extend.core import jaxpr_as_fun
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np

from numpyro.infer.arguments import Static, combine, partition
from numpyro.infer.chain import FAILED, GIVEN, MAX_ATTEMPTS, SEARCH, Chain, HMCState, Sampler
from numpyro.infer.initialization import init_to_uniform, uniform_radius
from numpyro.infer.integrator import euclidean_kinetic_energy, value_and_grad
from numpyro.infer.kernel import MCMCKernel
from numpyro.infer.metric import flat_space
from numpyro.infer.potential import build_potential
from numpyro.infer.trajectory import HMCTrajectory, NUTSTrajectory
from numpyro.infer.warmup import Adaptation

__all__ = ["HMC", "NUTS", "HMCState", "Program", "hmc", "momentum_generator"]

_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


class _Constant:
    """A function that takes any arguments and returns the same value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value


class _GivenPotential:
    """A potential energy that the user wrote, with the interface of a model's."""

    def __init__(self, make: Callable[..., Callable[[Any], Any]], prototype: Any) -> None:
        self._make = make
        self._prototype = prototype

    def potential_fn(self, params: Any, args: Any, kwargs: Any) -> Any:
        return self._make(*args, **kwargs)(params)

    def prototype_params(self, args: Any, kwargs: Any) -> Any:
        return self._prototype

    def constrain(self, params: Any, args: Any, kwargs: Any, *, return_deterministic: bool = True) -> Any:
        return params

    def explain_invalid(self, params: Any, args: Any, kwargs: Any) -> str:
        potential, gradient = jax.value_and_grad(self._make(*args, **kwargs))(params)
        bad = sum(int(np.sum(~np.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))
        return f"`potential_fn` is {float(potential)} there and {bad} entries of its gradient are not finite."


class Program:
    """Everything compiled for one model (or potential energy), one shape of its arguments and one length of warm-up.

    :param sampler: the parts of a chain.
    :param target: the potential energy, with the interface of :class:`~numpyro.infer.potential.ModelPotential`.
    :param arguments: ``f(arrays)`` gives the model's ``(args, kwargs)``.
    :param takes_arrays: whether the model's arrays are inputs of the program or constants in it.
    """

    def __init__(self, sampler: Sampler, target: Any, arguments: Callable[[Any], Any], takes_arrays: bool) -> None:
        self.sampler = sampler
        self.target = target
        self.arguments = arguments
        self.takes_arrays = takes_arrays
        self.advance = jax.jit(sampler.advance, donate_argnums=(1,))
        self.advance_together = jax.jit(sampler.advance_together, donate_argnums=(1,))
        self.transition = jax.jit(
            lambda state, arrays: sampler.unravel(sampler.transition(sampler.ravel(state), arrays))
        )
        self.begin = jax.jit(self._begin)
        self.compiled: dict[Any, Any] = {}

    def constrain(self, params: Any, arrays: Any) -> Any:
        """Values of the model's sites at one draw."""
        args, kwargs = self.arguments(arrays)
        return self.target.constrain(params, args, kwargs)

    def potential_energy(self, params: Any, arrays: Any) -> Any:
        args, kwargs = self.arguments(arrays)
        return self.target.potential_fn(params, args, kwargs)

    def _begin(self, rng_key: Any, position: jax.Array | None, arrays: Any) -> tuple[HMCState, Any]:
        """Find a start for one chain; the second value tells whether there is none."""
        sampler, zero = self.sampler, jnp.zeros((), jnp.int32)
        phase = jnp.full((), SEARCH if position is None else GIVEN, jnp.int32)
        state = sampler.initial_state(rng_key)
        state = state if position is None else state._replace(z=position)
        chain = Chain(jax.tree.map(jnp.asarray, state), phase, zero, zero, zero, rng_key)
        chain, _ = sampler.advance(chain, {}, arrays, 0, 0, 1)
        return sampler.unravel(chain.state), chain.phase == FAILED

    def refuse(self, params: Any, arrays: Any, origin: str | None = None, attempts: int = MAX_ATTEMPTS) -> None:
        """Raise the error for a start that cannot be used.

        :param origin: where the start comes from, such as ```init_params```; None if it was drawn, the last of
            ``attempts`` candidates.
        """
        args, kwargs = self.arguments(arrays)
        try:
            reason = self.target.explain_invalid(params, args, kwargs)
        except Exception as error:
            reason = f"(Looking for the reason failed as well: {error})"
        if origin is None:
            what = f"none of {attempts} candidates that the initialisation strategy drew is a point"
            remedy = (
                "Check the model against the data, or choose the start: init_strategy=init_to_value(values={...}), "
                "init_to_median, or init_params= (in unconstrained space)."
            )
        else:
            what = f"{origin} is no point"
            remedy = f"Remember that {origin} is in unconstrained space."
        raise RuntimeError(
            f"Cannot find valid initial parameters: {what} at which the potential energy and its gradient are "
            f"finite.\n{reason}\n{remedy}"
        )


class HMC(MCMCKernel):
    """Hamiltonian Monte Carlo with trajectories of fixed length; step size and mass matrix adapt during warm-up.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params`` must be given to
        :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param kinetic_fn: ``kinetic_fn(inverse_mass_matrix, r)``, the kinetic energy of a momentum. Default:
        ``r^T M^-1 r / 2``.
    :param step_size: initial size of a leapfrog step.
    :param inverse_mass_matrix: initial inverse mass matrix: a vector (a diagonal), a matrix, or a dict from tuples of
        site names to either. Entries are in the order of the flattened parameters. Default: the identity.
    :param adapt_step_size: whether to adapt the step size by dual averaging.
    :param adapt_mass_matrix: whether to estimate the inverse mass matrix as the covariance of the draws.
    :param dense_mass: False for a diagonal mass matrix, True for a dense one, or a list of tuples of site names, each
        of which has a dense block; the other sites have a diagonal one.
    :param target_accept_prob: acceptance probability at which the step size is aimed, in ``(0, 1)``. Larger values give
        smaller steps and fewer divergences.
    :param num_steps: number of leapfrog steps of a trajectory. If ``trajectory_length`` is not None, the step size is
        fixed at ``trajectory_length / num_steps``.
    :param trajectory_length: length of a trajectory.
    :param init_strategy: how to find a start; see :mod:`numpyro.infer.initialization`.
    :param find_heuristic_step_size: whether to look, at the start and at the end of each window of the warm-up, for a
        step size whose acceptance probability is about 0.8.
    :param forward_mode_differentiation: differentiate the potential energy forwards; for models that use
        ``lax.while_loop``.
    :param regularize_mass_matrix: whether to shrink the estimated covariance.
    :raises ValueError: if both or neither of ``model`` and ``potential_fn`` are given, or neither of ``num_steps`` and
        ``trajectory_length``.

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
    ) -> None:
        if (model is None) == (potential_fn is None):
            given = "both" if model is not None else "neither"
            raise ValueError(
                f"Only one of `model` or `potential_fn` must be specified, but you gave {given}. Write "
                f"{type(self).__name__}(model), or {type(self).__name__}(potential_fn=f)."
            )
        if num_steps is None and trajectory_length is None and type(self)._needs_length:
            raise ValueError("At least one of `num_steps` or `trajectory_length` must be specified.")
        if num_steps is not None and num_steps < 1:
            raise ValueError(f"`num_steps` must be at least 1, but it is {num_steps}.")
        if not 0 < target_accept_prob < 1:
            raise ValueError(f"`target_accept_prob` must lie strictly between 0 and 1, but it is {target_accept_prob}.")
        if num_steps is not None and trajectory_length is not None:
            warnings.warn(
                "`num_steps` and `trajectory_length` together fix the step size at trajectory_length / num_steps, so "
                "it does not adapt. Pass trajectory_length=None to let it adapt.",
                stacklevel=2,
            )
            step_size, adapt_step_size = trajectory_length / num_steps, False
        self._model = model
        self._potential_fn = potential_fn
        self._potential_fn_gen: Callable[..., Any] | None = None
        self._kinetic_fn = None if kinetic_fn is euclidean_kinetic_energy else kinetic_fn
        self._step_size = float(step_size)
        self._inverse_mass_matrix = inverse_mass_matrix
        self._adapt_step_size = adapt_step_size
        self._adapt_mass_matrix = adapt_mass_matrix
        self._dense_mass = dense_mass if isinstance(dense_mass, bool) else tuple(dense_mass)
        self._target_accept_prob = target_accept_prob
        self._num_steps = num_steps
        self._trajectory_length = trajectory_length
        self._init_strategy = init_strategy
        self._find_heuristic_step_size = find_heuristic_step_size
        self._forward_mode_differentiation = forward_mode_differentiation
        self._regularize_mass_matrix = regularize_mass_matrix
        self._num_warmup = 0
        self._prototype: Any = None
        # None where the model needs the values of its arrays in Python, so that they must be constants.
        self._programs: dict[Any, Program | None] = {}

    _needs_length = True

    @property
    def model(self) -> Callable[..., Any] | None:
        """The model, or None if the kernel was made from a potential energy."""
        return self._model

    @property
    def sample_field(self) -> str:
        return "z"

    @property
    def default_fields(self) -> tuple[str, ...]:
        return ("z", "diverging")

    def get_diagnostics_str(self, state: HMCState) -> str:
        return (
            f"{int(state.num_steps)} steps of size {float(state.adapt_state.step_size):.2e}. "
            f"acc. prob={float(state.mean_accept_prob):.2f}"
        )

    def _trajectory(self) -> tuple[Any, tuple[int, int] | None]:
        """The trajectory and its bounds in warm-up and after."""
        return HMCTrajectory(), None if self._num_steps is None else (self._num_steps, self._num_steps)

    # Programs

    def program(
        self, num_warmup: int, args: Any, kwargs: Any, init_params: Any = None, *, batched: bool = False
    ) -> tuple[Program, list[Any]]:
        """The program for these arguments, built once for their shapes, and the arrays among the arguments.

        :param init_params: what the parameters look like; needed with ``potential_fn`` only.
        :param batched: whether ``init_params`` has a leading axis of chains.
        """
        prototype = None
        if self._potential_fn is not None:
            if init_params is not None:
                prototype = jax.tree.map(partial(_abstract, batched=batched), init_params)
            elif self._prototype is not None:
                prototype = self._prototype
            else:
                raise ValueError(
                    "Valid value of `init_params` must be provided with `potential_fn`: it says what the parameters "
                    "look like, and the chains start there. Write mcmc.run(rng_key, init_params=...)."
                )
            self._prototype = prototype
        self._num_warmup = num_warmup
        arrays, static = partition((args, kwargs))
        shapes = tuple((np.shape(array), np.dtype(array.dtype).name) for array in arrays)
        layout = None if prototype is None else _hashable(prototype)
        key: tuple[Any, ...] = (num_warmup, static, shapes, layout, jnp.result_type(float).name, jax.default_backend())
        if key not in self._programs:
            try:
                self._programs[key] = self._build(num_warmup, arrays, static, prototype, takes_arrays=True)
            except _NEEDS_VALUES:
                if not arrays or not all(map(_is_concrete, arrays)):
                    raise
                self._programs[key] = None
        program = self._programs[key]
        if program is None:
            key += (tuple(np.asarray(array).tobytes() for array in arrays),)
            program = self._programs.get(key)
            if program is None:
                program = self._programs[key] = self._build(num_warmup, arrays, static, prototype, takes_arrays=False)
        return program, arrays if program.takes_arrays else []

    def _build(self, num_warmup: int, arrays: list[Any], static: Static, prototype: Any, takes_arrays: bool) -> Program:
        def arguments(inputs: Any) -> Any:
            return combine(inputs if takes_arrays else arrays, static)

        args, kwargs = combine(arrays, static)
        target: Any
        if self._model is not None:
            target = build_potential(
                self._model,
                args,
                kwargs,
                init_strategy=self._init_strategy,
                forward_mode_differentiation=self._forward_mode_differentiation,
            )
            prototype = target.prototype_params(args, kwargs)
        else:
            target = _GivenPotential(self._potential_fn_gen or _Constant(self._potential_fn), prototype)
        keyed = self._potential_fn is None
        space = flat_space(prototype, self._dense_mass, self._inverse_mass_matrix, keyed)

        def potential(z: jax.Array, inputs: Any) -> jax.Array:
            args, kwargs = arguments(inputs)
            value = target.potential_fn(space.unravel(z), args, kwargs)
            if jnp.shape(value) != ():
                raise ValueError(f"the potential energy must be a scalar, but it has shape {jnp.shape(value)}.")
            return jnp.asarray(value, space.dtype)

        inputs = arrays if takes_arrays else []
        flat = jax.ShapeDtypeStruct((space.size,), space.dtype)
        traced = jax.make_jaxpr(value_and_grad(potential, self._forward_mode_differentiation))(flat, inputs)
        gradient = jaxpr_as_fun(traced)
        adaptation = Adaptation(
            space,
            num_warmup,
            self._adapt_step_size,
            self._adapt_mass_matrix,
            self._target_accept_prob,
            self._regularize_mass_matrix,
        )

        def draw_start(rng_key: Any, inputs: Any) -> jax.Array:
            args, kwargs = arguments(inputs)
            return space.ravel(target.init_params(rng_key, args, kwargs))

        starts: Any = None
        if self._model is not None:
            starts = uniform_radius(self._init_strategy)
            starts = draw_start if starts is None else starts

        trajectory, limits = self._trajectory()
        sampler = Sampler(
            space=space,
            adaptation=adaptation,
            trajectory=trajectory,
            potential_and_grad=lambda z, inputs: tuple(gradient(z, *inputs)),
            starts=starts,
            step_size=self._step_size,
            inverse_mass_matrix=self._inverse_mass_matrix,
            limits=limits,
            trajectory_length=self._trajectory_length,
            find_step_size=self._find_heuristic_step_size and self._adapt_step_size,
            kinetic_fn=self._kinetic_fn,
        )
        return Program(sampler, target, arguments, takes_arrays)

    # The kernel's interface

    def init(
        self,
        rng_key: Any,
        num_warmup: int,
        init_params: Any = None,
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
    ) -> HMCState:
        """The state of a chain at its start.

        :param rng_key: random key.
        :param num_warmup: length of the warm-up.
        :param init_params: where to start, in unconstrained space; needed with ``potential_fn``.
        :param model_args: arguments of the model.
        :param model_kwargs: keyword arguments of the model.
        :raises RuntimeError: if no start with finite potential energy and gradient is found (100 candidates are tried).
        """
        program, arrays = self.program(num_warmup, model_args, model_kwargs or {}, init_params)
        position = None if init_params is None else program.sampler.space.ravel(init_params)
        state, failed = program.begin(rng_key, position, arrays)
        if _is_concrete(failed) and bool(failed):
            program.refuse(state.z, arrays, None if init_params is None else "`init_params`")
        return state

    def sample(self, state: HMCState, model_args: tuple[Any, ...] = (), model_kwargs: Any = None) -> HMCState:
        """One iteration from ``state``. During the first ``num_warmup`` ones step size and mass matrix adapt."""
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs or {}, state.z)
        return program.transition(state, arrays)

    def get_potential_fn(
        self, model_args: tuple[Any, ...] = (), model_kwargs: dict[str, Any] | None = None
    ) -> Callable[[Any], Any]:
        """The potential energy as a function of the unconstrained parameters."""
        if self._potential_fn is not None:
            return (self._potential_fn_gen or _Constant(self._potential_fn))(*model_args, **(model_kwargs or {}))
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs or {})
        return lambda params: program.potential_energy(params, arrays)

    def get_constrain_fn(
        self,
        model_args: tuple[Any, ...] = (),
        model_kwargs: dict[str, Any] | None = None,
        *,
        return_deterministic: bool = False,
    ) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to the values of the latent sites, and of the deterministic ones
        on request."""
        if self._potential_fn is not None:
            return lambda params: params
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs or {})
        args, kwargs = program.arguments(arrays)
        return partial(_constrain, program.target, args, kwargs, return_deterministic)

    def postprocess_fn(self, model_args: tuple[Any, ...] = (), model_kwargs: Any = None) -> Callable[[Any], Any]:
        """The function from unconstrained parameters to the values of latent and deterministic sites."""
        return self.get_constrain_fn(model_args, model_kwargs, return_deterministic=True)

    def refresh(self, state: HMCState, model_args: tuple[Any, ...], model_kwargs: dict[str, Any] | None) -> HMCState:
        """Evaluate the potential energy and its gradient anew, for other arguments of the model."""
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs or {}, state.z)
        space = program.sampler.space
        potential, gradient = program.sampler.potential_and_grad(space.ravel(state.z), arrays)
        return state._replace(potential_energy=potential, z_grad=space.unravel(gradient))

    def wrap_model(self, wrapper: Callable[..., Any]) -> HMC:
        """The same kernel for the model ``wrapper(model)``."""
        if self._model is None:
            raise ValueError("`wrap_model` needs a kernel made from a model; this one was made from a `potential_fn`.")
        other = copy.copy(self)
        other._model = wrapper(self._model)
        other._programs = {}
        return other

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_programs": {}}


class NUTS(HMC):
    """The No-U-Turn Sampler: HMC whose trajectories double until they turn back, with multinomial sampling of the next
    state.

    :param max_tree_depth: bound of the number of doublings, or a pair of bounds for warm-up and for sampling. A
        trajectory has at most ``2**max_tree_depth - 1`` steps.
    :param trajectory_length: has no effect; it is accepted for compatibility.

    The other parameters are those of :class:`HMC`.

    >>> import numpyro, numpyro.distributions as dist
    >>> from numpyro.infer import MCMC
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0, 10))
    ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
    >>> mcmc = MCMC(NUTS(model), num_warmup=200, num_samples=500, progress_bar=False)
    >>> mcmc.run(jax.random.PRNGKey(0), np.array([1.0, 2.0, 3.0]))
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
        )
        depths = tuple(max_tree_depth) if isinstance(max_tree_depth, Sequence) else (max_tree_depth, max_tree_depth)
        if len(depths) != 2 or not all(1 <= depth <= 30 for depth in depths):
            raise ValueError(
                "`max_tree_depth` must be a number from 1 to 30, or a pair of such numbers for warm-up and sampling, "
                f"but it is {max_tree_depth!r}."
            )
        self._max_tree_depth = depths

    def _trajectory(self) -> tuple[Any, tuple[int, int] | None]:
        return NUTSTrajectory(max(self._max_tree_depth)), self._max_tree_depth


def _constrain(target: Any, args: Any, kwargs: Any, return_deterministic: bool, params: Any) -> Any:
    return target.constrain(params, args, kwargs, return_deterministic=return_deterministic)


def _abstract(leaf: Any, batched: bool) -> Any:
    shape = np.shape(leaf)
    dtype = jnp.result_type(leaf)
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return jax.ShapeDtypeStruct(shape[1:] if batched else shape, dtype)


def _hashable(prototype: Any) -> Any:
    leaves, treedef = jax.tree.flatten(prototype)
    return treedef, tuple((leaf.shape, np.dtype(leaf.dtype).name) for leaf in leaves)


def _is_concrete(x: Any) -> bool:
    return not isinstance(x, jax.core.Tracer)


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
