# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Additions around the core: control flow, and (as they are built) further tools."""
