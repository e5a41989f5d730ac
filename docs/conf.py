# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

"""Configuration of Sphinx."""

from pathlib import Path
import subprocess
import sys

import numpyro

project = "numpyro"
copyright = "the numpyro-scan contributors"
author = "the numpyro-scan contributors"
version = release = numpyro.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"numpyro {version}"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# The pages also read well where the repository is shown: links between them, and to files beside docs/, are relative.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "exclude-members": "arg_constraints, arg_event_dims, pytree_data_fields, pytree_aux_fields",
}
autodoc_typehints = "none"
add_module_names = False


def make_plots(app):
    """The plots of the guides, unless they are there and newer than their program."""
    program = Path(app.srcdir) / "plots.py"
    last = program.with_name("_plots") / "kernels.png"
    if not last.exists() or last.stat().st_mtime < program.stat().st_mtime:
        subprocess.run([sys.executable, program, last.parent], check=True)


def setup(app):
    app.connect("builder-inited", make_plots)
