"""benchmarks/prose.py: sentences and figures of small texts, counted by hand, and the limits that documents keep."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import prose as measured
from prose import Prose, broken, descriptions, docstrings, main, messages, project, prose


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One two three. Four five six seven.", ["One two three.", "Four five six seven."]),
        ("Two words. One two three.", ["One two three."]),  # less than three words are a label
        ("See e.g. MNIST, i.e. Digits, of LeCun et al. (1998) here.", 1),
        ("It is 0.3 of it. it goes on", 1),  # neither a decimal point nor a small letter starts a sentence
        ("This is why: Noise is small! Is it not? (It is not.)", 4),
        ("One line\nand its second.", ["One line and its second."]),
        ("One paragraph here\n\nanother one here", 2),
        ("A list here:\n- one of it\n- two of it\n2. three of it", 4),
        ("Use `a b c d` and $x + y$ **now**.", ["Use code and math now."]),
        ("See [the long guide](docs/a_b.md) now.", ["See the long guide now."]),
        ("![A picture of it](a.png)\n\n[![a badge of it](b.svg)](c)", []),
        ("# A heading of words\n> A quoted line here\n| a table of | words |\n|---|---|", []),
        ("Before the code.\n```sh\nmake all of it\n```\nAfter the code.", ["Before the code.", "After the code."]),
        ("$$\nE of x is y\n$$", []),
        ("A <b>bold word</b> here.<!-- Not this one here. -->", ["A bold word here."]),
        ("Where 0 < x and x > y it holds.", ["Where 0 < x and x > y it holds."]),  # not HTML
        ("", []),
    ],
)
def test_sentences_are_those_a_reader_sees(text, sentences):
    found = list(prose(text).sentences)
    assert (len(found) if isinstance(sentences, int) else found) == sentences


def test_figures_are_the_exact_ones():
    found = Prose(("one two three", " ".join(["word"] * 36), "It took 0.3 s of −1,024 in v2."))
    assert found.sizes == [3, 36, 8]
    assert found.mean == 47 / 3
    assert found.longest == 36
    assert found.long == [found.sentences[1]]
    assert found.numbers == 100 * 2 / 47  # 0.3 and −1,024; v2 is a name
    assert found.row("a").split() == ["a", "3", "15.7", "36", "33", "%", "4.3"]
    assert prose("").row("none").split() == ["none", "0", "0.0", "0", "0", "%", "0.0"]


def test_exactly_35_words_are_not_too_many():
    assert Prose((" ".join(["word"] * 35),)).long == []


def test_numbers_of_tables_and_code_do_not_count():
    assert prose("It has few of them.\n| 1 | 2 |\n```\n3 4 5\n```\nThere is `6` here.").numbers == 0


SOURCE = '''
"""What the module does.

    >>> 1 + 1
    2
"""
SIZE = "this is no docstring"

class A:
    """A class is here."""

    width: int = 3
    """How wide it is."""

    def f(self, x):
        """One thing to do.

        Args:
            x: how many of them,
                on two lines
            y: how few of them

        Raises: BadInput where wrong
        """
        if x:
            raise BadInput(f"{x!r}: must be ≥ 1, not {x}; " + "give another")
        if x:
            raise errors.Unmeasurable("a sample is "
                "not finite")
        raise
'''


def test_docstrings_are_those_of_modules_classes_functions_and_fields():
    assert set(prose(docstrings(SOURCE)).sentences) == {
        "What the module does.",
        "A class is here.",
        "How wide it is.",
        "One thing to do.",
        "how many of them, on two lines",
        "how few of them",
        "BadInput where wrong",
    }


def test_a_message_has_a_word_for_each_value_filled_in():
    assert list(prose(messages(SOURCE)).sentences) == [
        "code: must be ≥ 1, not code; give another",
        "a sample is not finite",
    ]


def test_a_help_text_is_what_it_says_of_each_command():
    text = (
        "usage: a [-h] COMMAND ...\n\nWhat the program does\nin two lines.\n\npositional arguments:\n  VERB\n"
        "    run              train a recipe\n                     and report it\n    long-command-name\n"
        "                     do this very thing\n\nexamples:\n  a run --n 64 --out b.png\n  a run x    a first try\n"
    )
    assert list(prose(descriptions(text)).sentences) == [
        "What the program does in two lines.",
        "train a recipe and report it",
        "do this very thing",
        "a first try",
    ]


def test_every_kind_of_text_of_the_project_is_found():
    texts = project()
    some = {"README.md", "docs/concepts/langevin.md", "CONTRIBUTING.md", "docstrings", "messages", "ebmnist --help"}
    assert some <= set(texts)
    assert all(prose(texts[name]).sentences for name in ("docstrings", "messages", "ebmnist --help"))


def test_each_limit_that_is_broken_is_named():
    assert list(broken("README.md", Prose(("One two three.",)))) == []
    found = list(broken("README.md", Prose((" ".join(["word"] * 36), "1 2 3"))))
    assert [line.split(",")[0] for line in found] == [
        "README.md: 19.5 words a sentence",
        "README.md: 36 words",
        "README.md: 7.7 numbers per 100 words",
    ]


def test_the_exit_code_is_that_of_the_limit(tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text("It has 1 and 2 and 3.", encoding="utf-8")
    monkeypatch.setattr(measured, "project", lambda: {"README.md": "It has 1 and 2 and 3."})
    file = str(tmp_path / "README.md")
    assert main([file]) == 0
    assert main([file, "--limit"]) == 1
    assert "42.9 numbers per 100 words, over 2" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none.md")])
    assert "no such file" in capsys.readouterr().err


TEXTS = project()


@pytest.mark.parametrize("name", sorted(set(TEXTS) - set(measured.UNLIMITED)))
def test_a_document_keeps_its_limits(name):
    assert list(broken(name, prose(TEXTS[name]))) == []
