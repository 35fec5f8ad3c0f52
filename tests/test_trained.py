"""A loaded energy inside somebody's program: the same right numbers, or one clear line."""

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import ebmnist
from ebmnist.cli import main
from ebmnist.config import load_recipe
from ebmnist.data import MNIST
from ebmnist.energies import convnet, energy_and_grad
from ebmnist.errors import BadInput
from ebmnist.sampling import MALA, Langevin, run_chain
from ebmnist.trained import Trained


@pytest.fixture(scope="module")
def energy() -> Trained:
    return ebmnist.load("pretrained")


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return MNIST().load().test.images[:5]


@contextmanager
def default(dtype: torch.dtype | None = None, device: str | None = None) -> Iterator[None]:
    torch.set_default_dtype(dtype or torch.float32)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "float64": lambda: default(torch.float64),
    "float16": lambda: default(torch.float16),
    "meta": lambda: default(device="meta"),
    "float64 on meta": lambda: default(torch.float64, "meta"),
    "device context": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def seeded() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(0)


def slope(energy: Trained, x: Tensor) -> Tensor:
    return energy_and_grad(energy, x)[1]


def moved(energy: Trained, x: Tensor) -> Tensor:
    """Where gradient descent leads, which draws nothing."""
    return run_chain(lambda x: energy(x), Langevin(temperature=0.0), x, 2, rng=seeded()).x


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("compute", [Trained.__call__, slope, moved])
def test_in_any_mode_pytorch_computes_the_same_numbers(
    energy: Trained, digits: Tensor, mode: str, compute: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convnet, "library", lambda: None)
    expected = compute(energy, digits)
    with MODES[mode]():
        found = compute(energy, digits)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("mode", MODES)
def test_loaded_in_any_mode_it_is_the_same_energy(energy: Trained, digits: Tensor, mode: str) -> None:
    before = torch.get_rng_state()
    with MODES[mode]():
        loaded = ebmnist.load("pretrained")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(loaded(digits), energy(digits))
    assert torch.equal(slope(loaded, digits), slope(energy, digits))
    tensors = [*loaded.parameters(), *loaded.buffers()]
    assert not any(t.is_inference() for t in tensors)
    assert {t.dtype for t in tensors} == {torch.float32}


def test_tensors_and_networks_made_in_inference_mode_serve_outside(energy: Trained, digits: Tensor) -> None:
    with torch.inference_mode():
        images, network = digits.clone(), ebmnist.ConvNet(width=2, spectral_norm=True)
    assert torch.equal(slope(energy, images), slope(energy, digits))
    assert energy_and_grad(network, images)[1].isfinite().all()
    assert run_chain(network, MALA(), images, 2, rng=seeded()).x.isfinite().all()
    assert torch.equal(moved(energy, images), moved(energy, digits))


def test_a_float32_energy_is_that_of_double(energy: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """By PyTorch: the last temperature is 5e-6."""
    monkeypatch.setattr(convnet, "library", lambda: None)
    images = MNIST().load().test.images[:100]
    exact = copy.deepcopy(energy).double()(images.double())
    assert (energy(images).double() - exact).abs().max() < 5e-8


def saved(energy: Trained) -> Trained:
    file = io.BytesIO()
    torch.save(energy, file)
    file.seek(0)
    loaded: Trained = torch.load(file, weights_only=False)
    return loaded


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), saved])
def test_copies_are_the_same_energy(energy: Trained, digits: Tensor, way: Callable[[Trained], Trained]) -> None:
    twin = way(energy)
    assert torch.equal(twin(digits), energy(digits))
    assert (twin.kernel, twin.step) == (energy.kernel, energy.step)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.1)])
def test_in_another_type_it_gives_that_types_energies(
    energy: Trained, digits: Tensor, dtype: torch.dtype, tolerance: float
) -> None:
    other = copy.deepcopy(energy).to(dtype)
    value = other(digits.to(dtype))
    assert value.dtype == dtype
    assert (value.float() - energy(digits)).abs().max() < tolerance
    assert torch.equal(other.float()(digits), energy(digits)) or dtype != torch.float64


def test_a_fake_tensor_has_a_fake_energy(energy: Trained, digits: Tensor) -> None:
    assert energy(FakeTensorMode(allow_non_fake_inputs=True).from_tensor(digits)).shape == (5,)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3, 1.0, 2.0], ids=lambda s: f"sigma {s}")
def test_noisy_images_are_right_input(energy: Trained, digits: Tensor, noise: float) -> None:
    assert energy(digits + noise * torch.randn(digits.shape, generator=seeded())).isfinite().all()


def test_images_at_a_wall_of_the_kernel_are_right_input(energy: Trained, digits: Tensor) -> None:
    for step_index in (0, 60, 127):
        low = -energy.kernel.margin(torch.tensor([step_index])).item()
        assert energy(torch.where(digits == 0, low, digits)).isfinite().all()


def test_no_images_have_no_energies(energy: Trained, digits: Tensor) -> None:
    assert energy(digits[:0]).shape == (0,)


def test_nan_is_let_through(energy: Trained, digits: Tensor) -> None:
    assert energy(torch.full_like(digits, torch.nan)).isnan().all()


REFUSED: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "one image": (lambda x: x[0, 0], r"give x\[None, None\]"),
    "no channel": (lambda x: x[:, 0], r"give x\[:, None\]"),
    "flat": (lambda x: x.flatten(1), "give x.reshape"),
    "one flat": (lambda x: x[0].flatten(), "give x.reshape"),
    "channel last": (lambda x: x.permute(0, 2, 3, 1), "give x.permute"),
    "colours": (lambda x: x.expand(-1, 3, -1, -1), "x.mean"),
    "padded": (lambda x: torch.nn.functional.pad(x, (2, 2, 2, 2)), r"x\[..., 2:30, 2:30\]"),
    "another size": (lambda x: x[..., :20], "28 by 28"),
    "scalar": (lambda _: torch.tensor(1.0), "28 by 28"),
    "numpy": (lambda x: x.numpy(), "torch.as_tensor"),
    "list": (lambda x: x.tolist(), "torch.as_tensor"),
    "sparse": (lambda x: x.to_sparse(), "to_dense"),
    "uint8": (lambda x: (255 * x).byte(), "/ 255"),
    "int64": (lambda x: (255 * x).long(), "/ 255"),
    "bool": (lambda x: x > 0.5, r"x.to\(torch.float32\)"),
    "complex": (lambda x: torch.complex(x, x), "x.real"),
    "double": (lambda x: x.double(), "images are float64 and weights float32"),
    "half": (lambda x: x.half(), "images are float16"),
    "meta": (lambda x: x.to("meta"), "images are on meta and weights on cpu"),
    "0 to 255": (lambda x: 255 * x, "give x / 255"),
    "-1 to 1": (lambda x: 2 * x - 1, r"\(x \+ 1\) / 2"),
    "normalised": (lambda x: (x - 0.1307) / 0.3081, "x · std"),
    "normalised, one of five": (lambda x: torch.cat([x[:4], (x[4:] - 0.1307) / 0.3081]), "x · std"),
    "-1 to 1, subclass": (lambda x: torch.nn.Parameter(2 * x - 1), r"\(x \+ 1\) / 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_are_no_images_is_refused_with_the_mend(energy: Trained, digits: Tensor, case: str) -> None:
    make, mend = REFUSED[case]
    with pytest.raises(BadInput, match=mend) as refused:
        energy(make(digits))
    assert "\n" not in str(refused.value)


def test_weights_of_several_types_are_refused(energy: Trained, digits: Tensor) -> None:
    mixed = copy.deepcopy(energy)
    mixed.energy.net[2].double()
    with pytest.raises(BadInput, match="weights are float32 on cpu and float64 on cpu"):
        mixed(digits)


def test_a_chain_is_not_checked(energy: Trained, digits: Tensor) -> None:
    chain = run_chain(energy, Langevin(clamp=None), 300 * digits, 2, rng=seeded())
    assert chain.x.isfinite().all()


CHAINS_REFUSE = [case for case in REFUSED if not case.startswith(("0 to 255", "-1 to 1", "normalised"))]


@pytest.mark.parametrize("case", CHAINS_REFUSE)
def test_a_chain_starts_at_images_alone(energy: Trained, digits: Tensor, case: str) -> None:
    with pytest.raises(BadInput) as refused:
        run_chain(energy, energy.kernel, REFUSED[case][0](digits), 1, rng=seeded())  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_samples_of_another_type_are_refused_with_the_mend(energy: Trained) -> None:
    with pytest.raises(BadInput, match=r"to\(torch.float32\)"):
        ebmnist.sample(copy.deepcopy(energy).double(), 1, rng=seeded())


def test_a_compiled_energy_is_sampled_as_it_is(energy: Trained) -> None:
    compiled = torch.compile(energy, backend="eager")
    assert torch.equal(ebmnist.sample(compiled, 1, rng=seeded()), ebmnist.sample(energy, 1, rng=seeded()))


def test_a_film_has_room_for_so_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.webp"
    assert main(["sample", "pretrained", "--n", "577", "--out", str(path)]) == 2
    assert "holds at most 576 images" in capsys.readouterr().err
    assert not path.exists()


def test_an_energy_that_is_told_the_level_takes_any_that_it_was_trained_at(energy: Trained, digits: Tensor) -> None:
    recipe = load_recipe("mnist-normalised", ["--energy.width", "4"])
    told = Trained(recipe.make_energy().eval(), recipe, 0)
    sigma = torch.full((5,), 2.0)
    noisy = digits + 2 * torch.randn(digits.shape, generator=seeded())
    assert told.levels == (0.01, 5.0)
    assert torch.equal(told(noisy, sigma), told.energy(noisy, sigma))
    assert torch.equal(told(digits), told(digits, torch.full((5,), 0.01)))
    for other, x_sigma, says in (
        (told, sigma * 3, "from 0.01 to 5, what was trained, not 6 to 6"),
        (told, sigma * 0, "not 0 to 0"),
        (told, sigma[:4], r"must be \(5,\), one for each image, not \(4,\)"),
        (energy, sigma, "not told the noise level"),
    ):
        with pytest.raises(BadInput, match=says):
            other(noisy, x_sigma)


def test_neither_loading_nor_training_imports_computer_algebra():
    """PyTorch's `to_empty` from the meta device would, and its optimisers: a second of every start, and 68 MB."""
    code = """
import sys, torch, ebmnist
from ebmnist.training import train_step
recipe = ebmnist.load("pretrained").recipe.overridden(["--training.n_steps", "1"])
train_step(recipe.make_state(), torch.rand(2, 1, 28, 28))
sys.exit("sympy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
