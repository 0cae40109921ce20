"""How Sphinx builds the documentation."""

import os
from importlib.metadata import version as installed_version

project = "trisig"
author = "trisig contributors"
copyright = author  # noqa: A001  the name is Sphinx's
version = release = installed_version("trisig")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
if "READTHEDOCS" in os.environ or "DOCS_ONLINE" in os.environ:
    # Types of others become links. The lists of them are fetched, and a build without a network would fail.
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "trio": ("https://trio.readthedocs.io/en/stable", None),
    }
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trisig {release}"

myst_heading_anchors = 3
default_role = "code"  # of `words` in docstrings
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# What users do not call is no API: the page lists members itself, and shows no arguments of classes.
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_mock_imports = ["psycopg"]
