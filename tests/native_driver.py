"""The C++ of `ebmnist.native` in processes of its own: built by any compiler for any processor, fed with case files."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ebmnist.native.build import load
from ebmnist.native.interface import NEEDS, Settings, Shape
from ebmnist.native.variants import FLAGS, FOLDER, LIBRARIES, library_path, variants

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-psabi")  # psabi: no vector crosses the library's border
DRIVER = Path(__file__).parent / "native" / "driver.cpp"
KNOWN = (  # Random123's kat_vectors of Philox4x32-10: counter, key, words
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def missing(what: str) -> None:
    """Skip a test for want of something, and say so; where CI asks, fail: it would test nothing."""
    tell = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    tell(f"{what}: not installed (.ci/run has the Debian packages)")


def needs(*tools: str) -> None:
    """See that all of these commands can be called; `missing` where not."""
    for tool in tools:
        if shutil.which(tool) is None:
            missing(tool)


def runnable() -> list[str]:
    """Names of the variants that this processor can execute, as the installed baseline says."""
    names = list(variants())
    found = load(names[0]).processor()
    return [name for name in names if NEEDS.get(name, 0) & found == NEEDS.get(name, 0)]


class Target(NamedTuple):
    """What a driver is compiled for, and by what; "installed" is the library that the build hook has made."""

    compiler: str
    variant: str
    flags: tuple[str, ...]
    starter: tuple[str, ...] = ()
    libraries: Path | None = None  # where a compiled library lies that the driver is linked with

    def build(self, folder: Path, *, extra: Sequence[str] = ()) -> list[str]:
        """Return the command that starts the driver, compiled into `folder` if no other process has done that."""
        libraries = LIBRARIES if self.compiler == "installed" else self.libraries
        compiler = ["g++"] if self.compiler == "installed" else self.compiler.split()
        needs(compiler[0], *self.starter[:1])
        label = self.libraries.parts[-4] if self.libraries else self.compiler  # the former: part of a wheel's name
        out = folder / label / f"driver-{self.variant}.exe"  # Windows asks for such a name
        out.parent.mkdir(exist_ok=True, parents=True)
        quiet = (
            ("-Wno-maybe-uninitialized", "-Wno-uninitialized")
            if self.compiler == "g++" and "v4" in self.variant
            else ()
        )  # GCC's 105593
        names = (f'-DEBMNIST_DIGEST="{"0" * 64}"', f'-DEBMNIST_VARIANT="{self.variant}"')
        flags = () if self.libraries else ("-O1",) if libraries else (*FLAGS, *self.flags)
        engine = library_path(self.variant, libraries) if libraries else FOLDER / "ebmnist.cpp"
        if self.libraries:
            engine = Path(shutil.copy(engine, out.parent))  # beside the driver, where Windows looks for it
        with out.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # pytest-xdist's processes build each once
            if not out.exists():
                command = [*compiler, "-std=c++17", *flags, *WARNINGS, *quiet, *extra, *names, f"-I{FOLDER}"]
                command += ["-pthread", "-o", str(out), str(DRIVER), str(engine)]
                done = subprocess.run(command, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr[-3000:]
        return [*self.starter, str(out)]


ZIG = f"{sys.executable} -m ziglang c++ -O3 -target"  # with these flags it has made its C++ library for the wheels
FROM_WHEELS = {  # part of a wheel's name -> how its libraries run here: zig compiles the driver, an emulator starts it
    "manylinux_2_28_x86_64": (f"{ZIG} x86_64-linux-gnu.2.28 -mcpu=x86_64", ()),
    "manylinux_2_28_aarch64": (
        f"{ZIG} aarch64-linux-gnu.2.28 -mcpu=generic",
        ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
    ),
    "win_amd64": (f"{ZIG} x86_64-windows-gnu -mcpu=x86_64", ("wine",)),
}


def unpacked(dist: Path) -> list[Target]:
    """The libraries inside the wheels of a folder, unpacked beside them; not macOS's, which nothing here runs."""
    found = []
    for tag, (compiler, starter) in FROM_WHEELS.items():
        (wheel,) = dist.glob(f"*{tag}.whl")
        zipfile.ZipFile(wheel).extractall(dist / tag)
        machine = "aarch64" if "aarch64" in tag else "x86_64"
        for v in (v for v in variants(machine) if machine == "aarch64" or v in runnable()):
            found.append(Target(compiler, v, (), starter, dist / tag / "ebmnist/native/lib"))
    return found


def targets() -> list[Target]:
    """Every variant that runs here, as installed and by clang++; and for the other kind of processor by way of qemu.

    Where EBMNIST_WHEELS names a folder of wheels, the libraries inside them instead.
    """
    if os.environ.get("EBMNIST_WHEELS"):
        return unpacked(Path(os.environ["EBMNIST_WHEELS"]).resolve())
    native = [Target(c, v, variants()[v]) for c in ("installed", "clang++") for v in runnable()]
    if platform.machine() in ("aarch64", "arm64"):
        return native
    flags = (*variants("aarch64")["aarch64"], "-static")
    return [*native, Target("aarch64-linux-gnu-g++", "aarch64", flags, ("qemu-aarch64",))]


@dataclass(frozen=True)
class Net:
    """Convolutions with SiLU between them, one linear layer, a quadratic: as the C++ has it, but in PyTorch."""

    size: tuple[int, int, int]  # channels, height, width of the input
    layers: tuple[tuple[int, int, int, int], ...]  # channels, kernel, stride, padding of each convolution
    reference_precision: float = 0.05
    scale: float = 2.0
    shift: float = -1.0
    shapes: list[Shape] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    biases: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng, (c, h, w) = torch.Generator().manual_seed(3), self.size
        for out, k, stride, pad in self.layers:
            ends = [(side + 2 * pad - k) // stride + 1 for side in (h, w)]
            self.shapes.append(Shape(c, h, w, out, *ends, k, stride, pad, len(self.shapes) % 2))
            self.weights.append(torch.randn(out, c, k, k, generator=rng) / (c * k * k) ** 0.5)
            self.biases.append(torch.randn(out, generator=rng) / 10)
            c, h, w = out, *ends
        self.weights.append(torch.randn(c * h * w, generator=rng) / (c * h * w) ** 0.5)  # the head
        self.biases.append(torch.randn(1, generator=rng))

    @property
    def order(self) -> Tensor:
        """Pixel p of the first layer's input is order[p] of an image's row: any permutation will do."""
        return torch.randperm(int(np.prod(self.size)), generator=torch.Generator().manual_seed(4))

    def energy(self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
        """E(x) of rows of pixels, (n, pixels) -> (n,), in their dtype."""
        h = (self.scale * x + self.shift)[:, self.order].view(-1, *self.size)
        for shape, weight, bias in zip(self.shapes, weights, biases, strict=False):
            h = functional.silu(functional.conv2d(h, weight, bias, shape.stride, shape.pad))
        quadratic = (x + self.shift / self.scale).square().sum(1)
        return h.flatten(1) @ weights[-1] + biases[-1] + 0.5 * self.reference_precision * quadratic


@dataclass(frozen=True)
class Case:
    """One call of every entry."""

    net: Net
    n: int
    n_threads: int = 1
    bf16: bool = False
    n_steps: int = 3
    noise_first: bool = False
    evaluations: int = 1
    remembers: bool = False
    clip: float = 0.02
    clip_norm: float = 0.1
    seed: int = 2**63 - 1
    stream: int = 2**32 - 1
    first_step: int = 2**32 - 3
    low: float = 0.0
    high: float = 1.0

    @property
    def images(self) -> Tensor:
        """(n, pixels); those of fewer images are the first of those of more."""
        return torch.rand(512, len(self.net.order), generator=torch.Generator().manual_seed(5))[: self.n]

    @property
    def coefficients(self) -> Tensor:
        return torch.linspace(-1, 2, self.n)

    @property
    def drifts(self) -> Tensor:
        """(evaluations of all steps, n), of each evaluation and chain another; some are 0 for all."""
        each = 0.5 + self._rows / 8 - torch.arange(512) % 5 / 10
        return (each * (self._rows % 4 < 3))[:, : self.n].contiguous()

    @property
    def sigmas(self) -> Tensor:
        return (0.1 + torch.arange(512) % 3 / 10).expand(len(self._rows), -1)[:, : self.n].contiguous()

    @property
    def clamp_margins(self) -> Tensor:
        return self.sigmas / 4

    @property
    def leads(self) -> Tensor:
        return (torch.arange(512) % 4 / 4 - 0.5).expand(len(self._rows), -1)[:, : self.n].contiguous()

    @property
    def keeps(self) -> Tensor:
        return 0.7 * self.drifts

    @property
    def memory(self) -> Tensor:
        return self.images.flip(1).contiguous()

    @property
    def _rows(self) -> Tensor:
        return torch.arange(self.n_steps * self.evaluations)[:, None]

    @property
    def chains(self) -> Tensor:
        return (2**32 - 1 - 7 * torch.arange(512))[: self.n]

    def write(self, path: Path) -> None:
        """Write what driver.cpp reads."""
        net = self.net
        settings = Settings(
            self.seed, self.stream, self.first_step, self.n_steps, self.noise_first, self.evaluations,
            self.clip, self.clip_norm, self.low, self.high,
        )  # fmt: skip
        with path.open("wb") as file:
            sizes = (int(self.bf16), len(net.shapes), self.n, self.n_threads, 0, int(self.remembers))
            file.write(np.array(sizes, np.int32).tobytes())
            file.write(b"".join(bytes(shape) for shape in net.shapes) + bytes(settings))
            file.write(np.array([net.biases[-1].item(), net.scale, net.shift, net.reference_precision]).tobytes())
            for shape, weight, bias in zip(net.shapes, net.weights[:-1], net.biases[:-1], strict=True):
                held = weight.permute(0, 2, 3, 1) if shape.channels_last else weight
                file.write(held.numpy().tobytes() + bias.numpy().tobytes())
            arrays = (net.weights[-1], net.order.int(), self.images, self.coefficients, self.drifts, self.sigmas)
            arrays += (self.clamp_margins, self.leads, self.keeps, self.memory, self.chains)
            file.write(b"".join(a.numpy().tobytes() for a in arrays))
            words = [*(word for counter, _, _ in KNOWN for word in counter), *KNOWN[2][1]]
            file.write(np.array(words, np.uint32).tobytes())

    def read(self, path: Path) -> "Results":
        """Read what driver.cpp wrote."""
        n, pixels, net = self.n, len(self.net.order), self.net
        numbers, done = torch.from_numpy(np.fromfile(path, np.float32)), 0

        def take(*shape: int) -> Tensor:
            nonlocal done
            done += int(np.prod(shape))
            return numbers[done - int(np.prod(shape)) : done].view(*shape)

        value, again, grad, low_precision = take(n), take(n), take(n, pixels), take(n)
        weights = [
            take(s.c_out, s.kernel, s.kernel, s.c_in).permute(0, 3, 1, 2) if s.channels_last else take(*w.shape)
            for s, w in zip(net.shapes, net.weights[:-1], strict=True)
        ]
        biases = [take(*b.shape) for b in net.biases[:-1]]
        head, noise = take(*net.weights[-1].shape), take(self.n_steps, n, pixels)
        walks = [Walk(*(take(n, pixels) for _ in range(4)), take(4, self.n_steps, n)) for _ in range(2)]
        words = take(3, 4).view(torch.int32).long() & 0xFFFFFFFF
        assert done == len(numbers), "the driver wrote more"
        return Results(value, again, grad, low_precision, weights, biases, head, noise, *walks, words)


class Walk(NamedTuple):
    """What `langevin_chain` left: (n, pixels) each, and (4, n_steps, n)."""

    x: Tensor
    memory: Tensor
    before: Tensor
    grad: Tensor
    trace: Tensor


class Results(NamedTuple):
    """What the driver wrote of one case."""

    energy: Tensor
    energy_beside_grad: Tensor
    grad: Tensor
    recorded_energy: Tensor
    weights: list[Tensor]
    biases: list[Tensor]
    head: Tensor
    noise: Tensor  # by `normals`, (n_steps, n, pixels)
    given: Walk  # with that noise handed in
    drawn: Walk  # with noise of its own
    words: Tensor  # (3, 4)


def run(
    start: list[str], cases: Sequence[Case], folder: Path, *, before: Callable[[], None] | None = None
) -> list[bytes]:
    """Run the driver over all cases at once; return its output files."""
    paths = []
    for i, case in enumerate(cases):
        case.write(folder / f"{i}.case")
        paths += [str(folder / f"{i}.case"), str(folder / f"{i}.out")]
    done = subprocess.run([*start, *paths], capture_output=True, text=True, preexec_fn=before, timeout=200)
    assert done.returncode == 0, f"{start}: exit {done.returncode}\n{done.stdout}{done.stderr[-3000:]}"
    return [Path(path).read_bytes() for path in paths[1::2]]


def results(start: list[str], cases: Sequence[Case], folder: Path) -> list[Results]:
    """As `run`, read."""
    run(start, cases, folder)
    return [case.read(folder / f"{i}.out") for i, case in enumerate(cases)]


NETS = {
    "mnist": Net((4, 14, 14), ((16, 3, 1, 2), (32, 3, 2, 1), (32, 3, 2, 1), (16, 4, 1, 0))),
    "3 × 3": Net((1, 3, 3), ((3, 3, 1, 1), (5, 2, 2, 0), (2, 1, 1, 0))),
    "not square": Net((3, 7, 5), ((6, 3, 2, 1), (9, 2, 1, 1)), reference_precision=0.0, scale=1.0, shift=0.0),
}


def several(**settings: object) -> list[Case]:
    """Each net with one image, one more than a tile, many on several threads, and two evaluations a step."""
    one = [Case(net, 1) for net in NETS.values()]
    tile = [Case(net, n, n_threads=2, noise_first=True) for net in NETS.values() for n in (9, 17, 33)]
    many = [Case(net, 70, n_threads=3, remembers=True) for net in NETS.values()]
    twice = [Case(net, 5, noise_first=True, evaluations=2, remembers=True) for net in NETS.values()]
    return [replace(case, **settings) for case in (*one, *tile, *many, *twice)]  # type: ignore[arg-type]
