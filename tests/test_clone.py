"""A clone with other line ends (git's core.autocrlf) has the same bytes, so that every checksum still holds."""

import subprocess
from pathlib import Path

import ebmnist

ROOT = Path(ebmnist.__file__).parents[2]


def git(*words: str, cwd: Path) -> str:
    return subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_a_clone_with_crlf_has_the_same_bytes(tmp_path: Path) -> None:
    """Text too: what is hashed or compared byte for byte may be text, as a checkpoint's facts.json is."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    package = [f for f in git("ls-files", "src", "tests/golden", cwd=ROOT).splitlines() if (ROOT / f).is_file()]
    assert {Path(f).suffix for f in package} >= {".xz", ".safetensors", ".json", ".yaml", ".py", ".txt"}
    data = [f for f in package if not f.endswith(".py")]
    for file in (".gitattributes", *data):
        (origin / file).parent.mkdir(parents=True, exist_ok=True)
        (origin / file).write_bytes((ROOT / file).read_bytes())
    git("init", "-q", cwd=origin)
    git("-c", "core.autocrlf=true", "-c", "core.safecrlf=false", "add", "-A", cwd=origin)
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all", cwd=origin)
    git("clone", "-q", "-c", "core.autocrlf=true", str(origin), str(clone), cwd=tmp_path)
    assert [f for f in data if (clone / f).read_bytes() != (ROOT / f).read_bytes()] == []


def test_binary_files_are_never_taken_for_text() -> None:
    names = ["a.xz", "a.gz", "a.npy", "a.safetensors", "a.png", "a.webp", "train-images-idx3-ubyte"]
    told = git("check-attr", "text", "--", *names, cwd=ROOT).splitlines()
    assert [line.rpartition(" ")[2] for line in told] == ["unset"] * len(names)
    assert git("check-attr", "eol", "--", "notebook.ipynb", "x.py", cwd=ROOT).count("eol: lf") == 2
