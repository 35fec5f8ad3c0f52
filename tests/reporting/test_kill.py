import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("dying_runs.py")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def lives_through(*command):
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@forks
@pytest.mark.slow
def test_a_run_survives_kill_9_at_random_instants(tmp_path):
    lives_through(sys.executable, SCRIPT, "kill_at_random", tmp_path / "r")


@forks
def test_a_run_survives_a_kill_before_every_change_of_the_disk(tmp_path):
    deaths = lives_through(sys.executable, SCRIPT, "kill_before_every_change", tmp_path / "r")
    assert int(deaths.split()[0]) > 20


@forks
def test_a_beginning_that_is_killed_before_any_change_of_the_disk_can_be_begun_again(tmp_path):
    deaths = lives_through(sys.executable, SCRIPT, "kill_before_every_change_of_a_beginning", tmp_path / "r")
    assert int(deaths.split()[0]) > 10


@forks
@pytest.mark.parametrize("work", ["read_beside_a_writer", "replace_beside_a_reader"])
def test_a_reader_beside_a_writer_finds_a_whole_checkpoint_each_time(tmp_path, work):
    assert lives_through(sys.executable, SCRIPT, work, tmp_path / "r").startswith("1000 reads")


def test_a_real_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=256k tmpfs '{tmp_path}'"
    if not shutil.which("unshare") or subprocess.run([*own_mounts, mount], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted")
    lives_through(*own_mounts, f"{mount} && exec '{sys.executable}' '{SCRIPT}' fill_the_disk '{tmp_path}'")
    assert list(tmp_path.iterdir()) == []
