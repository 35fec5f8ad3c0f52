"""The command that draws images: a few in a picture or a film, many in a file that is written chunk by chunk."""

import argparse
from collections.abc import Callable

from torch import Tensor

from ebmnist.commands.ends import may_write, write_shown
from ebmnist.console import say
from ebmnist.errors import BadInput
from ebmnist.output import tell
from ebmnist.random import Rng
from ebmnist.ranks import Ranks, join
from ebmnist.reporting import fingerprint, load_checkpoint
from ebmnist.reporting.many_images import CHUNK, ManyImages
from ebmnist.reporting.plots import save_animation
from ebmnist.reporting.plots.chain import FILM_IMAGES
from ebmnist.sampling import run_chain, sample, uniform_noise
from ebmnist.sampling.base import Sampler
from ebmnist.terminal import console, steps_bar
from ebmnist.trained import Trained, load

# What a file of each kind may hold: a .png of 90 megapixels, a film of its width, a .npy of 300 GB.
MOST_IMAGES = {".png": 100_000, ".webp": FILM_IMAGES, ".gif": FILM_IMAGES, ".npy": 100_000_000}


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
        if args.out.suffix == ".npy" and args.n > CHUNK:
            return _draw_many(args, model, sampler, ranks)
        if ranks.first:
            _draw(args, model, sampler)
            say(f"drew {args.out}")
    return 0


def _draw(args: argparse.Namespace, model: Trained, sampler: Sampler) -> None:
    (kernel, n_steps), rng = sampler, Rng(args.seed, device=model.device)
    if args.out.suffix in (".webp", ".gif"):
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


def _draw_many(args: argparse.Namespace, model: Trained, sampler: Sampler, ranks: Ranks) -> int:
    """Draw the chunks that are not there yet, each rank its share. Ranks need not wait for each other at the end."""
    many = ManyImages(args.out, args.n)
    with ranks.agreed():
        if ranks.first:
            weights = fingerprint(load_checkpoint(args.model))
            asked = {"n": args.n, "seed": args.seed, "sampler": repr(sampler), "model": weights}
            many.begin(asked)
    with ranks.agreed():  # nobody writes before all have looked
        missing = many.missing()
    if len(missing) < many.n_chunks:
        say(f"going on with {many.folder}: {many.n_chunks - len(missing)} of {many.n_chunks} chunks are there")
    mine = missing[ranks.share(len(missing))]
    steps = sampler.n_steps * -(-CHUNK // 256)  # of a chunk, as `sample` tells them
    try:
        with steps_bar("sampling", steps * len(mine)) as progress:
            for i, chunk in enumerate(mine):
                x = _drawn(model, sampler, many.rows(chunk), args.seed, _beyond(steps * i, progress))
                many.write(chunk, x)
    except KeyboardInterrupt:
        say(f"stopped; what is done is in {many.folder}, and the same command goes on")
        raise
    if many.finish():
        tell(f"drew {args.out}")
    return 0


def _beyond(done: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda step: progress(done + step)


def _drawn(model: Trained, sampler: Sampler, rows: range, seed: int, progress: Callable[[int], None]) -> Tensor:
    """The images of these numbers, of all that the seed stands for."""
    (kernel, n_steps), rng = sampler, Rng(seed, device=model.device)
    return sample(model, len(rows), rng=rng, kernel=kernel, n_steps=n_steps, begin=rows.start, progress=progress)
