"""Work on a split that several sections share, such as its covariance, done once for as long as the split is there."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

Others = ParamSpec("Others")
Result = TypeVar("Result")


def once(function: Callable[Concatenate[Tensor, Others], Result]) -> Callable[Concatenate[Tensor, Others], Result]:
    """Remember what `function` makes of a tensor, by its identity, and of hashable others, until the tensor is gone.

    For pure functions of tensors that nobody changes in place, as the images of a data set are.
    """
    memory = WeakTensorKeyDictionary()

    @wraps(function)
    def remembering(images: Tensor, /, *others: Others.args, **named: Others.kwargs) -> Result:
        known: dict[Hashable, Result] = memory.setdefault(images, {})  # type: ignore[no-untyped-call]
        key = cast(Hashable, (others, tuple(named.items())))
        if key not in known:
            known[key] = function(images, *others, **named)
        return known[key]

    return cast(Callable[Concatenate[Tensor, Others], Result], remembering)
