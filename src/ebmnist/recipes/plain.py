"""YAML as recipes use it: plain values, no aliases, no tags, nothing deep, and every number a finite one."""

import re
from typing import Any

import yaml

LARGEST = 200_000  # bytes; the package's own recipes have two thousand
DEPTH = 16  # a recipe has 4 levels


class PlainLoader(yaml.SafeLoader):
    """YAML 1.1 less aliases, tags and dates; with YAML 1.2's floats, so that 1e-3 is a number; no key twice."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node. Aliases are refused because a few lines of them can stand for more than any memory."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "found an alias (*); write the value out")
        if getattr(event, "tag", None) not in (None, "!"):
            raise _refused(event, "found a tag (!); write the plain value")
        self.depth += 1
        if self.depth > DEPTH:
            raise _refused(event, f"nested more than {DEPTH} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping whose keys are text and stand once."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str" or key.value in seen:
                raise _refused(key, f"found the key {key.value!r} twice, or a key that is no text")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refused(what: yaml.Event | yaml.Node, problem: str) -> yaml.YAMLError:
    mark = what.start_mark
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return yaml.YAMLError(place + problem)


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] in ("bool", "null")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(  # the two core types of YAML 1.2 that 1.1 reads otherwise
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,30})$"), list("-+0123456789")
)
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def load_yaml(text: str) -> Any:
    """Return the plain value that YAML text is. Raises: yaml.YAMLError, with the line and column.

    >>> load_yaml("training: {lr: 1e-3, n_updates: 500, name: 2020-01-01}")
    {'training': {'lr': 0.001, 'n_updates': 500, 'name': '2020-01-01'}}
    """
    try:
        return yaml.load(text, PlainLoader)
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(f"no plain value: {error}") from error
