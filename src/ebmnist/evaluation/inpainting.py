"""Inpainting: chains that move the hidden pixels alone, beside the mean image and linear regression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ebmnist.energy.base import Energy
from ebmnist.energy.freezing import frozen
from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Figure, Measured, Subject, Unmeasurable
from ebmnist.evaluation.image_quality import mean_figure, psnr
from ebmnist.evaluation.wiener import fit_wiener
from ebmnist.evaluation.yardstick import spread
from ebmnist.random import AnyRng, Rng
from ebmnist.sampling.base import Kernel, Levelled
from ebmnist.sampling.chain import run_chain
from ebmnist.sampling.samples import check_whole_cycles, cycle_of, samples_of
from ebmnist.sampling.start.noise import uniform_noise

N_MIN = 20  # images; below, a standard error is no longer one
N_SHOWN = 10  # images of each kind that are kept for the pictures


class Fill(NamedTuple):
    """How hidden pixels are filled: where the chains start, `noise` or `mean`, and how long they are."""

    start: str
    n_steps: int


def inpaint(
    energy: Energy,
    kernel: Kernel,
    y: Tensor,
    observed: Tensor,
    n_steps: int,
    *,
    rng: AnyRng,
    start: Tensor | None = None,
) -> Tensor:
    """Return `y` with its hidden pixels where a chain on u ↦ E(where(observed, y, u)) ends, (B, *shape).

    That is the chain for p(hidden | observed). A kernel with a cycle holds data at another level of noise at each step:
    there the observed pixels carry the level's noise, drawn anew for each step (Song & Ermon 2019, app. B.3).
    Observed pixels come back bit for bit; hidden ones are never read.

    Args:
        energy: (B, *shape) -> (B,).
        kernel: it moves the chains, at its own temperature.
        y: images (B, *shape), of which only the observed pixels count.
        observed: bool, broadcastable to `y`: True where a pixel is known.
        n_steps: ≥ 0.
        rng: of the start and the noise.
        start: images broadcastable to `y`, from whose hidden pixels the chains start; uniform noise if not given.

    Raises:
        BadInput: an `observed` that is not bool, a negative `n_steps`, or one that ends in the middle of a cycle.
    """
    check_whole_cycles(kernel, n_steps)
    if observed.dtype != torch.bool:
        raise BadInput(f"inpaint: observed is {observed.dtype}; give a bool mask, True where a pixel is known")
    rng = Rng.of(rng)
    u = uniform_noise(len(y), tuple(y.shape[1:]), rng).to(y) if start is None else start

    energy = frozen(energy)  # run_chain cannot see it inside `conditional`

    def conditional(u: Tensor) -> Tensor:
        return energy(torch.where(observed, y, u))

    if isinstance(kernel, Levelled):
        u = _in_cycles(energy, kernel, y, observed, n_steps, rng, u)
    else:
        u = run_chain(conditional, kernel, torch.where(observed, y, u), n_steps, rng=rng).x
    return torch.where(observed, y, samples_of(energy, kernel, u))


def _in_cycles(
    energy: Energy, kernel: Levelled, y: Tensor, observed: Tensor, n_steps: int, rng: Rng, u: Tensor
) -> Tensor:
    """Chains of whole cycles, before each of whose steps the observed pixels are put to `y` with its noise."""
    u, chains = u.expand_as(y), torch.arange(len(y), dtype=torch.int64, device=y.device)
    seen, walked = rng.stream(), rng.stream()
    for i in range(n_steps):
        clock = torch.full((len(y),), i, device=y.device)
        level = kernel.level(clock[:1] - 1)
        noisy = y + level * seen.normal(chains, i, tuple(y.shape[1:]), dtype=y.dtype)
        u = run_chain(energy, kernel, torch.where(observed, noisy, u), 1, rng=walked, first_step=i, clock=clock).x
    return u


def choose_fill(
    energy: Energy,
    kernel: Kernel,
    clean: Tensor,
    observed: Tensor,
    mean: Tensor,
    *,
    rng: AnyRng,
    lengths: Sequence[int],
    n_chains: int = 1,
) -> Fill:
    """Return the fill whose average over `n_chains` chains has the best mean PSNR on hidden pixels of `clean`.

    One run of chains for each start, looked at on its way; `mean`, (*shape), is the mean image. A fill whose PSNR is
    NaN is never chosen.

    Raises:
        Unmeasurable: every fill leaves NaN pixels.
    """
    copies = torch.cat([clean] * n_chains)
    scores: dict[Fill, float] = {}
    for name, start in (("noise", None), ("mean", mean)):
        x, done = start, 0
        for n_steps in sorted(lengths):
            x, done = inpaint(energy, kernel, copies, observed, n_steps - done, rng=rng, start=x), n_steps
            score = float(psnr(_average(x, n_chains), clean, where=~observed).mean())
            if score == score:
                scores[Fill(name, n_steps)] = score
    if not scores:
        raise Unmeasurable("chains hold NaN pixels at every length; the energy has diverged")
    return max(scores, key=lambda fill: scores[fill])


@dataclass(frozen=True)
class Inpainting:
    """PSNR on the hidden pixels of test images whose right half, lower half or half of all pixels is missing.

    Raises:
        BadInput: a field out of its range.
        Unmeasurable: by `measure`, if the energy leaves NaN pixels or the test split is too small.
    """

    n: int = 100
    """Test images. Cost, in image-steps for each of 3 masks: n × n_chains × (at most the longest length)."""
    n_validation: int = 24
    """Validation images that choose. Cost for each mask: 2 × n_validation × n_chains × the longest length."""
    n_chains: int = 4
    """Chains for each image, whose average is the estimate."""
    lengths: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    """Chain lengths to choose among, for a kernel without a cycle."""
    cycles: tuple[int, ...] = (1, 2, 4)
    """The same, in cycles, for a kernel with one."""

    def __post_init__(self) -> None:
        if min(self.n, self.n_validation) < 2 or min((self.n_chains, *self.lengths)) < 1 or not self.lengths:
            raise BadInput("inpainting: n and n_validation must be ≥ 2, n_chains and lengths ≥ 1")

    @classmethod
    def quick(cls) -> Self:
        """A third of the images, chains of half the length."""
        return cls(n=32, n_validation=12, n_chains=2, lengths=(8, 16, 32, 64), cycles=(1,))

    def measure(self, subject: Subject, rng: Rng) -> Measured:
        """Measure the subject."""
        train = subject.dataset.train.images.to(subject.device)
        clean = _take(subject.dataset.test.images, self.n, subject.device)
        if len(clean) < N_MIN:
            raise Unmeasurable(f"{len(clean)} test images are too few; at least {N_MIN} are needed")
        wiener = fit_wiener(train)
        figures: list[Figure] = []
        anchors: list[Figure] = []
        arrays = {"clean": clean[:N_SHOWN]}
        for mask, observed in masks(tuple(clean.shape[1:]), rng).items():
            mean = wiener.mean.to(clean).view_as(observed)
            mine, chosen = self._fills(subject, clean, observed, mean, rng)
            theirs = {"mean image": mean.expand_as(clean), "linear regression": wiener.fill(clean, observed)}
            figures += [_figure(f"{name}, {mask}", x, clean, observed, chosen) for name, x in mine.items()]
            anchors += [_figure(f"{name}, {mask}", x, clean, observed) for name, x in theirs.items()]
            pictures = {"masked": torch.full_like(clean, 0.5), **mine, "linear regression": theirs["linear regression"]}
            arrays |= {
                f"{name}, {mask}": torch.where(observed, clean, x)[:N_SHOWN].clamp(0, 1) for name, x in pictures.items()
            }
        return Measured(
            tuple(figures),
            tuple(anchors),
            {name: array.cpu() for name, array in arrays.items()},
            self._method(subject, len(clean), rng),
        )

    def _fills(
        self, subject: Subject, clean: Tensor, observed: Tensor, mean: Tensor, rng: Rng
    ) -> tuple[dict[str, Tensor], str]:
        """Fill the hidden pixels as validation images say; return the first chain, the average, and what was chosen."""
        energy, kernel, lengths = frozen(subject.energy), subject.kernel, self._lengths(subject.kernel)
        validation = _take(subject.dataset.validation.images, self.n_validation, subject.device)
        fill = choose_fill(energy, kernel, validation, observed, mean, rng=rng, lengths=lengths, n_chains=self.n_chains)
        start = mean if fill.start == "mean" else None
        copies = torch.cat([clean] * self.n_chains)
        x = inpaint(energy, kernel, copies, observed, fill.n_steps, rng=rng, start=start)
        rotten = ~torch.isfinite(x).flatten(1).all(1)
        if rotten.any():
            raise Unmeasurable(f"{int(rotten.sum())} of {len(x)} chains hold NaN or infinite pixels")
        mine = {"one chain": x[: len(clean)], "chains averaged": _average(x, self.n_chains)}
        return mine, f"{fill.n_steps} steps from {'noise' if start is None else 'the mean image'}"

    def _lengths(self, kernel: Kernel) -> tuple[int, ...]:
        cycle = cycle_of(kernel)
        return self.lengths if cycle == 1 else tuple(cycle * n for n in self.cycles)

    def _method(self, subject: Subject, n: int, rng: Rng) -> str:
        held = "observed ones stay as they are"
        if isinstance(subject.kernel, Levelled):
            held = "before each step the observed ones are put back, with the noise of the chain's place in its cycle"
        return (
            f"{n} test images of {subject.dataset.name}, evenly spread, without their right half, their lower half, or "
            "half of their pixels at random, the same for all. Chains move the hidden pixels alone, at the kernel's "
            f"own temperature ({subject.kernel}); {held}. PSNR in dB on each image's "
            "hidden pixels, clamped to [0, 1]; mean over images, error: one standard error. One chain is a completion, "
            "which may be a good one and still not the true one; "
            f"the average over {self.n_chains} is what squared error rewards. "
            "Where chains start (uniform noise or the mean training image) and how long they are (among "
            f"{', '.join(map(str, self._lengths(subject.kernel)))} steps) is chosen for each mask by the "
            f"average's PSNR on {self.n_validation} validation images. Anchors: the mean training image; linear "
            "regression on the "
            "observed pixels, the conditional mean of a Gaussian with the training images' mean and full covariance "
            f"plus the variance of rounding to 256 levels. Seed {rng.seed}."
        )


def masks(shape: tuple[int, ...], rng: AnyRng) -> dict[str, Tensor]:
    """Return by name what is observed of images of a shape (C, H, W), each (C, H, W) bool; half is hidden."""
    rows, columns = shape[1], shape[2]
    everything = torch.ones(shape, dtype=torch.bool, device=rng.device)
    left, upper = everything.clone(), everything.clone()
    left[..., columns - columns // 2 :] = False
    upper[..., rows - rows // 2 :, :] = False
    hidden = Rng.of(rng).permutation(everything.numel())[: everything.numel() // 2]
    return {
        "right half": left,
        "lower half": upper,
        "random pixels": everything.flatten().index_fill(0, hidden, False).view(shape),
    }


def _average(x: Tensor, n_chains: int) -> Tensor:
    """Return the average over chains, (n_chains · B, *shape) -> (B, *shape)."""
    return x.view(n_chains, -1, *x.shape[1:]).mean(0)


def _figure(name: str, x: Tensor, clean: Tensor, observed: Tensor, note: str = "") -> Figure:
    return mean_figure(f"{name}: PSNR", psnr(x, clean, where=~observed), unit="dB", note=note)


def _take(images: Tensor, n: int, device: torch.device) -> Tensor:
    return images[spread(len(images), min(n, len(images)))].to(device)
