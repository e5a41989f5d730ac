# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""A first run finds its start, or compiles what finishes the draws, while its loop is compiled in the background."""

from concurrent.futures import Future
import threading

from compilations import compilations
import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_array_equal
import pytest
from small_model import Y, model, update

from numpyro.infer import ESS, MCMC, NUTS, BarkerMH, HMCGibbs, runner

KEY = jax.random.PRNGKey(0)


# Each has a model of its own, with which its programs are kept.
KERNELS = {
    "NUTS": lambda: NUTS(lambda y: model(y)),
    "BarkerMH": lambda: BarkerMH(lambda y: model(y)),
    "ESS": lambda: ESS(lambda y: model(y)),
    "HMCGibbs": lambda: HMCGibbs(NUTS(lambda y: model(y)), update, ["mu"]),
}


def make(kernel="BarkerMH", num_chains=1, chain_method="sequential"):
    settings = {"num_chains": num_chains, "chain_method": chain_method}
    return MCMC(KERNELS[kernel](), num_warmup=10, num_samples=20, progress_bar=False, **settings)


METHODS = [("BarkerMH", 1, "sequential"), ("BarkerMH", 2, "sequential"), ("BarkerMH", 4, "vectorized")]
METHODS += [("BarkerMH", 4, "parallel"), ("ESS", 8, "vectorized"), ("HMCGibbs", 1, "sequential")]
METHODS += [("NUTS", 1, "sequential"), ("NUTS", 2, "sequential"), ("NUTS", 4, "vectorized"), ("NUTS", 4, "parallel")]


@pytest.fixture
def background(monkeypatch):
    """What is done in the background, and in which thread."""
    done = []

    def watched(fn):
        def noted():
            done.append(threading.current_thread())
            return fn()

        return in_background(noted)

    in_background = runner.in_background
    monkeypatch.setattr(runner, "in_background", watched)
    return done


@pytest.mark.parametrize("settings", METHODS, ids=str)
def test_the_loop_that_a_run_calls_is_the_one_that_was_compiled_in_the_background(settings, background):
    if settings[2] == "parallel" and jax.local_device_count() > 1:
        pytest.skip("compiles in the background on one device only")
    mcmc = make(*settings)
    other_key = jax.random.PRNGKey(1)
    with compilations() as compiled:
        mcmc.run(KEY, Y)
        assert len(background) == 1 and background[0] is not threading.main_thread()
        is_hmc = settings[0] == "NUTS"  # its loop finds the start
        assert sum("loop" in name or "advance" in name for name in compiled) == 1
        assert sum("init" in name for name in compiled) == (0 if is_hmc else 1)
        compiled.clear()
        mcmc.run(other_key, Y + 1)
        assert compiled == [] and len(background) == 1


def test_other_data_are_sampled_as_by_a_new_object():
    longer = np.array([5.0, 6.0, 7.0, 5.5])
    used, new = make(), make()
    for y in (Y, Y - 3, longer):
        used.run(KEY, y)
    new.run(KEY, longer)
    assert_array_equal(used.get_samples()["mu"], new.get_samples()["mu"])


def test_chains_start_the_same_by_every_method():
    def start(method, key=KEY):
        mcmc = MCMC(BarkerMH(model), num_warmup=0, num_samples=1, num_chains=4, chain_method=method, progress_bar=False)
        mcmc.run(key, Y)
        return mcmc.get_samples(group_by_chain=True)["mu"]

    drawn = start("sequential")
    assert len(np.unique(drawn)) == 4
    np.testing.assert_allclose(start("vectorized"), drawn, rtol=1e-5)
    np.testing.assert_allclose(start("vectorized", jax.random.split(KEY, 4)), drawn, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["BarkerMH", "NUTS"])
def test_an_error_in_the_background_is_raised_as_it_is(monkeypatch, kernel):
    def failing(fn):
        future = Future()
        future.set_exception(RuntimeError("no memory left"))
        return future

    monkeypatch.setattr(runner, "in_background", failing)
    mcmc = make(kernel)
    with pytest.raises(RuntimeError, match=r"^no memory left$"):
        mcmc.run(KEY, Y)
    monkeypatch.undo()
    mcmc.run(KEY, Y)
    assert mcmc.get_samples()["mu"].shape == (20,)


@pytest.mark.parametrize("kernel", ["BarkerMH", "NUTS"])
def test_an_interrupt_while_the_loop_is_compiled_leaves_a_run_that_can_be_completed(monkeypatch, kernel):
    undisturbed = make(kernel)
    undisturbed.run(KEY, Y)

    class Interrupted(Future):
        def result(self, timeout=None):
            if not self.done():
                self.set_result(None)
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.warns(UserWarning, match="before there were draws"):
        patched.setattr(runner, "in_background", lambda fn: Interrupted())
        mcmc = make(kernel)
        with pytest.raises(KeyboardInterrupt):
            mcmc.run(KEY, Y)
    mcmc.run(KEY, Y)
    assert_array_equal(mcmc.get_samples()["mu"], undisturbed.get_samples()["mu"])


def test_a_start_that_cannot_be_found_is_reported_before_the_loop_runs():
    mcmc = MCMC(
        BarkerMH(potential_fn=lambda z: jnp.where(z > 0, jnp.nan, jnp.nan)),
        num_warmup=1,
        num_samples=1,
        progress_bar=False,
    )
    with pytest.raises(RuntimeError, match="Cannot find valid initial parameters"):
        mcmc.run(KEY, init_params=jnp.array(0.5))
