"""Training works: on a ring in the plane, a small energy learns where the data are, and samples find them."""

import torch

from ebmnist.energies import MLP
from ebmnist.sampling import Langevin, ReplayBuffer, run_chain, uniform_noise
from ebmnist.training import Action, ContrastiveDivergence, fit
from toys import off_ring, ring, toy_state


def steep() -> MLP:
    """Return a network that can bend within the unit square: ten times as steep a first layer, centred there."""
    energy = MLP(2, 32)
    first = energy.net[1]
    with torch.no_grad():
        first.weight.mul_(10)
        first.bias.mul_(5).sub_(first.weight.sum(1) / 2)
    return energy


def test_it_learns_a_ring(rng):
    state = toy_state(
        steep(),
        kernel=Langevin(step_size=0.03, temperature=0.1, clip=None, clamp=None),
        start=ReplayBuffer(256, 0.05),
        objective=ContrastiveDivergence(energy_l2=0.01),
        batch_size=64,
        n_steps=10,
        n_updates=200,
        lr=1e-2,
        ema_decay=0.99,
    )
    actions = [decision.action for _, decision in fit(state, ring(2_000, rng))]
    assert state.step == 200
    assert actions.count(Action.HEALTHY) > 180

    data, noise = ring(1_000, rng), uniform_noise(1_000, (2,), rng)
    off = noise[off_ring(noise) > 0.12]
    with torch.no_grad():
        e_data, e_noise, e_off = state.ema(data), state.ema(noise), state.ema(off)
    assert e_data.mean() < e_noise.mean()
    assert (e_data < e_off[:, None]).float().mean() > 0.9  # the AUROC of data against points off the ring

    samples = run_chain(state.ema, state.kernel, noise, 200, rng=rng).x
    assert off_ring(samples).mean() < 0.5 * off_ring(noise).mean()
    right, upper = (samples > 0.5).unbind(1)
    assert torch.bincount(2 * right + upper.long()).min() > 50  # and they are all the way round it
