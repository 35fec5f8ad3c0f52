import math

import pytest

from ebmnist.errors import BadInput
from ebmnist.reading.schema import (
    anything,
    check,
    either,
    flag,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    record,
    text,
    whole,
)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (whole(0, 9), (0, 9), (-1, 10, 1.0, True, None, "1", 10**5000)),
        (number(0, 1), (0, 1, 0.5), (-0.1, 1.1, math.nan, math.inf, True, "0", 10**5000)),
        (text(3), ("", "abc"), ("abcd", 1, None)),
        (flag, (True, False), (0, 1, None)),
        (one_of("a", 1), ("a", 1), ("b", True, 1.0, None)),
        (anything, (None, 1, []), ()),
        (either(whole(), text()), (1, "x"), (1.5, None)),
        (optional(whole()), (None, 1), ("x",)),
        (list_of(whole(), 2), ([], [1, 2]), ([1, 2, 3], ["x"], {}, None)),
        (list_of(whole(), length=2), ([1, 2],), ([1], [1, 2, 3])),
        (mapping_of(whole()), ({}, {"a": 1}), ([], {"a": "x"}, None)),
        (record({"a": whole()}, {"b": text()}), ({"a": 1}, {"a": 1, "b": "", "c": 0}), ({}, {"a": 1, "b": 2}, [], 3)),
        (record({"a": whole()}, closed=True), ({"a": 1},), ({"a": 1, "c": 0}, {3: 4, "a": 1})),
    ],
)
def test_schemas_take_what_they_say(schema, good, bad):
    for value in good:
        assert schema(value) is None, value
        assert check(value, schema, "x.json", "mend") is value
    for value in bad:
        with pytest.raises(BadInput, match=r"^x\.json: [^\n]+; mend$"):
            check(value, schema, "x.json", "mend")


def test_a_fault_names_its_place():
    schema = record({"sections": mapping_of(record({"figures": list_of(record({"value": number()}))}))})
    value = {"sections": {"ood": {"figures": [{"value": 1}, {"value": "many"}]}}}
    with pytest.raises(BadInput) as error:
        check(value, schema, "e.json", "evaluate again")
    assert (
        str(error.value)
        == "e.json: sections.ood.figures[1].value: expected a finite number, not 'many'; evaluate again"
    )
