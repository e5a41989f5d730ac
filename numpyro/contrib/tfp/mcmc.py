# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The transition kernels of TensorFlow Probability (its JAX substrate) as kernels for
:class:`~numpyro.infer.mcmc.MCMC`.

A kernel of ``tensorflow_probability.substrates.jax.mcmc`` takes ``target_log_prob_fn``; here a model or a potential
energy takes its place, and the other parameters are the same::

    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.contrib.tfp.mcmc import NoUTurnSampler
    from numpyro.infer import MCMC

    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    mcmc = MCMC(NoUTurnSampler(model, step_size=0.5), num_warmup=100, num_samples=500, progress_bar=False)
    mcmc.run(jax.random.PRNGKey(0), jax.numpy.array([1.0, 2.0, 3.0]), extra_fields=("kernel_results.is_accepted",))

``TFPKernel[tfp.mcmc.SliceSampler]`` is the kernel for any class. TensorFlow Probability is imported when the first
kernel is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import functools
import importlib
import inspect
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from numpyro.infer.initialization import init_to_uniform
from numpyro.infer.target import Target
from numpyro.infer.target_kernel import Program, TargetKernel

__all__ = [
    "HamiltonianMonteCarlo",
    "MetropolisAdjustedLangevinAlgorithm",
    "NoUTurnSampler",
    "RandomWalkMetropolis",
    "ReplicaExchangeMC",
    "SliceSampler",
    "TFPKernel",
    "TFPKernelState",
    "UncalibratedHamiltonianMonteCarlo",
    "UncalibratedLangevin",
    "UncalibratedRandomWalk",
]


class TFPKernelState(NamedTuple):
    """State of a :class:`TFPKernel`.

    :param z: parameters in unconstrained space.
    :param kernel_results: what TFP's kernel keeps; fields of it can be collected, such as
        ``"kernel_results.is_accepted"``.
    :param rng_key: random key of the next iteration.
    """

    z: Any
    kernel_results: Any
    rng_key: Any


def _tfp_mcmc() -> Any:
    try:
        return importlib.import_module("tensorflow_probability.substrates.jax.mcmc")
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "numpyro.contrib.tfp.mcmc needs a TensorFlow Probability that works with the installed JAX "
            f"({jax.__version__}): pip install tensorflow-probability, or tfp-nightly for a JAX newer than that. "
            f"Importing it failed: {error}"
        ) from error


class _Unavailable:
    """Stands for a class of TFP where there is no TFP: to ask for it is no error, to call it is one."""

    def __init__(self, name: str, error: ImportError) -> None:
        self.__name__ = name
        self._error = error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error


class _KernelClass:
    """The class of TFP that has the name of the class of ours, looked up when it is asked for."""

    def __get__(self, instance: Any, owner: type) -> Any:
        name = owner.__name__
        if name == "TFPKernel":
            return None
        try:
            return getattr(_tfp_mcmc(), name)
        except ImportError as error:
            return _Unavailable(name, error)


class TFPKernel(TargetKernel):
    """A transition kernel of TensorFlow Probability.

    ``TFPKernel[tfp.mcmc.NoUTurnSampler]`` is the kernel of that class. A kernel that is not calibrated, whose
    stationary distribution is not the target by itself, becomes the inner kernel of ``tfp.mcmc.MetropolisHastings``.
    Kernels do not adapt unless TFP's do, so warm-up iterations only move the chain towards the posterior.

    :param model: a model. Either this or ``potential_fn``.
    :param potential_fn: potential energy (minus the log density) of a pytree of unconstrained parameters; then
        ``init_params`` must be given to :meth:`MCMC.run <numpyro.infer.mcmc.MCMC.run>`.
    :param init_strategy: how to find a start; see :mod:`numpyro.infer.initialization`.
    :param kernel_kwargs: parameters of TFP's kernel but ``target_log_prob_fn``. The kernel moves a flat vector of all
        parameters, so that a ``step_size`` may be a vector of that length; for ``ReplicaExchangeMC`` that of the inner
        kernel has shape ``(number of temperatures, 1)`` or ``(number of temperatures, latent size)``.
    :raises TypeError: if TFP's class has no parameter of a given name.
    :raises ImportError: if TensorFlow Probability is not installed.

    **Source:** Lao et al. (2020), *tfp.mcmc: Modern Markov chain Monte Carlo tools built for modern hardware*.
    """

    is_pure = True
    kernel_class: ClassVar[Any] = _KernelClass()

    def __init__(
        self,
        model: Callable[..., Any] | None = None,
        potential_fn: Callable[..., Any] | None = None,
        init_strategy: Callable[..., Any] = init_to_uniform,
        **kernel_kwargs: Any,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy)
        kernel_class = self.kernel_class
        if kernel_class is None:
            raise TypeError(
                "TFPKernel is no kernel by itself: write TFPKernel[tfp.mcmc.NoUTurnSampler](model, step_size=0.1), or "
                "take a class of this module such as NoUTurnSampler."
            )
        if isinstance(kernel_class, _Unavailable):
            kernel_class()
        if "target_log_prob_fn" in kernel_kwargs:
            raise TypeError(
                f"{kernel_class.__name__} takes its target from `model` or `potential_fn` here; leave out "
                "`target_log_prob_fn`."
            )
        inspect.signature(kernel_class).bind(target_log_prob_fn=None, **kernel_kwargs)
        self._kernel_kwargs = kernel_kwargs

    def __class_getitem__(cls, kernel_class: Any) -> type[TFPKernel]:
        return _subclass(kernel_class)

    def compose(self, target: Target, num_warmup: int) -> _Program:
        return _Program(target, self.kernel_class, self._kernel_kwargs)

    def check_start(
        self, state: Any, init_params: Any, model_args: tuple[Any, ...], model_kwargs: dict[str, Any]
    ) -> None:
        program, arrays = self.program(self._num_warmup, model_args, model_kwargs)
        potentials = program.start_energies(state.z, arrays)
        super().check_start(_Start(state.z, potentials), init_params, model_args, model_kwargs)


class _Start(NamedTuple):
    """Where chains start: what :meth:`TargetKernel.check_start` looks at."""

    z: Any
    potential_energy: Any


@dataclass(frozen=True, eq=False)
class _Program(Program):
    """What a :class:`TFPKernel` compiles for a target."""

    kernel_class: Any
    kernel_kwargs: dict[str, Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "start_energies", jax.jit(self.start_energies))

    def kernel(self, arrays: Any) -> Any:
        """TFP's kernel, calibrated."""
        # Some kernels evaluate a batch of states at once.
        log_prob = jnp.vectorize(lambda z: -self.target.potential(z, arrays), signature="(d)->()")
        kernel = self.kernel_class(target_log_prob_fn=log_prob, **self.kernel_kwargs)
        return kernel if kernel.is_calibrated else _tfp_mcmc().MetropolisHastings(kernel)

    def results(self, position: jax.Array, arrays: Any) -> Any:
        """What TFP's kernel keeps, at a position."""
        return self.kernel(arrays).bootstrap_results(position)

    def begin(self, rng_key: Any, init_params: Any, arrays: Any) -> TFPKernelState:
        """The first state."""
        space = self.target.space
        rng_key, start_key = jax.random.split(rng_key)
        position = None if init_params is None else space.ravel(init_params)
        position = self.target.find_start(start_key, position, arrays, with_gradient=True).position
        return TFPKernelState(space.unravel(position), self.results(position, arrays), rng_key)

    def start_energies(self, z: Any, arrays: Any) -> jax.Array:
        """Potential energy at a start, or at those of several chains; infinite where it is not valid."""

        def energy(z: Any) -> jax.Array:
            position = self.target.space.ravel(z)
            return self.target.find_start(None, position, arrays, with_gradient=True).potential_energy

        has_chains = jnp.ndim(jax.tree.leaves(z)[0]) > len(self.target.space.shapes[0])
        return (jax.vmap(energy) if has_chains else energy)(z)

    def refresh(self, state: TFPKernelState, arrays: Any) -> TFPKernelState:
        return state._replace(kernel_results=self.results(self.target.space.ravel(state.z), arrays))

    def transition(self, state: TFPKernelState, arrays: Any) -> TFPKernelState:
        """One iteration."""
        space = self.target.space
        rng_key, step_key = jax.random.split(state.rng_key)
        position, results = self.kernel(arrays).one_step(space.ravel(state.z), state.kernel_results, seed=step_key)
        return TFPKernelState(space.unravel(position), jax.tree.map(_as_before, results, state.kernel_results), rng_key)


def _as_before(new: Any, old: Any) -> Any:
    """A value with the type that it had before, so that it can be carried through a loop."""
    is_key = [jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in (jnp.asarray(new), jnp.asarray(old))]
    if is_key[1]:
        return new if is_key[0] else jax.random.wrap_key_data(new, impl=jax.random.key_impl(old))
    return jnp.asarray(jax.random.key_data(new) if is_key[0] else new, jnp.asarray(old).dtype)


@functools.cache
def _subclass(tfp_class: Any) -> type[TFPKernel]:
    """The kernel for a class of TFP."""
    if not isinstance(tfp_class, type) or not hasattr(tfp_class, "one_step"):
        raise TypeError(f"TFPKernel[...] takes a class of transition kernels of tfp.mcmc, but {tfp_class!r} is none.")
    return type(tfp_class.__name__, (TFPKernel,), {"kernel_class": tfp_class, "__doc__": TFPKernel.__doc__})


class HamiltonianMonteCarlo(TFPKernel):
    """Hamiltonian Monte Carlo with trajectories of a fixed number of steps and a unit mass matrix; see
    :class:`TFPKernel`.

    :param step_size: step size, positive: a number, or a vector of the latent size.
    :param num_leapfrog_steps: steps of a trajectory, at least 1.

    **Source:** Neal (2011), *MCMC using Hamiltonian dynamics*.
    """


class MetropolisAdjustedLangevinAlgorithm(TFPKernel):
    """A step of Langevin's diffusion, accepted or refused; see :class:`TFPKernel`.

    :param step_size: square of the noise's standard deviation, positive: a number, or a vector of the latent size.
    :param volatility_fn: standard deviations of the noise as a function of the position; by default all are 1.

    **Source:** Roberts and Tweedie (1996), *Exponential convergence of Langevin distributions and their discrete
    approximations*.
    """


class NoUTurnSampler(TFPKernel):
    """Trajectories that end where they would turn back; see :class:`TFPKernel`.

    :param step_size: step size, positive: a number, or a vector of the latent size.
    :param max_tree_depth: the most doublings of a trajectory, at least 1; 10 by default.

    **Source:** Hoffman and Gelman (2014), *The No-U-Turn Sampler*; Betancourt (2017), *A Conceptual Introduction to
    Hamiltonian Monte Carlo*, for draws by weights along the trajectory.
    """


class RandomWalkMetropolis(TFPKernel):
    """A symmetric random step, accepted or refused; no gradient; see :class:`TFPKernel`.

    :param new_state_fn: the proposal, a function of the state and a seed, such as
        ``tfp.mcmc.random_walk_normal_fn(scale)`` with a positive scale; by default normal noise of scale 1.

    **Source:** Metropolis et al. (1953), *Equation of State Calculations by Fast Computing Machines*.
    """


class ReplicaExchangeMC(TFPKernel):
    """Parallel tempering: copies of the chain at several temperatures, which exchange their states; for several modes.
    The draws are those of the first copy; see :class:`TFPKernel`.

    :param inverse_temperatures: positive numbers that decrease from 1, one for each copy; each copy samples the density
        to that power.
    :param make_kernel_fn: a function from ``target_log_prob_fn`` to TFP's kernel for all copies; its step size has
        shape ``(number of temperatures, 1)`` or ``(number of temperatures, latent size)``.

    **Source:** Swendsen and Wang (1986), *Replica Monte Carlo Simulation of Spin-Glasses*; Earl and Deem (2005),
    *Parallel tempering: Theory, applications, and new perspectives*.
    """


class SliceSampler(TFPKernel):
    """A draw from the slice under the density along a random direction; no gradient, nothing is refused; see
    :class:`TFPKernel`.

    :param step_size: initial width of the interval about the position, positive.
    :param max_doublings: the most times that the interval is doubled, at least 0.

    **Source:** Neal (2003), *Slice sampling*.
    """


class UncalibratedHamiltonianMonteCarlo(TFPKernel):
    """The trajectories of :class:`HamiltonianMonteCarlo`, with its parameters; accepted or refused by
    ``tfp.mcmc.MetropolisHastings``, into which it is put. See :class:`TFPKernel`.

    :param step_size: step size, positive: a number, or a vector of the latent size.
    :param num_leapfrog_steps: steps of a trajectory, at least 1.

    **Source:** Neal (2011), *MCMC using Hamiltonian dynamics*.
    """


class UncalibratedLangevin(TFPKernel):
    """The step of :class:`MetropolisAdjustedLangevinAlgorithm`, with its parameters; accepted or refused by
    ``tfp.mcmc.MetropolisHastings``, into which it is put. See :class:`TFPKernel`.

    :param step_size: square of the noise's standard deviation, positive: a number, or a vector of the latent size.
    :param volatility_fn: standard deviations of the noise as a function of the position; by default all are 1.

    **Source:** Roberts and Tweedie (1996), *Exponential convergence of Langevin distributions and their discrete
    approximations*.
    """


class UncalibratedRandomWalk(TFPKernel):
    """The step of :class:`RandomWalkMetropolis`, with its parameter; accepted or refused by
    ``tfp.mcmc.MetropolisHastings``, into which it is put. See :class:`TFPKernel`.

    :param new_state_fn: the proposal, a function of the state and a seed; by default normal noise of scale 1.

    **Source:** Metropolis et al. (1953), *Equation of State Calculations by Fast Computing Machines*.
    """
