"""The directive `command-help`: what `ebmnist COMMAND --help` prints, so that the page is never behind the program."""

import io
import re
from contextlib import redirect_stdout, suppress
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ebmnist.cli import main


class CommandHelp(SphinxDirective):
    """One command's help; without an argument, that of `ebmnist` itself."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the help as a block of text."""
        printed = io.StringIO()
        with suppress(SystemExit), patch.dict("os.environ", {"COLUMNS": "88"}), redirect_stdout(printed):
            main([*self.arguments, "--help"])
        text = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
