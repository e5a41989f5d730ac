# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

r"""Kullback-Leibler divergences in closed form: :math:`\mathrm{KL}(p \| q) = E_p[\log p(x) - \log q(x)]`.

Wrappers are taken off first. For what remains there is a rule for each pair of classes; most rules come from a few
laws, each of which serves all pairs of its families:

- a density on the positive numbers whose logarithm is linear in :math:`\log x` and a power of :math:`x` asks of p only
  its entropy and its moments :math:`E\,x^s`;
- a normal density asks for the mean and variance, one with an absolute value for the mean excess over a point, and one
  with an exponential for the moment generating function;
- what is cut off differs from the whole by its mass, and what has more zeros than another by a term at zero;
- Gaussians of arrays are linear images of independent normal numbers;
- a distribution with finite support is summed over.
"""

from numpyro.distributions.kl import arrays, discrete, ends, positive, real_line, zeros  # noqa: F401  (they register rules)
from numpyro.distributions.kl.dispatch import kl_divergence

__all__ = ["kl_divergence"]
