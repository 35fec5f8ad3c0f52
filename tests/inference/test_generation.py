"""How images are drawn: what a recipe says of its sampler, and what a caller may say instead."""

import pytest

from ebmnist.config import load_recipe
from ebmnist.errors import BadInput
from ebmnist.inference.generation import OF_TRAINING, Generation
from ebmnist.sampling import Ancestral, AnnealedLangevin, Heun

KERNEL = AnnealedLangevin()


def test_a_recipe_sets_its_sampler_and_how_long_each_holds():
    own = Generation(sampler="ancestral", n_steps=64, n_hold=16)
    kernel, n_steps = own.sampler_of(KERNEL)
    assert isinstance(kernel, Ancestral)
    assert (kernel.n_hold, kernel.n_anneal, n_steps) == (16, 48, 64)
    kernel, n_steps = own.sampler_of(KERNEL, "heun", 32)
    assert isinstance(kernel, Heun)
    assert (kernel.n_hold, kernel.n_anneal, n_steps) == (8, 24, 32)
    assert own.sampler_of(KERNEL, OF_TRAINING).kernel is KERNEL


@pytest.mark.parametrize(("n_steps", "n_hold"), [(8, 2), (32, 8), (200, 16)])
def test_holding_takes_at_most_a_quarter_of_the_steps(n_steps, n_hold):
    kernel, _ = Generation(sampler="ancestral", n_hold=16).sampler_of(KERNEL, n_steps=n_steps)
    assert (kernel.n_hold, kernel.cycle) == (n_hold, n_steps)


def test_without_settings_a_sampler_is_as_published_here():
    kernel, _ = Generation(sampler="ancestral", n_steps=64).sampler_of(KERNEL)
    assert kernel == Ancestral.of(KERNEL, 64)


def test_no_step_to_hold_is_refused():
    with pytest.raises(BadInput, match="n_hold must be ≥ 1, not 0"):
        load_recipe("mnist", ["--evaluation.n_hold", "0"])
