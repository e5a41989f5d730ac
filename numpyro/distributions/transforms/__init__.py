# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Transforms: differentiable maps with the logarithm of their Jacobian determinant.

>>> from numpyro.distributions import constraints
>>> from numpyro.distributions.transforms import AffineTransform, ComposeTransform, ExpTransform, biject_to
>>> t = ComposeTransform([AffineTransform(1.0, 2.0), ExpTransform()])
>>> t.inv(t(0.5)).round(3).item()
0.5
>>> biject_to(constraints.unit_interval)(0.0).item()
0.5
"""

from __future__ import annotations

from numpyro.distributions.transforms.bijections import ConstraintRegistry, biject_to
from numpyro.distributions.transforms.elementwise import (
    AbsTransform,
    AffineTransform,
    ComplexTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
)
from numpyro.distributions.transforms.matrices import (
    CholeskyTransform,
    CorrCholeskyTransform,
    CorrMatrixCholeskyTransform,
    LowerCholeskyAffine,
    LowerCholeskyTransform,
    ScaledUnitLowerCholeskyTransform,
    SoftplusLowerCholeskyTransform,
)
from numpyro.distributions.transforms.signal import (
    DiscreteCosineTransform,
    HaarTransform,
    PackRealFastFourierCoefficientsTransform,
    RealFastFourierTransform,
    RecursiveLinearTransform,
)
from numpyro.distributions.transforms.structure import CatTransform, ReshapeTransform, UnpackTransform
from numpyro.distributions.transforms.transform import (
    ComposeTransform,
    IdentityTransform,
    IndependentTransform,
    InverseTransform,
    Transform,
)
from numpyro.distributions.transforms.vectors import (
    L1BallTransform,
    OrderedTransform,
    PermuteTransform,
    PositiveOrderedTransform,
    SimplexToOrderedTransform,
    StickBreakingTransform,
    ZeroSumTransform,
)

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "CholeskyTransform",
    "ComplexTransform",
    "ComposeTransform",
    "ConstraintRegistry",
    "CorrCholeskyTransform",
    "CorrMatrixCholeskyTransform",
    "DiscreteCosineTransform",
    "ExpTransform",
    "HaarTransform",
    "IdentityTransform",
    "IndependentTransform",
    "InverseTransform",
    "L1BallTransform",
    "LowerCholeskyAffine",
    "LowerCholeskyTransform",
    "OrderedTransform",
    "PackRealFastFourierCoefficientsTransform",
    "PermuteTransform",
    "PositiveOrderedTransform",
    "PowerTransform",
    "RealFastFourierTransform",
    "RecursiveLinearTransform",
    "ReshapeTransform",
    "ScaledUnitLowerCholeskyTransform",
    "SigmoidTransform",
    "SimplexToOrderedTransform",
    "SoftplusLowerCholeskyTransform",
    "SoftplusTransform",
    "StickBreakingTransform",
    "Transform",
    "UnpackTransform",
    "ZeroSumTransform",
    "biject_to",
]
