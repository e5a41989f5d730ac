# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def lynx_hare():
    spec = importlib.util.spec_from_file_location("lynx_hare", EXAMPLES / "lynx_hare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
