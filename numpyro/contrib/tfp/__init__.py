# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""TensorFlow Probability, as far as its JAX substrate is concerned. It is an optional package, imported when needed."""
