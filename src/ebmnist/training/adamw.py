"""AdamW on an energy's weights, with its moments as plain tensors that a snapshot copies."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim.adamw import adamw


class AdamW:
    """θ ← (1 − ηλ)θ − η m̂/(√v̂ + ε), m̂ and v̂ the gradient's moments (Loshchilov & Hutter 2019, algorithm 2).

    The arithmetic is that of `torch.optim.AdamW`, from the function behind it. The class itself would import PyTorch's
    compiler, which takes 68 MB. A parameter without a gradient is left alone, and has no moments before its first.

    Args:
        parameters: θ.
        betas: decay of each moment per update, in [0, 1).
        weight_decay: λ ≥ 0.
    """

    def __init__(self, parameters: Iterable[Tensor], betas: tuple[float, float], weight_decay: float) -> None:
        self.parameters = list(parameters)
        self.betas = betas
        self.weight_decay = weight_decay
        self.moments: dict[int, dict[str, Tensor]] = {}  # by a parameter's place: its step, exp_avg and exp_avg_sq

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Do one update at the learning rate η = `lr`."""
        moving = {i: p for i, p in enumerate(self.parameters) if p.grad is not None}
        for i, p in moving.items():
            if i not in self.moments:
                self.moments[i] = _begun(p)
        means, squares, steps = ([self.moments[i][key] for i in moving] for key in ("exp_avg", "exp_avg_sq", "step"))
        beta1, beta2 = self.betas
        adamw(
            list(moving.values()),
            [p.grad for p in moving.values() if p.grad is not None],
            means,
            squares,
            [],
            steps,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=lr,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def tensors(self) -> dict[str, Tensor]:
        """The whole state, by names such as 0.exp_avg; the tensors are the live ones, not copies."""
        return {f"{i}.{key}": value for i, of in self.moments.items() for key, value in of.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over a copy of what `tensors()` gave, of this or another AdamW of the same architecture."""
        self.moments = {}
        for name, value in tensors.items():
            i, key = name.split(".")
            p = self.parameters[int(i)]
            # Moments take the parameter's memory format: with mixed ones each update would be slower.
            kept = torch.empty_like(p).copy_(value) if key != "step" else value.clone()
            self.moments.setdefault(int(i), {})[key] = kept


def _begun(p: Tensor) -> dict[str, Tensor]:
    """A parameter's state before its first update."""
    return {
        "step": torch.zeros((), device="cpu"),
        "exp_avg": torch.zeros_like(p),
        "exp_avg_sq": torch.zeros_like(p),
    }
