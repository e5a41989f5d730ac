# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0
