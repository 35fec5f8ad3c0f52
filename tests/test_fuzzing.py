"""A part of `make fuzz`: what is whole and wrong is read or refused in one line, in bounded time and memory."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzing import mutations


@pytest.mark.slow
def test_mutated_files_are_read_or_refused_in_one_line():
    # A process of its own, because its memory is bounded.
    words = [sys.executable, "-m", "fuzzing", "--n", "250", "--seed", "1", "--seconds", "60"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        words, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["read"] + figures["refused"] == 250
    assert figures["peak_MB"] < 1000
    # Both come about: mutations that change nothing would make this test worthless.
    assert figures["read"] > 25
    assert figures["refused"] > 125


def test_a_number_too_large_for_a_float_can_be_mutated():
    for seed in range(200):
        mutations.plain({"step": 10**4400}, random.Random(seed))
