# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""The picture of a model: boxes, nodes and arrows, and their Graphviz program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["CLONE", "generate_graph_specification", "nested_boxes", "render_graph", "save"]

CLONE = "__CLONE"
"""What follows the name of a plate that is drawn once more; a number follows from the third time on."""


def generate_graph_specification(model_relations: Mapping[str, Any], render_params: bool = False) -> dict[str, Any]:
    """What is to be drawn of a model.

    :param model_relations: from :func:`~numpyro.infer.inspect.get_model_relations`.
    :param render_params: whether param sites are drawn.
    :returns: a dict with ``plate_groups`` (the sites in each box, and under None those in no box), ``plate_data`` (for
        each box its ``parent`` or None, and ``is_scan``), ``node_data`` (for each site ``is_observed``,
        ``distribution``, and for a param site ``constraint``) and ``edge_list`` (pairs of sites).

    >>> relations = {
    ...     "sample_sample": {"m": [], "y": ["m"]}, "sample_param": {"m": [], "y": []},
    ...     "sample_dist": {"m": "Normal", "y": "Normal"}, "param_constraint": {},
    ...     "plate_sample": {"N": ["y"]}, "observed": ["y"],
    ... }
    >>> specification = generate_graph_specification(relations)
    >>> specification["edge_list"], specification["plate_groups"]
    ([('m', 'y')], {'N': ['y'], None: ['m']})
    """
    scans = model_relations.get("scan_sample", {})
    boxes = {**scans, **model_relations["plate_sample"]}
    families, observed = model_relations["sample_dist"], set(model_relations["observed"])
    nodes: dict[str, dict[str, Any]] = {
        name: {"is_observed": name in observed, "distribution": family} for name, family in families.items()
    }
    edges = [(source, site) for site, sources in model_relations["sample_sample"].items() for source in sources]
    if render_params:
        for name, constraint in model_relations["param_constraint"].items():
            nodes[name] = {"is_observed": False, "distribution": None, "constraint": constraint}
        edges += [(source, site) for site, sources in model_relations["sample_param"].items() for source in sources]
    # A box stands inside the smallest that holds its sites.
    order = sorted(boxes, key=lambda box: len(boxes[box]), reverse=True)
    parents: dict[str, str | None] = {}
    for i, box in enumerate(order):
        around = [other for other in order[:i] if set(boxes[box]) <= set(boxes[other])]
        parents[box] = around[-1] if around else None
    inside = {site for sites in boxes.values() for site in sites}
    groups: dict[str | None, list[str]] = {**boxes, None: [name for name in nodes if name not in inside]}
    return {
        "plate_groups": groups,
        "plate_data": {box: {"parent": parents[box], "is_scan": box in scans} for box in order},
        "node_data": nodes,
        "edge_list": edges,
    }


def render_graph(graph_specification: Mapping[str, Any], render_distributions: bool = False) -> Any:
    """The graph as a ``graphviz.Digraph``.

    :param graph_specification: from :func:`generate_graph_specification`.
    :param render_distributions: add a list of the distributions, and of the constraints of the parameters.
    :raises ImportError: if the package ``graphviz`` is missing.
    """
    try:
        import graphviz
    except ImportError as error:
        raise ImportError(
            "Drawing a model needs the package graphviz: pip install 'numpyro[graphviz]'. To write a picture or to "
            "see it in a notebook, install the program Graphviz too (https://graphviz.org/download)."
        ) from error
    groups, nodes = graph_specification["plate_groups"], graph_specification["node_data"]
    boxes = graph_specification["plate_data"]
    graph = graphviz.Digraph()

    def draw(into: Any, box: str | None, style: str = "") -> None:
        children = [other for other, data in boxes.items() if data["parent"] == box]
        deeper = {site for child in children for site in groups[child]}
        for site in groups[box]:
            if site in nodes and site not in deeper:
                into.node(site, label=site, **_style(nodes[site]))
        for child in children:
            with into.subgraph(name=f"cluster_{child}") as inner:
                # A box has the style of the one around it, unless it has its own.
                own = "dashed" if boxes[child].get("is_scan") else style and "solid"
                attributes = {"style": own} if own else {}
                inner.attr(label=child.split(CLONE)[0], labeljust="r", labelloc="b", **attributes)
                draw(inner, child, own)

    draw(graph, None)
    for source, target in graph_specification["edge_list"]:
        graph.edge(source, target)
    if render_distributions:
        lines = [f"{name} ~ {data['distribution']}" for name, data in nodes.items() if data["distribution"]]
        lines += [f"{name} ∈ {data['constraint']}" for name, data in nodes.items() if data.get("constraint")]
        # Graphviz ends a line that is set at the left by \l.
        label = "".join(graphviz.escape(line) + r"\l" for line in lines)
        graph.node("distribution_description_node", label=label, shape="plaintext")
    return graph


def _style(node: Mapping[str, Any]) -> dict[str, str]:
    shape = "plain" if node["distribution"] is None else "ellipse"
    is_deterministic = node["distribution"] == "Deterministic"
    return {
        "shape": shape,
        "style": "filled,dashed" if is_deterministic else "filled",
        "fillcolor": "grey" if node["is_observed"] else "white",
    }


def save(graph: Any, filename: str) -> None:
    """Write the picture of a graph in the format that the file's ending names.

    :raises ValueError: if the name has no ending.
    """
    path = Path(filename)
    if not path.suffix:
        raise ValueError(
            f"`filename` must end in the format of the picture, such as .pdf or .png, but is {filename!r}."
        )
    graph.render(path.with_suffix(""), format=path.suffix[1:], view=False, cleanup=True)


def nested_boxes(paths: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Boxes of which each two are nested or have no site in common.

    Plates that cross are not nested as sets of sites. So those of more sites are drawn outside, and a plate that
    stands in several places gets a box in each, named apart by :data:`CLONE`.

    :param paths: for each site the plates around it, in any order.

    >>> nested_boxes({"a": ["p"], "b": ["q"], "c": ["p", "q"]})
    {'p': ['a', 'c'], 'q': ['c'], 'q__CLONE': ['b']}
    """
    members: dict[str, int] = {}
    for path in paths.values():
        for plate in path:
            members[plate] = members.get(plate, 0) + 1
    first = {plate: i for i, plate in enumerate(members)}
    places: dict[tuple[str, ...], list[str]] = {}
    for site, path in paths.items():
        ordered = sorted(set(path), key=lambda plate: (-members[plate], first[plate]))
        for depth in range(1, len(ordered) + 1):
            places.setdefault(tuple(ordered[:depth]), []).append(site)
    ranks = {plate: i for i, plate in enumerate(sorted(members, key=lambda plate: (-members[plate], first[plate])))}
    boxes: dict[str, list[str]] = {}
    for place in sorted(places, key=lambda place: [ranks[plate] for plate in place]):
        name, copies = place[-1], 0
        while name in boxes:
            copies += 1
            name = place[-1] + CLONE + (str(copies) if copies > 1 else "")
        boxes[name] = places[place]
    return boxes
