"""The verbs that judge: measure a model, compare measured ones, train the classifier that measures."""

import argparse

from rich.console import Console
from rich.table import Table

from ebmnist import pipeline
from ebmnist.artifacts import write_file
from ebmnist.artifacts.measurements import read_measurements
from ebmnist.artifacts.report import Part, to_markdown, write_report
from ebmnist.artifacts.tables import comparison
from ebmnist.console import console
from ebmnist.data import MNIST
from ebmnist.evaluation.base import Progress
from ebmnist.evaluation.feature_net import accuracy, to_bytes, train_feature_net
from ebmnist.random import Purpose, Rng
from ebmnist.verbs.ends import UNMEASURED, follow_to_the_end, may_write


def evaluate(args: argparse.Namespace, _: list[str]) -> int:
    """Measure a model."""
    only = [name for name in args.only.split(",") if name]
    names = ("out", "quick", "long", "chains", "outliers", "seed", "device")
    how = {name: getattr(args, name) for name in names}
    failures: dict[str, str] = {}

    def flow(progress: Progress) -> pipeline.Events:
        failures.update((yield from pipeline.evaluate(args.model, only=only, progress=progress, **how)))

    code = follow_to_the_end(flow, at_once=True)
    return UNMEASURED if code == 0 and failures else code


def compare(args: argparse.Namespace, _: list[str]) -> int:
    """Put evaluated runs side by side."""
    runs = {str(path): read_measurements(path / "evaluation.json") for path in args.runs}
    parts = comparison(runs)
    if args.out is not None:
        may_write(args.out, (".html",), force=False)
        write_report(args.out, title="ebmnist · compare", about=", ".join(runs), facts={}, headline=(), parts=parts)
        console.print(f"wrote {args.out}")
    for part in parts:
        if args.markdown:
            print(to_markdown(part))
        else:
            Console(markup=False, highlight=False).print(_table(part), "")
    return 0


def train_classifier(args: argparse.Namespace, _: list[str]) -> int:
    """Train the feature net, and write its weights after every epoch."""
    may_write(args.out, (".safetensors",), force=False)
    dataset = MNIST().load()
    net = None
    for p in train_feature_net(dataset, rng=Rng(args.seed, Purpose.CLASSIFIER), n_epochs=args.epochs):
        net = p.net
        write_file(args.out, to_bytes(net))
        console.print(f"epoch {p.epoch}/{p.n_epochs}  loss {p.loss:.4f}  validation {p.validation_accuracy:.2%}")
    if net is not None:
        console.print(f"test accuracy {accuracy(net, dataset.test):.2%}; wrote {args.out}")
    return 0


def _table(part: Part) -> Table:
    table = Table(*part.columns, title=part.title, caption=part.words, title_justify="left")
    for row in part.rows:
        table.add_row(*row)
    return table
