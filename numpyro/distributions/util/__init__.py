# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Numerical helpers that distributions share: shapes, triangular matrices, stable arithmetic, random draws."""

from numpyro.distributions._pytree import (
    array_equiv,
)
from numpyro.distributions._special import (
    betainc,
    betaincinv,
    gammaincinv,
)
from numpyro.distributions.site_checks import (
    validate_batch_shape,
)
from numpyro.distributions.util.arithmetic import (
    binary_cross_entropy_with_logits,
    clamp_probs,
    log1mexp,
    logdiffexp,
    logmatmulexp,
    multidigamma,
    safe_normalize,
    stirling_approx_tail,
)
from numpyro.distributions.util.laziness import (
    lazy_property,
    validate_sample,
)
from numpyro.distributions.util.matrices import (
    add_diag,
    cholesky_of_inverse,
    cholesky_update,
    matrix_to_tril_vec,
    signed_stick_breaking_tril,
    tri_logabsdet,
    vec_to_tril_matrix,
)
from numpyro.distributions.util.shapes import (
    assert_one_of,
    is_identically_one,
    is_identically_zero,
    is_prng_key,
    periodic_repeat,
    promote_shapes,
    scale_and_mask,
    sum_rightmost,
)
from numpyro.distributions.util.variates import (
    binomial,
    categorical,
    multinomial,
    von_mises_centered,
)

__all__ = [
    "add_diag",
    "array_equiv",
    "assert_one_of",
    "betainc",
    "betaincinv",
    "binary_cross_entropy_with_logits",
    "binomial",
    "categorical",
    "cholesky_of_inverse",
    "cholesky_update",
    "clamp_probs",
    "gammaincinv",
    "is_identically_one",
    "is_identically_zero",
    "is_prng_key",
    "lazy_property",
    "log1mexp",
    "logdiffexp",
    "logmatmulexp",
    "matrix_to_tril_vec",
    "multidigamma",
    "multinomial",
    "periodic_repeat",
    "promote_shapes",
    "safe_normalize",
    "scale_and_mask",
    "signed_stick_breaking_tril",
    "stirling_approx_tail",
    "sum_rightmost",
    "tri_logabsdet",
    "validate_batch_shape",
    "validate_sample",
    "vec_to_tril_matrix",
    "von_mises_centered",
]
