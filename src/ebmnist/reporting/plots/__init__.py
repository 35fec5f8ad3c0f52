"""Figures: tensors and records → one picture file each, in one style; the only place that imports matplotlib."""

from ebmnist.reporting.grid import image_grid, save_grid
from ebmnist.reporting.plots.chain import film_steps, save_animation, save_film_strip
from ebmnist.reporting.plots.curves import save_curves
from ebmnist.reporting.plots.denoising import Denoised, save_denoising
from ebmnist.reporting.plots.energies import save_energies
from ebmnist.reporting.plots.replay import save_replay
from ebmnist.reporting.plots.samples import save_beside_data, save_panels, save_samples
from ebmnist.reporting.plots.sections import SECTION_FIGURES, save_section

__all__ = [
    "SECTION_FIGURES",
    "Denoised",
    "film_steps",
    "image_grid",
    "save_animation",
    "save_beside_data",
    "save_curves",
    "save_denoising",
    "save_energies",
    "save_film_strip",
    "save_grid",
    "save_panels",
    "save_replay",
    "save_samples",
    "save_section",
]
