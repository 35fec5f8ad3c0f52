"""What a recipe says that belongs to no room."""

from dataclasses import dataclass

from ebmnist.errors import BadInput
from ebmnist.random import check_seed


@dataclass(frozen=True)
class Basics:
    """What belongs to no room."""

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
