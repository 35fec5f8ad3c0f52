"""What chains stand for, by what a kernel says of itself: any kernel with levels of noise is taken for one."""

import dataclasses

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.sampling import MALA, AnnealedLangevin, Langevin, NoiseSchedule, check_whole_cycles, cycle_of, samples_of
from ebmnist.sampling.samples import box_of, clamp_margin_of, less_noise
from ebmnist.training.step import _smoothing
from targets import Gaussian
from toys import toy_state


@dataclasses.dataclass(frozen=True)
class TwoLevels:
    """A kernel of nobody's registry: more and less noise in turn."""

    step_size: float = 1.0
    temperature: float = 1e-3
    clip: float | None = None
    clip_norm: float | None = None
    clamp: tuple[float, float] | None = (0.0, 1.0)
    cycle: int = 2
    curvature: float = 0.5

    def sigma(self, step_index):
        return torch.tensor([0.4, 0.1])[step_index % 2]

    def margin(self, step_index):
        return 2 * self.sigma(step_index)

    def init(self, energy, x, step_index=None):
        raise NotImplementedError

    def step(self, energy, state, rng):
        raise NotImplementedError


def test_kernels_with_levels_are_known_by_what_they_have():
    assert isinstance(TwoLevels(), NoiseSchedule)
    assert isinstance(AnnealedLangevin(), NoiseSchedule)
    assert not isinstance(Langevin(), NoiseSchedule)
    assert not isinstance(MALA(), NoiseSchedule)


def test_all_that_follows_from_levels_holds_for_any_such_kernel():
    kernel, x = TwoLevels(), torch.tensor([[0.5, -0.4]])
    assert cycle_of(kernel) == 2
    assert clamp_margin_of(kernel) == pytest.approx(0.8)
    assert box_of(kernel) == pytest.approx((-0.8, 1.8))
    assert less_noise(kernel)
    with pytest.raises(BadInput, match="a multiple of the kernel's cycle, 2, not 3"):
        check_whole_cycles(kernel, 3)
    expected = x - x / 0.5  # ∇E = x, κ = 0.5
    torch.testing.assert_close(samples_of(Gaussian(), kernel, x), expected.clamp(0, 1))


def test_a_report_tells_of_noise_taken_away_only_where_there_is_some():
    assert less_noise(AnnealedLangevin())
    assert not less_noise(AnnealedLangevin(temperature=0.0))
    assert not less_noise(Langevin())


def test_training_gives_real_images_its_levels():
    state = toy_state(kernel=TwoLevels(), n_steps=2)
    draw = state.start.draw(torch.zeros(5, 2), state.rng)
    sigma, clamp_margin = _smoothing(state, draw)  # after the second step, which is the one with less noise, one
    torch.testing.assert_close(sigma, torch.full_like(sigma, 0.1))
    torch.testing.assert_close(clamp_margin, torch.full_like(clamp_margin, 0.2))
