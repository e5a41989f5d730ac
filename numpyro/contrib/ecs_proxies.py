# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Proxies for :class:`~numpyro.infer.ecs.HMCECS`; the work is done in :mod:`numpyro.infer.ecs_proxies`."""

from numpyro.infer.ecs_proxies import (
    TaylorOneProxyState,
    TaylorTwoProxyState,
    block_update,
    perturbed_method,
    taylor_proxy,
)

__all__ = ["TaylorOneProxyState", "TaylorTwoProxyState", "block_update", "perturbed_method", "taylor_proxy"]
