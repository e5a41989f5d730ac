# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Drawing models; the same functions as in :mod:`numpyro.infer.inspect`."""

from numpyro.infer.inspect import get_model_relations, render_model
from numpyro.infer.model_graph import generate_graph_specification, render_graph

__all__ = ["generate_graph_specification", "get_model_relations", "render_graph", "render_model"]
