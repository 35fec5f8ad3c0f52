"""Not a test: a run on any number of ranks, compared to the bit, interrupted and killed. Used by test_ranks.py.

One process imports torch and forks, so that a rank costs a fraction of a second. `make ranks` does all of it:
every number of ranks from 1 to 4, and twenty kills.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from ebmnist import pipeline, waiting
from ebmnist.cli import main
from ebmnist.commands import sampling, scoring
from ebmnist.config import load_recipe
from ebmnist.data import MNIST
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation import EvaluationContext, Metric, SectionResult, runner
from ebmnist.random import Rng
from ebmnist.reporting import load_checkpoint
from ebmnist.reporting.checkpoint import list_checkpoints
from ebmnist.reporting.measurements import read_measurements

RECIPE = ("smoke", "--training.n_updates", "10", "--training.n_steps", "2", "--artifacts.checkpoint_every", "3")
DENOISING = ("mnist-normalised", "--energy.width", "4", "--energy.depth", "1", "--training.n_updates", "3")
COMPRESSED = ("--training.gradient_compression", "true")
PATIENCE = 60  # seconds in which the ranks of a dead one must end


def start(n: int, words: list[str], folder: Path, **of_one: list[str]) -> list[int]:
    """Fork n ranks of `ebmnist words`, or rank_i=words for one; what each says goes to folder/i. Returns their ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return [_fork(rank, n, port, of_one.get(f"rank_{rank}", words), folder / str(rank)) for rank in range(n)]


def _fork(rank: int, n: int, port: int, words: list[str], told: Path) -> int:
    if pid := os.fork():
        return pid
    code = 99
    try:
        file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        code = main(words)
    finally:
        os._exit(code)


def ends(pids: list[int], within: float = PATIENCE) -> list[int]:
    """Wait for the ranks and return their exit codes, −9 for one that was killed. Fails if it takes too long."""
    codes, by = dict.fromkeys(pids, None), time.monotonic() + within
    while None in codes.values():
        for pid in [pid for pid, code in codes.items() if code is None]:
            done, status = os.waitpid(pid, os.WNOHANG)
            codes[pid] = os.waitstatus_to_exitcode(status) if done else None
        if time.monotonic() > by:
            for pid in [pid for pid, code in codes.items() if code is None]:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"still there after {within} s: {codes}")
        time.sleep(0.002)
    return list(codes.values())


def lines(folder: Path) -> list[str]:
    """What the ranks said for an end, of all ranks: the lines of the command itself."""
    return [
        line for told in sorted(folder.glob("*")) for line in told.read_text().splitlines() if line.startswith("ebmn")
    ]


def assert_same(run: Path, reference: Path) -> None:
    """Check that both runs ended with the same bits: weights, average, optimiser, buffer, guard, and every record."""
    one, other = load_checkpoint(run), load_checkpoint(reference)
    assert one.tensors.keys() == other.tensors.keys()
    assert [name for name, value in one.tensors.items() if not torch.equal(value, other.tensors[name])] == []
    assert one.facts["guard"] == other.facts["guard"]
    assert records(run) == records(reference)


def records(run: Path) -> list[dict[str, object]]:
    """Every update's numbers but the time it took."""
    return [json.loads(line) | {"seconds": 0} for line in (run / "metrics.jsonl").read_text().splitlines()]


def train_on(numbers: list[int], folder: Path) -> Path:
    """Train on each number of ranks, to the same bits. Returns the run on the first of them."""
    for name, words in (("on", RECIPE), ("denoising", (*DENOISING, *COMPRESSED))):
        runs = [folder / f"{name}-{n}" for n in numbers]
        for n, run in zip(numbers, runs, strict=True):
            more = ("--training.microbatch_size", "64") if name != "on" and n > 1 else ()
            command = ["train", *words, *more, "--out", str(run)]
            assert ends(start(n, command, folder / f"told-{n}")) == [0] * n, lines(folder / f"told-{n}")
            assert_same(run, runs[0])
    return folder / f"on-{numbers[0]}"


def life(run: Path) -> float:
    """Seconds from the beginning of a run's folder to its last checkpoint."""
    last = max(list_checkpoints(run / "checkpoints").items())[1]
    return last.stat().st_mtime - (run / "recipe.yaml").stat().st_mtime


def kill_and_go_on(reference: Path, n: int, then: int, after: float, victim: int, folder: Path) -> int:
    """Kill one of n ranks, go on with `then` ranks, and compare with a run that nobody killed.

    `after` counts seconds from when the run has a folder: what goes before is the same for all instants. Returns the
    update of the checkpoint that was left, 0 for none. The others say one line each and end with code 2.
    """
    run, told = folder / "killed", folder / "told"
    shutil.rmtree(run, ignore_errors=True)
    pids = start(n, ["train", *RECIPE, "--out", str(run)], told)
    while not run.exists():
        time.sleep(0.001)
    time.sleep(after)
    with suppress(ProcessLookupError):
        os.kill(pids[victim], signal.SIGKILL)
    codes = ends(pids)
    if -signal.SIGKILL in codes and set(codes) != {0, -signal.SIGKILL}:  # some may have been done
        assert codes.count(2) == n - 1, codes
        said = lines(told)
        assert len(said) == n - 1, said
        assert all("ended or does not answer" in line for line in said), said
    left = max(list_checkpoints(run / "checkpoints"), default=0)
    words = ["resume", str(run)] + ([] if left else ["--restart"])
    if not (run / "recipe.yaml").exists():
        words = ["train", *RECIPE, "--out", str(run)]
    assert ends(start(then, words, told)) == [0] * then, lines(told)
    assert_same(run, reference)
    return left


def training(n: int, run: Path, told: Path) -> list[int]:
    """Start n ranks that train; their processes, once there is a checkpoint."""
    pids = start(n, ["train", *RECIPE, "--out", str(run)], told)
    while not list_checkpoints(run / "checkpoints"):
        time.sleep(0.001)
    return pids


def interrupt_one(reference: Path, folder: Path) -> None:
    """Ctrl-C that reaches one rank of two stops both after the same update, and loses nothing."""
    run, told = folder / "interrupted", folder / "told"
    pids = training(2, run, told)
    os.kill(pids[1], signal.SIGINT)
    assert ends(pids) in ([143, 130], [0, 0])  # rank 0 knows only that it was asked; or all was done already
    saved = max(list_checkpoints(run / "checkpoints"))
    assert len(records(run)) == saved
    assert ends(start(1, ["resume", str(run)], told)) == [0]
    assert_same(run, reference)


def chunks_on(numbers: list[int], model: Path, folder: Path) -> None:
    """Draw images and score them, in chunks, on each number of ranks: the same files. Then the same after a kill."""
    sample, score = ["sample", str(model), "--n", "14", "--steps", "2"], ["score", "pretrained", "--input"]
    first = numbers[0]
    for words, suffix in (
        (sample, ".npy"),
        (sample, ".tar"),
        ([*score, str(folder / f"on-{first}.tar")], ".csv"),
        ([*score, str(folder / f"on-{first}.npy")], "-scores.npy"),
    ):
        files = [folder / f"on-{n}{suffix}" for n in numbers]
        for n, file in zip(numbers, files, strict=True):
            assert ends(start(n, [*words, "--out", str(file)], folder / "told")) == [0] * n, lines(folder / "told")
            assert file.read_bytes() == files[0].read_bytes()
    kill_one_that_writes([*score, str(folder / f"on-{first}.npy")], folder / f"on-{first}-scores.npy", folder)


def kill_one_that_writes(words: list[str], whole: Path, folder: Path) -> None:
    """Kill one of three ranks; the others end in one line each, and two ranks go on to the same file."""
    out, told = folder / f"killed{whole.suffix}", folder / "told"
    pids = start(3, [*words, "--out", str(out)], told)
    while not list(folder.glob(f"{out.name}.part/chunk-*")):
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.kill(pids[1], signal.SIGKILL)
    if (codes := ends(pids)) != [0, 0, 0]:  # all may have been done
        assert codes == [2, -signal.SIGKILL, 2]
        assert len(lines(told)) == 2
        assert all("ended or does not answer" in line for line in lines(told))
        assert not out.exists()
        assert ends(start(2, [*words, "--out", str(out)], told)) == [0, 0], lines(told)
    assert out.read_bytes() == whole.read_bytes()


@dataclass(frozen=True)
class Drawn:
    """A section that measures random numbers, slowly enough that each rank gets one."""

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        time.sleep(0.3)
        x = rng.uniform((4, *context.dataset.test.images.shape[1:]))
        return SectionResult((Metric("mean E", float(context.energy(x).mean())),), method="By hand.")


class Undrawn(Drawn):
    """A section that cannot be measured."""

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:  # noqa: ARG002
        raise Unmeasurable("no figure")


SECTIONS = {"mixing": Drawn, "denoising": Undrawn, "ood": Drawn, "landscape": Drawn}


def evaluate_on(numbers: list[int], model: Path, folder: Path) -> None:
    """Measure on each number of ranks: the same figures, told and written once. Then the same after a kill."""
    found = []
    for n in numbers:
        run, told = Path(shutil.copytree(model, folder / f"evaluated-{n}")), folder / "told"
        assert ends(start(n, ["evaluate", str(run)], told)) == [1] + [0] * (n - 1), lines(told)
        measured = read_measurements(run / "evaluation.json")
        found.append(({name: s._replace(seconds=0) for name, s in measured.sections.items()}, measured.failures))
        said = (told / "0").read_text()
        assert [said.count(f"measured {name} in") for name in SECTIONS] == [1, 0, 1, 1], said
        assert said.count("not measured: denoising: no figure") == said.count("report.html") == 1
        assert not any((told / str(rank)).read_text() for rank in range(1, n))
    assert found == found[:1] * len(found)
    assert len(found[0][0]) == 3
    run = Path(shutil.copytree(model, folder / "evaluated-killed"))
    pids = start(2, ["evaluate", str(run)], folder / "told")
    while not (run / "evaluation.json").exists():
        time.sleep(0.001)
    os.kill(pids[1], signal.SIGKILL)
    assert ends(pids) == [2, -signal.SIGKILL]
    assert len(lines(folder / "told")) == 1
    read_measurements(run / "evaluation.json")


def stop_one(reference: Path, folder: Path) -> None:
    """A rank that is stopped for a while is named by rank 0, and nothing is lost when it goes on."""
    run, told = folder / "stopped", folder / "told"
    pids = training(3, run, told)
    os.kill(pids[2], signal.SIGSTOP)
    by, named = time.monotonic() + PATIENCE, f"waiting for rank 2 ({socket.gethostname()}), after update "
    while named not in (told / "0").read_text() and time.monotonic() < by:
        time.sleep(0.01)
    os.kill(pids[2], signal.SIGCONT)
    assert ends(pids) == [0, 0, 0]
    assert named in (told / "0").read_text()
    assert_same(run, reference)


def refuse(folder: Path) -> None:
    """Bad input is one line from one rank, and every rank ends with code 2."""
    words, told = ["train", *RECIPE, "--out", str(folder / "refused")], folder / "told"
    refusals = [
        (2, {"rank_1": [*words, "--seed", "7"]}, "rank 1: has other recipe than rank 0"),
        (2, {"rank_1": [*words, "--training.n_steps", "0"]}, "rank 1: training: n_steps must be"),
        (2, {"rank_0": [*words, "--training.batch_size", "16"], "rank_1": [*words, "--training.batch_size", "16"]}, ""),
    ]
    for n, of_one, message in refusals:
        assert ends(start(n, words, told, **of_one)) == [2] * n
        (said,) = lines(told)
        assert message in said, said
    assert not (folder / "refused").exists()


def meet_at_a_port_that_is_taken(folder: Path) -> None:
    """One line, soon."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        pid = _fork(0, 1, taken.getsockname()[1], ["train", *RECIPE, "--out", str(folder / "no")], folder / "told-port")
        assert ends([pid]) == [2]
    (said,) = (line for line in (folder / "told-port").read_text().splitlines() if line.startswith("ebmnist:"))
    assert "start them all, at a free port" in said


def prepare() -> None:
    """Do once what every rank would do: imports, and images to load. Leave out the report at the end of a run."""
    load_recipe(RECIPE[0], RECIPE[1:]).make_state()
    dataset = MNIST().load()
    MNIST.load = lambda _: dataset  # type: ignore[method-assign]
    pipeline.finish = lambda *_, **__: iter(())  # type: ignore[assignment]
    waiting.NOTED, waiting.SLOW, waiting.LOOK = 0.2, 1.5, 0.1
    sampling.CHUNK = scoring.CHUNK = 4
    runner.REGISTRY = SECTIONS  # type: ignore[assignment]
    torch.set_num_threads(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=tempfile.mkdtemp())
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    prepare()
    reference = train_on(args.ranks, args.folder)
    print("same bits on", *args.ranks, "ranks", flush=True)
    chunks_on([1, args.ranks[-1]], reference, args.folder)
    evaluate_on([1, args.ranks[-1]], reference, args.folder)
    interrupt_one(reference, args.folder)
    stop_one(reference, args.folder)
    refuse(args.folder)
    meet_at_a_port_that_is_taken(args.folder)
    chance, longest = random.Random(args.seed), life(args.folder / f"on-{args.ranks[-1]}")
    for i in range(args.kills):
        n, then, after = chance.choice([2, 3, 4]), chance.choice([1, 2, 3, 4]), chance.uniform(0, longest)
        left = kill_and_go_on(reference, n, then, after, chance.randrange(n), args.folder)
        told = f"kill {i + 1}: {n} ranks after {after:.2f} s, last checkpoint at {left}, on {then} to the same bits"
        print(told, flush=True)
