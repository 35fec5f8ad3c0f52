"""AdamW: the bits of torch.optim.AdamW, without what making one imports."""

import torch
from torch import nn

from ebmnist.training.adamw import AdamW

BETAS, DECAY, RATES = (0.5, 0.99), 0.1, (0.1, 0.03, 0.2)


def gradients(parameters, step):
    """The same for each of two copies; the last parameter has none before the third update."""
    rng = torch.Generator().manual_seed(step)
    for i, p in enumerate(parameters):
        p.grad = torch.randn(p.shape, generator=rng) if i < 2 or step == 2 else None


def test_the_bits_are_those_of_torchs_class():
    begin = [torch.linspace(-1, 1, 12).view(3, 4), torch.ones(5), torch.zeros(2)]
    ours, theirs = ([nn.Parameter(value.clone()) for value in begin] for _ in range(2))
    mine, torchs = AdamW(ours, BETAS, DECAY), torch.optim.AdamW(theirs, betas=BETAS, weight_decay=DECAY)
    for step, lr in enumerate(RATES):
        for parameters in (ours, theirs):
            gradients(parameters, step)
        mine.step(lr)
        torchs.param_groups[0]["lr"] = lr
        torchs.step()
        state = torchs.state_dict()["state"]
        expected = {f"{i}.{key}": value for i, of in state.items() for key, value in of.items()}
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert mine.tensors().keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in mine.tensors().items())
    assert not torch.equal(ours[2], begin[2])  # moved once, by its one gradient


def test_a_restored_one_goes_on_with_the_same_bits():
    ours = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))]
    first = AdamW(ours, BETAS, DECAY)
    gradients(ours, 0)
    first.step(0.1)
    copies = [nn.Parameter(p.detach().clone()) for p in ours]
    second = AdamW(copies, BETAS, DECAY)
    second.restore(first.tensors())
    for parameters, optimiser in ((ours, first), (copies, second)):
        gradients(parameters, 1)
        optimiser.step(0.1)
    assert all(torch.equal(a, b) for a, b in zip(ours, copies, strict=True))
    assert first.moments[0]["exp_avg"].data_ptr() != second.moments[0]["exp_avg"].data_ptr()
