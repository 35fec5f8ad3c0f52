import pytest
import yaml

from ebmnist.config import load_recipe, make_recipe
from ebmnist.errors import BadInput
from ebmnist.recipes.plain import load_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1.0e-3", 1e-3),
        ("5.", 5.0),
        (".5", 0.5),
        ("-7", -7),
        ("010", 10.0),
        ("1_000", 1000),
        ("true", True),
        ("~", None),
        ("", None),
        ("9" * 5000, float("inf")),
        ("1:30", "1:30"),
        ("2020-13-40", "2020-13-40"),
        ("[a, {b: null}]", ["a", {"b": None}]),
    ],
)
def test_values_are_plain(text, value):
    found = load_yaml(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "line 2, column 8: found an alias"),
        ("a: &a [*a]", "found an alias"),
        ("a: !!python/object:os.system x", "found a tag"),
        ("a: !!int ''", "found a tag"),
        ("a: !mine x", "found a tag"),
        ("[" * 17, "nested more than 16 deep"),
        ("[" * 100_000, "nested more than 16 deep"),
        ("{a: 1, a: 2}", "twice"),
        ("3: x", "no text"),
        ("? [1]\n: 2", "no text"),
    ],
)
def test_what_is_more_than_plain_is_refused_at_once(text, said):
    with pytest.raises(yaml.YAMLError, match=said):
        load_yaml(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training:\n  n_updates:\n", r"training\.n_updates: expected a whole number"),
        ("training: 3", "section 'training' must hold fields"),
        ("training: {start: replay}", r"section 'training\.start' must hold fields"),
        ("training: {start: }", r"section 'training\.start' must hold fields"),
        ("training: {schedule: 3}", r"training\.schedule: expected an object, not 3"),
        ("training: {guard: {limits: }}", r"training\.guard\.limits: expected an object, not None"),
        ("training: {lr: 1e300}", r"training\.lr: expected 0 or a magnitude from 1e-30 to 1e\+30"),
        ("training: {lr: .inf}", r"training\.lr: expected a finite number"),
        ("training: {lr: .nan}", r"training\.lr: expected a finite number"),
        ("sampling: {kind: annealed_langevin, sigma_min: 1e-200}", r"sampling\.sigma_min: expected 0 or a magnitude"),
        ("seed:", "seed: expected a whole number"),
        ("seed: 9223372036854775808", "seed: expected a whole number"),
        ("name: ..", "name must be fit for a folder"),
        ("name: a/b", "name must be fit for a folder"),
        ("energy: {width: 100000}", r"energy\.width: expected a whole number ≤ 256"),
        ("data: {without: 3}", r"data\.without: expected a list, not 3"),
        ("sampling: {clamp: [0, 1, 2]}", r"sampling\.clamp: expected a list of 2, not a list of 3"),
        (LAUGHS, "found an alias"),
        ("extends: [mnist]", "extends: expected the name or path of a recipe"),
        ("about: " + "x" * 300_000, "over 200,000 bytes"),
    ],
)
def test_a_recipe_is_checked_once_where_it_comes_in(text, said, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=said) as error:
        load_recipe(str(path))
    assert "\n" not in str(error.value)


def test_undecodable_bytes_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"name: \xff")
    with pytest.raises(BadInput, match="not readable as YAML"):
        load_recipe(str(tmp_path / "x.yaml"))


def test_overrides_are_held_to_the_same():
    for words, said in (
        (["--training.lr", "1e300"], "training.lr: expected 0 or a magnitude"),
        (["--energy.width", "1000000"], "energy.width: expected a whole number"),
        (["--seed", "9" * 5000], "seed"),
        (["--data.without", "[&a [*a]]"], "data.without"),
    ):
        with pytest.raises(BadInput, match=said) as error:
            load_recipe("smoke", words)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 1000


def test_a_chain_of_recipes_ends(tmp_path):
    for i in range(30):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {tmp_path}/{i + 1}.yaml", encoding="utf-8")
    with pytest.raises(BadInput, match="a chain of over 10 that extend one another"):
        load_recipe(str(tmp_path / "0.yaml"))


def test_the_data_folder_is_kept_as_a_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for root, found in (("mine", tmp_path / "mine"), ("~/mine", tmp_path / "home" / "mine"), ("/a/b", "/a/b")):
        for recipe in (
            make_recipe({"data": {"kind": "idx", "root": root}}),
            load_recipe("smoke", ["--data.kind", "idx", "--data.root", root]),
        ):
            assert recipe.fields["data"]["root"] == str(found)
    with pytest.raises(BadInput, match="give the folder's full path"):
        make_recipe({"data": {"kind": "idx", "root": "~nobody-of-this-name/x"}})
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine.yaml").write_text("extends: smoke\nname: at-home", encoding="utf-8")
    assert load_recipe("~/mine.yaml").basics.name == "at-home"
