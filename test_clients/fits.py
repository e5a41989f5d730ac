# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""One fit for each client. ``python fits.py NAME OUTPUT`` runs one with the numpyro of its environment and writes a
summary of the posterior as JSON."""

from __future__ import annotations

from importlib.metadata import version
import json
from pathlib import Path
import sys
from typing import Any
import warnings

import numpy as np

CHAINS, DRAWS = 4, 1000

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def regression_data() -> Any:
    import pandas

    random = np.random.default_rng(0)
    x = random.normal(size=60)
    group = np.repeat(["a", "b", "c"], 20)
    shift = np.repeat([-1.0, 0.0, 1.0], 20)
    return pandas.DataFrame({"x": x, "group": group, "y": 1.0 + 2.0 * x + shift + random.normal(0.0, 0.5, size=60)})


def fit_pymc() -> Any:
    """Eight schools, non-centred."""
    import pymc

    with pymc.Model():
        mu = pymc.Normal("mu", 0.0, 5.0)
        tau = pymc.HalfCauchy("tau", 5.0)
        z = pymc.Normal("z", 0.0, 1.0, shape=8)
        pymc.Normal("y", mu + tau * z, ERROR, observed=EFFECT)
        settings = {"chain_method": "vectorized"}
        return pymc.sample(
            DRAWS,
            tune=1000,
            chains=CHAINS,
            random_seed=1,
            target_accept=0.95,
            nuts_sampler="numpyro",
            nuts_sampler_kwargs=settings,
            progressbar=False,
        )


def fit_bambi() -> Any:
    """A regression with a random intercept."""
    import bambi

    model = bambi.Model("y ~ x + (1|group)", regression_data())
    return model.fit(
        draws=DRAWS,
        tune=1000,
        chains=CHAINS,
        random_seed=1,
        target_accept=0.95,
        inference_method="numpyro",
        chain_method="vectorized",
    )


def fit_arviz() -> Any:
    """Eight schools, centred at the data's scale, with everything that the converter takes."""
    import arviz
    import jax

    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS, Predictive

    def model(error: Any, effect: Any = None) -> None:
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("school", 8):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            theta = numpyro.deterministic("theta", mu + tau * z)
            numpyro.sample("y", dist.Normal(theta, error), obs=effect)

    mcmc = MCMC(
        NUTS(model, target_accept_prob=0.95),
        num_warmup=1000,
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0), ERROR, EFFECT, extra_fields=("potential_energy", "num_steps", "energy"))
    data = arviz.from_numpyro(
        mcmc,
        prior=Predictive(model, num_samples=500)(jax.random.PRNGKey(1), ERROR),
        posterior_predictive=Predictive(model, mcmc.get_samples())(jax.random.PRNGKey(2), ERROR),
        coords={"school": list("ABCDEFGH")},
        constant_data={"error": ERROR},
    )
    assert data.log_likelihood["y"].dims == ("chain", "draw", "school")
    assert data.prior_predictive["y"].sizes["school"] == data.posterior_predictive["y"].sizes["school"] == 8
    assert set(data.sample_stats) >= {"diverging", "lp", "n_steps", "tree_depth", "energy"}
    # The predictions are summarised beside the parameters.
    data.posterior["predicted"] = data.posterior_predictive["y"]
    data.posterior["log_likelihood"] = data.log_likelihood["y"]
    return data


def fit_numpyro_oop() -> Any:
    """A regression with groups, reparameterised, drawn and converted."""
    from numpyro_oop import BaseNumpyroModel

    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer.reparam import LocScaleReparam

    class Groups(BaseNumpyroModel):
        def model(self, data: Any = None, sample_conditional: bool = True) -> None:
            slope = numpyro.sample("slope", dist.Normal(0.0, 3.0))
            scale = numpyro.sample("scale", dist.HalfNormal(1.0))
            spread = numpyro.sample("spread", dist.HalfNormal(1.0))
            plate, codes = self.plate_dicts["group"]["plate"], self.data["group"].astype("category").cat.codes.values
            with plate:
                level = numpyro.sample("level", dist.Normal(0.0, spread))
            mean = slope * data["x"].values + level[codes]
            observed = data["y"].values if sample_conditional else None
            with numpyro.plate("observation", len(codes)):
                numpyro.sample("y", dist.Normal(mean, scale), obs=observed)

        def generate_reparam_config(self) -> Any:
            return {"level": LocScaleReparam(0.0)}

    fitted = Groups(data=regression_data(), group_variables="group", seed=1)
    settings = {"chain_method": "vectorized", "progress_bar": False}
    fitted.sample(DRAWS, 1000, CHAINS, kernel_kwargs={"target_accept_prob": 0.95}, mcmc_kwargs=settings)
    predicted = fitted.predict(model_kwargs={"sample_conditional": False})
    assert predicted["y"].shape == (CHAINS * DRAWS, 60)
    assert "level_decentered" in fitted.render().source
    fitted.generate_arviz_data()
    return fitted.arviz_data


def fit_schechter() -> Any:
    """A distribution that its authors wrote against the interface of Distribution."""
    import arviz
    import jax
    import jax.numpy as jnp
    from numpyro_schechter.distribution import SchechterMag

    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    def model(magnitude: Any) -> None:
        alpha = numpyro.sample("alpha", dist.Uniform(-1.8, -1.1))
        location = numpyro.sample("M_star", dist.Uniform(-22.0, -20.0))
        schechter = SchechterMag(alpha=alpha, M_star=location, logphi=-3.0, mag_obs=magnitude)
        numpyro.factor("likelihood", jnp.sum(schechter.log_prob(magnitude)))

    magnitude = jnp.linspace(-22.5, -17.0, 80)
    mcmc = MCMC(
        NUTS(model),
        num_warmup=1000,
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0), magnitude)
    return arviz.from_dict(mcmc.get_samples(group_by_chain=True))


def fit_shabadoo() -> Any:
    """Bayesian regression by classes."""
    import arviz
    from shabadoo import Poisson

    import numpyro.distributions as dist

    class Counts(Poisson):
        dv = "count"
        features = {
            "const": {"transformer": 1, "prior": dist.Normal(0.0, 1.0)},
            "x": {"transformer": lambda data: data.x, "prior": dist.Normal(0.0, 1.0)},
        }

    data = regression_data()
    data["count"] = np.random.default_rng(1).poisson(np.exp(0.5 + 0.4 * data.x))
    fitted = Counts().fit(
        data,
        rng_key=np.array([0, 1], np.uint32),
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="sequential",
        progress_bar=False,
    )
    return arviz.from_dict({name: np.asarray(value) for name, value in fitted.samples.items()})


PACKAGES = {"numpyro_oop": "numpyro-oop", "schechter": "numpyro-schechter"}


def main(name: str, output: str) -> None:
    warnings.simplefilter("ignore")
    data = globals()[f"fit_{name}"]()
    import arviz

    import numpyro

    table = arviz.summary(data, round_to="none")
    columns = ["mean", "sd", "mcse_mean", "mcse_sd", "ess_bulk"]
    package = PACKAGES.get(name, name)
    summary = {
        "parameters": {label: {column: float(row[column]) for column in columns} for label, row in table.iterrows()},
        "versions": {"numpyro": numpyro.__version__, package: version(package)},
    }
    Path(output).write_text(json.dumps(summary))


if __name__ == "__main__":
    main(*sys.argv[1:])
