"""Recipes: strict keys and types, defaults, overrides, kinds, and objects that are what the YAML says."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.nn.utils import parametrize

from ebmnist.config import load_recipe, make_recipe
from ebmnist.energies import ResNet
from ebmnist.errors import BadInput
from ebmnist.recipes import read_recipe, recipe_names
from ebmnist.sampling import MALA, FromNoise, Langevin, ReplayBuffer
from ebmnist.trained import load


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_comes_back_from_its_own_yaml(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.basics.name == name
    assert recipe.basics.about
    assert make_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


def test_the_promised_recipes_are_there() -> None:
    promised = {"mnist", "mnist-best", "mnist-classic", "smoke", "uva-t8"}
    assert promised | {"fashion", "holdout-9", "mnist-normalised"} <= set(recipe_names())


def test_mnist_classic_is_the_textbooks_method_complete() -> None:
    state = load_recipe("mnist-classic").make_state()
    kernel, guard = state.kernel, state.training.guard
    assert isinstance(kernel, Langevin)
    assert (kernel.clamp, kernel.clamp_margin, kernel.clip_norm) == ((0.0, 1.0), 0.0, None)
    assert kernel.clip
    assert isinstance(state.start, ReplayBuffer)
    assert (state.start.from_data, state.start.corrupted_fraction) == (0.0, 0.0)
    assert guard.enabled
    assert guard.lr_decay_factor < 1
    assert guard.max_rollbacks > 0
    assert state.training.schedule.kind == "cosine"
    assert state.objective.energy_l2 > 0  # type: ignore[attr-defined]
    layers = [m for m in state.energy.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 6
    assert all(parametrize.is_parametrized(layer, "weight") for layer in layers)


def test_overrides_win() -> None:
    recipe = load_recipe("mnist", ["--training.n_updates", "7", "--seed=3", "--sampling.clip", "null"])
    state = recipe.make_state()
    assert state.training.n_updates == 7
    assert state.seed == 3
    assert state.kernel.clip is None  # type: ignore[attr-defined]


def test_another_kind_starts_from_that_kinds_defaults() -> None:
    fields = ["--energy.kind", "resnet", "--training.start.kind=noise", "--sampling.kind", "mala"]
    recipe = load_recipe("mnist-classic", fields)
    state = recipe.make_state()
    assert isinstance(state.energy, ResNet)
    assert isinstance(state.start, FromNoise)
    assert isinstance(state.kernel, MALA)
    assert "fresh_fraction" not in recipe.fields["training"]["start"]


def test_uva_t8_is_the_tutorial() -> None:
    state = load_recipe("uva-t8").make_state()
    assert sum(p.numel() for p in state.energy.parameters()) == 76_993
    assert isinstance(state.start, ReplayBuffer)
    kernel, t = state.kernel, state.training
    assert kernel.step_size**2 / 2 == pytest.approx(2.5)  # type: ignore[attr-defined]
    assert kernel.temperature == pytest.approx(1.25e-6)
    assert kernel.step_size * kernel.temperature**0.5 == pytest.approx(0.0025)  # type: ignore[attr-defined]
    assert (t.n_steps, t.lr, t.weight_grad_clip, t.ema_decay) == (60, 1e-4, 0.1, 0.0)


def test_same_seed_same_weights_and_the_global_stream_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b = (load_recipe("smoke").make_energy() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    c = load_recipe("smoke", ["--seed", "1"]).make_energy()
    assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_seeds_go_up_to_63_bits() -> None:
    weights = [
        load_recipe("smoke", ["--seed", str(seed)]).make_energy().head.weight for seed in (2**63 - 1, 2**32 - 1, 2**31)
    ]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_no_generator_is_seeded_or_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the processor's, nor the accelerators': their seeding is what `torch.manual_seed` does too."""
    for module in (torch.cuda, torch.mps, torch.xpu):
        for name in ("manual_seed", "manual_seed_all"):
            if hasattr(module, name):
                monkeypatch.delattr(module, name)
    monkeypatch.delattr(torch.random, "manual_seed")
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    recipe = load_recipe("smoke")
    recipe.make_state()
    load("pretrained")
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["--training.n_updates", "-5"], "n_updates must be ≥ 1"),
        (["--training.n_steps", "0"], "n_steps must be ≥ 1"),
        (["--training.lr", "fast"], "training.lr"),
        (["--training.lr", "nan"], "training.lr: expected float, not nan"),
        (["--training.lrr", "1"], "lrr"),
        (["--energy.kind", "transformer"], "use one of convnet"),
        (["--energy.activation", "relu"], "silu"),
        (["--energy.width", "0"], "width must be ≥ 1"),
        (["--sampling.clamp", "[1, 0]"], "low < high"),
        (["--sampling.temperature", "-1"], "temperature ≥ 0"),
        (["--training.start.fresh_fraction", "2"], "fresh_fraction in [0, 1]"),
        (["--training.objective.energy_l2", "-1"], "energy_l2 must be ≥ 0"),
        (["--evaluation.n_steps", "0"], "n_steps"),
        (["--artifacts.keep", "0"], "keep"),
        (
            ["--training.n_update", "5"],
            "unrecognized arguments: --training.n_update 5",
        ),  # no prefix is taken for a field
        (["--seed", "-1"], "seed must be a whole number from 0 to 2⁶³ − 1, not -1"),
        (["--seed", str(2**63)], "seed: expected a whole number ≤ 9,223,372,036,854,775,807"),
        (["--seed", "1.5"], "seed"),
        (["--seed", "abc"], "seed"),
        (["--seed", "true"], "seed"),
        (["--training.n_updates", "4294967296"], "n_updates · n_steps must be ≤ 2³²"),
        (["stray"], "stray"),
    ],
)
def test_a_bad_field_is_one_clear_line(overrides: list[str], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_recipe("mnist", overrides)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["meta", "hpu", "vulkan", "cuda:-1", "nonsense"])
def test_a_device_without_values_or_its_package_is_one_clear_line(name: str) -> None:
    with pytest.raises(BadInput, match=f"device '{name}' is not available here: use cpu or auto"):
        _ = load_recipe("smoke", ["--device", name]).device


def test_a_missing_device_is_one_clear_line() -> None:
    with pytest.raises(BadInput, match="use cpu or auto"):
        _ = load_recipe("smoke", ["--device", "cuda:77"]).device


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("training: {n_updats: 3}", "n_updats"),
        ("trainning: {}", "trainning"),
        ("training: [1]", "training"),
        ("energy: {kind: [1]}", "energy.kind"),
        (f"energy: {{kind: {'x' * 70_000}}}", "is unknown: use one of convnet"),
        ("- 1", "expected sections"),
        ("a: {b", "not readable as YAML"),
        ("extends: nothing", "not found"),
        ("", "found nothing: it is empty"),
        ("training: {lr: {}}", "training.lr"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_recipe(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_extends_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {path}", encoding="utf-8")
    with pytest.raises(BadInput, match="extends itself"):
        read_recipe(str(path))


def test_a_path_in_extends_is_seen_from_the_file_that_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "base.yaml": "extends: smoke\nseed: 1",
        "mine/base.yaml": "extends: smoke\nseed: 2",
        "mine/child.yaml": "extends: base.yaml",
        "mine/deep/up.yaml": "extends: ../child.yaml",
        "mine/loop.yaml": "extends: deep/loop.yaml",
        "mine/deep/loop.yaml": "extends: ../loop.yaml",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for path in ("mine/child.yaml", "mine/deep/up.yaml", str(tmp_path / "mine" / "deep" / "up.yaml")):
        assert load_recipe(path).basics.seed == 2
    with pytest.raises(BadInput, match=r"extends itself by way of mine/loop.yaml → mine/deep/loop.yaml"):
        load_recipe("mine/loop.yaml")


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(BadInput, match="one of fashion, holdout-9, mnist"):
        load_recipe("mnst")


def test_a_folder_of_ones_own_is_a_path_again(tmp_path: Path) -> None:
    recipe = load_recipe("fashion", ["--data.root", str(tmp_path / "nowhere")])
    assert recipe.fields["data"]["root"] == str(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="no such folder"):
        recipe.load_data()


def test_samples_that_end_in_the_middle_of_a_cycle_are_refused():
    with pytest.raises(BadInput, match="multiple of the kernel's cycle, 128"):
        load_recipe("mnist", ["--evaluation.sampler", "null", "--evaluation.n_steps", "100"])


def test_a_sampler_that_the_energy_cannot_have_is_refused():
    with pytest.raises(
        BadInput, match=r"evaluation\.sampler 'euler' is unknown: use ancestral, heun, dpm_solver or null"
    ):
        load_recipe("mnist", ["--evaluation.sampler", "euler"])
    with pytest.raises(BadInput, match="ancestral: this energy was trained at one temperature"):
        load_recipe("mnist-classic", ["--evaluation.sampler", "ancestral"])
    with pytest.raises(BadInput, match="dpm_solver: at least 8 steps are needed, not 7"):
        load_recipe("mnist-best", ["--evaluation.n_steps", "7"])


def test_pairs_weighted_by_their_noise_need_a_kernel_with_levels():
    with pytest.raises(BadInput, match=r"sigma_weighting needs a noise schedule: sampling\.kind annealed_langevin"):
        load_recipe("mnist", plain := ["--sampling.kind", "langevin"])
    unweighted = [*plain, "--training.objective.sigma_weighting", "0"]
    with pytest.raises(BadInput, match=r"one temperature; .* evaluation\.sampler null"):
        load_recipe("mnist", unweighted)
    load_recipe("mnist", [*unweighted, "--evaluation.sampler", "null"])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["--energy.kind", "convnet"], "needs an energy that is told the noise level: energy.kind unet"),
        (["--sampling.temperature", "0.5"], "temperature 1 and sigma_min 0.01, the energy's own"),
        (["--energy.sigma_min", "0.02"], "temperature 1 and sigma_min 0.02, the energy's own"),
        (["--sampling.kind", "langevin", "--evaluation.sampler", "null"], "needs kind annealed_langevin"),
    ],
)
def test_a_normalised_energy_needs_parts_that_go_with_it(overrides: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        load_recipe("mnist-normalised", overrides)
