"""Figures: tensors and records → one picture file each, in one style; the only place that imports matplotlib."""

from ebmnist.artifacts.figures.chain import film_steps, save_animation, save_film_strip
from ebmnist.artifacts.figures.curves import save_curves
from ebmnist.artifacts.figures.denoising import Denoised, save_denoising
from ebmnist.artifacts.figures.energies import save_energies
from ebmnist.artifacts.figures.grid import image_grid, save_grid
from ebmnist.artifacts.figures.replay import save_replay
from ebmnist.artifacts.figures.samples import save_beside_data, save_panels, save_samples
from ebmnist.artifacts.figures.sections import SECTION_FIGURES, save_section

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
