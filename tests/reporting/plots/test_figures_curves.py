"""Training curves draw whatever a run may do: diverge, go back, stop after one update."""

import math

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from ebmnist.errors import BadInput
from ebmnist.reporting.plots import save_curves
from ebmnist.reporting.plots.curves import ACTIONS, _mark
from ebmnist.reporting.records import JournalEntry
from ebmnist.training.base import Action, StepRecord

NAN, INF = math.nan, math.inf


def record(step, **values):
    ordinary = {name: 1.0 + 0.1 * math.sin(step + i) for i, name in enumerate(StepRecord._fields)}
    return StepRecord(**ordinary | {"step": step} | values)


def drawn(records, events, path):
    with Image.open(save_curves(records, events, path, recipe="default")) as picture:
        picture.load()
        return picture.convert("RGB").copy()


@pytest.mark.parametrize(
    "records",
    [
        [record(1)],
        [record(i) for i in range(1, 300)],
        [record(i, energy_neg=NAN, weight_grad_norm=NAN) for i in range(1, 30)],
        [record(i, energy_pos=10.0**i, energy_neg=INF, weight_grad_norm=10.0**i) for i in range(1, 39)],
        [record(i, weight_grad_norm=0.0, energy_l2=0.0, lr=0.0, share_clipped=0.0) for i in range(1, 30)],
        [record(i) for i in (1, 2, 3, 4, 2, 3, 4, 5)],
    ],
    ids=["one", "many", "nan", "blow-up", "zeros", "rollback"],
)
def test_draws_without_a_warning(tmp_path, records):
    assert drawn(records, [], tmp_path / "c.png").size == (1242, 1318)


def test_a_value_that_is_not_finite_leaves_a_red_tick(tmp_path):
    records = [record(i) for i in range(1, 40)]
    broken = [*records[:20], record(21, diversity=NAN), *records[21:]]
    red = []
    for data in (records, broken):
        r, g, b = np.moveaxis(np.asarray(drawn(data, [], tmp_path / "c.png")), 2, 0)
        red.append(int(((r > 180) & (g < 90) & (b < 60)).sum()))
    assert red[0] == 0 < red[1]


def test_every_intervention_has_a_colour_and_a_healthy_word_has_none():
    assert set(ACTIONS) == set(Action) - {Action.HEALTHY}
    assert len({colour for colour, _ in ACTIONS.values()}) == len(ACTIONS)


def test_events_are_marked_in_their_colours_and_healthy_ones_are_not(tmp_path):
    records = [record(i) for i in range(1, 40)]
    plain = drawn(records, [], tmp_path / "a.png")
    assert drawn(records, [JournalEntry(9, Action.HEALTHY, ("odd",), "")], tmp_path / "b.png") == plain
    events = [JournalEntry(9 + i, action, ("a long signal " * 20,), "") for i, action in enumerate(ACTIONS)]
    assert drawn(records, events, tmp_path / "c.png") != plain
    axes = Figure().add_axes((0, 0, 1, 1))
    _mark(axes, events)
    lines = [line for line in axes.collections if isinstance(line, LineCollection)]
    assert [line.get_segments()[0][0][0] for line in lines] == [event.step for event in events]
    assert [to_hex(line.get_colors()[0]) for line in lines] == [colour for colour, _ in ACTIONS.values()]


def test_refusals(tmp_path):
    with pytest.raises(BadInput, match="no updates"):
        save_curves([], [], tmp_path / "c.png", recipe="default")
    with pytest.raises(BadInput, match="cannot draw"):
        save_curves([record(1)], [], tmp_path / "c.bmp", recipe="default")
