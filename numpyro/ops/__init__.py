# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Operations on arrays and programs that know nothing of models: indexing, provenance, traces as pytrees."""
