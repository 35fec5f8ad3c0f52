import gc
import weakref

import torch
from torch import Tensor

from ebmnist.evaluation.once import once


def test_the_same_tensor_is_worked_on_once_and_an_equal_one_again() -> None:
    seen = []

    @once
    def total(images: Tensor, power: int) -> Tensor:
        seen.append(power)
        return images.pow(power).sum()

    x = torch.full((3,), 2.0)
    assert [float(total(x, 1)), float(total(x, 2)), float(total(x, 1))] == [6, 12, 6]
    assert seen == [1, 2]
    assert float(total(x.clone(), 1)) == 6
    assert seen == [1, 2, 1]


def test_what_was_made_goes_when_the_tensor_does() -> None:
    @once
    def double(images: Tensor) -> Tensor:
        return 2 * images

    x = torch.ones(3)
    made = weakref.ref(double(x))
    assert made() is double(x)
    del x
    gc.collect()
    assert made() is None
