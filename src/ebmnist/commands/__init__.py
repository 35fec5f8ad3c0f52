"""What each command of the command line does: call the library, print what comes back, return an exit code."""

import argparse
from collections.abc import Callable

from ebmnist.commands import evaluating, inpainting, models, restoring, sampling, scoring, training

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
