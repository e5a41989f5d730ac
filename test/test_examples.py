# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from numpyro.infer.util import log_density

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lynx_hare():
    return load("lynx_hare")


def test_a_cycle_turns_once_in_its_period(lynx_hare):
    year = np.asarray(lynx_hare.rotations(12.0, 2))
    whole = [np.linalg.matrix_power(turn, 12 // h) for turn, h in zip(year, (1, 2), strict=True)]
    np.testing.assert_allclose(whole, [np.eye(2)] * 2, atol=1e-5)
    np.testing.assert_allclose(np.linalg.matrix_power(year[0], 3), [[0, 1], [-1, 0]], atol=1e-5)


def test_lynx_and_hare_from_data_to_forecast(lynx_hare, tmp_path, capsys):
    try:
        import matplotlib  # noqa: F401

        output = tmp_path / "lynx_hare.png"
    except ModuleNotFoundError:
        output = None
    settings = argparse.Namespace(num_warmup=150, num_samples=50, num_chains=1, num_future=3, output=output)
    lynx_hare.main(settings)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["state", "dist", "21", "2", "2", "|", "2"] in rows
    assert ["shock_scale", "dist", "2", "1", "|"] in rows
    period = next(float(row[1]) for row in rows if row[:1] == ["period"] and "dist" not in row)
    assert 8 < period < 13
    forecast = {row[0]: float(row[1]) for row in rows if row and row[0] in ("1921", "1922", "1923")}
    assert len(forecast) == 3
    assert all(5 < hares < 300 for hares in forecast.values())
    assert output is None or output.stat().st_size > 10_000


def test_rows_are_spread_over_devices_and_filled_up(capsys):
    example = load("sharded_regression")
    settings = argparse.Namespace(rows=401, features=2, num_warmup=100, num_samples=100, num_chains=2)
    mcmc = example.main(settings)
    out = capsys.readouterr().out
    devices = jax.local_device_count()
    assert out.count(f": {-(-401 // devices)} rows") == devices
    assert len(mcmc.last_state.z["slopes"].sharding.device_set) == devices
    x, chosen, slopes = example.simulate(401, 2)
    draws = mcmc.get_samples()["slopes"]
    assert np.all(np.abs(draws.mean(0) - slopes) < 4 * draws.std(0))
    params = {"intercept": 0.3, "slopes": np.array([0.5, -1.0])}
    whole = log_density(example.model, (x, chosen, np.ones(401, bool)), {}, params)[0]
    filled = log_density(example.model, example.spread(x, chosen), {}, params)[0]
    np.testing.assert_allclose(filled, whole, rtol=1e-5)
