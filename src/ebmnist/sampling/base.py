"""What a sampler is: a kernel moves a batch of chains one step, and says what it saw."""

from typing import NamedTuple, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.random import AnySource, StepRng


class ChainState(NamedTuple):
    """Where B chains stand. Energy and gradient at `x` are kept by the kernels that need them again (MALA)."""

    x: Tensor  # (B, *shape)
    energy: Tensor | None = None  # (B,)
    grad: Tensor | None = None  # (B, *shape)
    step_index: Tensor | None = None  # (B,) int64, the step each is at, for the kernels that change with it
    memory: tuple[Tensor, ...] = ()  # what else a kernel keeps: momentum, the denoiser's last value, other replicas


class StepInfo(NamedTuple):
    """The raw tensors of one step; what is read off them is computed only when asked for."""

    energy: Tensor  # (B,) at the point where the gradient was taken
    grad: Tensor  # (B, *shape) before clipping
    drift_grad: Tensor  # (B, *shape) after clipping: what moved the chain
    x_before: Tensor  # (B, *shape)
    x_after: Tensor  # (B, *shape)
    accepted: Tensor | None = None  # (B,) bool; None for a kernel that accepts always

    @property
    def grad_norm(self) -> Tensor:
        """‖∂E/∂x‖₂ before clipping, (B,)."""
        return self.grad.flatten(1).norm(dim=1)

    @property
    def share_clipped(self) -> Tensor:
        """Share of gradient components that clipping changed, (B,), in [0, 1]."""
        return (self.grad != self.drift_grad).flatten(1).float().mean(1)

    @property
    def displacement(self) -> Tensor:
        """‖x_after − x_before‖₂, (B,)."""
        return (self.x_after - self.x_before).flatten(1).norm(dim=1)


class Kernel(Protocol):
    """A Markov kernel for p(x) ∝ exp(−E(x)/T). Frozen dataclass: its hyper-parameters are its fields."""

    @property
    def step_size(self) -> float:
        """ε, in pixels on [0, 1]; the drift is ε²/2 times the clipped gradient."""
        ...

    @property
    def temperature(self) -> float:
        """T, in units of energy."""
        ...

    @property
    def clip(self) -> float | None:
        """Bound on each component of the drift's gradient; None for none."""
        ...

    @property
    def clip_norm(self) -> float | None:
        """Bound on the Euclidean norm of one sample's gradient in the drift; None for none."""
        ...

    @property
    def clamp(self) -> tuple[float, float] | None:
        """The box the samples live in; None for the whole space. Chains may leave it by `clamp_margin`."""
        ...

    def init(self, energy: Energy, x: Tensor, step_index: Tensor | None = None) -> ChainState:
        """Return the state of chains at `x`, (B, *shape), after `step_index` steps, (B,); 0 if not given."""
        ...

    def step(self, energy: Energy, state: ChainState, rng: StepRng) -> tuple[ChainState, StepInfo]:
        """Move every chain one step; `rng` has the random numbers of this step, each chain's its own."""
        ...


@runtime_checkable
class NoiseSchedule(Kernel, Protocol):
    """A kernel whose noise level σ follows a schedule that repeats; chains are samples at the end of a cycle only.

    Training gives each real image the noise of one chain's place; what a chain stands for is its image less the last
    level's noise (docs/concepts/annealing.md). `step_index` and σ may have any shape.
    """

    @property
    def cycle(self) -> int:
        """Steps of a cycle."""
        ...

    @property
    def curvature(self) -> float:
        """κ of the energy around the data, at every level; 0 for none, as at T = 0."""
        ...

    def sigma(self, step_index: Tensor) -> Tensor:
        """σ of the noise on data that chains are held to by step `step_index`, in pixels."""
        ...

    def margin(self, step_index: Tensor) -> Tensor:
        """How far beyond `clamp` step `step_index` may lead, in pixels."""
        ...


def is_denoiser(kernel: Kernel) -> TypeGuard[NoiseSchedule]:
    """Whether an energy that was trained with `kernel` is a denoiser: whether it holds data at all noise levels.

    At T = 0 there is no noise.
    """
    return isinstance(kernel, NoiseSchedule) and kernel.curvature > 0


class Sampler(NamedTuple):
    """How samples are drawn: chains of `n_steps` steps of `kernel` from uniform noise."""

    kernel: Kernel
    n_steps: int


@runtime_checkable
class Samplable(Protocol):
    """An energy that knows how it is sampled, as a loaded one does."""

    def sampler(self, name: str | None = None, n_steps: int | None = None) -> Sampler:
        """The sampler of a name, with so many steps; its own of each where None."""
        ...


class Draw(NamedTuple):
    """Starting points handed out by a `Start`, with what is needed to put the moved chains back."""

    x: Tensor  # (B, *shape)
    slots: Tensor | None = None  # (B,) int64, the buffer's slots drawn
    step_index: Tensor | None = None  # (B,) int64, the step each chain is at; None where all begin here


class Start(Protocol):
    """Where training's negative chains begin: the replay buffer (PCD), noise (short-run), data (CD-k)."""

    def draw(self, x_pos: Tensor, rng: AnySource) -> Draw:
        """Hand out one starting point per row of `x_pos`, (B, *shape)."""
        ...

    def put(self, draw: Draw, x: Tensor, n_steps: int) -> None:
        """Take back the chains of `draw`, moved by `n_steps` to `x`."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All it remembers, live; empty for a start that remembers nothing."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors()` gave."""
        ...
