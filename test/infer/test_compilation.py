# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""How programs are compiled: what is asked of the compiler changes how long it takes, never what is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import AIES, MCMC, NUTS, compilation, log_likelihood
from numpyro.infer.compilation import quickly_compiled
from numpyro.infer.linear_algebra import one_blas_thread

on_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are those of XLA's compiler for CPUs")


def chain_of_exponentials(x):
    return jax.lax.fori_loop(0, 3, lambda _, y: jnp.exp(-y) + jnp.log1p(y), x)


@on_cpu
def test_effort_follows_the_work_also_inside_loops():
    fn = quickly_compiled(chain_of_exponentials)
    little, much = fn.at(jnp.ones(100)), fn.at(jnp.ones(1000))
    assert little is not much and fn.at(jnp.zeros(100)) is little
    # Moving arrays about is no work.
    moved = quickly_compiled(lambda x: x.reshape(10, -1).T)
    assert moved.at(jnp.ones(10)) is moved.at(jnp.ones(100_000))
    sums = quickly_compiled(lambda x: x.sum())
    assert sums.at(jnp.ones(10)) is not sums.at(jnp.ones(100_000))


@pytest.mark.parametrize("effort", [0, 1, 2, 3, None])
def test_the_result_does_not_depend_on_the_effort(effort):
    x = jnp.linspace(0.1, 3.0, 64)
    fn = quickly_compiled(chain_of_exponentials, effort=effort)
    expected = np.asarray(x, np.float64)
    for _ in range(3):
        expected = np.exp(-expected) + np.log1p(expected)
    np.testing.assert_allclose(fn(x), expected, rtol=1e-5)
    # Within a transformation, where JAX refuses options of the compiler.
    np.testing.assert_allclose(jax.jit(lambda x: fn(x) * 2)(x), 2 * expected, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(fn)(x[:, None])[:, 0], expected, rtol=1e-5)


@on_cpu
def test_options_that_this_version_of_the_compiler_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setitem(compilation._OPTIONS, 2, {"xla_cpu_an_option_that_is_not_there": True})
    compilation._is_understood.cache_clear()
    try:
        assert quickly_compiled(lambda x: x + 1, effort=2)(1) == 2
        assert not compilation._is_understood(2)
    finally:
        monkeypatch.undo()
        compilation._is_understood.cache_clear()
    assert all(compilation._is_understood(effort) for effort in (0, 1, 2))


def test_arguments_are_donated_and_static_as_by_jit():
    fn = quickly_compiled(lambda n, x: x * n, effort=2, static_argnums=0, donate_argnums=1)
    x = jnp.ones(3)
    assert fn(2, x).tolist() == [2.0, 2.0, 2.0] and x.is_deleted()


def blas_threads():
    """The number of threads that each library of linear algebra would use now."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_blas_threads():
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("BLAS has no settings, or no threads, here")
        yield


def covariance_model(seen, size):
    def model(y):
        scale = numpyro.sample("scale", dist.HalfNormal(1))
        jax.debug.callback(lambda _: seen.append(blas_threads()), scale)
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(size), covariance_matrix=scale * jnp.eye(size)), obs=y)

    return model


@on_cpu
@pytest.mark.parametrize("chain_method", ["sequential", "vectorized", "parallel"])
@pytest.mark.parametrize("kernel", [NUTS, AIES])
def test_small_matrices_are_for_one_thread_of_a_run(two_blas_threads, kernel, chain_method):
    if kernel is AIES and chain_method != "vectorized":
        pytest.skip("an ensemble is one group")
    seen = []
    mcmc = MCMC(
        kernel(covariance_model(seen, 3)),
        num_warmup=2,
        num_samples=2,
        num_chains=4,
        chain_method=chain_method,
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0), jnp.ones(3))
    jax.effects_barrier()
    # The start is looked for on the host, or by a program whose callbacks may be late.
    assert seen[-1] == {1} and blas_threads() == {2}


@on_cpu
@pytest.mark.parametrize(("size", "expected"), [(3, {1}), (600, {2})])
def test_large_matrices_keep_their_threads(two_blas_threads, size, expected):
    seen = []
    model = covariance_model(seen, size)
    log_likelihood(model, {"scale": jnp.ones(1)}, jnp.ones(size))
    jax.effects_barrier()
    assert seen[-1] == expected and blas_threads() == {2}


def test_limits_of_threads_that_overlap_end_with_the_last(two_blas_threads):
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas_threads() == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == {2}
