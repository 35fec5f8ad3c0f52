"""Random numbers inside one step, of a chain or of training, and those of many chains step after step."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.random.rng import AnyRng, Rng, Source
from ebmnist.random.streams import N_STEPS, Stream

# Blocks of four values that are drawn ahead, of as many steps: drawing has a cost of its own, however few the values.
AHEAD, AHEAD_ELSEWHERE = 2**14, 2**20


class StepRng(Source):
    """The random numbers of one step; each use takes the next draw, of which there are 16.

    Args:
        stream: of all steps.
        step: below 2³².
        device: where the numbers are made.
    """

    def __init__(self, stream: Stream, step: int, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._address = stream, step
        self._draw = 0

    def normal_like(self, x: Tensor) -> Tensor:
        """Return standard normal numbers of the shape, dtype and device of `x`, (B, *shape)."""
        return self.normal(tuple(x.shape), x.dtype)

    def uniform_like(self, x: Tensor) -> Tensor:
        """Return numbers uniform on [0, 1) of the shape, dtype and device of `x`, (B, *shape)."""
        return self.uniform(tuple(x.shape), x.dtype)

    def _next(self) -> tuple[Stream, int, int]:
        draw, self._draw = self._draw, self._draw + 1
        return *self._address, draw


class ChainRng:
    """The random numbers of B chains: iterating gives the `StepRng` of one step after the other.

    What a kernel draws in one step is drawn for the next ones too, at once, as far as memory is bounded.

    Args:
        stream: of all steps.
        chains: (B,) int64 in [0, 2³²), what number each chain has; their device is where the numbers are made.
        n_steps: ≥ 0.
        first_step: the number of the first; all are below 2³².
    """

    def __init__(self, stream: Stream, chains: Tensor, n_steps: int, first_step: int = 0) -> None:
        self.stream = stream
        self.chains = chains
        self.steps = range(first_step, first_step + n_steps)
        self._ahead: dict[tuple[str, int], tuple[int, Tensor]] = {}

    @classmethod
    def of(
        cls, rng: AnyRng | Stream, x: Tensor, n_steps: int, chains: Tensor | None = None, first_step: int = 0
    ) -> "ChainRng":
        """Return those of the chains at `x`, (B, *shape), made where `x` is; chains 0 to B − 1 if not given.

        Raises:
            BadInput: chains or steps that cannot be numbered so.
        """
        if first_step < 0 or first_step + n_steps > N_STEPS:
            raise BadInput(
                f"first_step: steps are numbered from 0 to 2³² − 1, not {first_step} to {first_step + n_steps}"
            )
        if chains is None:
            chains = torch.arange(len(x), dtype=torch.int64, device=x.device)
        elif (chains.shape, chains.dtype, chains.device) != (x.shape[:1], torch.int64, x.device):
            raise BadInput(
                f"chains: give {len(x)} numbers, int64, on {x.device}, not {tuple(chains.shape)} {chains.dtype}"
            )
        elif chains.device.type == "cpu" and len(chains) and not 0 <= chains.min() <= chains.max() < N_STEPS:
            raise BadInput("chains: give numbers from 0 to 2³² − 1")  # elsewhere the host would wait to see them
        stream = rng if isinstance(rng, Stream) else Rng.of(rng).stream()
        return cls(stream, chains, n_steps, first_step)

    def __iter__(self) -> Iterator[StepRng]:
        for step in self.steps:
            yield _ChainStepRng(self, step)

    def numbers(self, law: str, step: int, draw: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return the numbers of one draw in one step, (B, *shape[1:]); they are the caller's to change."""
        first, ahead = self._ahead.get((law, draw), (0, self.chains.new_empty(0)))
        place = step - first
        if not 0 <= place < len(ahead) or ahead.shape[1:] != shape or ahead.dtype != dtype:
            n = self._steps_ahead(step, shape)
            steps = torch.arange(step, step + n, device=self.chains.device).repeat_interleave(len(self.chains))
            draws = self.stream.normal if law == "normal" else self.stream.uniform
            ahead = draws(self.chains.repeat(n), steps, shape[1:], draw=draw, dtype=dtype).view(n, *shape)
            self._ahead[law, draw], place = (step, ahead), 0
        return ahead[place]

    def _steps_ahead(self, step: int, shape: tuple[int, ...]) -> int:
        blocks = len(self.chains) * -(-torch.Size(shape[1:]).numel() // 4)
        bound = AHEAD if self.chains.device.type == "cpu" else AHEAD_ELSEWHERE
        return max(1, min(self.steps.stop - step, bound // max(1, blocks)))


class _ChainStepRng(StepRng):
    """One step of many chains: row i is chain i's."""

    def __init__(self, chains: ChainRng, step: int) -> None:
        super().__init__(chains.stream, step, chains.chains.device)
        self._chains = chains

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return standard normal numbers, one row a chain."""
        _, step, draw = self._next()
        return self._chains.numbers("normal", step, draw, shape, dtype)

    def uniform(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return numbers uniform on [0, 1), one row a chain."""
        _, step, draw = self._next()
        return self._chains.numbers("uniform", step, draw, shape, dtype)

    def _rows(self, shape: tuple[int, ...]) -> Tensor:
        assert shape[0] == len(self._chains.chains)
        return self._chains.chains
