"""Paired timing: A and B in turn in one process, so that the ratio holds when the machine's speed drifts."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ebmnist.artifacts.environment import describe_environment

RESULTS = Path(__file__).parent / "results"


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Mean wall time of one call over `repeats` of them."""
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begin) / repeats


def paired(works: dict[str, Callable[[], object]], *, rounds: int, repeats: int, warmup: int = 3) -> dict[str, Any]:
    """Time every work in turn, `rounds` times; ratios are the first one's time over each other's, round by round."""
    for work in works.values():
        seconds(work, warmup)
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work, repeats))
    first = next(iter(works))
    return {
        name: {
            "median_ms": 1e3 * statistics.median(t),
            "speedup": statistics.median(a / b for a, b in zip(times[first], t, strict=True)),
            "speedup_range": [f(a / b for a, b in zip(times[first], t, strict=True)) for f in (min, max)],
        }
        for name, t in times.items()
    }


def publish(name: str, title: str, tables: dict[str, dict[str, Any]]) -> None:
    """Print the tables, and write them with machine, commit and versions to results/<name>.json and .md."""
    console = Console()
    lines = [f"# {title}", ""]
    environment = describe_environment() | {
        "load_average": os.getloadavg()[0],
        "torch_threads": torch.get_num_threads(),
    }
    for what, rows in tables.items():
        table = Table(title=what)
        columns = ("", "median, ms", "times faster than the first", "range")
        lines += [f"## {what}", "", "| " + " | ".join(columns) + " |", "|---|---|---|---|"]
        for column in columns:
            table.add_column(column)
        for row, r in rows.items():
            low, high = r["speedup_range"]
            cells = (row, f"{r['median_ms']:.2f}", f"{r['speedup']:.2f} ×", f"{low:.2f} – {high:.2f}")
            table.add_row(*cells)
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
        console.print(table)
    lines += [f"{k}: {v}  " for k, v in environment.items()]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = {"environment": environment, "tables": tables, "platform": platform.platform()}
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
