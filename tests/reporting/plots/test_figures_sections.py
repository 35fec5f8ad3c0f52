"""Sections' pictures: one each from what is measured, parts that are missing left out, refusals."""

import inspect
import math

import pytest
import torch
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.evaluation.base import Metric, SectionResult
from ebmnist.reporting.plots import SECTION_FIGURES, save_section
from ebmnist.reporting.plots.energies import BLOCK
from ebmnist.reporting.plots.lookup import bar, by_name
from ebmnist.reporting.plots.ood import _table
from ebmnist.reporting.plots.restoration import _lines

RNG = torch.Generator().manual_seed(5)


def images(*n):
    return torch.rand(*n, 1, 28, 28, generator=RNG)


def uniform(*shape):
    return torch.rand(*shape, generator=RNG)


def fidelity():
    arrays = {"samples": images(30), "nearest": images(30), "digit_histogram": torch.full((10,), 0.1)}
    arrays |= {"digit_histogram_test": torch.full((10,), 0.1)}
    arrays |= {"nearest_distances": 5 + uniform(40), "nearest_distances_test": 4 + uniform(40)}
    return SectionResult((Metric("digit-histogram KL", 0.1, 0.02, "nats"),), arrays=arrays)


def chain_length():
    figures = [Metric("from noise: best K", 128, unit="steps"), Metric("from noise: drift", 1.4, 0.2)]
    figures += [Metric("from data: chains lost at", 256, unit="steps")]
    arrays = {"digit_histogram_test": torch.full((10,), 0.1)}
    for start, distances in (("from noise", [80.0, 20.0, 28.0]), ("from data", [5.0, 12.0])):
        steps = [64 << i for i in range(len(distances))]
        figures += [Metric(f"{start}: distance at K = {k}", d, 1.5) for k, d in zip(steps, distances, strict=True)]
        key = start.replace(" ", "_")
        arrays |= {f"{key}_n_steps": torch.tensor(steps), f"{key}_distance": torch.tensor(distances)}
        arrays |= {f"{key}_digit_histogram": uniform(len(steps), 10).softmax(1)}
    real_reference = Metric("real reference, training images: Fréchet distance", 3.0, 0.4)
    return SectionResult(tuple(figures), (real_reference,), arrays)


def mixing():
    groups = ("energy", "mean intensity", "digit logits", "principal components")
    figures = [Metric(f"{g}: R̂", 1.1 + 0.1 * i, 0.02) for i, g in enumerate(groups)]
    figures += [Metric(f"{g}: bulk ESS", 50.0, 9.0) for g in groups]
    lags = torch.arange(20) * 10
    rates = torch.linspace(0.002, 0.02, 15)
    arrays = {"lags": lags, "autocorrelation": torch.exp(-rates[:, None] * lags)}
    arrays |= {"mala_scales": 4.0 ** -torch.arange(7), "mala_acceptance": torch.linspace(0, 1, 7)}
    return SectionResult((*figures, Metric("label changes per 100 steps", 3.2, 0.4)), arrays=arrays)


def ood():
    kinds, scores = ("noise", "half_size", "fashion"), ("E", "|E − median|", "‖∇E‖", "PCA", "5-NN")
    rows = [Metric(f"{s}: {k} AUROC", float(uniform(1)), 0.02) for k in kinds for s in scores]
    rows += [Metric("E: noise AUPR", 0.9, 0.1)]
    return SectionResult(tuple(rows), arrays={"images: noise": images(10), "images: half_size": images(2)})


def landscape():
    t = torch.linspace(0, 1, 17)
    bump = 4 * t * (1 - t) * (1 + uniform(30, 1))
    arrays = {"on straight lines: one digit": bump, "on straight lines: two digits": 2 * bump}
    arrays |= {"on relaxed paths: two digits": bump / 3}
    arrays |= {"images: straight lines": images(6, 17), "images: relaxed paths": images(6, 17)}
    for kind in ("noise", "blur", "overlaid", "chimera", "half-size"):
        arrays |= {f"images: {kind}": images(6), f"−∇E: {kind}": images(6) - 0.5}
    arrays |= {f"energies: {name}": level + uniform(50) for name, level in (("train", 0), ("test", 0), ("noise", 90))}
    figures = [Metric("E(test), standard deviation", 0.2, 0.01)]
    figures += [Metric("barrier, straight line, two digits", 3.1, 0.2, "σ")]
    figures += [Metric("−∇E towards the clean digit, noise", 0.41, 0.01, "cosine")]
    return SectionResult(tuple(figures), arrays=arrays)


def denoising():
    methods = {"descent": 20, "Tweedie": 22, "noisy": 14, "Wiener": 21, "a new one": 18}
    rows = [Metric(f"{m}, σ={s:g}: PSNR", p - 10 * s, 0.3, "dB") for m, p in methods.items() for s in (0.1, 0.3)]
    arrays = {"clean": images(10)} | {f"{m}, σ={s:g}": images(10) for m in methods for s in (0.1, 0.3)}
    return SectionResult(tuple(rows), arrays=arrays)


def inpainting():
    arrays, figures = {"clean": images(10)}, []
    for mask in ("right half", "random pixels"):
        arrays |= {f"{row}, {mask}": images(10) for row in ("masked", "one chain", "linear regression")}
        figures += [Metric(f"one chain, {mask}: PSNR", 14.2, 0.3, "dB")]
    return SectionResult(tuple(figures), arrays=arrays)


def likelihood():
    bits = {"at most": 1.2, "probability flow": 1.25, "independent pixels": 1.7, "uniform": 8.0}
    figures = [Metric(f"bits per dimension, {name}", value, 0.01) for name, value in bits.items()]
    curves = {f"validation, {kind}": 1.2 + uniform(4) for kind in ("calibrated", "uncalibrated")}
    arrays = {"sigma_min": torch.tensor([0.2, 0.1, 0.07, 0.05]), **curves}
    return SectionResult(tuple(figures[:2]), tuple(figures[2:]), arrays)


def restoration():
    arrays, figures = {"clean": images(10)}, []
    for task in ("super-resolution ×2", "deblurring"):
        arrays |= {f"{row}, {task}": images(10) for row in ("measured", "one sample", "spread", "linear regression")}
        figures += [Metric(f"one sample, {task}: PSNR", 24.2, 0.3, "dB")]
    return SectionResult(tuple(figures), arrays=arrays)


SECTIONS = (fidelity, chain_length, mixing, ood, landscape, denoising, inpainting, likelihood, restoration)
MEASURED = {f.__name__: f for f in SECTIONS}


@pytest.mark.parametrize("name", MEASURED)
def test_draws_all_and_without_a_figure_or_an_array_the_rest(tmp_path, name):
    whole = MEASURED[name]()
    full = save_section(name, whole, tmp_path / "full.png", recipe="default")
    with Image.open(full) as picture:
        assert picture.width >= 940
        assert len(set(picture.convert("L").tobytes())) > 50
    needed = {"fidelity": ("samples", "nearest"), "mixing": ("lags", "autocorrelation")}.get(name, ())
    needed += {"chain_length": ("from_noise_n_steps", "from_noise_distance"), "inpainting": ("clean",)}.get(name, ())
    needed += ("clean",) if name == "restoration" else ()
    kept = {
        k: x for k, x in whole.arrays.items() if k in needed or k.startswith(("on straight", "masked, ", "measured, "))
    }
    figures = whole.metrics[:1] if name in ("ood", "denoising", "likelihood") else ()
    less = save_section(name, SectionResult(figures, arrays=kept), tmp_path / "less.png", recipe="default")
    assert less.read_bytes() != full.read_bytes()


@pytest.mark.parametrize("name", MEASURED)
def test_nothing_to_draw_is_refused_in_one_line(tmp_path, name):
    with pytest.raises(BadInput, match=f"^{name}: .* to draw$"):
        save_section(name, SectionResult(()), tmp_path / "a.png", recipe="default")
    assert not list(tmp_path.iterdir())


def test_every_picture_has_the_same_parameters():
    assert set(SECTION_FIGURES) == set(MEASURED)
    for save in SECTION_FIGURES.values():
        assert list(inspect.signature(save).parameters) == ["measured", "path", "recipe", "title"]


def test_the_landscape_shows_the_energies_of_each_set(tmp_path):
    whole = landscape()
    without = {k: x for k, x in whole.arrays.items() if not k.startswith("energies: ")}
    heights = []
    for name, arrays in (("whole", whole.arrays), ("without", without)):
        path = save_section(
            "landscape", SectionResult(whole.metrics, arrays=arrays), tmp_path / f"{name}.png", recipe="default"
        )
        with Image.open(path) as picture:
            heights.append(picture.height)
    assert heights[0] - heights[1] == 40 + BLOCK + 30


def test_a_section_without_a_picture(tmp_path):
    assert save_section("unheard of", SectionResult(()), tmp_path / "a.png", recipe="default") is None
    assert not list(tmp_path.iterdir())


def test_infinite_figures_are_left_out_and_no_error_draws_no_bar():
    assert set(by_name(SectionResult((Metric("a", math.inf), Metric("b", 1.0))))) == {"b"}
    assert math.isnan(bar(Metric("b", 1.0)))


def test_rows_are_sorted_by_the_auroc_of_the_energy():
    figures = [Metric(f"E: {k} AUROC", v) for k, v in (("near", 0.6), ("far", 1.0), ("wrong", 0.1))]
    assert list(_table(SectionResult((*figures, Metric("E: near AUPR", 0.5))))) == ["wrong", "near", "far"]


def test_lines_hold_each_sigma():
    assert {m: sorted(line) for m, line in _lines(denoising()).items()}["Tweedie"] == [0.1, 0.3]
