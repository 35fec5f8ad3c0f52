"""What each command of the command line does: call the library, print what comes back, return an exit code."""

import argparse
from collections.abc import Callable

from ebmnist.commands import evaluating, inpainting, models, restoring, sampling, scoring, training
from ebmnist.ranks import check_single

COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "run": training.run,
    "train": training.run,
    "resume": training.resume,
    "report": training.report,
    "recipe": training.recipe,
    "info": models.info,
    "export": models.export,
    "sample": sampling.sample_images,
    "denoise": restoring.denoise_images,
    "inpaint": inpainting.inpaint_images,
    "restore": restoring.restore_images,
    "evaluate": evaluating.evaluate,
    "compare": evaluating.compare,
    "train-feature-net": evaluating.train_classifier,
    "score": scoring.score,
    "calibrate": scoring.calibrate,
}
DIVIDED = ("run", "train", "resume", "sample")  # commands that several ranks do together


def carry_out(args: argparse.Namespace, fields: list[str]) -> int:
    """Carry out the command of `args`; its exit code. Raises: BadInput, also for ranks where one process does it."""
    if args.command not in DIVIDED:
        check_single(args.command)
    return COMMANDS[args.command](args, fields)
