"""Links to the public names: `ebmnist.EBM` leads to where `EBM` is documented, under the file that defines it."""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import ebmnist


def _resolved(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement) -> Any:
    package, _, rest = node.get("reftarget", "").partition(".")
    name, dot, member = rest.partition(".")
    if node.get("refdomain") != "py" or package != "ebmnist" or name not in ebmnist.__all__:
        return None
    target = f"{getattr(ebmnist, name).__module__}.{name}{dot}{member}"
    python = env.domains["py"]
    return python.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], target, node, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Answer for the names that Sphinx does not find."""
    app.connect("missing-reference", _resolved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
