import math
from typing import Any

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.training.instability import Limits, Severity, not_finite_in, signals_in
from ebmnist.training.running import Running
from records import RECORD, USUAL

LIMITS = Limits()
NATURAL = 10.0  # 1/(2λ) at λ = 0.05


def seen(natural: float = NATURAL, running: Any = USUAL, **changes: float) -> list[tuple[Severity, str]]:
    return [tuple(s) for s in signals_in(RECORD._replace(**changes), running, LIMITS, natural)]


def test_a_usual_update_gives_no_signal() -> None:
    assert seen() == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("field", "severity", "words"),
    [
        ("weight_norm", Severity.ROLL_BACK, "a weight is not finite"),
        ("energy_pos", Severity.ROLL_BACK, "energy of real images"),
        ("energy_max", Severity.ROLL_BACK, "energy of negative images"),
        ("weight_grad_norm", Severity.LOWER_LR, "weight gradient is not finite"),
        ("loss", Severity.LOWER_LR, "weight gradient is not finite"),
    ],
)
def test_not_finite(field: str, severity: Severity, words: str, value: float) -> None:
    ((found, said),) = seen(**{field: value})
    assert found is severity
    assert words in said


def test_a_broken_image_is_cleaned_though_it_breaks_every_mean() -> None:
    nan = math.nan
    ((severity, words),) = seen(
        finite_images=0.0, loss=nan, energy_neg=nan, energy_max=nan, weight_grad_norm=nan, diversity=nan
    )
    assert severity is Severity.REINITIALISE
    assert "negative image" in words


@pytest.mark.parametrize(
    ("field", "good", "bad", "severity", "words"),
    [
        ("energy_max", 49.0, 51.0, Severity.ROLL_BACK, "|E| grew to 51, beyond 50"),
        ("weight_grad_norm", 19.9, 20.1, Severity.LOWER_LR, "weight-gradient norm 20.1, usually 2"),
        ("energy_neg", 1.0 + 4.9, 1.0 + 5.1, Severity.LOWER_LR, "size of the energy gap 5.1, usually 0.5"),
        ("energy_neg", 1.0 - 4.9, 1.0 - 5.1, Severity.LOWER_LR, "size of the energy gap 5.1, usually 0.5"),
        ("energy_neg", 1.0 + 6e-5, 1.0 + 4e-5, Severity.WATCH, "size of the energy gap fell to 4e-05, usually 0.5"),
        ("grad_norm", 0.0061, 0.0059, Severity.WATCH, "‖∂E/∂x‖ fell to 0.0059, usually 0.3"),
        ("displacement", 0.051, 0.049, Severity.WATCH, "distance that chains moved fell to 0.049, usually 5"),
        (
            "share_clipped",
            0.984,
            0.986,
            Severity.WATCH,
            "share of unclipped Langevin components fell to 0.014, usually 0.75",
        ),
        ("diversity", 0.26, 0.24, Severity.REINITIALISE, "negatives have collapsed: median distance 0.24"),
        ("diversity", 1.34, 1.36, Severity.WATCH, "negatives have spread: median distance 1.36"),
        ("share_at_clamp", 0.79, 0.81, Severity.REINITIALISE, "stuck at the clamp: 81%"),
    ],
)
def test_each_limit_on_both_sides(field: str, good: float, bad: float, severity: Severity, words: str) -> None:
    assert seen(**{field: good}) == []
    ((found, said),) = seen(**{field: bad})
    assert found is severity
    assert words in said


@pytest.mark.parametrize(
    ("field", "spike", "blow_up"), [("weight_grad_norm", 199.0, 201.0), ("energy_neg", 1.0 - 49.0, 1.0 - 51.0)]
)
def test_a_spike_beyond_the_square_of_its_limit_is_a_blow_up(field: str, spike: float, blow_up: float) -> None:
    assert [s for s, _ in seen(**{field: spike})] == [Severity.LOWER_LR]
    assert [s for s, _ in seen(**{field: blow_up})] == [Severity.ROLL_BACK]


def test_a_gap_near_the_regulariser_s_optimum_is_watched() -> None:
    used_to_it = USUAL._replace(gap=15.0)
    assert seen(running=used_to_it, energy_neg=1.0 + 5.9) == []
    assert seen(running=used_to_it, energy_neg=1.0 - 6.1) == []
    ((severity, words),) = seen(running=used_to_it, energy_neg=1.0 + 6.1)
    assert severity is Severity.WATCH
    assert "do not follow" in words


def test_a_young_run_is_judged_by_absolute_limits_alone() -> None:
    young = USUAL._replace(n_seen=LIMITS.settling - 1)
    wild = {"weight_grad_norm": 1e3, "energy_neg": 6.9, "grad_norm": 0.0, "displacement": 0.0, "share_clipped": 1.0}
    assert seen(**wild) != []
    assert seen(running=young, **wild) == []
    assert [s for s, _ in seen(running=young, energy_max=51.0)] == [Severity.ROLL_BACK]
    assert [s for s, _ in seen(running=young, diversity=0.1)] == [Severity.REINITIALISE]


@pytest.mark.parametrize("running", [USUAL, Running()])
def test_weights_that_no_longer_matter_are_a_sign_of_death_at_any_age(running: Running) -> None:
    """‖∂L/∂θ‖·‖θ‖ against |E|; nothing usual is asked, for a network may die before anything is."""
    size = max(abs(RECORD.energy_pos), abs(RECORD.energy_neg))
    limit = LIMITS.weight_grad_collapse * size / RECORD.weight_norm
    assert seen(running=running, weight_grad_norm=1.01 * limit) == []
    assert seen(running=running, weight_grad_norm=0.99 * limit) == [
        (Severity.WATCH, f"weights no longer matter: weight-gradient norm {0.99 * limit:.2g}")
    ]


def test_without_a_regulariser_the_runs_own_scale_judges() -> None:
    assert seen(natural=0.0, energy_max=19.0) == []
    assert [s for s, _ in seen(natural=0.0, energy_max=21.0)] == [Severity.ROLL_BACK]
    young = USUAL._replace(n_seen=0)
    assert seen(natural=0.0, running=young, energy_max=1e9) == []


def test_several_signals_are_all_told() -> None:
    assert [s for s, _ in seen(weight_grad_norm=100.0, diversity=0.0)] == [Severity.LOWER_LR, Severity.REINITIALISE]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_snapshot_tells_what_is_not_finite(bad: float) -> None:
    fine = {"energy.w": torch.ones(3), "start.images": torch.ones(2, 4), "rng": torch.zeros(2, dtype=torch.uint8)}
    assert not_finite_in(fine) == []
    (chains,) = not_finite_in(fine | {"start.images": torch.tensor([1.0, bad])})
    assert chains.severity is Severity.REINITIALISE
    assert "start.images" in chains.words
    (mean,) = not_finite_in(fine | {"ema.w": torch.tensor([1.0, bad])})
    assert mean.severity is Severity.ROLL_BACK
    (both,) = not_finite_in({"start.images": torch.tensor(bad), "optimiser.0.exp_avg": torch.tensor(bad)})
    assert both.severity is Severity.ROLL_BACK


@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_a_limit_that_is_not_positive_is_refused(value: float) -> None:
    with pytest.raises(BadInput, match=r"limits\.diversity must be > 0"):
        Limits(diversity=value)
