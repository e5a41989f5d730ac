# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Logarithms of incomplete beta and gamma functions, which themselves underflow far in the tails."""

from __future__ import annotations

from typing import Any

from jax import lax
import jax.numpy as jnp

from numpyro.distributions._log_density import log_gamma
from numpyro.distributions._special import betainc, betaln, is_nearly_normal, log_gammainc, log_gammaincc
from numpyro.distributions._tails.numerics import UNDERFLOW, log_integral


def log_beta_tail(a: Any, b: Any, log_x: Any) -> Any:
    r"""Logarithm of :math:`I_x(a, b)` for x below the mode, where the integrand falls on the way to 0."""
    # With t = x exp(-u / rate) in the integral of t^(a - 1) (1 - t)^(b - 1)
    rate = a + (1.0 - b) / jnp.expm1(-log_x)
    rest = log_integral(lambda u: -a * (u / rate) + (b - 1.0) * jnp.log(-jnp.expm1(log_x - u / rate)), rate, log_x)
    return a * log_x - betaln(a, b) - jnp.log(rate) + rest


def log_lower_beta(a: Any, b: Any, x: Any) -> Any:
    """Logarithm of the regularised incomplete beta function, for x below the mean, where it underflows too.

    >>> round(log_lower_beta(200.0, 2.0, 0.1).item(), 3)
    -455.319
    """
    mean = a / (a + b)
    inside = (x > 0) & (x < 1)
    safe_x = jnp.where(inside, x, mean)
    front = a * jnp.log(safe_x) + b * jnp.log1p(-safe_x) - betaln(a, b)
    far = lax.stop_gradient((safe_x < mean) & (front < UNDERFLOW))
    tail = log_beta_tail(a, b, jnp.log(jnp.where(far, safe_x, 0.5 * mean)))
    return jnp.where(far, tail, jnp.log(betainc(a, b, jnp.where(far, mean, x))))


def log_lower_gamma(a: Any, x: Any) -> Any:
    """Logarithm of the regularised lower incomplete gamma function P(a, x), where P itself underflows too.

    >>> round(log_lower_gamma(50.0, 0.01).item(), 3)
    -378.746
    """
    far = lax.stop_gradient((x < a * jnp.exp(-6 / jnp.sqrt(a))) & ~is_nearly_normal(a, x))
    positive = x > 0
    far_x, near_x = jnp.where(far & positive, x, 0.5 * a), jnp.where(far, a, x)
    # With t = x exp(-u / (a - x)) in the integral of t^(a - 1) exp(-t)
    rate = a - far_x
    rest = log_integral(lambda u: -a * (u / rate) - far_x * jnp.expm1(-u / rate), rate)
    tail = log_gamma(a, 1.0, far_x) + jnp.log(far_x) - jnp.log(rate) + rest
    return jnp.where(far, jnp.where(positive, tail, -jnp.inf), log_gammainc(a, near_x))


def log_upper_gamma(a: Any, x: Any) -> Any:
    """Logarithm of the regularised upper incomplete gamma function Q(a, x), where Q itself underflows too.

    >>> round(log_upper_gamma(1.0, 500.0).item(), 3)
    -500.0
    """
    far = lax.stop_gradient((x > a + 6 * jnp.sqrt(a) + 6) & ~is_nearly_normal(a, x))
    inside = x > 0
    far_x, near_x = jnp.where(far, x, a + 7.0), jnp.where(far | ~inside, a, x)
    # With t = x (1 + u / (x - a + 1)) in the integral of t^(a - 1) exp(-t)
    rate = far_x - a + 1.0
    rest = log_integral(lambda u: -far_x * (u / rate) + (a - 1.0) * jnp.log1p(u / rate), rate)
    tail = log_gamma(a, 1.0, far_x) + jnp.log(far_x) - jnp.log(rate) + rest
    return jnp.where(far, tail, jnp.where(inside, log_gammaincc(a, near_x), 0.0))
