# Copyright the numpyro-scan contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path
import re

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "numpyro/_version.py").read_text(), re.MULTILINE).group(1)

EXTRAS = {
    "arviz": ["arviz>=0.23,<1"],
    "examples": ["matplotlib"],
    "graphviz": ["graphviz"],
    "test": ["arviz>=0.23,<1", "graphviz", "h5netcdf", "mpmath", "pytest>=8", "pytest-xdist>=3", "scipy>=1.13"],
    "doc": ["furo", "matplotlib", "myst-parser>=4", "sphinx>=8"],
    "dev": ["mypy>=1.15", "pre-commit", "ruff==0.17.6"],
}

setup(
    name="numpyro",
    version=VERSION,
    description="Probabilistic programming on JAX with NumPyro's public API: an independent implementation",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    author="the numpyro-scan contributors",
    license="Apache-2.0",
    packages=find_packages(include=["numpyro", "numpyro.*"]),
    package_data={"numpyro": ["py.typed"], "numpyro.examples": ["data/*.csv"]},
    python_requires=">=3.11",
    install_requires=["jax>=0.8.0", "jaxlib>=0.8.0", "numpy", "optax", "scipy", "threadpoolctl>=3", "tqdm"],
    extras_require=EXTRAS,
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS :: MacOS X",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Mathematics",
    ],
)
