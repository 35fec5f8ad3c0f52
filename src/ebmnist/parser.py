"""The parser of the command line: every command, its arguments and its help."""

import argparse

from ebmnist.arguments import (
    MODEL,
    MOST_STEPS,
    SEED,
    OneLineParser,
    Subparsers,
    Whole,
    add_command,
    axis,
    common,
    data_root,
    device,
    file_path,
    input_file,
    names,
    rate,
    text,
)
from ebmnist.restoration_parser import denoise_command, inpaint_command, restore_command

EXAMPLES = """\
examples:
  ebmnist run                                   train the default recipe, draw its pictures, write its report
  ebmnist run smoke                             the same in seconds, to see that everything works
  ebmnist run mnist --training.n_updates 500    any field of a recipe, as --section.field value
  ebmnist resume runs/mnist                     go on where Ctrl-C, or a power cut, stopped it
  ebmnist sweep mnist --grid training.lr=1e-3,2e-3 --seeds 3     which value is best?
  ebmnist info runs/mnist                       what it is, how it was made, its figures
  ebmnist sample runs/mnist --n 64 --out digits.png
  ebmnist denoise runs/mnist --sigma 0.3 --out clean.png
  ebmnist inpaint runs/mnist --input digits.npy --half right --out filled.png
  ebmnist restore runs/mnist --super-resolution 2 --out sharp.png
  ebmnist evaluate runs/mnist --quick           numbers beside real references and baselines
  ebmnist compare runs/mnist runs/uva-t8        two evaluated runs side by side
  ebmnist score runs/mnist --input digits.npy   is this image normal? scores and p-values
  ebmnist sample pretrained --out digits.png    with the energy that comes with the package

Every command says more with --help.
Exit codes: 0 done, 1 not all measured, 2 bad input, 3 training diverged, 130 interrupted by Ctrl-C, 143 by SIGTERM,
129 by SIGHUP (under nohup it goes on). An interrupted run is saved first; a second signal stops at once.
"""
SECTIONS = """\
sections:
  fidelity      are samples from noise like the test images, and as varied? Fréchet distance, KID, precision, …
  chain_length  the same against the length of the chains: where they are best, and how far they drift
  mixing        do chains agree and forget where they began? R̂, effective sample size, MALA acceptance
  denoising     PSNR and SSIM of noisy images cleaned by the energy, beside a Wiener filter and an autoencoder
  inpainting    PSNR of a missing half, beside linear regression
  ood           does the energy rank what is no digit above digits? AUROC, AUPR, FPR@95
  landscape     energies of data, samples and noise, and the barriers between digits
  likelihood    log p(x) from both sides by annealed importance sampling, or that nothing can be said
  restoration   PSNR of super-resolution and deblurring, beside linear regression

A section that cannot be measured says why; the others still report, and the exit code is 1.
Sections that --only leaves out are kept as they were, if they are of the same checkpoint.

examples:
  ebmnist evaluate runs/mnist --quick
  ebmnist evaluate runs/mnist --only chain_length --long 100000    do chains stay true on very long runs?
  ebmnist evaluate runs/mnist --only ood --outliers data/letters data/kmnist
  torchrun --standalone --nproc-per-node 2 -m ebmnist evaluate runs/mnist    sections shared by two processes
"""

MANY = """\
A .npy or .tar of many images is written chunk by chunk, and the same command goes on after a stop.

examples:
  ebmnist sample pretrained --n 64 --out digits.png
  ebmnist sample pretrained --n 1000000 --out million.npy
  torchrun --standalone --nproc-per-node 4 -m ebmnist -- sample pretrained --n 1000000 --out million.tar
"""
SCORING = """\
Columns: index; name, of a file in a folder or .tar; scores, all high for an outlier (docs/how-to/score.md); percentile
and p_value of the chosen one among validation images; outlier, 1 where p_value is the false-positive rate or less.
With --out, scores are written chunk by chunk, and the same command goes on after a stop.

examples:
  ebmnist score pretrained --input digits.npy --score energy --false-positive-rate 0.01
  ebmnist score pretrained --input scans/ --out scores.csv
  torchrun --standalone --nproc-per-node 4 -m ebmnist score pretrained --input scans.tar --out scores.npy
"""
SCORES = ("energy", "noise-averaged", "features", "relative-mahalanobis", "max-softmax", "combined")
SAMPLERS = ("ancestral", "heun", "dpm_solver", "training")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = OneLineParser(
        prog="ebmnist",
        description="Deep energy-based models on MNIST: train one with Langevin dynamics, see whether it is any good,\n"
        "and use its energy to generate, denoise, inpaint and score images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=OneLineParser)

    _training_commands(commands)
    _model_commands(commands)
    denoise_command(commands)
    inpaint_command(commands)
    restore_command(commands)
    _score_command(commands)
    _evaluation_commands(commands)
    return parser


def _training_commands(commands: Subparsers) -> None:
    fields = "Any field of the recipe may follow as --section.field value; `ebmnist recipe NAME` explains them all."
    for name, about in (
        ("run", "train a recipe, draw its pictures, write its report"),
        ("train", "train a recipe, and no more"),
    ):
        p = add_command(
            commands, name, about, fields + f"\n\nexample: ebmnist {name} mnist --out runs/wide --energy.width 48"
        )
        p.add_argument("recipe", type=text, nargs="?", default="mnist", help="name or .yaml file (default: mnist)")
        p.add_argument("--out", type=file_path, help="the run's folder; must not exist (default: runs/NAME)")

    p = add_command(commands, "resume", "go on with a run from its latest checkpoint, then draw and report", fields)
    p.add_argument("dir", type=file_path, help="the run folder")
    p.add_argument("--restart", action="store_true", help="from update 0: of a run killed before its first checkpoint")

    _sweep_command(commands)

    p = add_command(commands, "report", "draw a run's pictures again and write its report.html")
    p.add_argument("dir", type=file_path, help="the run folder")
    data_root(p)
    device(p, default=None)

    p = add_command(commands, "recipe", "print a recipe, every field with its value and meaning, or list the recipes")
    p.add_argument("recipe", type=text, nargs="?", help="name or .yaml file; none: list them")


def _sweep_command(commands: Subparsers) -> None:
    note = (
        "The same line again goes on where it was stopped. Several of it at once share the trials.\n"
        "It writes sweep.md, sweep.csv and sweep.png. Any field may follow as --section.field value.\n\n"
        "example: ebmnist sweep mnist --grid training.lr=1e-3,2e-3 energy.width=16,32 --seeds 3"
    )
    about = "train a recipe at each point of a grid, with several seeds"
    p = add_command(commands, "sweep", about, note)
    p.add_argument("recipe", type=text, help="name or .yaml file")
    axes = "fields and their values; every combination is trained"
    p.add_argument("--grid", type=axis, nargs="+", required=True, metavar="FIELD=A,B", help=axes)
    p.add_argument("--seeds", type=Whole(1, 1000), default=1, help="seeds of each combination (default: 1)")
    samples = "samples beside the validation images, for the Fréchet distance of each trial (default: 1000)"
    p.add_argument("--n", type=Whole(256, 10**6), default=1000, help=samples)
    p.add_argument("--out", type=file_path, metavar="FOLDER", help="for all of it (default: runs/NAME-sweep)")


def _model_commands(commands: Subparsers) -> None:
    p = add_command(commands, "info", "say what a run or checkpoint is, how it was made, and its figures")
    p.add_argument("model", type=file_path, help=MODEL)
    p.add_argument("--json", action="store_true", help="as JSON")

    p = add_command(commands, "export", "write a run's averaged weights, recipe and figures alone, to pass on")
    p.add_argument("model", type=file_path, help="an evaluated run folder")
    p.add_argument("--out", type=file_path, required=True, metavar="FOLDER", help="must not exist; 1 to 4 MB")

    p = add_command(commands, "sample", "draw images by chains from uniform noise", MANY)
    p.add_argument("model", type=file_path, help=MODEL)
    p.add_argument("--n", type=Whole(1, 10**8), default=64, help="images (default: 64)")
    steps = "of each chain (default: the recipe's; 64 with another sampler, two annealing cycles with training)"
    p.add_argument("--steps", type=Whole(0, MOST_STEPS), help=steps)
    p.add_argument(
        "--sampler", choices=SAMPLERS, help="how (default: the recipe's); training is the kernel it was trained with"
    )
    p.add_argument("--seed", type=SEED, default=0, help="of the noise (default: 0)")
    suffixes = ".png a grid, .webp or .gif the chains moving, .npy float32 (N,1,28,28) in [0,1], .tar a .png of each"
    p.add_argument("--out", type=file_path, required=True, metavar="FILE", help=suffixes)
    common(p)


def _score_command(commands: Subparsers) -> None:
    p = add_command(commands, "score", "is this image normal? Scores, percentile, p-value and a flag", SCORING)
    p.add_argument("model", type=file_path, help=MODEL)
    about = "images: .npy, .npz, .png (one, or a grid), IDX, a .tar of .png files, or a folder of them"
    p.add_argument("--input", type=input_file, required=True, metavar="PATH", help=about)
    about = "what an image is judged by (default: combined)"
    p.add_argument("--score", choices=SCORES, default="combined", help=about)
    about = "share of normal images that may be flagged by mistake (default: 0.05)"
    p.add_argument("--false-positive-rate", type=rate, default=0.05, metavar="RATE", help=about)
    p.add_argument("--json", action="store_true", help="JSON in place of CSV")
    about = "write a .csv, or a .npy of records, in place of stdout"
    p.add_argument("--out", type=file_path, metavar="FILE", help=about)
    data_root(p)
    common(p)

    note = "It goes into the checkpoint's folder and along with an export. score then needs no data set."
    p = add_command(commands, "calibrate", "fit a model's detector of outliers and store it", note)
    p.add_argument("model", type=file_path, help=MODEL)
    data_root(p)
    p.add_argument("--seed", type=SEED, default=0, help="of its noise (default: 0)")
    device(p)


def _evaluation_commands(commands: Subparsers) -> None:
    about = "measure a run or checkpoint: figures with errors, real references and baselines beside them"
    p = add_command(commands, "evaluate", about, SECTIONS)
    p.add_argument("model", type=file_path, help=MODEL)
    data_root(p)
    p.add_argument("--quick", action="store_true", help="small sizes and wide errors, for a first look in seconds")
    p.add_argument(
        "--only", type=names, default=(), metavar="A,B", help="sections to measure, such as fidelity,ood (default: all)"
    )
    p.add_argument(
        "--long",
        type=Whole(1, MOST_STEPS),
        metavar="N",
        help="steps of the chains in chain_length, ≥ 64 (default: 4096)",
    )
    about = (
        "chains from noise in chain_length, and as many from data, 256 to 4744 (default: 256); thousands ask for a GPU"
    )
    p.add_argument("--chains", type=Whole(1, 4744), metavar="N", help=about)
    about = "folders of IDX files, such as EMNIST's letters or KMNIST: each is one more set of outliers in ood"
    p.add_argument("--outliers", type=file_path, nargs="+", default=(), metavar="FOLDER", help=about)
    p.add_argument("--out", type=file_path, help="folder for evaluation.json and report.html (default: the run's own)")
    p.add_argument("--seed", type=SEED, default=0, help="of every section's random stream (default: 0)")
    device(p, default=None)

    p = add_command(commands, "compare", "put the figures of evaluated runs side by side")
    p.add_argument("runs", type=file_path, nargs="+", metavar="RUN", help="folders that hold an evaluation.json")
    p.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    p.add_argument("--out", type=file_path, metavar="FILE", help="write it as one .html page as well")

    p = add_command(
        commands, "train-feature-net", "train the digit classifier whose features the figures are measured in"
    )
    p.add_argument("--out", type=file_path, required=True, metavar="FILE", help="its weights, .safetensors")
    p.add_argument("--epochs", type=Whole(1, 10_000), default=10, help="passes over the training images (default: 10)")
    p.add_argument("--seed", type=SEED, default=0, help="of weights, batches and augmentation (default: 0)")
