"""What the starts without a memory share: there is nothing to keep, save or restore."""

from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.sampling.base import Draw


class Forgetful:
    """A start that remembers nothing between updates."""

    def put(self, draw: Draw, x: Tensor, n_steps: int) -> None:
        """Nothing to keep."""

    def tensors(self) -> dict[str, Tensor]:
        """No state."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over no state. Raises `BadInput` for the state of a start that has one."""
        if tensors:
            raise BadInput(f"this start remembers nothing, but the saved one has {', '.join(tensors)}: use its kind")
