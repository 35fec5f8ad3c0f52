"""The replay buffer: chains that persist between updates (PCD), with their ages and lineages."""

import torch
from torch import Tensor

from ebmnist.energies.base import per_sample
from ebmnist.errors import BadInput
from ebmnist.random import AnySource, Source, source_of
from ebmnist.sampling.base import Draw
from ebmnist.sampling.start.noise import corrupted, uniform_noise

ANYWHERE = 2**20  # steps; an index drawn below it is equally likely at any step of a far shorter cycle


class ReplayBuffer:
    """`size` persistent chains; each draw restarts a `fresh_fraction` of its chains.

    Persistent contrastive divergence (Tieleman 2008) with the restarts of Du & Mordatch 2019. Moved chains are written
    back to the slots they were drawn from, so every slot is one chain through time. Its `age` counts the Langevin
    steps since its restart, and its `lineage` numbers that restart. Its `step_index` is the step a kernel with a cycle
    is at. The buffer fills with noise at its first draw.

    With one restart rate for all, ages are exponential, and no chain is as old as the ones a user may run. With
    `age_scale` a₀, a chain of age a restarts with probability fresh_fraction · a₀/(a₀ + a). Beyond a₀, ages then have
    the tail of a power law: every doubling of age has its share of the buffer.

    Args:
        size: number of chains kept, ≥ 1.
        fresh_fraction: probability that a drawn chain is restarted, in [0, 1].
        age_scale: a₀ in Langevin steps, ≥ 1, from which on restarts become rarer; null for one rate at all ages.
        from_data: share of the restarts that begin at a real image instead of noise, in [0, 1].
        corrupted_fraction: share of the restarts that begin at corrupted data, between a real image and coarse noise,
            at any step of a cycle. Some chains then have low noise where no others pass.
            from_data + corrupted_fraction ≤ 1.

    Raises:
        BadInput: a field out of its range.
    """

    def __init__(
        self,
        size: int = 8192,
        fresh_fraction: float = 0.05,
        age_scale: int | None = None,
        from_data: float = 0.0,
        corrupted_fraction: float = 0.0,
    ) -> None:
        if size < 1 or not 0 <= fresh_fraction <= 1:
            raise BadInput(f"replay: size must be ≥ 1 and fresh_fraction in [0, 1], not {size} and {fresh_fraction}")
        if (age_scale is not None and age_scale < 1) or not 0 <= from_data <= 1:
            raise BadInput(
                f"replay: age_scale must be ≥ 1 or null, from_data in [0, 1], not {age_scale} and {from_data}"
            )
        if not (corrupted_fraction >= 0 and from_data + corrupted_fraction <= 1):
            raise BadInput(
                f"replay: corrupted_fraction must be in [0, 1] and from_data + corrupted_fraction ≤ 1, "
                f"not {from_data} + {corrupted_fraction}"
            )
        self.size = size
        self.fresh_fraction = fresh_fraction
        self.age_scale = age_scale
        self.from_data = from_data
        self.corrupted_fraction = corrupted_fraction
        self.images = torch.empty(0)  # (size, *shape)
        self.age = torch.empty(0, dtype=torch.int64)  # (size,)
        self.step_index = torch.empty(0, dtype=torch.int64)  # (size,)
        self.lineage = torch.empty(0, dtype=torch.int64)  # (size,)
        self.n_born = torch.zeros((), dtype=torch.int64)  # fresh starts so far

    def draw(self, x_pos: Tensor, rng: AnySource) -> Draw:
        """Hand out as many chains as `x_pos` has rows, from distinct slots.

        Raises:
            BadInput: more rows than slots.
        """
        rng, n, shape = source_of(rng), len(x_pos), tuple(x_pos.shape[1:])
        if n > self.size:
            raise BadInput(f"replay: a batch of {n} needs a buffer of at least that size, not {self.size}")
        if not len(self.images):
            self._fill(shape, rng)
        slots = rng.permutation(self.size)[:n]
        fresh = rng.uniform((n,)) < self._restart_rate(slots)
        begin, step_index = self._beginnings(x_pos, fresh, rng)
        self._restart(slots, fresh, step_index)
        x = torch.where(per_sample(fresh, x_pos), begin, self.images[slots])
        return Draw(x, slots, self.step_index[slots])

    def put(self, draw: Draw, x: Tensor, n_steps: int) -> None:
        """Write the moved chains back to their slots; they have aged by `n_steps`."""
        assert draw.slots is not None
        self.images[draw.slots] = x.detach()
        self.age[draw.slots] += n_steps
        self.step_index[draw.slots] += n_steps

    def replace(self, invalid: Tensor, healthy: dict[str, Tensor] | None, rng: AnySource) -> None:
        """Replace the chains where `invalid`, (size,) bool, is true.

        By the same slots of `healthy`, an earlier `tensors()`, or by fresh noise where there is none.
        """
        if healthy:
            for name, now in self.tensors().items():
                if name != "n_born":
                    now[invalid] = healthy[name].to(now.device)[invalid]
            return
        slots = invalid.nonzero().squeeze(1)
        self._restart(slots, torch.ones_like(slots, dtype=torch.bool), torch.zeros_like(slots))
        self.images[slots] = uniform_noise(len(slots), tuple(self.images.shape[1:]), rng)

    def tensors(self) -> dict[str, Tensor]:
        """The buffer's whole state; the tensors are the live ones, not copies."""
        names = ("images", "age", "step_index", "lineage", "n_born")
        return {name: getattr(self, name) for name in names}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a state that `tensors()` gave, of this or another buffer of the same size.

        Raises:
            BadInput: a state of another size, or of another kind of start.
        """
        if different := tensors.keys() ^ self.tensors().keys():
            raise BadInput(
                f"replay: the saved start and this one do not both have {', '.join(sorted(different))}: use the kind "
                "of start, and the version of ebmnist, that it was saved with"
            )
        if len(tensors["images"]) not in (0, self.size):
            raise BadInput(f"replay: the saved buffer has {len(tensors['images'])} chains, this one {self.size}")
        for name, value in tensors.items():
            setattr(self, name, value.clone())

    def _fill(self, shape: tuple[int, ...], rng: Source) -> None:
        self.images = uniform_noise(self.size, shape, rng)
        self.age = torch.zeros(self.size, dtype=torch.int64, device=rng.device)
        self.step_index = torch.zeros_like(self.age)
        self.lineage = torch.arange(self.size, device=rng.device)
        self.n_born = torch.tensor(self.size, device=rng.device)

    def _beginnings(self, x_pos: Tensor, fresh: Tensor, rng: Source) -> tuple[Tensor, Tensor]:
        """Where each chain begins that restarts, like `x_pos`, and at which step, (B,); of the others anything."""
        if rng.device.type != "cpu":  # for all, though few restart: to know how many the host would wait
            return self._beginnings_of(x_pos, rng)
        rows = fresh.nonzero().squeeze(1)
        begin, step_index = torch.zeros_like(x_pos), torch.zeros(len(x_pos), dtype=torch.int64, device=rng.device)
        begin[rows], step_index[rows] = self._beginnings_of(x_pos[rows], rng.rows(rows))
        return begin, step_index

    def _beginnings_of(self, x_pos: Tensor, rng: Source) -> tuple[Tensor, Tensor]:
        """Where chains begin, like `x_pos`, and at which step, (B,)."""
        n, shape = len(x_pos), tuple(x_pos.shape[1:])
        begin, step_index = uniform_noise(n, shape, rng), torch.zeros(n, dtype=torch.int64, device=rng.device)
        if self.from_data + self.corrupted_fraction > 0:
            lot = rng.uniform((n,))
            begin = torch.where(per_sample(lot < self.from_data, x_pos), x_pos, begin)
            if self.corrupted_fraction > 0:
                from_corrupted = lot >= 1 - self.corrupted_fraction
                begin = torch.where(per_sample(from_corrupted, x_pos), corrupted(x_pos, rng), begin)
                anywhere = rng.integers(ANYWHERE, (n,))
                step_index = torch.where(from_corrupted, anywhere, step_index)
        return begin, step_index

    def _restart_rate(self, slots: Tensor) -> Tensor | float:
        if self.age_scale is None:
            return self.fresh_fraction
        return self.fresh_fraction * self.age_scale / (self.age_scale + self.age[slots])

    def _restart(self, slots: Tensor, fresh: Tensor, step_index: Tensor) -> None:
        """Age 0, this step_index and a lineage of its own for every slot where `fresh`, with no host sync."""
        born = fresh.cumsum(0)
        self.age[slots] = torch.where(fresh, 0, self.age[slots])
        self.step_index[slots] = torch.where(fresh, step_index, self.step_index[slots])
        self.lineage[slots] = torch.where(fresh, self.n_born + born - 1, self.lineage[slots])
        self.n_born = self.n_born + fresh.sum()
