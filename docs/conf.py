"""The documentation site. `make docs` builds it, and neither building nor reading it needs a network."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for extensions/

# Networks this small run no faster on more threads, and on a busy machine far slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "ebmnist"
author = "The ebmnist authors"
copyright = author
version = release = version_of("ebmnist")

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "extensions.command_help",
    "extensions.external_types",
    "extensions.mathml",
    "extensions.plain_docstrings",
    "extensions.public_names",
    "extensions.repository_files",
]
exclude_patterns = ["_build", "README.md"]
nitpicky = True  # a name without a target is an error
nitpick_ignore = [
    ("py:class", "abc.ABC"),
    ("py:class", "ebmnist.energies.freezing.E"),
    ("py:class", "collections.abc.Mapping[str"),
]

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "tasklist"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # tutorials are tests: each build runs them
nb_execution_raise_on_error = True
nb_execution_timeout = 240
nb_merge_streams = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
add_module_names = False

html_theme = "furo"
html_title = "ebmnist"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
html_math_renderer = "mathml"
