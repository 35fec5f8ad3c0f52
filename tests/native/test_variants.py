"""Every variant that runs here, as installed and by clang++, and the other processor's, against PyTorch in float64."""

import resource
import subprocess
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from native_driver import KNOWN, NETS, Case, Net, Results, Target, results, run, several, targets

CASES = several()


@pytest.fixture(params=targets(), ids=lambda t: f"{t.compiler}-{t.variant}")
def target(request):
    return request.param


@pytest.fixture
def driver(target: Target, tmp_path_factory, worker_id):
    """The command that starts it."""
    base = tmp_path_factory.getbasetemp()
    return target.build((base if worker_id == "master" else base.parent) / "drivers")


def close(a: Tensor, b: Tensor, tolerance: float) -> None:
    assert float((a.double() - b).norm()) <= tolerance * float(b.norm())


class Expected:
    """What a case comes to in float64."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.weights = [w.double().requires_grad_() for w in case.net.weights]
        self.biases = [b.double().requires_grad_() for b in case.net.biases]
        self.energy, self.grad = self.energy_and_grad(case.images.double())
        weighted = (self.value(case.images.double()) * case.coefficients.double()).sum()
        grads = torch.autograd.grad(weighted, [*self.weights, *self.biases])
        self.by_weight, self.by_bias = grads[: len(self.weights)], grads[len(self.weights) :]

    def value(self, x: Tensor) -> Tensor:
        return self.case.net.energy(x, self.weights, self.biases)

    def energy_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        value = self.value(x)
        (grad,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), grad

    def run_native(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Where the chain ends, what is remembered there, ∂E/∂x of its last step, and its trace."""
        case, x, memory, trace = self.case, self.case.images.double(), self.case.memory.double(), []
        numbers = (case.drifts, case.sigmas, case.clamp_margins, case.leads, case.keeps)
        rows = list(zip(*(t.double()[:, :, None] for t in numbers), strict=True))
        for i, xi in enumerate(noise.double()):
            begin = x
            for j, (drift, sigma, clamp_margin, lead, keep) in enumerate(
                rows[i * case.evaluations :][: case.evaluations]
            ):
                low, high = case.low - clamp_margin, case.high + clamp_margin
                noise_first = case.noise_first and j == 0
                if noise_first:
                    x = (x + sigma * xi).clamp(low, high)
                energy, slope = self.energy_and_grad(x)
                clipped = slope.clamp(-case.clip, case.clip)
                norm = clipped.norm(dim=1)
                if j == 0:
                    grad, share = slope, torch.where(norm > case.clip_norm, 1.0, (clipped != slope).double().mean(1))
                    seen = [energy, slope.norm(dim=1), share]
                g = clipped * (case.clip_norm / norm).clamp(max=1)[:, None]
                x, now = x - drift * g + (0 if noise_first else sigma * xi), x - keep * g
                if case.remembers:
                    x, memory = x + lead * (now - memory), now
                x = x.clamp(low, high)
            trace.append(torch.stack([*seen, (x - begin).norm(dim=1)]))
        return x, memory, grad, torch.stack(trace, dim=1)


@cache
def expected(i: int) -> Expected:
    return Expected(CASES[i])


def philox_normals(case: Case) -> Tensor:
    """The noise of the case's steps, in whole numbers and float64: (n_steps, n, pixels)."""
    pixels = len(case.net.order)
    blocks = -(-pixels // 4)
    steps = (case.first_step + np.arange(case.n_steps))[:, None, None]
    c = np.broadcast_arrays(np.arange(blocks), steps, case.chains.numpy()[:, None], case.stream)
    words = [w.astype(np.uint64) for w in c]
    k0, k1 = case.seed & 0xFFFFFFFF, case.seed >> 32
    for _ in range(10):
        p, q = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        low = np.uint64(0xFFFFFFFF)
        words = [
            (q >> np.uint64(32)) ^ words[1] ^ np.uint64(k0),
            q & low,
            (p >> np.uint64(32)) ^ words[3] ^ np.uint64(k1),
            p & low,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    units = [(w >> np.uint64(8)).astype(np.float64) / 2**24 for w in words]
    values = []
    for a, b in (units[:2], units[2:]):
        radius, angle = np.sqrt(-2 * np.log(a + 2.0**-24)), 2 * np.pi * b
        values += [radius * np.cos(angle), radius * np.sin(angle)]
    return torch.from_numpy(np.stack(values, axis=-1).reshape(case.n_steps, case.n, 4 * blocks)[..., :pixels])


def check(found: Results, i: int) -> None:
    case, right = CASES[i], expected(i)
    close(found.energy, right.energy, 1e-6)
    assert torch.equal(found.energy_beside_grad, found.energy)
    close(found.recorded_energy, right.energy, 3e-6)
    close(found.grad, right.grad, 1e-5)
    for ours, theirs in zip([*found.weights, found.head], right.by_weight, strict=True):
        close(ours, theirs, 1e-5)
    for ours, theirs in zip(found.biases, right.by_bias, strict=False):
        close(ours, theirs, 1e-5)
    torch.testing.assert_close(found.noise.double(), philox_normals(case), atol=3e-6, rtol=3e-6)
    x, memory, grad, trace = right.run_native(found.noise)
    torch.testing.assert_close(found.given.x.double(), x, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.given.memory.double(), memory, atol=1e-5, rtol=1e-5)
    close(found.given.grad, grad, 1e-4)
    torch.testing.assert_close(found.given.trace[[0, 1, 3]].double(), trace[[0, 1, 3]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.given.trace[2].double(), trace[2], rtol=0, atol=3 / x.shape[1])
    for given, drawn in zip(found.given, found.drawn, strict=True):
        assert torch.equal(given, drawn)  # the chain draws what `normals` returns, pixel for pixel
    assert found.words[2].tolist() == list(KNOWN[2][2])


def test_everything_is_torchs(driver, target, tmp_path):
    # qemu is some thirty times slower than the processor.
    at = [i for i, case in enumerate(CASES) if not target.starter or case.net is not NETS["mnist"] or case.n < 17]
    for i, found in zip(at, results(driver, [CASES[i] for i in at], tmp_path), strict=True):
        check(found, i)


def test_the_same_bits_for_any_batch_and_number_of_threads(driver, tmp_path):
    """Of 270 images there are more tiles than groups of tiles, on every width."""
    net = NETS["3 × 3"]
    many = [Case(net, 270, n_threads=n) for n in (1, 2, 3, 8)]
    first, *others = run(driver, many, tmp_path)
    assert all(other == first for other in others)
    whole, part, cut = results(driver, [Case(net, 70), Case(net, 8), Case(net, 8, n_steps=1)], tmp_path)
    for a, b in zip((whole.energy, whole.grad, whole.drawn.x), (part.energy, part.grad, part.drawn.x), strict=True):
        assert torch.equal(a[:8], b)
    assert torch.equal(part.noise[0], cut.noise[0])


def test_bad_arguments_are_answered_with_a_status(driver):
    done = subprocess.run([*driver, "--refused"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bfloat16_is_as_close_as_its_eight_bits(driver, target, tmp_path):
    if "bf16" not in target.variant:
        return  # `--refused` asks for BAD_ARGUMENT there
    cases = [replace(case, bf16=True, clip=float("inf"), clip_norm=float("inf")) for case in CASES]
    for found, case in zip(results(driver, cases, tmp_path), cases, strict=True):
        right = Expected(case)
        close(found.grad, right.grad, 0.03)
        for ours, theirs in zip([*found.weights, found.head], right.by_weight, strict=True):
            close(ours, theirs, 0.06)
        torch.testing.assert_close(found.given.x.double(), right.run_native(found.noise)[0], atol=0.02, rtol=0)
        assert torch.equal(found.given.x, found.drawn.x)


def test_too_little_memory_is_a_status_and_too_few_threads_are_enough(driver, target, tmp_path):
    """In address space for the network and not for 64 threads' stacks; then in too little for the network."""
    if target.starter:
        return  # qemu itself needs the space
    case = Case(NETS["3 × 3"], 270, n_threads=64)
    free = run(driver, [case], tmp_path)
    scarce = run(driver, [case], tmp_path, before=lambda: limit(40 << 20))
    assert scarce == free
    wide = Case(Net((1, 40, 40), ((2048, 1, 1, 0), (1, 1, 1, 0))), 1, n_steps=1)
    with pytest.raises(AssertionError, match="exit 2\n"):  # OUT_OF_MEMORY
        run(driver, [wide], tmp_path, before=lambda: limit(60 << 20))


def limit(address_space: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
