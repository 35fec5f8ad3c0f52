"""Not a test: a run that is killed, again and again, and what must be true after each death. Used by test_kill.py.

One process imports torch and forks: a hundred deaths cost a second.
"""

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from ebmnist.errors import BadInput
from ebmnist.reporting import RunFolder, latest_checkpoint, load_checkpoint
from ebmnist.reporting import run as run_module
from ebmnist.reporting.checkpoint import list_checkpoints
from ebmnist.training.base import Action, Decision, StepRecord

N_WEIGHTS = 20_000


def resume(path):
    """Load every checkpoint, rewind to the latest, and check that records and events are those of an unbroken run."""
    run = RunFolder.open(path)
    step = 0
    for step, checkpoint in list_checkpoints(run.checkpoints).items():
        tensors, facts, _ = load_checkpoint(checkpoint)
        assert facts["step"] == step
        assert torch.equal(tensors["w"], torch.full((N_WEIGHTS,), facts["value"])), "torn checkpoint"
    run.rewind(step)
    assert [r.step for r in run.read_metrics()] == list(range(1, step + 1))
    assert [e.step for e in run.read_events()] == list(range(1, step + 1))
    return run, step


def one_update(run, step):
    """Save the step before once more, which replaces it as after a rollback; log a new one, and save it."""
    if step > 1:
        save(run, step - 1, step - 0.5)
    run.log(StepRecord(step, *[0.5] * (len(StepRecord._fields) - 1)), Decision(Action.LR_LOWERED, ("gap",)))
    save(run, step, float(step))


def save(run, step, value):
    weights = torch.full((N_WEIGHTS,), value)
    run.save(tensors={"w": weights}, facts={"step": step, "value": value}, keep=2)


def fork(work):
    """Run `work()` in a child process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def kill_at_random(path, n_deaths=20):
    """Kill -9 a run at random instants; what it had reported as saved must be there."""
    rng = random.Random(0)
    for death in range(n_deaths):
        run, before = resume(path)
        run.close()
        reader, writer = os.pipe()

        def work(writer=writer):
            run, step = resume(path)
            while True:
                step += 1
                one_update(run, step)
                os.write(writer, b".")

        child = fork(work)
        os.close(writer)
        reported = sum(len(os.read(reader, 1)) for _ in range(rng.randrange(3)))
        time.sleep(rng.uniform(0.0, 0.04))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, f"died by itself: {status}"
        reported += len(os.read(reader, 1_000_000))
        os.close(reader)
        run, after = resume(path)
        run.close()
        assert before + reported <= after <= before + reported + 1, (death, before, reported, after)
    assert after > 0, "nothing was ever saved"


def kill_before_every_change(path):
    """Die before each call that can change the disk in one update; N calls, N deaths."""
    os.fsync = lambda _: None  # slow, and of use against power cuts only
    with RunFolder.open(path) as run:
        for step in (1, 2, 3):
            one_update(run, step)
    n_deaths, status = -1, None
    while status != 0:
        n_deaths += 1
        run, before = resume(path)
        run.close()

        def work(countdown=n_deaths):
            run, step = resume(path)
            sys.addaudithook(dying_after(countdown))
            one_update(run, step + 1)

        _, status = os.waitpid(fork(work), 0)
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        run, after = resume(path)
        run.close()
        assert after in ((before + 1,) if status == 0 else (before, before + 1))
    print(n_deaths, "deaths")


def kill_before_every_change_of_a_beginning(path):
    """Die before each call that can change the disk while a run folder is made; it can be made, or taken up, again."""
    os.fsync = lambda _: None
    run_module.describe_environment = dict  # asks git, in a process of its own
    n_deaths, status = -1, None
    while status != 0:
        n_deaths += 1
        where = path.with_name(f"begun-{n_deaths}")

        def work(where=where, countdown=n_deaths):
            sys.addaudithook(dying_after(countdown))
            RunFolder.create(where, "seed: 0\n").close()

        _, status = os.waitpid(fork(work), 0)
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        if (where / "recipe.yaml").exists():
            run, step = resume(where)
            assert step == 0
        else:
            run = RunFolder.create(where, "seed: 0\n")
        with run:
            one_update(run, 1)
        assert [p for p in where.rglob("*") if p.name.startswith(".")] == []
    print(n_deaths, "deaths")


def dying_after(countdown):
    """An audit hook that kills its process at the call number `countdown`, from 0, that can change the disk."""

    def die(event, _):
        nonlocal countdown
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            if countdown == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            countdown -= 1

    return die


def read_beside_a_writer(path, n_reads=1000):
    """Read a run while another process saves, replaces and prunes as fast as it can: each read finds a whole one."""
    os.fsync = lambda _: None
    with RunFolder.open(path) as run:
        one_update(run, 1)

    def work():
        run, step = resume(path)
        while True:
            step += 1
            save(run, step, float(step))
            save(run, step, step + 0.5)  # replaces it
            save(run, step - 1, step - 1.0)  # as after a rollback; the later one goes
            save(run, step, float(step))

    child = fork(work)
    try:
        newest, ended = 0, 0
        for _ in range(n_reads):
            tensors, facts, _ = load_checkpoint(path)
            assert torch.equal(tensors["w"], torch.full((N_WEIGHTS,), facts["value"])), "of two checkpoints"
            newest = max(newest, facts["step"])
            assert latest_checkpoint(path).parent == path / "checkpoints"
            ended, _ = os.waitpid(child, os.WNOHANG)
            assert ended == 0, "the writer died"
        assert newest > 20, f"the writer came to {newest} only"
        print(n_reads, "reads beside", newest, "updates")
    finally:
        if ended == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def replace_beside_a_reader(path, n_reads=1000):
    """Read one checkpoint by its path while another process replaces it: it is never missing and never torn."""
    os.fsync = lambda _: None
    with RunFolder.open(path) as run:
        save(run, 1, 1.0)

    def work():
        run = RunFolder.open(path)
        run.lock()
        for n in itertools.count():
            save(run, 1, float(n))

    child = fork(work)
    try:
        values = set()
        for _ in range(n_reads):
            tensors, facts, _ = load_checkpoint(path / "checkpoints" / "step-00000001")
            assert torch.equal(tensors["w"], torch.full((N_WEIGHTS,), facts["value"])), "of two checkpoints"
            values.add(facts["value"])
        assert len(values) > 20, f"replaced {len(values)} times only"
        print(n_reads, "reads of", len(values), "replacements")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def fill_the_disk(path):
    """Save ever larger checkpoints on a small disk until one does not fit."""
    run = RunFolder.create(path / "r", "seed: 0\n")
    step, refusal = 0, ""
    while not refusal:
        step += 1
        try:
            run.save(tensors={"w": torch.full((1000 * step,), float(step))}, facts={"step": step}, keep=1)
        except BadInput as error:
            refusal = str(error)
    assert "No space left on device" in refusal, refusal
    assert refusal.endswith(f"step-{step - 1:08d}"), refusal
    assert [p.name for p in run.checkpoints.iterdir()] == [f"step-{step - 1:08d}"]
    assert torch.equal(load_checkpoint(run.path).tensors["w"], torch.full((1000 * (step - 1),), step - 1.0))


if __name__ == "__main__":
    torch.set_num_threads(1)
    where = Path(sys.argv[2])
    if sys.argv[1] != "fill_the_disk":
        RunFolder.create(where, "seed: 0\n").close()
    work = {
        f.__name__: f
        for f in (
            kill_at_random,
            kill_before_every_change,
            kill_before_every_change_of_a_beginning,
            read_beside_a_writer,
            replace_beside_a_reader,
            fill_the_disk,
        )
    }
    work[sys.argv[1]](where)
