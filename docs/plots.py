# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The plots of the guides, which the build of the documentation makes: `python docs/plots.py FOLDER`."""

from __future__ import annotations

from pathlib import Path
import sys

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata

import numpyro
import numpyro.distributions as dist
from numpyro.infer import AIES, ESS, HMC, MCMC, NUTS, SA, BarkerMH
from numpyro.infer.reparam import LocScaleReparam

NUM_CHAINS = 4
COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44")
DIVERGENT = "#cc3311"


def centred_funnel():
    v = numpyro.sample("v", dist.Normal(0.0, 3.0))
    with numpyro.plate("leaves", 9):
        numpyro.sample("x", dist.Normal(0.0, jnp.exp(v / 2)))


def eight_schools():
    effects = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, errors), obs=effects)


def run_both(model, site):
    """Draws, divergences and energies of a model as written, and with a site taken apart."""
    found = {}
    for title, version in {
        "centred": model,
        "non-centred": numpyro.handlers.reparam(model, {site: LocScaleReparam(0.0)}),
    }.items():
        mcmc = MCMC(
            NUTS(version),
            num_warmup=500,
            num_samples=1000,
            num_chains=NUM_CHAINS,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(jax.random.PRNGKey(0), extra_fields=("energy",))
        found[title] = {k: np.asarray(x) for k, x in mcmc.get_samples(group_by_chain=True).items()}
        found[title] |= {k: np.asarray(x) for k, x in mcmc.get_extra_fields(group_by_chain=True).items()}
    return found


def scatter(found, across, up, labels):
    """Pairs of parameters, with the divergent draws on top."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.4), sharex=True, sharey=True, layout="constrained")
    for panel, (title, draws) in zip(panels, found.items(), strict=True):
        x, y, diverging = across(draws).ravel(), up(draws).ravel(), draws["diverging"].ravel()
        panel.plot(x, y, ".", ms=2, alpha=0.4, color=COLOURS[0], rasterized=True)
        panel.plot(x[diverging], y[diverging], "o", ms=4, color=DIVERGENT, label=f"{diverging.sum()} divergent")
        panel.set(title=title, xlabel=labels[0])
        panel.legend(loc="upper left")
    panels[0].set_ylabel(labels[1])
    return figure


def traces_and_ranks(found, site):
    """The chains of a scalar one by one, and histograms of their ranks among all draws."""
    figure, panels = plt.subplots(2, 2, figsize=(8, 4.6), layout="constrained")
    for row, (title, draws) in zip(panels, found.items(), strict=True):
        x = draws[site]
        ranks = rankdata(x).reshape(x.shape)
        bins = np.linspace(0, x.size, 21)
        for chain, colour in enumerate(COLOURS):
            row[0].plot(x[chain], lw=0.4, color=colour)
            counts, _ = np.histogram(ranks[chain], bins)
            row[1].stairs(counts, bins, color=colour, label=f"chain {chain}")
        row[1].axhline(x.shape[1] / 20, color="black", lw=0.8, ls="--")
        row[0].set(title=f"{title}: draws of {site}", xlabel="iteration")
        row[1].set(title=f"{title}: ranks of {site}", xlabel="rank among all draws", ylabel="draws", ylim=(0, None))
    panels[0, 1].legend(fontsize="small", ncols=2)
    return figure


def energies(found):
    """What the energy is, about its mean, and how much it changes from one draw to the next."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for panel, (title, draws) in zip(panels, found.items(), strict=True):
        energy = draws["energy"]
        level, change = (energy - energy.mean()).ravel(), np.diff(energy, axis=1).ravel()
        bins = np.linspace(*np.quantile(level, [0.001, 0.999]) * 1.2, 50)
        panel.hist(level, bins, density=True, color=COLOURS[0], alpha=0.6, label="energy")
        panel.hist(change, bins, density=True, color=COLOURS[3], alpha=0.6, label="change of energy")
        bfmi = np.min(np.mean(np.diff(energy, axis=1) ** 2, 1) / energy.var(1))
        panel.set(title=f"{title}: smallest E-BFMI {bfmi:.2f}", yticks=[])
    panels[0].legend()
    return figure


def kernels():
    """Successive draws of each kernel on a curved density in two dimensions."""

    def potential(z):
        return 0.5 * (z[0] / 2.0) ** 2 + 0.5 * ((z[1] - 0.4 * z[0] ** 2 + 1.6) / 0.6) ** 2

    walkers = 20
    runs = {
        "NUTS": (NUTS(potential_fn=potential), 500, 1),
        "HMC, trajectories of length 2": (HMC(potential_fn=potential, trajectory_length=2.0), 500, 1),
        "BarkerMH": (BarkerMH(potential_fn=potential), 2000, 1),
        "SA, 40 points": (SA(potential_fn=potential, adapt_state_size=40), 4000, 1),
        "AIES, one of 20 walkers": (AIES(potential_fn=potential), 1000, walkers),
        "ESS, one of 20 walkers": (ESS(potential_fn=potential), 500, walkers),
    }
    x, y = np.meshgrid(np.linspace(-7, 7, 150), np.linspace(-5, 14, 150))
    density = np.exp(-np.asarray(jax.vmap(potential)(jnp.stack([x.ravel(), y.ravel()], -1)))).reshape(x.shape)
    figure, panels = plt.subplots(2, 3, figsize=(9, 5.4), sharex=True, sharey=True, layout="constrained")
    for panel, (title, (kernel, num_warmup, count)) in zip(panels.flat, runs.items(), strict=True):
        mcmc = MCMC(
            kernel,
            num_warmup=num_warmup,
            num_samples=60,
            num_chains=count,
            chain_method="vectorized",
            progress_bar=False,
        )
        start = jax.random.normal(jax.random.PRNGKey(1), (walkers, 2))
        mcmc.run(jax.random.PRNGKey(2), init_params=start if count > 1 else start[0])
        draws = np.asarray(mcmc.get_samples(group_by_chain=True))[0]
        panel.contourf(x, y, density, levels=[0.01, 0.1, 0.4, 0.8, 1.0], cmap="Greys", alpha=0.5)
        panel.plot(*draws.T, "o-", ms=3, lw=0.5, color=COLOURS[0])
        panel.set(title=title, xticks=[], yticks=[])
    return figure


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    numpyro.diagnostics.enable_diagnostic_warnings(False)
    funnel = run_both(centred_funnel, "x")
    schools = run_both(eight_schools, "theta")
    mouth = scatter(funnel, lambda d: d["x"][..., 0], lambda d: d["v"], ("x[0]", "v"))
    mouth.axes[0].set_xlim(-15, 15)
    figures = {
        "funnel": mouth,
        "funnel_ranks": traces_and_ranks(funnel, "v"),
        "funnel_energy": energies(funnel),
        "eight_schools": scatter(
            schools, lambda d: d["theta"][..., 0], lambda d: np.log(d["tau"]), ("theta[0]", "log tau")
        ),
        "kernels": kernels(),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=130)
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
