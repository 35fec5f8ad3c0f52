"""What each command of the command line does: call the library, print what comes back, return an exit code."""

import argparse
from collections.abc import Callable
from pkgutil import resolve_name
from typing import cast

from ebmnist.launched import check_single

# Where each is, by name: a command imports what it needs itself, not what the others need.
COMMANDS = {
    "run": "training:run",
    "train": "training:run",
    "resume": "training:resume",
    "report": "training:report",
    "sweep": "sweeping:sweep",
    "recipe": "training:recipe",
    "info": "models:info",
    "export": "models:export",
    "sample": "sampling:sample_images",
    "denoise": "restoring:denoise_images",
    "inpaint": "inpainting:inpaint_images",
    "restore": "restoring:restore_images",
    "evaluate": "evaluating:evaluate",
    "compare": "evaluating:compare",
    "train-feature-net": "evaluating:train_classifier",
    "score": "scoring:score",
    "calibrate": "scoring:calibrate",
}
DIVIDED = ("run", "train", "resume", "sample", "score", "evaluate")  # commands that several ranks do together


def command_of(name: str) -> Callable[[argparse.Namespace, list[str]], int]:
    """Import the function of a command."""
    return cast(Callable[[argparse.Namespace, list[str]], int], resolve_name(f"{__name__}.{COMMANDS[name]}"))


def check_launched(name: str) -> None:
    """Raise `BadInput` where this is one of several ranks, and one process does the command."""
    if name not in DIVIDED:
        check_single(name)
