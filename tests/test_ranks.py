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
from ebmnist.energies import MLP, ConvNet
from ebmnist.energies.freezing import memo_of
from ebmnist.errors import BadInput
from ebmnist.launched import join
from ebmnist.native import library
from ebmnist.ranks import ALONE, Ranks
from ebmnist.training import ContrastiveDivergence
from ebmnist.training.divided import PART, DividedEnergy, Division, check_ranks
from ebmnist.training.fixed_sum import MOST, checksum, fixed_sum

JOINED = Division(Ranks(joined=True))  # a group of one: all that several do, without the others


@pytest.mark.parametrize(("n", "size"), [(128, 1), (128, 3), (4, 4), (7, 5), (2, 3)])
def test_shares_are_all_there_in_order_and_differ_by_at_most_one(n: int, size: int) -> None:
    ranks = Ranks(size=size)
    shares = [list(range(n)[ranks.share(n, rank)]) for rank in range(size)]
    assert list(itertools.chain(*shares)) == list(range(n))
    assert [len(share) for share in shares] == ranks.shares(n)
    assert max(ranks.shares(n)) - min(ranks.shares(n)) <= 1


def test_a_fixed_sum_has_the_same_bits_in_any_order_and_grouping() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(40, 1000, generator=generator) * 10 ** (6 * torch.rand(40, 1000, generator=generator))
    total = fixed_sum(ALONE, list(parts))
    shuffled = parts[torch.randperm(40, generator=generator)]
    assert torch.equal(fixed_sum(ALONE, list(shuffled)), total)
    assert not torch.equal(shuffled.sum(0), parts.sum(0))  # which float32 does not
    exact = torch.tensor([math.fsum(column) for column in parts.T.tolist()], dtype=torch.float64)
    rounding = exact.abs() * 2**-24 + 40 * 2**-44 * float(parts.abs().max())
    assert bool(((total.double() - exact).abs() <= rounding).all())


def test_a_fixed_sum_keeps_any_magnitude_and_invents_nothing() -> None:
    for scale in (1e-37, 1.0, 1e37):
        assert fixed_sum(ALONE, [torch.tensor([scale, 0.0])] * 2).tolist() == pytest.approx([2 * scale, 0.0], rel=1e-6)
    assert fixed_sum(ALONE, [torch.zeros(3)]).tolist() == [0, 0, 0]
    for bad in (math.nan, math.inf, -math.inf):
        assert fixed_sum(ALONE, [torch.tensor([bad, 1.0]), torch.ones(2)]).isnan().all()


def test_a_compressed_sum_has_the_same_bits_in_any_order_and_keeps_small_pieces() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(MOST, 300, generator=generator) * torch.tensor([1.0, 1e-6, 1e-30]).repeat_interleave(100)
    total = fixed_sum(ALONE, list(parts), sizes=[100, 100, 100])
    shuffled = parts[torch.randperm(MOST, generator=generator)]
    assert torch.equal(fixed_sum(ALONE, list(shuffled), sizes=[100, 100, 100]), total)
    for piece, of in zip(total.split(100), parts.split(100, dim=1), strict=True):
        # Each summand is off by at most 2⁻¹⁶ of a power of two that is at most twice the largest component.
        assert (piece.double() - of.double().sum(0)).abs().max() <= MOST * 2**-15 * float(of.abs().max())
    few = parts[:4]
    error = fixed_sum(ALONE, list(few), sizes=[300]).double() - few.double().sum(0)
    assert error.abs().max() > 2**-20 * float(few.abs().max())  # which the sum of 44 bits is not
    with_nan = [torch.tensor([1.0, math.nan]), torch.ones(2)]
    assert fixed_sum(ALONE, with_nan, sizes=[1, 1]).isnan().all()


def test_a_compressed_sum_sends_half_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(Ranks, "summed", lambda _, values: sent.append(values.nbytes) or values)
    for sizes in (None, [600, 400]):
        fixed_sum(ALONE, [torch.ones(1000)], sizes=sizes)
    assert sent == [8000, 4000]


def test_weights_that_differ_between_ranks_stop_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, others = torch.ones(5), torch.ones(5) + 2**-23
    seen = torch.tensor([0, checksum([others]), -checksum([others])])
    monkeypatch.setattr(Ranks, "largest", lambda _, values: torch.maximum(values, seen))
    with pytest.raises(BadInput, match="weights have come apart"):
        fixed_sum(Ranks(size=2), [torch.ones(3)], [mine])


@pytest.mark.parametrize(
    "energy",
    [ConvNet(4, spectral_norm=True), ConvNet(4), MLP(784, width=8, depth=2)],
    ids=["normalised", "plain", "mlp"],
)
def test_a_divided_energy_gives_the_loss_and_gradient_of_the_whole_batch(energy: nn.Module) -> None:
    """And spectral normalisation's power iteration moves as often: once."""
    generator = torch.Generator().manual_seed(0)
    x_pos, x_neg = torch.rand(2, PART + 3, 1, 28, 28, generator=generator)
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
    x = torch.rand(3 * PART, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    before = DividedEnergy(energy, JOINED)(x)
    assert len(packed) == (1 if library() is not None else 0)
    energy.head.bias.data += 1.0  # which autograd's version counter does not see
    after = DividedEnergy(energy, JOINED)(x)
    assert torch.allclose(after, before + 1.0, atol=1e-4)
    assert memo_of(energy) is None


@pytest.mark.parametrize(
    "energy",
    [ConvNet(4, spectral_norm=True), ConvNet(4), MLP(784, width=8, depth=2)],
    ids=["normalised", "plain", "mlp"],
)
def test_microbatches_give_the_same_bits(energy: nn.Module) -> None:
    """And spectral normalisation's power iteration moves as often: once."""
    x_pos, x_neg = torch.rand(2, PART + 3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    begin = {name: value.clone() for name, value in energy.state_dict().items()}
    seen = []
    for division in (JOINED, JOINED._replace(microbatch_size=1), JOINED._replace(microbatch_size=100)):
        energy.load_state_dict(begin)
        energy.zero_grad()
        divided = DividedEnergy(energy, division)
        loss, _ = ContrastiveDivergence(max_gap=1.0)(divided, x_pos, x_neg)
        divided.backward(loss)
        grads = [p.grad.clone() for p in energy.parameters() if p.grad is not None]
        seen.append([loss.detach(), *grads, *(value.clone() for value in energy.state_dict().values())])
    assert len(seen[0]) > len(begin) + 1
    assert all(map(torch.equal, seen[0], seen[1]))
    assert all(map(torch.equal, seen[0], seen[2]))
    energy.zero_grad()


def test_microbatches_keep_one_graph_at_a_time() -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(784))

        def forward(self, x: Tensor) -> Tensor:
            hidden = (x.flatten(1) * self.weight).tanh()
            alive.append(weakref.ref(hidden))
            most.append(sum(ref() is not None for ref in alive))
            return hidden.square().sum(1)  # whose graph keeps `hidden`

    x = torch.rand(4 * PART, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for division, expected in ((JOINED, [1, 2, 3, 4]), (JOINED._replace(microbatch_size=PART), [1] * 8)):
        alive.clear()
        most.clear()
        divided = DividedEnergy(Watched(), division)
        divided.backward(divided(x).mean())
        assert most == expected


def test_an_energy_that_is_random_has_no_microbatches() -> None:
    energy = nn.Sequential(nn.Flatten(), nn.Dropout(), MLP(784, width=4, depth=2))
    divided = DividedEnergy(energy, JOINED._replace(microbatch_size=64))
    torch.manual_seed(0)
    values = divided(10 * torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(BadInput, match=r"as with dropout: set training.microbatch_size to null"):
        divided.backward(values.mean())


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


def test_more_ranks_than_parts_are_refused() -> None:
    check_ranks(Ranks(size=4), batch_size=128)
    with pytest.raises(BadInput, match=r"5 ranks: an update has 4 parts .* at most 4 ranks, or .* at least 160"):
        check_ranks(Ranks(size=5), batch_size=128)
    check_ranks(Ranks(size=4), batch_size=32, denoising=True)
    with pytest.raises(BadInput, match=r"5 ranks: an update has 4 parts of 8 images, noisy images; .* at least 40"):
        check_ranks(Ranks(size=5), batch_size=32, denoising=True)


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
