"""One picture for each section of the evaluation, by the section's name."""

from pathlib import Path
from typing import Protocol

from ebmnist.evaluation.base import SectionResult
from ebmnist.reporting.plots.chain_length import save_chain_length
from ebmnist.reporting.plots.fidelity import save_fidelity
from ebmnist.reporting.plots.landscape import save_landscape
from ebmnist.reporting.plots.likelihood import save_likelihood
from ebmnist.reporting.plots.mixing import save_mixing
from ebmnist.reporting.plots.ood import save_ood
from ebmnist.reporting.plots.restoration import save_inpainting, save_psnr, save_restoration


class SaveMeasured(Protocol):
    """Draws what a section measured. Raises `BadInput` where there is nothing to draw, or nowhere to write."""

    def __call__(self, measured: SectionResult, path: Path, *, recipe: str) -> Path:
        """Return the path."""
        ...


SECTION_FIGURES: dict[str, SaveMeasured] = {
    "fidelity": save_fidelity,
    "chain_length": save_chain_length,
    "mixing": save_mixing,
    "ood": save_ood,
    "denoising": save_psnr,
    "inpainting": save_inpainting,
    "landscape": save_landscape,
    "likelihood": save_likelihood,
    "restoration": save_restoration,
}


def save_section(name: str, measured: SectionResult, path: Path, *, recipe: str) -> Path | None:
    """Draw the picture of the section `name`; return its path, or None for a section without a picture.

    Figures and arrays that are missing are not drawn.

    Raises:
        BadInput: nothing at all to draw, an unknown suffix, or a path that cannot be written.
    """
    save = SECTION_FIGURES.get(name)
    return None if save is None else save(measured, path, recipe=recipe)
