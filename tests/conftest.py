"""What every test shares: one thread, fixed seeds, a generator and a few small images."""

import pytest
import torch
from torch import Tensor

collect_ignore = ["conftest.py"]  # --doctest-modules would import it beside the packages' own, all named conftest


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # sums in one order, so that "to the bit" means something


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(0)  # torch draws initial weights from the global stream


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images() -> Tensor:
    """Return 64 smooth images, (64, 1, 28, 28), in [0, 1]: a blurred disc each, somewhere near the middle."""
    place = torch.Generator().manual_seed(1)
    centre = 10 + 8 * torch.rand(64, 2, 1, 1, generator=place)
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    distance = torch.stack([rows, columns]).sub(centre).square().sum(1).sqrt()  # (64, 28, 28)
    return torch.sigmoid(6 - distance).unsqueeze(1)
