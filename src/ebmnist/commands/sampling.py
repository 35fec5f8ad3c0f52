"""The command that draws images: in a picture, in a film, or in a file that is written chunk by chunk."""

import argparse
from collections.abc import Callable

from torch import Tensor

from ebmnist.commands.chunks import writing
from ebmnist.commands.ends import may_write, write_shown
from ebmnist.console import say
from ebmnist.errors import BadInput
from ebmnist.launched import join
from ebmnist.random import Rng
from ebmnist.ranks import Ranks
from ebmnist.reporting import fingerprint, load_checkpoint
from ebmnist.reporting.chunks import Chunks, npy_format
from ebmnist.reporting.grid import FILM_IMAGES
from ebmnist.reporting.tar import TAR, tar_of
from ebmnist.sampling import run_chain, sample, uniform_noise
from ebmnist.sampling.base import Sampler
from ebmnist.terminal import console, steps_bar
from ebmnist.trained import Trained, load

# What a file of each kind may hold: a .png of 90 megapixels, a film of its width, a .npy of 300 GB, a .tar of 150 GB.
MOST_IMAGES = {".png": 100_000, ".webp": FILM_IMAGES, ".gif": FILM_IMAGES, ".npy": 100_000_000, ".tar": 100_000_000}
CHUNK = 4096  # images: 13 MB


def sample_images(args: argparse.Namespace, _: list[str]) -> int:
    """Draw images from noise; many of them on any number of ranks, the same whatever their number."""
    with join() as ranks:
        console.quiet = not ranks.first
        with ranks.agreed():
            may_write(args.out, tuple(MOST_IMAGES), force=args.force)
            if args.n > (most := MOST_IMAGES[args.out.suffix]):
                kind = args.out.suffix
                raise BadInput(f"--n {args.n}: a {kind} holds at most {most:,} images; ask for fewer, or for .npy")
            model = load(args.model, args.device)
            sampler = model.sampler(args.sampler, args.steps)
        if args.out.suffix in (".npy", ".tar"):
            _draw_chunks(args, model, sampler, ranks)
        elif ranks.first:
            _draw(args, model, sampler)
        say(f"drew {args.out}")
    return 0


def _draw(args: argparse.Namespace, model: Trained, sampler: Sampler) -> None:
    (kernel, n_steps), rng = sampler, Rng(args.seed, device=model.device)
    if args.out.suffix in (".webp", ".gif"):
        from ebmnist.reporting.plots import save_animation  # imports Matplotlib: only for a film

        with steps_bar("sampling", n_steps) as progress:
            keep = sorted({round(i * n_steps / 60) for i in range(61)})
            noise = uniform_noise(args.n, (1, 28, 28), rng)
            chain = run_chain(model, kernel, noise, n_steps, rng=rng, keep=keep, progress=progress)
        assert chain.trajectory is not None
        save_animation(chain.trajectory.cpu(), keep, args.out)
    else:
        with steps_bar("sampling", n_steps * -(-args.n // 256)) as progress:
            x = sample(model, args.n, rng=rng, kernel=kernel, n_steps=n_steps, progress=progress)
        write_shown(x, args.out)


def _draw_chunks(args: argparse.Namespace, model: Trained, sampler: Sampler, ranks: Ranks) -> None:
    """Draw the chunks that are not there yet: each rank takes one after the other."""
    form = TAR if args.out.suffix == ".tar" else npy_format(args.n, "<f4", (1, 28, 28))
    file = Chunks(args.out, args.n, CHUNK, form)
    asked = {
        "n": args.n,
        "seed": args.seed,
        "sampler": repr(sampler),
        "model": fingerprint(load_checkpoint(args.model)),
    }
    steps = sampler.n_steps * -(-min(args.n, CHUNK) // 256)  # of a chunk, as `sample` tells them
    with writing(file, asked, ranks) as missing, steps_bar("sampling", steps * len(missing)) as progress:
        for turn in ranks.turns(len(missing)):
            rows = file.rows(missing[turn])
            x = _drawn(model, sampler, rows, args.seed, _beyond(steps * turn, progress))
            data = tar_of(x, rows.start) if form is TAR else x.cpu().numpy().tobytes()
            file.write(missing[turn], data)


def _beyond(done: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda step: progress(done + step)


def _drawn(model: Trained, sampler: Sampler, rows: range, seed: int, progress: Callable[[int], None]) -> Tensor:
    """The images of these numbers, of all that the seed stands for."""
    (kernel, n_steps), rng = sampler, Rng(seed, device=model.device)
    return sample(model, len(rows), rng=rng, kernel=kernel, n_steps=n_steps, begin=rows.start, progress=progress)
