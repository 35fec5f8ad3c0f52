"""The good files that are mutated: a small run with all that a run folder holds, images in every format, a data set."""

import gzip
import io
import json
import lzma
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from ebmnist import pipeline
from ebmnist.config import load_recipe
from ebmnist.evaluation.base import Metric
from ebmnist.evaluation.records import SectionRecord
from ebmnist.exporting import calibrate
from ebmnist.reporting.measurements import Measurements, write_measurements

SMALL = {
    **{"energy.width": 2, "energy.depth": 2, "training.n_updates": 2, "training.batch_size": 4, "training.n_steps": 1},
    **{"training.start.size": 8, "artifacts.checkpoint_every": 1, "artifacts.keep": 1},
    **{"data.kind": "idx", "data.n_validation": 4, "device": "cpu"},
}


def make_corpus(folder: Path) -> None:
    """Write `run/`, `data/` and `images/` into a new folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    (folder / "data").mkdir(parents=True)
    for split, n in (("train", 16), ("t10k", 4)):
        _write_idx(folder / "data" / f"{split}-images-idx3-ubyte", pixels[:n])
        _write_idx(folder / "data" / f"{split}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10)
    _make_images(folder / "images", pixels[:3])
    words = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    for _ in pipeline.train(load_recipe("smoke", [*words, "--data.root", str(folder / "data")]), folder / "run"):
        pass
    calibrate(folder / "run")
    _fill_run(folder / "run")


def _make_images(folder: Path, pixels: np.ndarray) -> None:
    folder.mkdir()
    np.save(folder / "floats.npy", np.float32(pixels) / np.float32(255))
    np.save(folder / "bytes.npy", pixels)
    grid = np.zeros((32, 92), dtype=np.uint8)
    for i, tile in enumerate(pixels):
        grid[2:30, 2 + 30 * i : 30 + 30 * i] = tile
    Image.fromarray(grid).save(folder / "grid.png")
    Image.fromarray(np.dstack([pixels[0]] * 4), "RGBA").save(folder / "alpha.png")
    Image.fromarray(pixels[0].astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(pixels[0]).convert("P").save(folder / "palette.png", transparency=0)
    _write_idx(folder / "plain-idx3-ubyte", pixels)
    content = (folder / "plain-idx3-ubyte").read_bytes()
    (folder / "emnist-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    (folder / "images-idx3-ubyte.xz").write_bytes(lzma.compress(content))
    np.savez(folder / "arrays.npz", x=pixels)


def _fill_run(run: Path) -> None:
    """What evaluation and drawing leave behind."""
    metrics = (Metric("Fréchet distance", 12.5, 0.5, "", "N = 100"), Metric("drift", float("inf")))
    section = SectionRecord(metrics, metrics[:1], "how it was measured", 3.0, True, 0, "c0ffee")
    model = {"recipe": "smoke", "about": "small", "updates": 2, "checkpoint": "0" * 12, "seed": 0, "quick": True}
    environment = json.loads((run / "env.json").read_text(encoding="utf-8"))
    measured = Measurements({**model, "device": "cpu"}, environment, {"fidelity": section}, {"ood": "ood: why"})
    write_measurements(run / "evaluation.json", measured)
    picture = io.BytesIO()
    Image.new("L", (4, 4)).save(picture, "PNG")
    (run / "figures" / "samples.png").write_bytes(picture.getvalue())
    part = {
        "title": "Images",
        "words": "Some.",
        "pictures": ["samples.png"],
        "columns": ["a", "b"],
        "rows": [["c", "1"]],
    }
    (run / "figures" / "plots.json").write_text(json.dumps([part]), encoding="utf-8")
    event = {"step": 1, "action": "WATCHED", "signals": ["gap"], "time": "2026-01-01T00:00:00+00:00"}
    (run / "events.jsonl").write_text(json.dumps(event) + "\n", encoding="utf-8")


def _write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())
