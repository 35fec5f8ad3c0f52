"""TensorBoard, for those who watch training there: the same records as metrics.jsonl."""

from pathlib import Path

from ebmnist.errors import UNIMPORTABLE, BadInput, in_one_line
from ebmnist.training.base import StepRecord


def check_tensorboard() -> None:
    """Import TensorBoard, so that a run that asks for it is refused before it has a folder.

    Raises:
        BadInput: the package `tensorboard` is not installed, or it is and cannot be imported.
    """
    try:
        import tensorboard  # noqa: F401
        import torch.utils.tensorboard  # noqa: F401
    except UNIMPORTABLE as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "tensorboard":
            raise BadInput("tensorboard is not installed: pip install ebmnist[tensorboard]") from None
        mend = "mend that, or leave out artifacts.tensorboard"
        raise BadInput(f"tensorboard is installed and cannot be imported ({in_one_line(error)}); {mend}") from error


class TensorBoard:
    """Writes every column of a StepRecord, and the gap, as scalars.

    TensorBoard itself puts the host's name into the name of its file.

    Raises:
        BadInput: as `check_tensorboard`.
    """

    def __init__(self, folder: Path, *, after: int = 0) -> None:
        """Write into `folder`; what was logged there after step `after` is hidden (a resumed run)."""
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=after + 1 if after else None)

    def log(self, record: StepRecord) -> None:
        """Write one update."""
        for name, value in (record._asdict() | {"gap": record.gap}).items():
            if name != "step":
                self._writer.add_scalar(f"training/{name}", value, record.step)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()
