import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ebmnist
from ebmnist.reporting.environment import describe_environment


def test_it_says_what_it_ran_on_in_strict_json():
    env = describe_environment()
    assert json.loads(json.dumps(env, allow_nan=False)) == env
    assert env["ebmnist"] == ebmnist.__version__
    assert env["python"] == ".".join(map(str, sys.version_info[:3]))
    assert env["torch"] == torch.__version__
    assert (env["cores"], env["threads"]) == (os.cpu_count(), torch.get_num_threads())
    assert env["amx"] in (True, False, None)


def test_it_names_no_user_and_no_host(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann o'nymous" if os.name == "nt" else "/home/ann")
    monkeypatch.setattr(platform, "node", lambda: "tower7")
    words = [
        "/home/ann/bin/ebmnist",
        "train",
        "--out",
        "/home/ann/a b",
        "--data=/disk/ann/tower7",
        "/home/annex",
        "ann",
    ]
    monkeypatch.setattr(sys, "argv", words)
    command = describe_environment()["command"]
    # A bare word may be anything, a recipe's name too: it stays.
    assert command == "ebmnist train --out '~/a b' --data=/disk/…/… /home/annex ann"
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setattr(sys, "argv", ["-c", "/data"])
    assert describe_environment()["command"] == "-c /data"


def test_the_commit_is_that_of_the_working_copy():
    root = Path(ebmnist.__file__).parents[2]
    if not (root / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a working copy")
    env = describe_environment()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    assert env["commit"] == head.stdout.strip()
    assert env["dirty"] in (True, False)


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    env = describe_environment()
    assert (env["commit"], env["dirty"]) == (None, None)
