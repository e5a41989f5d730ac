# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""The cycles of lynx and hare, by a state-space model with nested plates in ``scan``.

The data are the pelts of the Hudson's Bay Company, 1900 to 1920, on the log scale. Each species follows its mean plus
stochastic cycles, a basic one of about ten years and its second harmonic. A cycle is a point in the plane that turns
by the same angle each year, shrinks, and receives random shocks; what shows is its first coordinate:

.. math:: x_{t,h} = \rho_h R(2 \pi h / p)\, x_{t-1,h} + \eta_{t,h}, \qquad y_t = \mu + \sum_h x_{t,h,1} + \varepsilon_t

The shocks of the species are correlated, with one correlation for all harmonics and coordinates: "similar cycles"
(A. C. Harvey and S. J. Koopman, "Multivariate structural time series models", in *System Dynamics in Economic and
Financial Models*, Wiley, 1997). So the state of a year is multivariate normal over species, under a plate of harmonics
and one of coordinates; its location has the shape of both plates, its scale that of the outer one only.

Run it: ``python examples/lynx_hare.py --output lynx_hare.png``
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

import numpyro
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.diagnostics import print_summary, summary
import numpyro.distributions as dist
from numpyro.examples.datasets import LYNXHARE, load_dataset
from numpyro.infer import MCMC, NUTS, Predictive

SPECIES = ("hare", "lynx")
GLOBAL_SITES = ("mean", "period", "damping", "shock_scale", "noise", "correlation")


def rotations(period: jax.Array, num_harmonics: int) -> jax.Array:
    """Rotation matrices of shape ``(num_harmonics, 2, 2)``, by the angle that each harmonic covers in a year."""
    angle = 2 * jnp.pi * jnp.arange(1, num_harmonics + 1) / period
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, sin], -1), jnp.stack([-sin, cos], -1)], -2)


def model(log_pelts: jax.Array, num_future: int = 0, num_harmonics: int = 2) -> None:
    """Similar cycles of several species.

    :param log_pelts: array of shape ``(years, species)``.
    :param num_future: years to go on after the last that is observed.
    :param num_harmonics: number of cycles, of periods ``p``, ``p / 2``, ...
    """
    num_years, num_species = log_pelts.shape
    mean = numpyro.sample("mean", dist.Normal(3.0, 1.0).expand([num_species]).to_event(1))
    noise = numpyro.sample("noise", dist.LogNormal(jnp.log(0.15), 0.3))
    period = numpyro.sample("period", dist.LogNormal(jnp.log(10.0), 0.1))
    spread = numpyro.sample("spread", dist.LogNormal(jnp.zeros(num_species), 0.3).to_event(1))
    factor = numpyro.sample("factor", dist.LKJCholesky(num_species, 2.0))
    numpyro.deterministic("correlation", (factor @ factor.T)[0, 1])

    harmonics = numpyro.plate("harmonic", num_harmonics, dim=-2)
    coordinates = numpyro.plate("coordinate", 2, dim=-1)
    with harmonics:
        damping = numpyro.sample("damping", dist.Beta(18.0, 2.0))
        shock_scale = numpyro.sample("shock_scale", dist.LogNormal(jnp.log(0.2), 0.4))
        scale_tril = shock_scale[..., None, None] * spread[:, None] * factor
        with coordinates:
            start = numpyro.sample("start", dist.MultivariateNormal(jnp.zeros(num_species), jnp.eye(num_species)))
    turn = damping[..., None] * rotations(period, num_harmonics)

    def year(state: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        with harmonics, coordinates:
            state = numpyro.sample("state", dist.MultivariateNormal(turn @ state, scale_tril=scale_tril))
        expected = mean + state[:, 0].sum(0)
        numpyro.sample("y", dist.Normal(expected, noise).to_event(1))
        return state, expected

    with handlers.condition(data={"y": log_pelts}):
        _, expected = scan(year, start, None, length=num_years + num_future)
    numpyro.deterministic("expected", expected)


def fit(log_pelts: jax.Array, num_warmup: int, num_samples: int, num_chains: int, progress_bar: bool = True) -> MCMC:
    """Draw from the posterior by NUTS."""
    kernel = NUTS(model, target_accept_prob=0.9)
    mcmc = MCMC(
        kernel, num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains, progress_bar=progress_bar
    )
    mcmc.run(jax.random.PRNGKey(0), log_pelts)
    return mcmc


def forecast(draws: dict[str, jax.Array], log_pelts: jax.Array, num_future: int) -> np.ndarray:
    """Pelts, in thousands, of the observed years and those after them: ``(draws, years + num_future, species)``."""
    latent = {name: value for name, value in draws.items() if name not in ("expected", "correlation")}
    predictive = Predictive(model, latent, return_sites=["y"])
    return np.exp(predictive(jax.random.PRNGKey(1), log_pelts, num_future)["y"])


def plot(path: str, years: np.ndarray, pelts: np.ndarray, expected: np.ndarray, predicted: np.ndarray) -> None:
    """Write a plot of data, fitted cycles and forecast, with 80% intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    num_years = len(years)
    later = np.arange(years[-1], years[0] + predicted.shape[1])
    figure, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for i, (axis, name, colour) in enumerate(zip(axes, SPECIES, ("tab:green", "tab:red"), strict=True)):
        low, middle, high = np.quantile(expected[:, :, i], [0.1, 0.5, 0.9], axis=0)
        axis.plot(years, middle, color=colour, label="fitted")
        axis.fill_between(years, low, high, color=colour, alpha=0.3, linewidth=0)
        low, middle, high = np.quantile(predicted[:, num_years - 1 :, i], [0.1, 0.5, 0.9], axis=0)
        axis.plot(later, middle, "--", color=colour, label="forecast")
        axis.fill_between(later, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(years, pelts[:, i], "o", color="black", markersize=4, label="pelts")
        axis.set(ylabel=f"{name}, thousands", yscale="log")
        axis.legend(loc="lower left", ncols=3)
    axes[0].set_title("Hudson's Bay Company pelts: fitted cycles, forecast, 80% intervals")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(args: argparse.Namespace) -> None:
    """Fit, summarise, forecast, plot."""
    years, pelts = load_dataset(LYNXHARE, shuffle=False)[1]()
    log_pelts = jnp.log(pelts)

    print("Shapes of the model's sites:\n")
    trace = handlers.trace(handlers.seed(model, 0)).get_trace(log_pelts)
    print(numpyro.util.format_shapes(trace), "\n")

    begin = time.perf_counter()
    mcmc = fit(log_pelts, args.num_warmup, args.num_samples, args.num_chains)
    seconds = time.perf_counter() - begin
    chains = mcmc.get_samples(group_by_chain=True)
    print_summary({name: chains[name] for name in GLOBAL_SITES})
    everything = summary({name: chains[name] for name in chains if name != "factor"})
    r_hat = max(np.max(site["r_hat"]) for site in everything.values())
    n_eff = min(np.min(site["n_eff"]) for site in everything.values())
    divergences = int(mcmc.get_extra_fields()["diverging"].sum())
    print(f"All sites: r_hat at most {r_hat:.3f}, n_eff at least {n_eff:.0f}, {divergences} divergences.")
    print(f"Sampling took {seconds:.1f} s with compilation.\n")

    draws = mcmc.get_samples()
    predicted = forecast(draws, log_pelts, args.num_future)
    last = int(years[-1])
    print("Forecast, thousands of pelts: median and 80% interval")
    print(f"{'':6}" + "".join(f"{name:>22}" for name in SPECIES))
    for i in range(len(years), predicted.shape[1]):
        quantiles = np.quantile(predicted[:, i], [0.1, 0.5, 0.9], axis=0).T
        cells = "".join(f"{f'{q[1]:.1f} ({q[0]:.1f} to {q[2]:.1f})':>22}" for q in quantiles)
        print(f"{last + 1 + i - len(years):<6}{cells}")

    if args.output:
        plot(args.output, np.asarray(years), np.asarray(pelts), np.exp(draws["expected"]), predicted)
        print(f"\nPlot written to {args.output}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-warmup", type=int, default=1000)
    parser.add_argument("--num-samples", type=int, default=2000)
    parser.add_argument("--num-chains", type=int, default=2)
    parser.add_argument("--num-future", type=int, default=10, help="years to forecast")
    parser.add_argument("--output", help="file to write a plot to, for instance lynx_hare.png (needs matplotlib)")
    arguments = parser.parse_args()
    numpyro.set_host_device_count(arguments.num_chains)
    main(arguments)
