"""The denoising autoencoder: a network taught to denoise and nothing else, an upper bound for an energy."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ebmnist.data.corruptions import add_noise
from ebmnist.energies.precision import computing_in
from ebmnist.random import Rng, initialised_from


class DenoisingAutoencoder(nn.Module):
    """Noisy images (B, 1, 28, 28) and their σ, (B,) -> estimates (B, 1, 28, 28) in [0, 1] (Vincent et al. 2008).

    Two strided convolutions down to 7², one there, two back up, with one skip; σ enters as a second channel. The net
    gives logits, to which those that y itself stands for are added: (y − ½)/σ, times a weight that is learned.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, width, 4, stride=2, padding=1)  # 14²
        self.encode = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)  # 7²
        self.middle = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.decode = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)  # 14²
        self.up = nn.ConvTranspose2d(2 * width, 1, 4, stride=2, padding=1)  # 28²
        self.trust = nn.Parameter(torch.ones(1))

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Return the estimates."""
        level = sigma.view(-1, 1, 1, 1).expand_as(y)
        with computing_in("auto", y.device, low_precision=self.training):
            skip = functional.silu(self.down(torch.cat([y, level], dim=1)))
            hidden = functional.silu(self.middle(functional.silu(self.encode(skip))))
            out: Tensor = self.up(torch.cat([functional.silu(self.decode(hidden)), skip], dim=1))
        return (out.to(y.dtype) + self.trust * (y - 0.5) / level).sigmoid()

    @torch.no_grad()
    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        """Return the estimates of images that all have noise σ, batch by batch."""
        return torch.cat([self(part, torch.full_like(part[:, 0, 0, 0], sigma)) for part in torch.split(y, 500)])


def train_autoencoder(
    clean: Tensor,
    sigmas: Sequence[float],
    n_updates: int,
    *,
    rng: Rng,
    batch_size: int = 64,
    lr: float = 6e-3,
) -> DenoisingAutoencoder:
    """Train one net for all noise levels on `clean`, (N, 1, 28, 28), by gradient ascent on the mean PSNR.

    Adam under a one-cycle schedule (Smith & Topin 2018). All randomness is from `rng`, on the device of `clean`.
    """
    with initialised_from(rng.stream()):
        net = DenoisingAutoencoder()
        _init(net)
    net = net.to(clean.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    levels = torch.tensor(sigmas, device=clean.device)
    optimiser = torch.optim.Adam(net.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, n_updates, pct_start=0.2)
    for _ in range(n_updates):
        x = clean[rng.integers(len(clean), (batch_size,))]
        sigma = levels[rng.integers(len(levels), (batch_size,))]
        y = x + sigma.view(-1, 1, 1, 1) * add_noise(torch.zeros_like(x), 1.0, rng)
        # The mean logarithm weighs all noise levels alike, and is, but for the factor, minus the PSNR.
        loss = (net(y, sigma) - x).square().flatten(1).mean(1).log().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval().requires_grad_(False)


def _init(net: nn.Module) -> None:
    """Draw every weight anew (He et al. 2015)."""
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
