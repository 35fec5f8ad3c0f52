"""What a run writes while it trains, and how often."""

from dataclasses import dataclass

from ebmnist.errors import BadInput


@dataclass(frozen=True)
class Saving:
    """What a run writes while it trains.

    Raises:
        BadInput: a field out of its range.
    """

    checkpoint_every: int = 250
    """Updates between checkpoints, ≥ 1."""
    keep: int = 2
    """Checkpoints kept, ≥ 1."""
    tensorboard: bool = False
    """Write TensorBoard events beside metrics.jsonl."""

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1 or self.keep < 1:
            raise BadInput("artifacts: checkpoint_every and keep must be ≥ 1")
