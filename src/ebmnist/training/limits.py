"""Where normal ends: the numbers that the guard's signals are judged by."""

from dataclasses import asdict, dataclass

from ebmnist.errors import BadInput


@dataclass(frozen=True)
class Limits:
    """Where normal ends, relative to what is usual in the run (`Running`), to the data, or to the regulariser.

    Raises:
        BadInput: a limit that is not > 0.
    """

    settling: int = 100
    """Updates before the running means are trusted: a young run swings wildly, and needs no answer for it."""
    energy_growth: float = 5.0
    """max|E| above this many times its usual, and above as many times the regulariser's 1/(2λ), is a blow-up."""
    gap_growth: float = 10.0
    """|E(x⁻) − E(x⁺)| above this many times its usual, and above a tenth of 1/(2λ), is a spike."""
    gap_saturation: float = 0.3
    """A gap above this share of 1/λ, the regulariser's own optimum, means the chains no longer follow the energy."""
    gap_collapse: float = 1e-4
    """|E(x⁻) − E(x⁺)| below this share of its usual, for long: the energy no longer tells anything apart."""
    weight_grad_growth: float = 10.0
    """‖∂L/∂θ‖ above this many times its usual is a spike; above the square of that, as for the gap, a blow-up."""
    weight_grad_collapse: float = 1e-5
    """‖∂L/∂θ‖·‖θ‖ below this share of |E|, for long: a network that has died, whose weights change nothing any more.
    A healthy one has a thousandth and more from its first update on; there is nothing usual to compare with."""
    grad_collapse: float = 0.02
    """‖∂E/∂x‖ below this share of its usual leaves the chains nothing to follow."""
    unclipped: float = 0.02
    """Share of unclipped Langevin components, relative to its usual, below which ∇E has exploded."""
    displacement: float = 0.01
    """‖x_K − x_0‖ relative to its usual, below which the chains stand still."""
    share_at_clamp: float = 0.8
    """Share of x⁻'s pixels at the clamp, in excess of clean data's, above which the chains are stuck there."""
    diversity: float = 0.25
    """Median distance within x⁻, relative to x⁺'s, below which the chains have collapsed."""
    spread: float = 1.35
    """The same, above which the chains no longer follow the energy: they stay apart where it would gather them."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise BadInput(f"guard: limits.{name} must be > 0, not {value}")
