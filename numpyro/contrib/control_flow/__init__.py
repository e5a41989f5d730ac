# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Loops and branches whose bodies contain sample statements."""

from numpyro.contrib.control_flow.cond import cond
from numpyro.contrib.control_flow.scan import scan

__all__ = ["cond", "scan"]
