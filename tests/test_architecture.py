"""The dependency rules, the conventions of a package, and what may stand where (docs/architecture.md)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ebmnist

ROOT = Path(ebmnist.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# Left to right: each may import what stands to its left. Equal numbers are blind to each other.
ORDER = {
    "errors": 0,
    "native": 1,
    "reading": 1,
    "signals": 1,
    "waiting": 1,
    "ranks": 2,
    "random": 2,
    "output": 2,
    "terminal": 2,
    "launched": 3,
    "data": 3,
    "energies": 4,
    "sampling": 5,
    "training": 6,
    "inference": 6,
    "evaluation": 7,
    "reporting": 8,
    "recipes": 8,
    "config": 9,
    "trained": 10,
    "restoring": 11,
    "exporting": 11,
    "ebm": 12,
    "run_plots": 12,
    "events": 12,
    "measuring": 13,
    "updating": 13,
    "pipeline": 14,
    "console": 15,
    "sweeping": 15,
    "commands": 16,
    "arguments": 16,
    "restoration_parser": 17,
    "parser": 18,
    "cli": 19,
    "__main__": 20,
}


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_package_imports_only_from_its_left(path: Path) -> None:
    here = package_of(path)
    if here == "__init__":
        return
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "ebmnist" or len(parts) < 2 or parts[1] not in ORDER:
            continue
        there = parts[1]
        assert there == here or ORDER[there] < ORDER[here], f"{here} imports {name}"


def test_every_module_has_a_place_in_the_order() -> None:
    assert {package_of(p) for p in MODULES} - {"__init__"} == set(ORDER)


def test_only_plots_imports_matplotlib() -> None:
    guilty = [p for p in MODULES if any(n.split(".")[0] == "matplotlib" for n in imports_of(p))]
    assert guilty
    assert {str(p.relative_to(ROOT).parent) for p in guilty} == {"reporting/plots"}


def test_only_config_reads_configuration() -> None:
    readers = {package_of(p) for p in MODULES if {"yaml", "jsonargparse"} & {n.split(".")[0] for n in imports_of(p)}}
    assert readers == {"config", "recipes", "commands"}  # commands print YAML


def calls_in(path: Path) -> set[str]:
    """Everything a file calls, as written: `torch.load`, `path.write_text`, …"""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_only_reporting_writes_files() -> None:
    writers = ("write_text", "write_bytes", "mkdir", "save_file", "savefig", "unlink", "touch")
    for path in MODULES:
        if package_of(path) != "reporting":
            calls = calls_in(path)
            assert not {c for c in calls if c.split(".")[-1] in writers}, path
            assert not calls & {"np.save", "torch.save", "open"}, path


def test_nothing_is_ever_unpickled() -> None:
    for path in MODULES:
        assert not {n.split(".")[0] for n in imports_of(path)} & {"pickle", "joblib", "dill", "shelve"}
        assert "torch.load" not in calls_in(path), path


def test_no_global_generator_is_read_or_seeded() -> None:
    """All random numbers are of `random`; layers draw theirs inside `initialised_from`, which the tests of it hold."""
    drawing = {"rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "multinomial"}
    drawing |= {"bernoulli", "normal_", "uniform_", "random_", "bernoulli_", "exponential_", "Generator"}
    seeding = {"manual_seed", "manual_seed_all", "seed", "fork_rng", "get_rng_state", "set_rng_state", "initial_seed"}
    for path in MODULES:
        if package_of(path) != "random":
            calls = calls_in(path)
            assert not {c for c in calls if c.split(".")[-1] in drawing | seeding}, path
            assert not {n for n in imports_of(path) if n.split(".")[0] == "random" or n.startswith("numpy.random")}
            assert not {c for c in calls if c.startswith(("np.random", "torch.random"))}, path


def test_files_are_short() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {str(p): n for p, n in lengths.items() if n > 250} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 120


def test_functions_are_short() -> None:
    long = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                body = node.end_lineno - node.body[0].lineno + 1
                doc = ast.get_docstring(node, clean=False)
                body -= len(doc.splitlines()) if doc else 0
                limit = 60 if node.name in ("fit", "build_parser", "train_step") else 40
                if body > limit:
                    long.append(f"{path.relative_to(ROOT)}:{node.name} {body}")
    assert long == []


def test_no_package_without_a_concept() -> None:
    assert not {p.stem for p in MODULES} & {"utils", "util", "misc", "common", "core", "helpers", "helper"}


def test_help_does_not_import_torch() -> None:
    code = "import sys; from ebmnist.cli import main; main(['--help']); sys.exit(9 if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


def test_a_command_imports_what_it_needs_itself() -> None:
    code = (
        "import sys; from ebmnist.commands import command_of; command_of('sample'); command_of('train')\n"
        "sys.exit(9 if {'matplotlib', 'sklearn', 'ebmnist.commands.evaluating'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_few_and_all_there() -> None:
    assert len(ebmnist.__all__) <= 17
    for name in ebmnist.__all__:
        assert getattr(ebmnist, name).__doc__
    assert set(ebmnist.__all__) <= set(dir(ebmnist))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ebmnist.nothing  # type: ignore[attr-defined]


FORMER = (
    "cyclic|Cyclic|n_hot|n_cool|Levelled|bowl|slack|astray|veiled|strays|level_weight|old_age|Packed|packed_of|"
    "ease_factor|max_ease|calm_after|ease_after|since_eased|Judgement|judgement|Verdict|verdict|yardstick|Yardstick|"
    "Rivals|rotten|verbs|anchors"
)


def test_the_field_s_own_words_are_used() -> None:
    """Former names, for which the literature has a term (docs/glossary.md), do not come back."""
    project = ROOT.parent.parent
    texts = [*MODULES, *ROOT.rglob("*.yaml"), *project.glob("*.md"), *project.glob("docs/**/*.md")]
    former = re.compile(rf"\b({FORMER})\b")
    found = {f"{path.name}: {word}" for path in texts for word in former.findall(path.read_text(encoding="utf-8"))}
    assert found == set()
