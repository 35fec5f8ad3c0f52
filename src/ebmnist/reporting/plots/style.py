"""The one style of all pictures: colours, type and sizes. Light, quiet, safe for colour-blind readers."""

from typing import Any, Final

DPI: Final = 150
MARGIN: Final = 40  # pixels around a picture's content
NARROWEST: Final = 860  # pixels of content: what a title takes
WIDEST: Final = 1250
LARGEST_SCALE: Final = 6  # of a digit's pixel
HEADER: Final = 116  # pixels above the content, for title and subtitle

PAPER: Final = "#ffffff"
INK: Final = "#1b2733"
MUTED: Final = "#66727f"
FAINT: Final = "#e6e9ed"

# Paul Tol's "vibrant" scheme (SRON technical note 2021): distinct for every common colour blindness.
BLUE: Final = "#0077bb"
ORANGE: Final = "#ee7733"
TEAL: Final = "#009988"
MAGENTA: Final = "#ee3377"
CYAN: Final = "#33bbee"
RED: Final = "#cc3311"
GREY: Final = "#8d96a0"  # darker than Tol's, to be read on white
CYCLE: Final = (BLUE, ORANGE, TEAL, MAGENTA, CYAN, RED, GREY)

DATA: Final = BLUE  # what comes from the data set, in every picture
MODEL: Final = ORANGE  # what comes from the model

TITLE: Final[dict[str, Any]] = {"fontsize": 14, "fontweight": "bold", "color": INK}
SUBTITLE: Final[dict[str, Any]] = {"fontsize": 9.5, "color": MUTED}
LABEL: Final[dict[str, Any]] = {"fontsize": 10, "color": INK}
SMALL: Final[dict[str, Any]] = {"fontsize": 8.5, "color": MUTED}

# Laid over matplotlib's own defaults, so that neither a user's matplotlibrc nor a notebook changes a picture.
STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same everywhere
    "text.parse_math": False,  # a recipe's name may hold dollars
    "font.size": 9,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": "#c3c9d0",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlepad": 9,
    "xtick.color": "#c3c9d0",
    "ytick.color": "#c3c9d0",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "xtick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "svg.hashsalt": "ebmnist",
}
