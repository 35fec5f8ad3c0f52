"""TensorBoard, for those who watch training there: the same records as metrics.jsonl."""

from pathlib import Path

from ebmnist.errors import BadInput
from ebmnist.training.base import StepRecord


class TensorBoard:
    """Writes every column of a StepRecord, and the gap, as scalars.

    TensorBoard itself puts the host's name into the name of its file.

    Raises:
        BadInput: the package `tensorboard` is not installed.
    """

    def __init__(self, folder: Path, *, after: int = 0) -> None:
        """Write into `folder`; what was logged there after step `after` is hidden (a resumed run)."""
        try:
            import tensorboard  # noqa: F401
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            raise BadInput("tensorboard is not installed: pip install ebmnist[tensorboard]") from None
        self._writer = SummaryWriter(str(folder), purge_step=after + 1 if after else None)

    def log(self, record: StepRecord) -> None:
        """Write one update."""
        for name, value in (record._asdict() | {"gap": record.gap}).items():
            if name != "step":
                self._writer.add_scalar(f"training/{name}", value, record.step)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()
