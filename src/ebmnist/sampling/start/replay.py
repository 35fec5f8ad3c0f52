"""The replay buffer: chains that persist between updates (PCD), with their ages and lineages."""

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.sampling.base import Draw
from ebmnist.sampling.start.noise import uniform_noise


class ReplayBuffer:
    """`size` persistent chains; each draw restarts a `fresh_fraction` of its chains.

    Persistent contrastive divergence (Tieleman 2008) with the restarts of Du & Mordatch 2019. Moved chains are written
    back to the slots they were drawn from, so every slot is one chain through time: `age` counts the Langevin
    steps since its fresh start, `lineage` numbers that start. The buffer fills with noise at its first draw.

    With one restart rate for all, ages are exponential, and no chain is as old as the ones a user may run. With
    `old_age` a₀, a chain of age a restarts with probability fresh_fraction · a₀/(a₀ + a): beyond a₀, ages have a power
    law's tail, so that every doubling of age has its share of the buffer.

    Args:
        size: number of chains kept, ≥ 1.
        fresh_fraction: probability that a drawn chain is restarted, in [0, 1].
        old_age: a₀ in Langevin steps, ≥ 1, from which on restarts become rarer; null for one rate at all ages.
        from_data: share of the restarts that begin at a real image instead of noise, in [0, 1].

    Raises:
        BadInput: a field out of its range.
    """

    def __init__(
        self, size: int = 8192, fresh_fraction: float = 0.05, old_age: int | None = None, from_data: float = 0.0
    ) -> None:
        if size < 1 or not 0 <= fresh_fraction <= 1:
            raise BadInput(f"replay: size must be ≥ 1 and fresh_fraction in [0, 1], not {size} and {fresh_fraction}")
        if (old_age is not None and old_age < 1) or not 0 <= from_data <= 1:
            raise BadInput(f"replay: old_age must be ≥ 1 or null, from_data in [0, 1], not {old_age} and {from_data}")
        self.size = size
        self.fresh_fraction = fresh_fraction
        self.old_age = old_age
        self.from_data = from_data
        self.images = torch.empty(0)  # (size, *shape)
        self.age = torch.empty(0, dtype=torch.int64)  # (size,)
        self.lineage = torch.empty(0, dtype=torch.int64)  # (size,)
        self.n_born = torch.zeros((), dtype=torch.int64)  # fresh starts so far

    def draw(self, x_pos: Tensor, rng: torch.Generator) -> Draw:
        """Hand out as many chains as `x_pos` has rows, from distinct slots.

        Raises:
            BadInput: more rows than slots.
        """
        n, shape = len(x_pos), tuple(x_pos.shape[1:])
        if n > self.size:
            raise BadInput(f"replay: a batch of {n} needs a buffer of at least that size, not {self.size}")
        if not len(self.images):
            self._fill(shape, rng)
        slots = torch.randperm(self.size, generator=rng, device=rng.device)[:n]
        fresh = torch.rand(n, generator=rng, device=rng.device) < self._restart_rate(slots)
        self._restart(slots, fresh)
        begin = uniform_noise(n, shape, rng)
        if self.from_data > 0:
            real = torch.rand(n, generator=rng, device=rng.device) < self.from_data
            begin = torch.where(real.view(-1, *[1] * len(shape)), x_pos, begin)
        x = torch.where(fresh.view(-1, *[1] * len(shape)), begin, self.images[slots])
        return Draw(x, slots, self.age[slots])

    def put(self, draw: Draw, x: Tensor, n_steps: int) -> None:
        """Write the moved chains back to their slots; they have aged by `n_steps`."""
        assert draw.slots is not None
        self.images[draw.slots] = x.detach()
        self.age[draw.slots] += n_steps

    def replace(self, rotten: Tensor, healthy: dict[str, Tensor] | None, rng: torch.Generator) -> None:
        """Replace the chains where `rotten`, (size,) bool, is true.

        By the same slots of `healthy`, an earlier `tensors()`, or by fresh noise where there is none.
        """
        if healthy:
            for name, now in self.tensors().items():
                if name != "n_born":
                    now[rotten] = healthy[name].to(now.device)[rotten]
            return
        slots = rotten.nonzero().squeeze(1)
        self._restart(slots, torch.ones_like(slots, dtype=torch.bool))
        self.images[slots] = uniform_noise(len(slots), tuple(self.images.shape[1:]), rng)

    def tensors(self) -> dict[str, Tensor]:
        """The buffer's whole state; the tensors are the live ones, not copies."""
        return {"images": self.images, "age": self.age, "lineage": self.lineage, "n_born": self.n_born}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a state that `tensors()` gave, of this or another buffer of the same size.

        Raises:
            BadInput: a state of another size, or of another kind of start.
        """
        if tensors.keys() != self.tensors().keys():
            raise BadInput("replay: the saved start is not a replay buffer: use the kind it was saved with")
        if len(tensors["images"]) not in (0, self.size):
            raise BadInput(f"replay: the saved buffer has {len(tensors['images'])} chains, this one {self.size}")
        for name, value in tensors.items():
            setattr(self, name, value.clone())

    def _fill(self, shape: tuple[int, ...], rng: torch.Generator) -> None:
        self.images = uniform_noise(self.size, shape, rng)
        self.age = torch.zeros(self.size, dtype=torch.int64, device=rng.device)
        self.lineage = torch.arange(self.size, device=rng.device)
        self.n_born = torch.tensor(self.size, device=rng.device)

    def _restart_rate(self, slots: Tensor) -> Tensor | float:
        if self.old_age is None:
            return self.fresh_fraction
        return self.fresh_fraction * self.old_age / (self.old_age + self.age[slots])

    def _restart(self, slots: Tensor, fresh: Tensor) -> None:
        """Age 0 and a lineage of its own for every slot where `fresh`, with no host sync."""
        born = fresh.cumsum(0)
        self.age[slots] = torch.where(fresh, 0, self.age[slots])
        self.lineage[slots] = torch.where(fresh, self.n_born + born - 1, self.lineage[slots])
        self.n_born = self.n_born + fresh.sum()
