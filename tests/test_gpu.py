"""Every path on a GPU: the same numbers as on the CPU, chains, training, the guard, resuming, the commands.

Skipped where there is none. On a machine with one: .venv/bin/python -m pytest -q tests/test_gpu.py
To try the tests themselves anywhere: EBMNIST_GPU=cpu .venv/bin/python -m pytest -q tests/test_gpu.py
"""

import copy
import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

import ebmnist
from ebmnist import evaluation, pipeline
from ebmnist.cli import main
from ebmnist.config import Recipe, load_recipe
from ebmnist.data import MNIST
from ebmnist.data.base import as_images
from ebmnist.energies import MLP, REGISTRY, ConvNet, ResNet, energy_and_grad
from ebmnist.random import Purpose, Rng, Stream
from ebmnist.reporting import load_checkpoint
from ebmnist.sampling import MALA, AnnealedLangevin, DPMSolver, Heun, Kernel, Langevin, run_chain
from ebmnist.trained import load
from ebmnist.training import Action, fit
from faults import FAULTS, Fault
from targets import Gaussian
from toy_run import ANSWERS, WARM, all_finite, bumps, make_state

DEVICE = os.environ.get("EBMNIST_GPU", "cuda")
GPU = torch.device(DEVICE)

pytestmark = [
    pytest.mark.skipif(GPU.type == "cuda" and not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.slow,
]


@pytest.fixture
def there() -> torch.Generator:
    return torch.Generator(GPU).manual_seed(0)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return MNIST().load().test.images[:500]


def apart(a: Tensor, b: Tensor) -> float:
    """‖a − b‖ / ‖b‖, in double on the CPU."""
    a, b = a.detach().cpu().double(), b.detach().cpu().double()
    return float((a - b).norm() / b.norm())


def test_random_numbers_are_those_of_the_cpu() -> None:
    stream, rows = Stream(2**62 + 1, Purpose.SAMPLING, 3), torch.arange(300)
    assert torch.equal(stream.permutation(5000, device=GPU).cpu(), stream.permutation(5000))
    assert torch.equal(stream.uniform(rows.to(GPU), 7, (784,)).cpu(), stream.uniform(rows, 7, (784,)))
    there = stream.normal(rows.to(GPU), 7, (784,)).cpu()
    torch.testing.assert_close(there, stream.normal(rows, 7, (784,)), rtol=0, atol=5e-6)


def test_images_of_bytes_are_those_of_the_cpu() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_images(pixels.to(GPU)).cpu(), as_images(pixels))


def test_the_same_seed_draws_what_the_cpu_draws() -> None:
    """To rounding, which chains without a slope do not magnify."""
    kernel = Langevin(step_size=0.3, temperature=1.0, clip=None, clamp=None)
    here, there = (
        ebmnist.sample(Gaussian(), 9, rng=Rng(3, device=device), kernel=kernel, n_steps=20, shape=(2, 2), batch_size=4)
        for device in ("cpu", GPU)
    )
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", REGISTRY)
def test_energy_and_slope_are_those_of_double_precision(kind: str, images: Tensor) -> None:
    energy = REGISTRY[kind](width=8).eval()
    expected = energy_and_grad(copy.deepcopy(energy).double(), images.double())
    found = energy_and_grad(energy.to(GPU), images.to(GPU))
    for a, b in zip(found, expected, strict=True):
        assert a.device.type == GPU.type
        assert apart(a, b) < 1e-5


def test_a_trained_energy_is_read_as_finely_as_on_the_cpu(digits: Tensor) -> None:
    """Differences between digits are small beside the energies themselves, and of AUROC and acceptance the matter."""
    here, there = (load("pretrained", device)(digits.to(device)).cpu() for device in ("cpu", DEVICE))
    assert apart(there - there.mean(), here - here.mean()) < 1e-4


@pytest.mark.parametrize("kind", REGISTRY)
def test_weights_learn_as_on_the_cpu(kind: str, images: Tensor) -> None:
    energy = REGISTRY[kind](width=8)
    far = copy.deepcopy(energy).to(GPU)
    for net, x in ((energy, images), (far, images.to(GPU))):
        (net(x) * torch.linspace(0, 1, len(x), device=x.device)).sum().backward()
    found, expected = (torch.cat([p.grad.cpu().flatten() for p in net.parameters()]) for net in (far, energy))
    assert apart(found, expected) < 0.03  # weight gradients may be low_precision


@pytest.mark.parametrize(
    "kernel",
    [Langevin(step_size=0.3, temperature=1.0, clip=None, clamp=None), MALA(step_size=1.2, temperature=1.0, clip=None)],
    ids=["langevin", "mala"],
)
def test_chains_keep_to_their_law(kernel: Langevin | MALA, there: torch.Generator) -> None:
    target = Gaussian(mean=0.5)
    x = torch.randn((20_000, 2), generator=there, device=GPU)
    x = run_chain(target, kernel, x, 200, rng=there).x
    assert float(x.mean()) == pytest.approx(target.mean, abs=0.03)
    variance = 1 / (1 - kernel.step_size**2 / 8) if type(kernel) is Langevin else 1.0
    assert float(x.var()) == pytest.approx(variance, abs=0.03)


def test_cycles_come_round_where_they_should(there: torch.Generator) -> None:
    """On κ/2·‖x − ½‖² a chain's noise at the end of a cycle is what `sigma` says."""
    kernel = AnnealedLangevin(clip=None, clamp=None)
    x = torch.rand((256, 1, 28, 28), generator=there, device=GPU)
    target = Gaussian(mean=0.5, scale=kernel.curvature**-0.5)
    x = run_chain(target, kernel, x, 2 * kernel.cycle, rng=there).x
    last = kernel.sigma(torch.tensor([kernel.cycle - 1], device=GPU))
    assert float((x - 0.5).std()) == pytest.approx(float(last), rel=0.02)


KERNELS = [
    Langevin(),
    AnnealedLangevin(n_hold=4, n_anneal=12),
    Heun(n_hold=4, n_anneal=12),
    DPMSolver(n_hold=4, n_anneal=12),
    MALA(step_size=0.1, temperature=1e-3),
]
ENERGIES = {
    "convnet": ConvNet(width=8),
    "convnet, spectral norm": ConvNet(width=8, spectral_norm=True),
    "resnet": ResNet(width=4),
    "mlp": MLP(width=16),
}


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
def test_a_replayed_chain_is_the_chain_step_by_step(name: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    energy = copy.deepcopy(ENERGIES[name]).to(GPU)
    calls: list[int] = []
    energy.register_forward_hook(lambda *_: calls.append(1))
    x = torch.rand((32, 1, 28, 28), generator=torch.Generator(GPU).manual_seed(1), device=GPU)
    chains = []
    for graphs in ("0", "1", "1"):
        monkeypatch.setenv("EBMNIST_GRAPHS", graphs)
        rng = torch.Generator(GPU).manual_seed(0)
        chains.append(run_chain(energy, kernel, x, 40, rng=rng, keep=[0, 2, 3, 4, 20, 40], record=True))
    stepped, *replayed = chains
    for chain in replayed:
        assert stepped.trajectory is not None
        assert stepped.trace is not None
        assert stepped.last is not None
        assert chain.last is not None
        assert apart(chain.x, stepped.x) < 1e-3  # a GPU sums in no fixed order
        assert apart(chain.trajectory, stepped.trajectory) < 1e-3
        for a, b in zip([*chain.trace, *chain.last[:5]], [*stepped.trace, *stepped.last[:5]], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)
    if GPU.type == "cuda":  # three steps and the captured one; MALA asks at the start too
        assert len(calls) <= getattr(kernel, "evaluations", 1) * (41 + 2 * 5)


def test_weights_may_change_between_two_chains(there: torch.Generator) -> None:
    energy, x = ConvNet(width=8).eval().to(GPU), torch.rand((8, 1, 28, 28), generator=there, device=GPU)
    kernel = Langevin(temperature=0.0)
    before = run_chain(energy, kernel, x, 20, rng=there).x
    with torch.no_grad():
        energy.head.weight.mul_(-1)
    after = run_chain(energy, kernel, x, 20, rng=there).x
    assert apart(after - x, x - before) < 0.1


def test_the_same_seed_draws_the_same_images(there: torch.Generator) -> None:
    energy = load("pretrained", DEVICE)
    one = ebmnist.sample(energy, 16, rng=there)
    two = ebmnist.sample(energy, 16, rng=torch.Generator(GPU).manual_seed(0))
    assert one.device.type == GPU.type
    assert apart(one, two) < 0.05


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_guard_mends_what_breaks(fault: Fault) -> None:
    state = make_state(device=GPU)
    run = fit(state, bumps().to(GPU))
    for _ in range(WARM):
        next(run)
    fault.inject(state)
    answer, within = ANSWERS[fault.name]
    assert answer in {next(run)[1].action for _ in range(within)}
    for _ in range(40):
        next(run)
    assert all_finite(state)
    assert {next(run)[1].action for _ in range(20)} <= {Action.HEALTHY, Action.LR_RESTORED}


FIELDS = [
    *("--energy.width", "4", "--training.batch_size", "8", "--training.start.size", "32"),
    *("--evaluation.n_images", "12", "--artifacts.checkpoint_every", "10", "--training.schedule.kind", "constant"),
]


def recipe(name: str, n_updates: int, device: str) -> Recipe:
    return load_recipe(name, [*FIELDS, "--training.n_updates", str(n_updates), "--device", device])


@pytest.mark.parametrize("name", ["smoke", "mnist", "mnist-classic", "uva-t8"])
def test_a_run_goes_through_and_on(name: str, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    list(pipeline.run(recipe(name, 20, DEVICE), whole))
    list(pipeline.train(recipe(name, 10, DEVICE), halves))
    list(pipeline.resume(halves, ["--training.n_updates", "20"]))
    one, two = load_checkpoint(whole).tensors, load_checkpoint(halves).tensors
    for key, value in one.items():
        if key.startswith("ema."):
            assert apart(two[key], value) < 0.05, key  # a GPU sums in no fixed order


@pytest.mark.parametrize(("first", "then"), [("cpu", DEVICE), (DEVICE, "cpu")])
def test_a_run_may_change_machines(first: str, then: str, tmp_path: Path) -> None:
    list(pipeline.train(recipe("mnist", 10, first), tmp_path / "run"))
    list(pipeline.resume(tmp_path / "run", ["--training.n_updates", "20", "--device", then]))
    assert load(tmp_path / "run").step == 20


@pytest.mark.parametrize("section", evaluation.REGISTRY)
def test_all_that_is_measured_can_be_measured_there(section: str, tmp_path: Path) -> None:
    command = ["evaluate", "pretrained", "--quick", "--only", section, "--device", DEVICE, "--out", str(tmp_path / "e")]
    assert main(command) == 0
    found = json.loads((tmp_path / "e" / "evaluation.json").read_text(encoding="utf-8"))
    assert found["sections"][section]["metrics"]
    assert not found["failures"]


def test_the_verbs_work_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on = ["--device", DEVICE]
    for out in ("x.png", "x.npy", "x.webp"):
        assert main(["sample", "pretrained", "--n", "4", "--steps", "128", "--out", str(tmp_path / out), *on]) == 0
    assert main(["denoise", "pretrained", "--sigma", "0.3", "--out", str(tmp_path / "y.png"), *on]) == 0
    capsys.readouterr()
    values = []
    for device in (DEVICE, "cpu"):
        assert main(["score", "pretrained", "--input", str(tmp_path / "x.npy"), "--json", "--device", device]) == 0
        values.append(torch.tensor(json.loads(capsys.readouterr().out)))
    torch.testing.assert_close(*values, rtol=0, atol=3e-5)
