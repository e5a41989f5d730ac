# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Small networks in plain JAX, for normalising flows. A network is a pair of functions:

- ``init_fn(rng, input_shape)`` returns the shape of the output and the parameters,
- ``apply_fn(params, x)`` returns the output.
"""

from numpyro.nn.auto_reg_nn import AutoregressiveNN
from numpyro.nn.block_neural_arn import BlockNeuralAutoregressiveNN
from numpyro.nn.masked_dense import MaskedDense

__all__ = ["AutoregressiveNN", "BlockNeuralAutoregressiveNN", "MaskedDense"]
