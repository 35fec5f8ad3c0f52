"""Ranks: how work is shared, sums that are the same in any order, and runs that are the same on any number of ranks."""

import itertools
import math
import os
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from ebmnist import pipeline, waiting
from ebmnist.cli import main
from ebmnist.config import load_recipe
from ebmnist.energies import MLP, ConvNet
from ebmnist.energies.freezing import memo_of
from ebmnist.errors import BadInput
from ebmnist.launched import join
from ebmnist.native import library
from ebmnist.random import Purpose, Stream
from ebmnist.ranks import ALONE, Ranks
from ebmnist.sampling import Draw, Langevin
from ebmnist.training import ContrastiveDivergence
from ebmnist.training.divided import DividedEnergy, move
from ebmnist.training.division import PIECE, Division
from ebmnist.training.fixed_sum import checksum, fixed_sum
from ebmnist.training.step import check_ranks

JOINED = Division(Ranks(joined=True))  # a group of one: all that several do, without the others


@pytest.mark.parametrize(("n", "size"), [(128, 1), (128, 3), (4, 4), (7, 5), (2, 3)])
def test_shares_are_all_there_in_order_and_differ_by_at_most_one(n: int, size: int) -> None:
    ranks = Ranks(size=size)
    shares = [list(range(n)[ranks.share(n, rank)]) for rank in range(size)]
    assert list(itertools.chain(*shares)) == list(range(n))
    assert [len(share) for share in shares] == ranks.shares(n)
    assert max(ranks.shares(n)) - min(ranks.shares(n)) <= 1


@pytest.mark.parametrize("sizes", [None, [600, 400]], ids=["float64", "int32"])
def test_a_fixed_sum_has_the_same_bits_in_any_order_and_grouping(sizes: list[int] | None) -> None:
    n, generator = 40, torch.Generator().manual_seed(0)
    parts = torch.randn(n, 1000, generator=generator) * 10 ** (6 * torch.rand(n, 1000, generator=generator))
    total = fixed_sum(ALONE, list(parts), n, sizes=sizes)
    shuffled = parts[torch.randperm(n, generator=generator)]
    assert torch.equal(fixed_sum(ALONE, list(shuffled), n, sizes=sizes), total)
    assert not torch.equal(shuffled.sum(0), parts.sum(0))  # which float32 does not
    exact = torch.tensor([math.fsum(column) for column in parts.T.tolist()], dtype=torch.float64)
    kept = 53 - 6 if sizes is None else 30 - 6  # bits, for 40 parts
    cut = (t.split(sizes or 1000, -1) for t in (exact, parts, total))
    for piece, summands, got in zip(*cut, strict=True):
        rounding = piece.abs() * 2**-24 + n * 2**-kept * float(summands.abs().max())
        assert bool(((got.double() - piece).abs() <= rounding).all())


def test_a_fixed_sum_keeps_any_magnitude_and_invents_nothing() -> None:
    for sizes in (None, [1, 1]):
        for scale in (1e-37, 1.0, 1e37):
            total = fixed_sum(ALONE, [torch.tensor([scale, 0.0])] * 2, 2, sizes=sizes)
            assert total.tolist() == pytest.approx([2 * scale, 0.0], rel=1e-6)
        assert fixed_sum(ALONE, [torch.zeros(2)], 1, sizes=sizes).tolist() == [0, 0]
        for bad in (math.nan, math.inf, -math.inf):
            assert fixed_sum(ALONE, [torch.tensor([bad, 1.0]), torch.ones(2)], 2, sizes=sizes).isnan().all()
    assert fixed_sum(ALONE, [torch.full((1,), 1e-300, dtype=torch.float64)], 1).item() == pytest.approx(1e-300)


def test_a_compressed_sum_sends_half_the_bytes_and_keeps_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(Ranks, "summed", lambda _, values: sent.append(values.nbytes) or values)
    part = torch.cat([torch.linspace(-1, 1, 600), 1e-9 * torch.linspace(-1, 1, 400)])
    for sizes in (None, [600, 400]):
        total = fixed_sum(ALONE, [part] * 4, 4, sizes=sizes)
        for got, piece in zip(total.split([600, 400]), part.split([600, 400]), strict=True):
            assert torch.allclose(got, 4 * piece, rtol=0, atol=1e-5 * float(piece.max()))
    assert sent == [8000, 4000]


def test_weights_that_differ_between_ranks_stop_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, others = torch.ones(5), torch.ones(5) + 2**-23
    seen = torch.tensor([0, checksum([others]), -checksum([others])])
    monkeypatch.setattr(Ranks, "largest", lambda _, values: torch.maximum(values, seen))
    with pytest.raises(BadInput, match="weights have come apart"):
        fixed_sum(Ranks(size=2), [torch.ones(3)], 2, [mine])


@pytest.mark.parametrize(
    "energy",
    [ConvNet(4, spectral_norm=True), ConvNet(4), MLP(784, width=8, depth=2)],
    ids=["normalised", "plain", "mlp"],
)
def test_a_divided_energy_gives_the_loss_and_gradient_of_the_whole_batch(energy: nn.Module) -> None:
    """And spectral normalisation's power iteration moves as often: once."""
    generator = torch.Generator().manual_seed(0)
    x_pos, x_neg = torch.rand(2, PIECE + 3, 1, 28, 28, generator=generator)
    objective = ContrastiveDivergence(max_gap=1.0)
    begin = {name: value.clone() for name, value in energy.state_dict().items()}
    whole, terms = objective(energy, x_pos, x_neg)
    grads = torch.autograd.grad(whole, list(energy.parameters()))
    after = {name: value.clone() for name, value in energy.state_dict().items()}

    energy.load_state_dict(begin)
    divided = DividedEnergy(energy, JOINED)
    loss, divided_terms = objective(divided, x_pos, x_neg)
    divided.backward(loss)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-4)
    assert {k: float(v) for k, v in divided_terms.items()} == pytest.approx(
        {k: float(v) for k, v in terms.items()}, 1e-4
    )
    largest = max(float(grad.abs().max()) for grad in grads)
    for p, grad in zip(energy.parameters(), grads, strict=True):
        assert p.grad is not None
        assert (p.grad - grad).abs().max() <= 1e-2 * largest  # bfloat16, where the processor has it
    assert all(torch.equal(value, after[name]) for name, value in energy.state_dict().items())
    energy.zero_grad()


def test_the_parts_of_an_update_share_what_follows_from_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next update follows the weights wherever they have moved, whoever moved them."""
    energy, packed = ConvNet(4), []
    pack = ConvNet._pack
    monkeypatch.setattr(ConvNet, "_pack", lambda *a, **how: packed.append(1) or pack(*a, **how))
    x = torch.rand(3 * PIECE, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    before = DividedEnergy(energy, JOINED)(x)
    assert len(packed) == (1 if library() is not None else 0)
    energy.head.bias.data += 1.0  # which autograd's version counter does not see
    after = DividedEnergy(energy, JOINED)(x)
    assert torch.allclose(after, before + 1.0, atol=1e-4)
    assert memo_of(energy) is None


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize(
    "energy",
    [ConvNet(4, spectral_norm=True), ConvNet(4), MLP(784, width=8, depth=2)],
    ids=["normalised", "plain", "mlp"],
)
def test_microbatches_give_the_same_bits(energy: nn.Module, calls: int) -> None:
    """And spectral normalisation's power iteration moves as often: once a call."""
    x_pos, x_neg = torch.rand(2, PIECE + 3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    begin = {name: value.clone() for name, value in energy.state_dict().items()}
    seen = []
    for division in (JOINED, JOINED._replace(microbatch_size=PIECE), JOINED._replace(microbatch_size=100)):
        energy.load_state_dict(begin)
        energy.zero_grad()
        divided = DividedEnergy(energy, division)
        values = [divided(torch.cat([x_pos, x_neg]))] if calls == 1 else [divided(x_pos), divided(x_neg)]
        divided.backward(torch.cat(values).square().mean())
        grads = [p.grad.clone() for p in energy.parameters() if p.grad is not None]
        seen.append([*values, *grads, *(value.clone() for value in energy.state_dict().values())])
    assert len(seen[0]) > len(begin) + calls
    assert all(map(torch.equal, seen[0], seen[1]))
    assert all(map(torch.equal, seen[0], seen[2]))
    energy.zero_grad()


def test_microbatches_are_of_their_size_and_keep_one_graph_at_a_time() -> None:
    alive: list[weakref.ref[Tensor]] = []
    most, sizes = [], []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(784))

        def forward(self, x: Tensor) -> Tensor:
            hidden = (x.flatten(1) * self.weight).tanh()
            alive.append(weakref.ref(hidden))
            most.append(sum(ref() is not None for ref in alive))
            sizes.append(len(x))
            return hidden.square().sum(1)  # whose graph keeps `hidden`

    x = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    energy = Watched()
    (expected,) = torch.autograd.grad(energy(x).mean(), energy.weight)
    for division in (Division(ALONE, 8), JOINED._replace(microbatch_size=8)):
        for kept in (alive, most, sizes):
            kept.clear()
        energy.zero_grad()
        divided = DividedEnergy(energy, division)
        divided.backward(divided(x).mean())
        assert sizes == [8, 8, 4] * 2
        assert max(most) == 1
        assert energy.weight.grad is not None
        torch.testing.assert_close(energy.weight.grad, expected)


def test_chains_are_moved_in_microbatches_to_the_same_place() -> None:
    energy, kernel = ConvNet(4), Langevin(step_size=0.1)
    draw = Draw(torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(7) + 3)
    rng = Stream(0, Purpose.TRAINING_CHAINS, 0)
    whole, pieces = (move(Division(ALONE, size), energy, kernel, draw, 2, rng=rng, first_step=0) for size in (None, 3))
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.equal(whole.x, draw.x)


def test_an_energy_that_is_random_has_no_microbatches() -> None:
    energy = nn.Sequential(nn.Flatten(), nn.Dropout(), MLP(784, width=4, depth=2))
    divided = DividedEnergy(energy, JOINED._replace(microbatch_size=64))
    values = divided(torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(BadInput, match=r"as with dropout .* set training.microbatch_size to null"):
        divided.backward(values.mean())


def test_a_buffer_that_moves_at_each_call_moves_as_often_with_microbatches() -> None:
    class Counted(nn.Module):
        calls: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(784))
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return (x.flatten(1) * self.weight).square().sum(1)

    energy = Counted()
    divided = DividedEnergy(energy, Division(ALONE, 4))
    divided.backward(divided(torch.ones(8, 1, 28, 28)).mean())
    assert energy.calls == 2


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("microbatch_size", [None, 1, 100])
def test_pieces_are_all_there_in_order(device: str, microbatch_size: int | None) -> None:
    for size, n in itertools.product((1, 2, 3), (3, 64, 1024)):
        shares = Division(Ranks(0, size, joined=True), microbatch_size).pieces(n, torch.device(device), 1)
        assert list(itertools.chain(*(range(n)[rows] for share in shares for rows in share))) == list(range(n))
        assert all(0 < rows.stop - rows.start <= (microbatch_size or n) for share in shares for rows in share)
        if device == "cuda":  # as few as can be
            assert [len(share) for share in shares] == [
                -(-k // (microbatch_size or n)) for k in Ranks(0, size).shares(n)
            ]


def test_what_a_loss_asks_of_the_weights_themselves_is_added_once() -> None:
    energy = MLP(784, width=4, depth=2)
    divided = DividedEnergy(energy, JOINED)
    values = divided(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    divided.backward(values.sum() * 0 + sum(p.sum() for p in energy.parameters()))
    assert all(p.grad is not None and torch.equal(p.grad, torch.ones_like(p)) for p in energy.parameters())


def test_gradients_of_weights_that_lie_transposed_are_theirs() -> None:
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(-1, 1, 784 * 3).view(784, 3).t())

        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1) @ self.weight.t()).square().sum(1)

    energy, x = Transposed(), torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    (expected,) = torch.autograd.grad(energy(x).sum(), energy.weight)
    divided = DividedEnergy(energy, JOINED)
    divided.backward(divided(x).sum())
    assert energy.weight.grad is not None
    torch.testing.assert_close(energy.weight.grad, expected)


def test_an_objective_that_differentiates_in_x_is_refused() -> None:
    divided = DividedEnergy(ConvNet(4), JOINED)
    with pytest.raises(BadInput, match="differentiates the energy in x"):
        divided(torch.zeros(2, 1, 28, 28, requires_grad=True))


@pytest.mark.parametrize(("recipe", "most", "images"), [("smoke", 4, 256), ("mnist-normalised", 4, 32)])
def test_more_ranks_than_pieces_are_refused(recipe: str, most: int, images: int) -> None:
    state = load_recipe(recipe, ["--training.batch_size", "128"] if recipe == "smoke" else []).make_state()
    state.ranks = Ranks(size=most, joined=True)
    check_ranks(state)
    state.ranks = Ranks(size=most + 1, joined=True)
    told = rf"5 ranks: an update has {images} images to differentiate, and pieces for 4 ranks at most; start fewer, or"
    with pytest.raises(BadInput, match=told):
        check_ranks(state)


def test_a_checksum_tells_one_bit() -> None:
    w = torch.linspace(-1, 1, 9).view(3, 3)
    other = w.clone()
    other[1, 1] = torch.nextafter(w[1, 1], torch.tensor(1.0))
    assert checksum([w]) == checksum([w.clone().t().t()]) != checksum([other])


def test_a_process_that_nobody_launched_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with join() as ranks:
        assert ranks is ALONE
    assert ALONE.texts("here") == ["here"]
    assert [ALONE.any(flag) for flag in (True, False)] == [True, False]
    with pytest.raises(BadInput, match=r"^wrong$"), ALONE.agreed():
        raise BadInput("wrong")


def test_a_job_that_torchrun_starts_again_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(pipeline, "resume", lambda path, **how: asked.append({"path": path} | how) or iter(()))
    words = ["train", "smoke", "--out", str(tmp_path)]
    (tmp_path / "recipe.yaml").touch()
    assert main(words) == 2  # the folder is taken
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert main(words) == 0
    (tmp_path / "checkpoints" / "step-00000010").mkdir(parents=True)
    assert main(words) == 0
    assert asked == [{"path": tmp_path, "restart": restart, "ranks": ALONE} for restart in (True, False)]


def test_a_command_that_is_not_divided_is_refused_in_one_line_from_one_rank(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    for rank, told in (("1", ""), ("0", "ebmnist: info: is done by one process; start it without torchrun\n")):
        monkeypatch.setenv("RANK", rank)
        assert main(["info", "pretrained"]) == 2
        assert capsys.readouterr().err == told


def test_a_rank_that_does_not_come_is_named_by_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody who is in the exchange, nor anybody once it is over."""
    for name, seconds in (("NOTED", 0.02), ("SLOW", 1.0), ("LOOK", 0.01)):
        monkeypatch.setattr(waiting, name, seconds)
    store, told = distributed.HashStore(), threading.Event()
    ranks = [waiting.Waiting(store, rank, 3) for rank in range(3)]
    ranks[0].tell = lambda _: told.set()
    with ranks[0].exchange(), ranks[1].exchange():
        assert told.wait(20)
        assert ranks[0].awaited == (f"rank 2 ({socket.gethostname()})",)
        lost = Ranks(0, 3, joined=True, waiting=ranks[0])
        named = r"rank 0 of 3: rank 2 \(.*\) ended or does not answer \(timed out\)"
        with pytest.raises(BadInput, match=named), lost._answered():
            raise RuntimeError("timed out")
    assert [store.get(f"waits-{rank}") for rank in range(3)] == [b"0"] * 3
    with ranks[0].exchange():
        assert ranks[0].awaited == ()
    for rank in ranks:
        rank.end()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_on_several_ranks_is_that_on_one_and_survives_kills_signals_and_bad_input(tmp_path: Path) -> None:
    script = Path(__file__).with_name("distributed_runs.py")
    command = [sys.executable, str(script), str(tmp_path), *("--ranks", "1", "3"), *("--kills", "1"), *("--seed", "59")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on 1 3 ranks" in done.stdout
