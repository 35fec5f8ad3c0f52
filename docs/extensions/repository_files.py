"""The roles `src` and `repo`: a path below src/ebmnist or the repository, which must exist."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).parents[2]


class RepositoryFile(SphinxRole):
    """A file of the repository, by its path from there."""

    base = ""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the path as literal text; a path to nothing is an error of the page."""
        path = self.base + self.text
        if not (ROOT / path).exists():
            message = self.inliner.reporter.error(f"no such file in the repository: {path}", line=self.lineno)
            return [], [message]
        return [nodes.literal(path, path, classes=["file"])], []


class SourceFile(RepositoryFile):
    """A file of the package, by its path from there."""

    base = "src/ebmnist/"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both roles."""
    app.add_role("repo", RepositoryFile())
    app.add_role("src", SourceFile())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
