"""How Sphinx builds the documentation."""

from importlib.metadata import version as installed_version

project = "trisig"
author = "trisig contributors"
copyright = author  # noqa: A001  the name is Sphinx's
version = release = installed_version("trisig")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trisig {release}"

myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# What users do not call is no API: the page lists members itself, and shows no arguments of classes.
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_mock_imports = ["psycopg"]
