"""The commands that evaluate: measure a model, compare measured ones, train the feature net."""

import argparse

from ebmnist import pipeline
from ebmnist.commands.ends import UNMEASURED, follow_to_the_end, may_write
from ebmnist.commands.tables import in_lines
from ebmnist.console import say
from ebmnist.data import MNIST
from ebmnist.evaluation.base import ProgressCallback
from ebmnist.evaluation.feature_net import accuracy, to_bytes, train_feature_net
from ebmnist.launched import join
from ebmnist.output import put
from ebmnist.random import Purpose, Rng
from ebmnist.reporting import write_file
from ebmnist.reporting.measurements import read_measurements
from ebmnist.reporting.report import to_markdown, write_report
from ebmnist.reporting.tables import comparison
from ebmnist.terminal import console


def evaluate(args: argparse.Namespace, _: list[str]) -> int:
    """Measure a model; of several ranks, each measures sections of its own."""
    names = ("only", "out", "quick", "long", "chains", "outliers", "seed", "device", "data_root")
    how = {name: getattr(args, name) for name in names}
    failures: dict[str, str] = {}

    with join() as ranks:
        console.quiet = not ranks.first

        def flow(progress: ProgressCallback) -> pipeline.Events:
            failures.update((yield from pipeline.evaluate(args.model, ranks=ranks, progress=progress, **how)))

        code = follow_to_the_end(flow, at_once=True, ranks=ranks)
    return UNMEASURED if code == 0 and failures else code


def compare(args: argparse.Namespace, _: list[str]) -> int:
    """Put evaluated runs side by side."""
    runs = {str(path): read_measurements(path / "evaluation.json") for path in args.runs}
    parts = comparison(runs)
    if args.out is not None:
        may_write(args.out, (".html",))
        write_report(args.out, title="ebmnist · compare", about=", ".join(runs), facts={}, headline=(), parts=parts)
        say(f"wrote {args.out}")
    for part in parts:
        put(to_markdown(part) if args.markdown else in_lines(part))
    return 0


def train_classifier(args: argparse.Namespace, _: list[str]) -> int:
    """Train the feature net, and write its weights after every epoch."""
    may_write(args.out, (".safetensors",))
    dataset = MNIST().load()
    net = None
    for p in train_feature_net(dataset, rng=Rng(args.seed, Purpose.CLASSIFIER), n_epochs=args.epochs):
        net = p.net
        write_file(args.out, to_bytes(net))
        say(f"epoch {p.epoch}/{p.n_epochs}  loss {p.loss:.4f}  validation {p.validation_accuracy:.2%}")
    if net is not None:
        say(f"test accuracy {accuracy(net, dataset.test):.2%}; wrote {args.out}")
    return 0
