import pytest

from ebmnist.errors import BadInput
from ebmnist.reading import parse_json, read_json


def test_json_is_read(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": [1, -2.5, null, true, "ℝ"], "b": {"c": 9223372036854775807}}', encoding="utf-8")
    assert read_json(path, "mend") == {"a": [1, -2.5, None, True, "ℝ"], "b": {"c": 2**63 - 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "Expecting value"),
        (b"\xff", "codec"),
        (b"[1", "delimiter"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "1e999 is too large"),
        (b"[9223372036854775808]", "too large"),
        (b"[" + b"9" * 6000 + b"]", "too large"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b"[" * 33 + b"]" * 33, "nested more than 32 deep"),
        (b"[" * 200_000, "nested more than 32 deep"),
    ],
)
def test_what_is_not_strictly_json_is_refused(text, said):
    with pytest.raises(BadInput, match=rf"^x\.json: damaged \([^\n]*{said}[^\n]*\); mend$"):
        parse_json(text, "x.json", "mend")
    assert parse_json(b"[" * 32 + b"]" * 32, "x.json", "mend")
