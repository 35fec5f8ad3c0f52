"""What the starts without a memory share: there is nothing to keep, save or restore."""

from torch import Tensor

from ebmnist.sampling.base import Draw


class Forgetful:
    """A start that remembers nothing between updates."""

    def put(self, draw: Draw, x: Tensor, n_steps: int) -> None:
        """Nothing to keep."""

    def tensors(self) -> dict[str, Tensor]:
        """No state."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """No state."""
