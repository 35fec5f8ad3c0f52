"""The commands that evaluate: measure a model, compare measured ones, train the feature net."""

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ebmnist import pipeline
from ebmnist.commands.ends import UNMEASURED, follow_to_the_end, may_write
from ebmnist.console import say
from ebmnist.data import MNIST
from ebmnist.evaluation.base import ProgressCallback
from ebmnist.evaluation.feature_net import accuracy, to_bytes, train_feature_net
from ebmnist.output import escaped, put
from ebmnist.random import Purpose, Rng
from ebmnist.reporting import write_file
from ebmnist.reporting.measurements import read_measurements
from ebmnist.reporting.report import Part, to_markdown, write_report
from ebmnist.reporting.tables import comparison

WIDEST = 100_000  # characters of a table's row where there is no terminal


def evaluate(args: argparse.Namespace, _: list[str]) -> int:
    """Measure a model."""
    names = ("only", "out", "quick", "long", "chains", "outliers", "seed", "device", "data_root")
    how = {name: getattr(args, name) for name in names}
    failures: dict[str, str] = {}

    def flow(progress: ProgressCallback) -> pipeline.Events:
        failures.update((yield from pipeline.evaluate(args.model, progress=progress, **how)))

    code = follow_to_the_end(flow, at_once=True)
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
        put(to_markdown(part) if args.markdown else _table(part))
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


def _table(part: Part) -> str:
    """A table in lines; without a terminal each row is one, however long."""
    table = Table(title=Text(part.title), caption=Text(part.words), title_justify="left")
    for column in part.columns:
        table.add_column(Text(escaped(column)))
    for row in part.rows:
        table.add_row(*(Text(escaped(cell)) for cell in row))
    console = Console() if Console().is_terminal else Console(width=WIDEST)
    with console.capture() as drawn:
        console.print(table)
    return drawn.get()
