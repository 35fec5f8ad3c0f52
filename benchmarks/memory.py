"""How much memory do a chain of 128 and a training update take, ours against the tutorial's?

Each is measured in a fresh process, by the kernel's own record of its largest resident set (VmHWM; Linux only):
how far the first call lifts it above what the process held before, with all that is loaded and compiled on the way;
and how far a later call does, once all that could be freed has been given back. Whole processes are compared too: the
largest resident set of those that train, data set and all, with that of one that imports torch.

  python benchmarks/memory.py               some twelve minutes on two cores: twelve fresh processes a round
  python benchmarks/memory.py --rounds 1    a trial
"""

import argparse
import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from rich.progress import track

from contestants import BATCH, OURS, SAME, TUTORIAL, ours, ours_as_the_tutorial, start, tutorial
from ebmnist.config import load_recipe
from ebmnist.data import MNIST
from ebmnist.training import train_step
from paired import Rounds, Work, options
from report import Table, publish
from tutorial import TutorialTrainer, tutorial_net

STEPS = 60
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def tutorial_update() -> Work:
    """The tutorial's update, 60 steps."""
    trainer, images = TutorialTrainer(tutorial_net()), MNIST().load().train.images[:BATCH]
    return lambda: trainer.update(2 * images - 1)


def our_update(recipe: str, *options: str, batch: int = BATCH) -> Work:
    """A recipe's update."""
    made = load_recipe(recipe, ["--training.batch_size", str(batch), *options])
    return partial(train_step, made.make_state(), MNIST().load().train.images[:batch])


# What each table compares, the first of each being the tutorial's; made only in the process that measures it.
CHAINS: dict[str, Callable[[], Work]] = {
    TUTORIAL: lambda: partial(tutorial(tutorial_net(), start()), STEPS),
    SAME: lambda: partial(ours_as_the_tutorial(tutorial_net(), start()), STEPS),
    OURS: lambda: partial(ours(tutorial_net(), start()), STEPS),
}
UPDATES: dict[str, Callable[[], Work]] = {
    "the tutorial's update: 60 steps": tutorial_update,
    "ebmnist, recipe uva-t8: 60 steps": partial(our_update, "uva-t8"),
    "ebmnist, recipe mnist as it is": partial(our_update, "mnist"),
}
LARGE = 512
PYTORCH = ("--energy.kind", "resnet")  # whose graph PyTorch keeps
LARGE_UPDATES: dict[str, Callable[[], Work]] = {
    "recipe mnist, energy resnet": partial(our_update, "mnist", *PYTORCH, batch=LARGE),
    "in microbatches of 64": partial(our_update, "mnist", *PYTORCH, "--training.microbatch_size", "64", batch=LARGE),
}

FIT = """
from ebmnist.config import load_recipe
from ebmnist.training import fit
recipe = load_recipe("mnist", ["--training.n_updates", "5"])
state = recipe.make_state()
for _ in fit(state, recipe.load_data().train.pixels):
    pass
"""
# Few updates, and as many snapshots and checkpoints as a whole training has at once.
COMMAND = """
import tempfile
from pathlib import Path
from ebmnist import pipeline
from ebmnist.config import load_recipe
often = ["--training.n_updates", "12", "--training.guard.snapshot_every", "2", "--artifacts.checkpoint_every", "5"]
with tempfile.TemporaryDirectory() as folder:
    for _ in pipeline.{}(load_recipe("mnist", often), Path(folder) / "run"):
        pass
"""
WHOLE = {
    "import torch": "import torch",
    "ebmnist, updates of recipe mnist": FIT,
    "ebmnist train mnist, with checkpoints": COMMAND.format("train"),
    "ebmnist run mnist, with its report": COMMAND.format("run"),
}
PEAK = "\nfrom pathlib import Path; print(Path('/proc/self/status').read_text())"


def resident(field: str) -> float:
    """VmRSS, what is resident now, or VmHWM, the most there was since the last `forget_peak`; in MB of 10⁶ bytes."""
    return reading(field, STATUS.read_text())


def reading(field: str, status: str) -> float:
    """A field of a process's status, in MB of 10⁶ bytes."""
    return next(1024 * int(line.split()[1]) / 1e6 for line in status.splitlines() if line.startswith(f"{field}:"))


def growth(work: Work) -> float:
    """How far above what is held before it a call lifts the peak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what glibc keeps of freed memory would hide what the call needs
    CLEAR.write_text("5")  # VmHWM starts again from what is resident now
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def in_a_fresh_process(name: str) -> tuple[float, float]:
    """The first call's growth and a later one's, of one contestant."""
    command = [sys.executable, __file__, "--measure", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    first, later = json.loads(done.stdout)
    return first, later


def peak_of(code: str) -> float:
    """The largest resident set of a process that runs `code`, in MB of 10⁶ bytes."""
    done = subprocess.run([sys.executable, "-c", code + PEAK], stdout=subprocess.PIPE, text=True, check=True)
    return reading("VmHWM", done.stdout)


def measure(name: str) -> None:
    """In the fresh process: print both figures."""
    torch.manual_seed(0)
    work = (CHAINS | UPDATES | LARGE_UPDATES)[name]()
    first = growth(work)
    work()
    print(json.dumps([first, growth(work)]))


def main() -> None:
    """Measure all in turn."""
    parser = options(__doc__)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not CLEAR.exists():
        print(f"memory.py reads a process's peak from {STATUS}, which this system does not have: nothing measured")
        return
    if args.measure:
        measure(args.measure)
        return
    first: Rounds = {name: [] for name in CHAINS | UPDATES | LARGE_UPDATES}
    later: Rounds = {name: [] for name in CHAINS | UPDATES | LARGE_UPDATES}
    whole: Rounds = {name: [] for name in WHOLE}
    for _ in track(range(args.rounds), "rounds", transient=True):
        for name, code in WHOLE.items():
            whole[name].append(peak_of(code))
        for name in first:
            values = in_a_fresh_process(name)
            for figures, value in zip((first, later), values, strict=True):
                figures[name].append(value)
    parts = [
        Table(f"{what}, {when}", {name: figures[name] for name in names}, "MB", "times the first's", over_first=True)
        for what, names in (
            (f"{STEPS} steps of 128 chains", CHAINS),
            ("a training update, batch 128", UPDATES),
            (f"a training update, batch {LARGE}", LARGE_UPDATES),
        )
        for when, figures in (("a later call", later), ("the first call of a process", first))
    ]
    parts.append(
        Table("the largest resident set of a whole process", whole, "MB", "times the first's", over_first=True)
    )
    publish("memory", "Peak memory, above what the process held and of whole processes", parts, out=args.out)


if __name__ == "__main__":
    main()
