"""From rounds to what a reader sees: a table on the terminal, and <name>.md, .json and .png in the results folder."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table as Grid

from ebmnist.native import engine
from ebmnist.reporting.environment import describe_environment
from paired import Rounds

QUOTABLE = 10  # rounds below which a figure is a trial
Cells = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Contestants side by side in one quantity; ratios are to the first of them, round by round."""

    title: str
    rounds: Rounds
    unit: str = "ms"
    ratio: str | None = "times as fast"
    """What a contestant's ratio to the first says; None for no ratios."""
    over_first: bool = False
    """The ratio is its own figure over the first's, instead of the first's over its own."""

    def ratios(self, name: str) -> list[float]:
        """A contestant's ratio to the first, round by round."""
        firsts = next(iter(self.rounds.values()))
        pairs = zip(firsts, self.rounds[name], strict=True)
        return [mine / first if self.over_first else first / mine for first, mine in pairs]

    def ahead(self, mine: str) -> "Table":
        """How many times faster `mine` is than each that is not ours, round by round."""
        others = {name: values for name, values in self.rounds.items() if not name.startswith("ebmnist")}
        ratios = {
            f"than {name}": [theirs / ours for theirs, ours in zip(values, self.rounds[mine], strict=True)]
            for name, values in others.items()
        }
        return Table(f"{mine}: how many times faster", ratios, "×", ratio=None)

    def header(self) -> Cells:
        """The columns' titles."""
        return ("", f"median, {self.unit}", "range") + (() if self.ratio is None else (self.ratio, "range"))

    def rows(self) -> list[Cells]:
        """One per contestant."""
        found = []
        for name, values in self.rounds.items():
            row = [name, figure(median(values)), spread(values)]
            if self.ratio is not None:
                row += [times(median(self.ratios(name))), spread(self.ratios(name))]
            found.append(tuple(row))
        return found


@dataclass(frozen=True)
class Sweep:
    """One quantity against another: contestant -> x -> rounds."""

    title: str
    x: str
    lines: dict[str, dict[int, list[float]]]
    unit: str = "ms"

    def header(self) -> Cells:
        """The columns' titles."""
        return (self.x, *(f"{name}, {self.unit}" for name in self.lines), "times as fast", "range")

    def rows(self) -> list[Cells]:
        """One per x: each line's median, and how many times as fast the last line is as the first."""
        lines = list(self.lines.values())
        found = []
        for x in lines[0]:
            ratios = [a / b for a, b in zip(lines[0][x], lines[-1][x], strict=True)]
            medians = (figure(median(line[x])) for line in lines)
            found.append((f"{x:,}", *medians, times(median(ratios)), spread(ratios)))
        return found


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """A ratio as a reader wants it."""
    return f"{ratio:.2f} ×" if ratio >= 0.1 else f"{figure(ratio)} ×"


def spread(values: Sequence[float]) -> str:
    """Lowest and highest."""
    return f"{figure(min(values))} – {figure(max(values))}"


def versions(*packages: str) -> dict[str, str]:
    """Those of the packages that are installed, with their versions."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def publish(
    name: str,
    title: str,
    parts: Sequence[Table | Sweep],
    *,
    out: Path,
    notes: Sequence[str] = (),
    facts: dict[str, str] | None = None,
) -> None:
    """Print the parts; write them to `out` as <name>.md, a chart and the raw rounds, with machine and versions."""
    from chart import save_chart  # matplotlib is slow to come, and no timed process needs it before

    n_rounds = min(len(values) for part in parts for values in _series(part))
    if n_rounds < QUOTABLE:
        notes = [*notes, f"**A trial, not to be quoted**: fewer than {QUOTABLE} rounds."]
    levels = {"engine": engine(), "torch's instructions": torch.backends.cpu.get_cpu_capability()}
    environment = describe_environment() | levels | (facts or {}) | {"load_average": round(os.getloadavg()[0], 2)}
    console = Console()
    lines = [f"# {title}", "", f"![{title}]({name}.png)"]
    for part in parts:
        grid = Grid(*part.header(), title=part.title)
        lines += ["", f"## {part.title}", "", _line(part.header()), "|---" * len(part.header()) + "|"]
        for row in part.rows():
            grid.add_row(*row)
            lines.append(_line(row))
        console.print(grid)
    lines += [
        "",
        f"Medians of {n_rounds} rounds, all in turn; ratios are taken round by round. Ranges: lowest to highest.",
    ]
    lines += [line for note in notes for line in ("", note)]
    lines += ["", *(f"- {key}: {value}" for key, value in environment.items())]
    for note in notes:
        console.print(note.replace("**", ""))
    out.mkdir(parents=True, exist_ok=True)
    report = {"environment": environment, "notes": list(notes), "parts": [asdict(part) for part in parts]}
    (out / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / f"{name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    save_chart(parts, out / f"{name}.png", title=title, subtitle=_subtitle(environment, n_rounds))
    console.print(f"written: {name}.md, .json and .png in {out}")


def _series(part: Table | Sweep) -> list[list[float]]:
    if isinstance(part, Table):
        return list(part.rounds.values())
    return [values for line in part.lines.values() for values in line.values()]


def _line(cells: Cells) -> str:
    return "| " + " | ".join(cells) + " |"


def _subtitle(environment: dict[str, object], n_rounds: int) -> str:
    where = environment["accelerator"] or environment["processor"]
    words = f"{where} · threads: {environment['threads']} · torch {environment['torch']}"
    return f"{words} · medians of {n_rounds} rounds in turn, and ranges"
