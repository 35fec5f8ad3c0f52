"""Initial weights from a stream: while modules are made, no global generator is read or seeded, of any device."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ebmnist.random.streams import Stream


@contextmanager
def initialised_from(stream: Stream) -> Iterator[None]:
    """Let modules that are made in this block, in this thread, take their random numbers from `stream`.

    What draws from the uniform or the normal law (`nn.init`, `torch.randn`, a power iteration's first vectors) gets the
    stream's numbers, the same on any device. The n-th draw is the stream's step n.

    Raises:
        NotImplementedError: a module draws from another law.
    """
    with _Drawing(stream):
        yield


class _Drawing(TorchFunctionMode):
    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream
        self.n_draws = 0
        self.instead: dict[Any, Callable[..., Tensor]] = {
            Tensor.uniform_: self._uniform_,
            Tensor.normal_: self._normal_,
            nn.init.uniform_: lambda tensor, a, b, generator: self._uniform_(tensor, a, b, generator=generator),
            nn.init.normal_: lambda tensor, mean, std, generator: self._normal_(tensor, mean, std, generator=generator),
            nn.init.kaiming_uniform_: self._kaiming_uniform_,
            torch.rand: lambda *size, **given: self._uniform_(torch.empty(*size, **given)),
            torch.randn: lambda *size, **given: self._normal_(torch.empty(*size, **given)),
            torch.rand_like: lambda x, **given: self._uniform_(torch.empty_like(x, **given)),
            torch.randn_like: lambda x, **given: self._normal_(torch.empty_like(x, **given)),
        }

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if given.get("generator") is not None:
            return func(*args, **given)
        if func in OTHER_LAWS:
            raise NotImplementedError(
                f"{func.__name__} cannot draw initial weights from a seed: use uniform_ or normal_"
            )
        return self.instead.get(func, func)(*args, **given)

    @torch.no_grad()
    def _uniform_(self, x: Tensor, low: float = 0.0, high: float = 1.0, *, generator: None = None) -> Tensor:  # noqa: ARG002
        return x.copy_(self._numbers(self.stream.uniform, x).mul_(high - low).add_(low))

    @torch.no_grad()
    def _normal_(self, x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: None = None) -> Tensor:  # noqa: ARG002
        return x.copy_(self._numbers(self.stream.normal, x).mul_(std).add_(mean))

    def _kaiming_uniform_(self, tensor: Tensor, a: float, mode: str, nonlinearity: str, generator: None) -> Tensor:
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(tensor)
        gain = nn.init.calculate_gain(nonlinearity, a)  # type: ignore[arg-type]
        bound = math.sqrt(3 / (fan_in if mode == "fan_in" else fan_out)) * gain
        return self._uniform_(tensor, -bound, bound, generator=generator)

    def _numbers(self, law: Callable[..., Tensor], like: Tensor) -> Tensor:
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        row = torch.zeros(1, dtype=torch.int64, device="cpu")
        numbers = law(row, self.n_draws, tuple(like.shape), dtype=dtype)[0]
        self.n_draws += 1
        return numbers


# What would read a global generator and has no stream to read instead.
OTHER_LAWS = {
    *(torch.randint, torch.randint_like, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial),
    *(torch.poisson, torch.binomial, Tensor.random_, Tensor.bernoulli_, Tensor.cauchy_, Tensor.exponential_),
    *(Tensor.geometric_, Tensor.log_normal_, Tensor.bernoulli, Tensor.multinomial),
}
