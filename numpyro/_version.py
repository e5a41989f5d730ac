# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

__version__ = "0.23.0"
