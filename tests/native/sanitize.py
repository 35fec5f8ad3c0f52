"""All entries under AddressSanitizer with UndefinedBehaviorSanitizer, and under ThreadSanitizer: `make sanitize`."""

import subprocess

import pytest

from ebmnist.native.variants import variants
from native_driver import NETS, Case, Target, run, runnable, several
from native_driver import needs as needs_tool

# setarch -R: ThreadSanitizer of these compilers fails where addresses are laid out too randomly.
SANITIZERS = {
    "memory": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "threads": ("-fsanitize=thread",),
}
LEVELS = list(dict.fromkeys((runnable()[0], runnable()[-1])))  # the portable code, and the most special


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", SANITIZERS)
def test_no_finding(kind, level, tmp_path):
    needs_tool("setarch")
    target = Target("g++", level, variants()[level], ("setarch", "-R"))
    driver = target.build(tmp_path / "build", extra=("-O1", "-g", "-fno-omit-frame-pointer", *SANITIZERS[kind]))
    cases = [*several(n_threads=4), Case(NETS["3 × 3"], 270, n_threads=8)]
    if "bf16" in level:
        cases += several(n_threads=4, bf16=True)
    assert len(run(driver, cases, tmp_path)) == len(cases)
    done = subprocess.run([*driver, "--refused"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
