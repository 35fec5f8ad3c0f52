import torch

from ebmnist.data.corruptions import CORRUPTIONS
from ebmnist.inference.saliency import KINDS, saliency


def test_a_quadratic_around_the_clean_digit_points_all_the_way_back() -> None:
    clean = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for kind in KINDS:
        for sign in (1, -1):
            found = saliency(
                lambda x: sign * (x - clean).square().flatten(1).sum(1),  # noqa: B023 (called at once)
                clean,
                kind,
                torch.Generator().manual_seed(1),
            )
            torch.testing.assert_close(found.agreement, torch.full((6,), float(sign)).double())
            torch.testing.assert_close(found.descent, 2 * sign * (clean - found.images))


def test_it_looks_from_the_corrupted_image() -> None:
    clean = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    found = saliency(lambda x: x.flatten(1).sum(1), clean, "blur", torch.Generator())
    assert torch.equal(found.images, CORRUPTIONS["blur"](clean, torch.Generator()))
    assert torch.equal(found.descent, -torch.ones(4, 1, 28, 28))
