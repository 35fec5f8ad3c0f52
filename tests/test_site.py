"""The documentation site: its tutorials run, and its own tools find what is wrong."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

DOCS = Path(__file__).parent.parent / "docs"
TUTORIALS = sorted(p.stem for p in (DOCS / "tutorials").glob("*.md") if p.stem != "index")
CELL = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)
OPTIONS = re.compile(r"\A(?::[^\n]*\n)+|\A---\n.*?\n---\n", re.DOTALL)  # of a cell, before its code


def tool(path: Path) -> ModuleType:
    """A file of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_and_draws(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = CELL.findall((DOCS / f"tutorials/{name}.md").read_text(encoding="utf-8"))
    code = "".join(OPTIONS.sub("", cell) for cell in cells)
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context():
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
        drawn = len(plt.get_fignums())
        plt.close("all")
    assert drawn >= 1


def test_every_page_is_in_the_site() -> None:
    """Each page stands in a table of contents: `sphinx-build -W` refuses others, and this needs no Sphinx."""
    listed = set()
    for page in DOCS.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            names = [line for line in block.split() if not line.startswith(":") and "=" not in line]
            listed |= {(page.parent / name).resolve() for name in names}
    pages = {p.with_suffix("").resolve() for p in DOCS.rglob("*.md") if "_build" not in p.parts}
    assert pages - listed == {(DOCS / "index").resolve()}


def test_links_that_lead_nowhere_and_files_from_elsewhere_are_found(tmp_path: Path) -> None:
    faults = tool(DOCS / "check_links.py").faults
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#here">b</a><a href="#top">up</a><a href="https://example.org/x">far</a>'
    )
    (tmp_path / "b.html").write_text('<p id="here">B</p><a href="a.html">a</a>')
    assert faults(tmp_path) == ([], 2, 3)
    (tmp_path / "b.html").write_text(
        '<a href="c.html">c</a><a href="a.html#none">a</a><script src="https://cdn.org/x.js"></script>'
    )
    assert faults(tmp_path)[0] == [
        "a.html: b.html#here has no such anchor",
        "b.html: loads https://cdn.org/x.js",
        "b.html: c.html leads nowhere",
        "b.html: a.html#none has no such anchor",
    ]
