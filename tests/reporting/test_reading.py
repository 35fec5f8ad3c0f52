"""Reading beside a writer, and where reading is not permitted."""

import errno
import os
from pathlib import Path

import pytest

from ebmnist.errors import BadInput
from ebmnist.reporting.reading import N_LOOKS, look_again, readable


def test_what_fails_while_nothing_changes_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    looks = []

    def read() -> None:
        looks.append(1)
        raise BadInput("torn")

    with pytest.raises(BadInput, match="torn"):
        look_again(tmp_path, read)
    assert len(looks) == 1


@pytest.mark.parametrize("where", ["itself", "inside", "checkpoints", "aside"])
def test_what_fails_while_the_folder_changes_is_read_again(tmp_path: Path, where: str) -> None:
    path = tmp_path / "step-00000001"
    (path / "checkpoints").mkdir(parents=True)
    places = {
        "itself": path.with_name("other"),
        "inside": path / "facts.json",
        "checkpoints": path / "checkpoints" / "step-00000002",
        "aside": path.with_name(".replaced-step-00000001"),
    }
    looks = []

    def read() -> str:
        looks.append(1)
        if len(looks) < 3:
            if where == "itself":
                path.rename(places[where].with_name(f"aside-{len(looks)}"))
                (path / "checkpoints").mkdir(parents=True)
            else:
                (places[where].with_name(places[where].name + "0" * len(looks))).mkdir()
                places[where].mkdir() if len(looks) == 1 else places[where].rmdir()
            raise BadInput("gone")
        return "whole"

    assert look_again(path, read) == "whole"
    assert len(looks) == 3


def test_looking_again_ends(tmp_path: Path) -> None:
    looks = []

    def read() -> None:
        (tmp_path / str(len(looks))).write_text("")
        looks.append(1)
        raise BadInput("gone")

    with pytest.raises(BadInput, match="gone"):
        look_again(tmp_path, read)
    assert len(looks) == N_LOOKS


def test_a_refusal_of_the_system_is_one_line(tmp_path: Path) -> None:
    said = rf"^{tmp_path}: not read \(Permission denied\); make it readable, or check the path$"
    with pytest.raises(BadInput, match=said), readable(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
