"""A healthy update in numbers, and what is usual in a run of such updates."""

from ebmnist.training import StepRecord
from ebmnist.training.running import Running

RECORD = StepRecord(
    step=200,
    loss=-0.1,
    energy_pos=1.0,
    energy_neg=1.5,
    energy_max=4.0,
    weight_grad_norm=2.0,
    weight_norm=10.0,
    grad_norm=0.3,
    share_clipped=0.25,
    share_at_clamp=0.0,
    displacement=5.0,
    diversity=1.0,
    finite_images=1.0,
    lr=6e-4,
    energy_l2=0.05,
    seconds=0.1,
)
USUAL = Running(200, energy_max=4.0, gap=0.5, weight_grad_norm=2.0, grad_norm=0.3, displacement=5.0, unclipped=0.75)
