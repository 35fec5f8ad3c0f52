"""Every kind of file that is read: how one is mutated, and the readers that then must read or refuse it."""

import contextlib
import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import yaml

from ebmnist import cli, pipeline
from ebmnist.config import load_recipe
from ebmnist.data import IDX, read_images
from ebmnist.data.idx import read_test_images
from ebmnist.errors import BadInput
from ebmnist.reporting import RunFolder
from ebmnist.reporting.measurements import read_measurements
from ebmnist.reporting.tables import write_page
from fuzzing import mutations as mutate


class Trial(NamedTuple):
    """One kind of file."""

    weight: float  # share of the files, relative to the others'
    spoil: Callable[[Path, random.Random], None]  # changes one file of a copy of the corpus
    readers: tuple[Callable[[Path], None], ...]


def command(*words: str) -> Callable[[Path], None]:
    """A reader that is a command; `{}` is the corpus. Exit code 2 is a refusal, as raised."""

    def read(folder: Path) -> None:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main([word.replace("{}", str(folder)) for word in words])
        if code == 2:
            raise BadInput(err.getvalue().strip())
        assert code == 0, f"exit code {code}"

    return read


def _checkpoint(folder: Path) -> Path:
    return next((folder / "run" / "checkpoints").iterdir())


def seal(checkpoint: Path) -> None:
    """Make the checksums right again."""
    names = ("tensors.safetensors", "facts.json")
    digests = {name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in names}
    (checkpoint / "checksums.json").write_text(json.dumps({"format": 1, "sha256": digests}, indent=1))


def spoil_tensors(folder: Path, rng: random.Random) -> None:
    file = _checkpoint(folder) / "tensors.safetensors"
    file.write_bytes(mutate.safetensors_of(file.read_bytes(), rng))
    seal(file.parent)


def spoil_facts(folder: Path, rng: random.Random) -> None:
    file = _checkpoint(folder) / "facts.json"
    file.write_bytes(mutate.json_of(json.loads(file.read_bytes()), rng))
    seal(file.parent)


def spoil_detector(folder: Path, rng: random.Random) -> None:
    detector = _checkpoint(folder) / "detector"
    if rng.random() < 0.5:
        file = detector / "tensors.safetensors"
        file.write_bytes(mutate.safetensors_of(file.read_bytes(), rng))
    else:
        file = detector / "facts.json"
        file.write_bytes(mutate.json_of(json.loads(file.read_bytes()), rng))
    seal(detector)


def spoil_own_facts(folder: Path, rng: random.Random) -> None:
    """All of them but the recipe, with which a resumed run could rightly go on for years."""
    file = _checkpoint(folder) / "facts.json"
    facts = json.loads(file.read_bytes())
    recipe = facts.pop("recipe")
    facts = mutate.plain(facts, rng)
    text = mutate.dumped(facts | {"recipe": recipe} if isinstance(facts, dict) else facts)
    file.write_bytes(text.encode(errors="surrogatepass"))
    seal(file.parent)


def spoil_checksums(folder: Path, rng: random.Random) -> None:
    file = _checkpoint(folder) / "checksums.json"
    file.write_bytes(mutate.json_of(json.loads(file.read_bytes()), rng))


def spoil_recipe(folder: Path, rng: random.Random) -> None:
    file = folder / "run" / "recipe.yaml"
    file.write_bytes(mutate.yaml_of(yaml.safe_load(file.read_text(encoding="utf-8")), rng))


def spoil_json(*names: str) -> Callable[[Path, random.Random], None]:
    def spoil(folder: Path, rng: random.Random) -> None:
        file = folder / "run" / rng.choice(names)
        file.write_bytes(mutate.json_of(json.loads(file.read_bytes()), rng))

    return spoil


def spoil_journal(folder: Path, rng: random.Random) -> None:
    file = folder / "run" / rng.choice(("metrics.jsonl", "events.jsonl"))
    lines = file.read_bytes().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = mutate.json_of(json.loads(lines[at]), rng)
    file.write_bytes(b"\n".join(lines) + b"\n")


def spoil_picture(folder: Path, rng: random.Random) -> None:
    file = folder / "run" / "figures" / "samples.png"
    file.write_bytes(mutate.png_of(file.read_bytes(), rng))


def spoil_image(folder: Path, rng: random.Random) -> None:
    file = rng.choice(sorted((folder / "images").iterdir()))
    content = file.read_bytes()
    how = {".npy": mutate.npy_of, ".png": mutate.png_of, "": mutate.idx_of}.get(file.suffix, mutate.bytes_of)
    (folder / "image").write_bytes(how(content, rng))


def spoil_data(folder: Path, rng: random.Random) -> None:
    file = rng.choice(sorted((folder / "data").iterdir()))
    file.write_bytes(mutate.idx_of(file.read_bytes(), rng))


def read_journals(folder: Path) -> None:
    run = RunFolder.open(folder / "run")
    run.read_events()
    run.read_metrics()


def resume(folder: Path) -> None:
    """Take the run up where it was, which is its end, and let it do one update if it would."""
    going = pipeline.resume(folder / "run")
    next(going, None)
    going.close()


INFO, COMPARE = command("info", "{}/run"), command("compare", "{}/run", "{}/run")
TRIALS = {
    "image": Trial(5, spoil_image, (lambda f: read_images(f / "image"), lambda f: read_images(f / "image", 0.3))),
    "image, scored": Trial(0.5, spoil_image, (command("score", "{}/run", "--input", "{}/image"),)),
    "detector": Trial(1, spoil_detector, (command("score", "{}/run", "--input", "{}/images/floats.npy"),)),
    "data set": Trial(2, spoil_data, (lambda f: IDX(f / "data", 4).load(), lambda f: read_test_images(f / "data"))),
    "tensors": Trial(3, spoil_tensors, (INFO,)),
    "tensors, resumed": Trial(1.5, spoil_tensors, (resume,)),
    "facts": Trial(3, spoil_facts, (INFO,)),
    "facts, resumed": Trial(1, spoil_own_facts, (resume,)),
    "checksums": Trial(0.5, spoil_checksums, (INFO,)),
    "recipe": Trial(3, spoil_recipe, (lambda f: load_recipe(str(f / "run" / "recipe.yaml")).to_yaml(),)),
    "journal": Trial(2, spoil_journal, (read_journals, INFO)),
    "evaluation": Trial(
        2,
        spoil_json("evaluation.json"),
        (lambda f: write_page(f / "run", read_measurements(f / "run" / "evaluation.json"), []), COMPARE, INFO),
    ),
    "environment, run_plots": Trial(
        1.5,
        spoil_json("env.json", "figures/plots.json"),
        (lambda f: write_page(f / "run", read_measurements(f / "run" / "evaluation.json"), []), INFO),
    ),
    "report's picture": Trial(
        0.5, spoil_picture, (lambda f: write_page(f / "run", read_measurements(f / "run" / "evaluation.json"), []),)
    ),
}


def fresh(corpus: Path, folder: Path) -> Path:
    """Copy the corpus to where a trial may spoil it."""
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(corpus, folder))
