"""What a recipe says that belongs to no package."""

from dataclasses import dataclass

import torch

from ebmnist.errors import BadInput
from ebmnist.random import check_seed


@dataclass(frozen=True)
class Basics:
    """What belongs to no package."""

    name: str = "unnamed"
    """The recipe's name; a run's folder is called after it."""
    about: str = ""
    """One line on what the recipe is for."""
    seed: int = 0
    """Of the weights and of every random stream, 0 to 2⁶³ − 1."""
    device: str = "auto"
    """auto (a GPU if there is one), cpu, cuda, cuda:1, …"""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not self.name.isprintable() or not self.name or self.name.startswith(".") or set("/\\") & set(self.name):
            raise BadInput(f"name must be fit for a folder, without / and no dot at its start, not {self.name!r}")
        if not self.device.isprintable():
            raise BadInput(f"device must be auto, cpu, cuda, …, not {self.device!r}")


def device_named(name: str) -> torch.device:
    """Return the device of a name; `auto` is the GPU where there is one.

    Raises:
        BadInput: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=name)
        probe.cpu()  # refused by "meta", which has no values
        return probe.device
    except (RuntimeError, AssertionError, ImportError) as error:  # what torch raises for a device that is not there
        raise BadInput(f"device {name!r} is not available here: use cpu or auto") from error
