"""The feature net: a digit classifier whose 128 penultimate features are the space of every fidelity metric."""

import hashlib
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from ebmnist.data.base import Dataset, Split
from ebmnist.energies.precision import in_full
from ebmnist.errors import Unmeasurable
from ebmnist.evaluation.once import once
from ebmnist.random import Rng, initialised_from

FEATURE_DIM = 128
WEIGHTS = Path(__file__).with_suffix(".safetensors")
SHA256 = "627fa310d7fc89712ed2cc8c85d161530e5da2309fc422f89fc93a62af01a179"
TEST_ACCURACY = 0.9960


class FeatureNet(nn.Module):
    """Images (B, 1, 28, 28) in [0, 1] -> logits (B, 10), by way of 128 features that are smooth in the image.

    Six convolutions with batch normalisation and SiLU, 233,930 parameters; to measure, it is frozen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_block(1, 32, 4, stride=2, padding=1),  # 14²
            *_block(32, 32, 3, padding=1),
            *_block(32, 32, 3, padding=1),
            *_block(32, 64, 2, stride=2),  # 7²
            *_block(64, 64, 3, padding=1),
            *_block(64, 64, 3, padding=1),
            nn.AvgPool2d(2, ceil_mode=True),  # 4²
            nn.Flatten(),
            nn.Linear(1024, FEATURE_DIM),
            nn.SiLU(),
        )
        self.head = nn.Linear(FEATURE_DIM, 10)

    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate features, (B, 1, 28, 28) -> (B, 128)."""
        with in_full(x.device):
            out: Tensor = self.trunk(x.contiguous(memory_format=torch.channels_last))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the ten digits, (B, 1, 28, 28) -> (B, 10)."""
        out: Tensor = self.head(self.features(x))
        return out


class FeatureOutput(NamedTuple):
    """What the feature net makes of N images."""

    features: Tensor  # (N, 128) float64, where the moments are taken
    probabilities: Tensor  # (N, 10)


class EpochRecord(NamedTuple):
    """One epoch of `train_feature_net`; after the last one `net` is the trained net, in evaluation mode."""

    epoch: int  # from 1
    n_epochs: int
    loss: float  # mean cross-entropy of the epoch, nats
    validation_accuracy: float  # in [0, 1]
    net: FeatureNet


def load_feature_net(device: torch.device | str = "cpu") -> FeatureNet:
    """Return the shipped feature net, frozen.

    Raises:
        Unmeasurable: the weights file is missing or is not the one whose SHA-256 is written here.
    """
    if not WEIGHTS.is_file():
        raise Unmeasurable(f"feature net: {WEIGHTS.name} is missing; reinstall ebmnist")
    return _load(WEIGHTS, torch.device(device))


@cache  # one net a process, so that `extract_cached` knows it again
def _load(path: Path, device: torch.device) -> FeatureNet:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise Unmeasurable(f"feature net: {path.name} is not the file of SHA-256 {SHA256[:12]}…; reinstall ebmnist")
    with torch.device("meta"):  # no initial weights are drawn
        net = FeatureNet()
    net.load_state_dict(safetensors.torch.load(content), assign=True)
    return net.eval().requires_grad_(False).to(device)


@torch.no_grad()
def extract(net: FeatureNet, images: Tensor, *, batch_size: int = 200) -> FeatureOutput:
    """Return features and class probabilities of images (N, 1, 28, 28), batch by batch, on the net's device.

    Raises:
        Unmeasurable: an image holds a NaN or an infinity.
    """
    invalid = ~torch.isfinite(images).flatten(1).all(1)
    if invalid.any():
        raise Unmeasurable(f"feature net: {int(invalid.sum())} of {len(images)} images hold NaN or infinite pixels")
    device = next(net.parameters()).device
    starts = range(0, len(images), batch_size)
    features = torch.cat([net.features(images[i : i + batch_size].to(device)) for i in starts])
    probabilities = net.head(features).softmax(1)
    return FeatureOutput(features.double(), probabilities)


@once
def extract_cached(images: Tensor, net: FeatureNet) -> FeatureOutput:
    """Return what `see` does, remembered: several sections measure against the same test images."""
    return extract(net, images)


def to_bytes(net: FeatureNet) -> bytes:
    """Return the safetensors file that `load_feature_net` reads; its SHA-256 goes into `SHA256`."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})


def accuracy(net: FeatureNet, split: Split) -> float:
    """Return the share of a split's images whose likeliest digit is the label."""
    hits = extract(net, split.images).probabilities.argmax(1).to(split.labels.device) == split.labels
    return float(hits.double().mean())


def train_feature_net(
    dataset: Dataset, *, rng: Rng, n_epochs: int = 10, batch_size: int = 128, lr: float = 4e-3
) -> Iterator[EpochRecord]:
    """Train a feature net on `dataset.train`, yielding once an epoch; all randomness is from `rng`.

    AdamW under a one-cycle schedule (Smith & Topin 2018); every image is jittered anew each epoch.
    `rng` is on the CPU, and the device is the data set's. The test split is never looked at.
    """
    images, labels = dataset.train.images, dataset.train.labels
    with initialised_from(rng.stream()):
        net = FeatureNet()
        _init(net)
    net = net.to(images.device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.02)
    per_epoch = len(images) // batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, n_epochs * per_epoch, pct_start=0.2)
    for epoch in range(1, n_epochs + 1):
        net.train()
        losses: list[Tensor] = []
        order = rng.permutation(len(images))[: per_epoch * batch_size].to(images.device)
        for batch in order.view(per_epoch, batch_size):
            x = jitter(images[batch], rng)
            loss = nn.functional.cross_entropy(net(x), labels[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        net.eval()
        mean_loss = float(torch.stack(losses).mean())
        yield EpochRecord(epoch, n_epochs, mean_loss, accuracy(net, dataset.validation), net)


def jitter(x: Tensor, rng: Rng) -> Tensor:
    """Rotate each image by up to 10°, scale it by up to 10 % and shift it by up to 2 pixels; same shape."""
    u = rng.uniform((4, len(x))).mul(2).sub(1).to(x)  # uniform on [-1, 1]
    angle, scale = u[0] * math.radians(10), 1 + 0.1 * u[1]
    shift = u[2:] * 2 * 2 / x.shape[-1]  # affine_grid's axis is 2 long
    cos, sin = scale * angle.cos(), scale * angle.sin()
    theta = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], 1).view(-1, 2, 3)
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def _block(n_in: int, n_out: int, kernel: int, *, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False)
    return [conv, nn.BatchNorm2d(n_out), nn.SiLU()]


def _init(net: FeatureNet) -> None:
    """Draw every weight anew (He et al. 2015)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
