"""The parser of the commands that restore images: denoise, inpaint, restore."""

from ebmnist.arguments import (
    MODEL,
    MOST_STEPS,
    SEED,
    Subparsers,
    Whole,
    add_command,
    blur,
    box,
    common,
    data_root,
    factor,
    file_path,
    input_file,
    sigma,
)


def denoise_command(commands: Subparsers) -> None:
    """Add `denoise`."""
    note = (
        "Without --input, ten test images are noised and cleaned, and shown clean / noisy / cleaned.\n"
        "With --samples the .png has a row for each image: noisy, mean, twice the standard deviation, samples.\n"
        "A .npy has the samples alone.\n\n"
        "example: ebmnist denoise pretrained --input noisy.npy --samples 8 --out samples.png"
    )
    p = add_command(commands, "denoise", "clean noisy images", note)
    p.add_argument("model", type=file_path, help=MODEL)
    about = "standard deviation of the noise, pixels on [0,1] (default: estimated from --input)"
    p.add_argument("--sigma", type=sigma, help=about)
    p.add_argument("--input", type=input_file, metavar="FILE", help="noisy images: .npy, .png or IDX")
    p.add_argument("--fast", action="store_true", help="by one gradient; nothing is fitted on validation images")
    p.add_argument("--samples", type=Whole(2, 1000), metavar="N", help="draw N images that each may have been")
    data_root(p)
    p.add_argument("--seed", type=SEED, default=0, help="of the noise (default: 0)")
    p.add_argument("--out", type=file_path, required=True, metavar="FILE", help=".png or .npy")
    common(p)


def inpaint_command(commands: Subparsers) -> None:
    """Add `inpaint`."""
    note = (
        "The .png has a row for each image: what is known, then the fillings. A .npy has the fillings alone.\n\n"
        "example: ebmnist inpaint pretrained --input digits.npy --half right --n 5 --out filled.png"
    )
    p = add_command(commands, "inpaint", "fill missing pixels, several times over", note)
    p.add_argument("model", type=file_path, help=MODEL)
    p.add_argument("--input", type=input_file, required=True, metavar="FILE", help="images: .npy, .png or IDX")
    missing = p.add_mutually_exclusive_group(required=True)
    about = "images as masks, one for all or one for each: white is known, black is filled"
    missing.add_argument("--mask", type=input_file, metavar="FILE", help=about)
    missing.add_argument("--half", choices=("left", "right", "top", "bottom"), help="the half that is missing")
    missing.add_argument("--box", type=box, metavar="T,L,B,R", help="missing: rows T to B-1, columns L to R-1, from 0")
    p.add_argument("--n", type=Whole(1, 1000), default=4, help="fillings of each image (default: 4)")
    p.add_argument(
        "--steps", type=Whole(1, MOST_STEPS), help="of each chain (default: 25, or the recipe's for one temperature)"
    )
    p.add_argument("--seed", type=SEED, default=0, help="of the noise (default: 0)")
    p.add_argument("--out", type=file_path, required=True, metavar="FILE", help=".png or .npy")
    common(p)


def restore_command(commands: Subparsers) -> None:
    """Add `restore`."""
    note = (
        "Without --input, ten test images are measured and restored. The .png has a row for each image:\n"
        "what was measured, mean, twice the standard deviation, samples. A .npy has the samples alone.\n\n"
        "example: ebmnist restore pretrained --super-resolution 2 --out sharp.png"
    )
    p = add_command(commands, "restore", "draw sharp images given small or blurred ones", note)
    p.add_argument("model", type=file_path, help=MODEL)
    measured = p.add_mutually_exclusive_group(required=True)
    about = "input has one pixel for each block of K by K, their mean: 14, 7 or 4 pixels a side"
    measured.add_argument("--super-resolution", type=factor, metavar="K", help=about)
    about = "input is blurred by a Gaussian of S pixels, 0.1 to 10"
    measured.add_argument("--deblur", type=blur, metavar="S", help=about)
    about = "standard deviation of the noise on the input, pixels on [0,1] (default: none but rounding)"
    p.add_argument("--sigma", type=sigma, default=0.0, help=about)
    about = "measured images: .npy; blurred ones also .png or IDX"
    p.add_argument("--input", type=input_file, metavar="FILE", help=about)
    p.add_argument("--n", type=Whole(2, 1000), default=8, help="samples of each image (default: 8)")
    data_root(p)
    p.add_argument("--seed", type=SEED, default=0, help="of the noise (default: 0)")
    p.add_argument("--out", type=file_path, required=True, metavar="FILE", help=".png or .npy")
    common(p)
