"""Langevin in cycles: the table of its temperatures, and laws of a Gaussian it must hold at every level."""

import dataclasses

import pytest
import torch

from ebmnist.energies import ConvNet
from ebmnist.errors import BadInput
from ebmnist.native import library
from ebmnist.sampling import AnnealedLangevin, Langevin, run_chain, sample, samples_of
from ebmnist.sampling.chain import samples_from

KERNEL = AnnealedLangevin(n_hold=4, n_anneal=3, sigma_max=0.4, sigma_min=0.05, temperature=2e-5)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def halved_distance(x: torch.Tensor) -> torch.Tensor:
    """E = κ‖x‖²/2 with the κ that the kernel is made for."""
    return 0.5 * KERNEL.curvature * x.square().sum(1)


def test_noise_is_of_temperatures_that_fall_by_equal_ratios_and_the_first_of_a_cycle_is_the_jump():
    level = torch.tensor([0.4, 0.4, 0.4, 0.4, 0.2, 0.1, 0.05])
    expected = KERNEL.step_size * KERNEL.curvature**0.5 * level  # ε√T, T = κσ²
    expected[0] = KERNEL.sigma_max
    torch.testing.assert_close(KERNEL.noise(torch.arange(14)), expected.repeat(2))


def test_the_level_is_what_a_chain_has_where_energy_is_half_the_squared_distance():
    """40,000 chains on E = κx²/2 for four cycles: at each step their spread is the level, to its standard error."""
    kernel = dataclasses.replace(KERNEL, clamp=None, clip=None, temperature=1e-4)
    x = torch.zeros(40_000, 1, dtype=torch.float64)
    for step_index in range(4 * kernel.cycle):
        at = torch.full((len(x),), step_index)
        x = run_chain(
            lambda x: 0.5 * kernel.curvature * x.square().sum(1), kernel, x, 1, rng=seeded(step_index), step_index=at
        ).x
        if step_index >= 3 * kernel.cycle:
            assert abs(float(x.std() / kernel.sigma(at)[0]) - 1) < 4 / (2 * len(x)) ** 0.5


def test_chains_leave_the_box_by_four_sigma_at_most():
    kernel = dataclasses.replace(KERNEL, clamp=(0.0, 1.0))
    x = torch.full((500, 2), 0.5)
    for step_index in range(14):
        x = run_chain(
            halved_distance, kernel, x, 1, rng=seeded(step_index), step_index=torch.full((500,), step_index)
        ).x
        assert -4 * float(kernel.sigma(torch.tensor(step_index))) <= x.min() < 0


def test_a_chain_cut_anywhere_is_the_same_law_of_temperatures():
    """`step_index` goes on where it was left: at T = 0 only the jumps have noise, which shows where it is."""
    kernel = dataclasses.replace(KERNEL, temperature=0.0, clamp=None)
    x, moved = torch.zeros(3, 2), []
    for step_index in range(0, 14, 2):
        after = run_chain(
            lambda x: 0 * x.sum(1), kernel, x, 2, rng=seeded(0), step_index=torch.full((3,), step_index)
        ).x
        moved.append(bool((after != x).any()))
        x = after
    assert moved == [True, False, False, True, False, False, False]


@pytest.mark.skipif(library() is None, reason="nothing here compiles C++")
def test_the_cpp_walks_every_chain_at_its_own_clock():
    """Without weights the energy is flat: what is left is the noise, and each chain's is that of its step_index."""
    energy = ConvNet(4)
    for p in energy.parameters():
        torch.nn.init.zeros_(p)
    step_index = torch.arange(7).repeat_interleave(40)
    x = torch.full((280, 1, 28, 28), 0.5)
    moved = run_chain(energy, dataclasses.replace(KERNEL, clamp=None), x, 1, rng=seeded(0), step_index=step_index).x - x
    expected = KERNEL.noise(torch.arange(7))
    got = moved.view(7, -1).std(1)
    assert ((got / expected - 1).abs() < 4 / (2 * 40 * 784) ** 0.5).all()


@pytest.mark.skipif(library() is None, reason="nothing here compiles C++")
def test_the_cpp_keeps_the_same_box():
    energy, step_index = ConvNet(4), torch.arange(7).repeat_interleave(5)
    x = torch.rand(35, 1, 28, 28, generator=seeded(0))
    in_cpp = run_chain(energy, KERNEL, x, 1, rng=seeded(0), step_index=step_index).x
    low, high = in_cpp.flatten(1).amin(1), in_cpp.flatten(1).amax(1)
    clamp_margin = KERNEL.margin(step_index)
    assert ((low >= -clamp_margin - 1e-6) & (high <= 1 + clamp_margin + 1e-6)).all()
    assert (low[step_index == 0] < -0.4).all()


def test_samples_end_cold_and_in_the_box():
    with pytest.raises(BadInput, match="multiple of the kernel's cycle, 7"):
        sample(halved_distance, 2, rng=seeded(0), kernel=KERNEL, n_steps=10, shape=(3,))
    x = sample(halved_distance, 2, rng=seeded(0), kernel=KERNEL, n_steps=14, shape=(300,))
    assert x.shape == (2, 300)
    assert x.min() == 0


def test_a_schedule_beside_its_own_is_refused():
    with pytest.raises(BadInput, match="schedule of its own"):
        run_chain(halved_distance, KERNEL, torch.zeros(2, 3), 1, rng=seeded(0), temperatures=[1.0])


@pytest.mark.parametrize(
    "fields",
    [
        {"sigma_max": 0.001},
        {"sigma_min": 0.0},
        {"n_hold": 0},
        {"n_anneal": 0},
        {"step_size": 0.0},
        {"temperature": -1.0},
        {"temperature": 1e-4},
        {"clamp_margin": -1.0},
    ],
)
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(BadInput, match="annealed_langevin"):
        AnnealedLangevin(**fields)


def test_one_level_is_langevin():
    """sigma_max = sigma_min and no jump to see: from the second step on, the same chain as Langevin's."""
    kernel = AnnealedLangevin(temperature=1e-4, sigma_max=0.1, sigma_min=0.1, n_hold=50, n_anneal=50, clamp=None)
    x, step_index = torch.rand(4, 3, generator=seeded(0)), torch.ones(4, dtype=torch.int64)
    annealed_langevin = run_chain(halved_distance, kernel, x, 30, rng=seeded(1), step_index=step_index).x
    torch.testing.assert_close(
        annealed_langevin, run_chain(halved_distance, Langevin(temperature=1e-4, clamp=None), x, 30, rng=seeded(1)).x
    )


def test_a_sample_is_without_the_noise_that_its_chain_ends_with():
    """E = κ‖x − a‖²/2: every chain ends as a with noise of 0.05 and lag, and stands for a."""
    a = torch.tensor([0.25, 0.75])
    energy = lambda x: 0.5 * KERNEL.curvature * (x - a).square().sum(1)  # noqa: E731
    kernel = dataclasses.replace(KERNEL, clip=None)
    chains = run_chain(energy, kernel, torch.zeros(100, 2), 14, rng=seeded(0)).x
    assert float((chains - a).abs().mean()) > 0.02
    torch.testing.assert_close(samples_of(energy, kernel, chains), a.expand(100, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(sample(energy, 9, rng=seeded(0), kernel=kernel, n_steps=14, shape=(2,)), a.expand(9, 2))


def test_at_no_temperature_a_chain_ends_without_noise_and_is_its_sample():
    kernel, x = dataclasses.replace(KERNEL, temperature=0.0), torch.tensor([[-0.5, 0.25]])
    assert torch.equal(samples_of(halved_distance, kernel, x), torch.tensor([[0.0, 0.25]]))


def test_chains_walk_on_to_the_end_of_their_cycle_and_are_samples_there():
    """No slope, so that noise alone moves them; of cycles of 7 steps there are 2, 0 and 5 to go."""
    kernel, rng = dataclasses.replace(KERNEL, temperature=1e-4), seeded(0)
    flat = lambda x: 0 * x.sum(1)  # noqa: E731
    x = samples_from(flat, kernel, torch.full((4, 1), 0.5), torch.tensor([5, 7, 9, 0]), rng=rng)
    assert float(x[1]) == 0.5
    assert (x[[0, 2, 3]] != 0.5).all()  # the last has done no step: no sample yet, though seven divides 0
    assert ((x >= 0) & (x <= 1)).all()
    plain = samples_from(flat, Langevin(clamp=(0, 1)), torch.full((1, 1), 1.5), torch.tensor([9]), rng=rng)
    assert float(plain) == 1  # a kernel with no cycle has samples everywhere
