"""Recipes: YAML → typed, checked fields → objects, through each package's REGISTRY. The only reader of configuration.

A recipe's sections are the packages. A section with a `kind` takes the fields of that registry entry, so a new file in
a package is at once something a recipe can name. `extends: NAME` starts from another recipe.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jsonargparse
import torch
import yaml

from ebmnist import data, energies, sampling
from ebmnist.data.base import Dataset
from ebmnist.errors import BadInput
from ebmnist.inference.generation import Generation
from ebmnist.random import Purpose, Stream, initialised_from
from ebmnist.reading.schema import Schema, check, record, text
from ebmnist.recipes import read_recipe
from ebmnist.recipes.agreement import check_agreement
from ebmnist.recipes.basics import Basics, device_named
from ebmnist.recipes.building import absolute, build, in_one_line, plain
from ebmnist.recipes.plain import load_yaml
from ebmnist.recipes.signatures import fields_of
from ebmnist.reporting.saving import Saving
from ebmnist.sampling import start
from ebmnist.sampling.base import Kernel, Start
from ebmnist.training import Training, TrainState, objectives
from ebmnist.training.base import DenoisingObjective, Objective

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
jsonargparse.set_loader("yaml", load_yaml, (yaml.YAMLError,))  # overrides are read as recipes are

# Sections whose fields depend on their `kind`, and sections that are one dataclass.
CHOICES: dict[str, Mapping[str, type]] = {
    "data": data.REGISTRY,
    "energy": energies.REGISTRY,
    "sampling": sampling.REGISTRY,
    "training.start": start.REGISTRY,
    "training.objective": objectives.REGISTRY,
}
FIXED: dict[str, type] = {"training": Training, "evaluation": Generation, "artifacts": Saving}


@dataclass(frozen=True)
class Recipe:
    """One named experiment: every field checked, every default filled in. `fields` is plain data, as YAML shows it."""

    fields: dict[str, Any] = field(repr=False)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of every section that has one, by its dotted path."""
        return {path: _at(self.fields, path)["kind"] for path in CHOICES}

    @property
    def basics(self) -> Basics:
        """Name, purpose, seed and device."""
        return Basics(**{f.name: self.fields[f.name] for f in dataclasses.fields(Basics)})

    @property
    def generation(self) -> Generation:
        """The `evaluation` section."""
        return Generation(**self.fields["evaluation"])

    @property
    def saving(self) -> Saving:
        """The `artifacts` section."""
        return Saving(**self.fields["artifacts"])

    @property
    def device(self) -> torch.device:
        """The device the recipe names.

        Raises:
            BadInput: no such device here.
        """
        return device_named(self.basics.device)

    def on(self, device: str) -> "Recipe":
        """The same recipe on another device."""
        return Recipe({**self.fields, "device": device})

    def overridden(self, overrides: Sequence[str]) -> "Recipe":
        """The same recipe with overrides such as `["--training.n_updates", "2000"]`. Raises `BadInput`."""
        return make_recipe(self.fields, overrides, origin=f"recipe {self.basics.name}")

    def load_data(self) -> Dataset:
        """Load what the `data` section names."""
        return self._make("data").load()

    def make_energy(self) -> torch.nn.Module:
        """Build the energy with its initial weights drawn from the seed, on the recipe's device."""
        with initialised_from(Stream(self.basics.seed, Purpose.WEIGHTS)):
            energy = self._make("energy")
        return energy.to(self.device)

    def make_kernel(self) -> Kernel:
        """Build the sampler."""
        return self._make("sampling")

    def make_training(self) -> Training:
        """Build the `training` section, less its start and objective."""
        fields = self.fields["training"]
        return build(Training, {k: v for k, v in fields.items() if k not in ("start", "objective")})

    def make_start(self) -> Start:
        """Build where training's chains begin."""
        return self._make("training.start")

    def make_objective(self) -> Objective | DenoisingObjective:
        """Build what training minimises."""
        return self._make("training.objective")

    def make_state(self) -> TrainState:
        """Build everything training owns, at update 0."""
        return TrainState(
            self.make_energy(),
            self.make_training(),
            kernel=self.make_kernel(),
            start=self.make_start(),
            objective=self.make_objective(),
            seed=self.basics.seed,
        )

    def check(self) -> None:
        """Build every object once, for the ranges that types cannot say. Raises `BadInput`."""
        _ = self.basics, self.generation, self.saving, self.make_training()
        with initialised_from(Stream(self.basics.seed, Purpose.WEIGHTS)):
            made = {path: self._make(path) for path in CHOICES}
        check_agreement(made["energy"], made["sampling"], made["training.objective"])
        self.generation.sampler_of(made["sampling"])

    def to_yaml(self) -> str:
        """The whole recipe as YAML that `load_recipe` reads back to the same recipe."""
        return yaml.safe_dump(self.fields, sort_keys=False, allow_unicode=True)

    def _make(self, path: str) -> Any:
        fields = dict(_at(self.fields, path))
        return build(CHOICES[path][fields.pop("kind")], fields)


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or by path, with overrides such as `["--training.n_updates", "500"]`.

    Raises:
        BadInput: no such recipe; an unknown key; a value of the wrong type or out of its range.
    """
    return make_recipe(read_recipe(name), overrides, origin=f"recipe {name}")


def make_recipe(fields: Mapping[str, Any], overrides: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """Check `fields` and `overrides` against the registries and fill in every default. Raises `BadInput`."""
    _check_sections(fields, origin)
    kinds = {path: _kind(fields, overrides, path) for path in CHOICES}
    parser, tree, schema, mend = recipe_parser(kinds), _with_kinds(fields, kinds), _schema(kinds), "change or delete it"
    check(tree, schema, origin, mend)
    try:
        parsed = parser.parse_args(list(overrides), namespace=parser.parse_object(tree))
    except (jsonargparse.ArgumentError, TypeError, KeyError) as error:
        raise BadInput(f"{origin}: {in_one_line(error)}") from error
    made = check(plain(parsed.as_dict()), schema, origin, mend)  # once more, for the overrides
    if made["data"].get("root") is not None:
        made["data"]["root"] = absolute(made["data"]["root"])
    recipe = Recipe(made)
    recipe.check()
    return recipe


def recipe_parser(kinds: Mapping[str, str]) -> jsonargparse.ArgumentParser:
    """Return the parser of a recipe whose sections are of these kinds; its help lists every field."""
    return _parser(tuple(kinds[path] for path in CHOICES))


@lru_cache  # it reads the source of every class for its docstrings, which takes a tenth of a second
def _parser(kinds: tuple[str, ...]) -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(
        prog="ebmnist run RECIPE", exit_on_error=False, add_help=False, allow_abbrev=False
    )
    parser.add_class_arguments(Basics)
    for path, registry in CHOICES.items():
        parser.add_argument(f"--{path}.kind", type=str, help=f"one of: {', '.join(registry)}")
    for path, cls in FIXED.items():
        parser.add_class_arguments(cls, path)
    for (path, registry), kind in zip(CHOICES.items(), kinds, strict=True):
        parser.add_class_arguments(registry[kind], path)
    return parser


def _check_sections(fields: Mapping[str, Any], origin: str) -> None:
    """Refuse sections that are no mapping, empty ones included: their kinds could not be known."""
    for path in (*FIXED, *CHOICES):
        *parents, last = path.split(".")
        above = _at(fields, ".".join(parents)) if parents else fields
        if last in above and not isinstance(above[last], Mapping):
            found = repr(above[last])[:60]
            raise BadInput(f"{origin}: section {path!r} must hold fields such as 'kind: …', not {found}")


def _schema(kinds: Mapping[str, str]) -> Schema:
    """The schema of a whole recipe whose sections are of these kinds."""
    fixed = {path: fields_of(cls) for path, cls in FIXED.items()}
    top = fields_of(Basics)
    for path, kind in kinds.items():
        parent, _, last = path.rpartition(".")
        own = {"kind": text()} | fields_of(CHOICES[path][kind])
        (fixed[parent] if parent else top)[last] = record({}, own, closed=True)
    return record({}, top | {path: record({}, own, closed=True) for path, own in fixed.items()}, closed=True)


def _at(fields: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The section at a dotted path; empty where there is none."""
    here: Any = fields
    for key in path.split("."):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, dict) else {}


def _kind(fields: Mapping[str, Any], overrides: Sequence[str], path: str) -> str:
    """The kind of a section: the last override's, the recipe's, or the registry's first."""
    flag = f"--{path}.kind"
    given = [b for a, b in itertools.pairwise(overrides) if a == flag]
    given += [a.split("=", 1)[1] for a in overrides if a.startswith(flag + "=")]
    kind = given[-1] if given else _at(fields, path).get("kind", next(iter(CHOICES[path])))
    if not isinstance(kind, str) or kind not in CHOICES[path]:
        raise BadInput(f"{path}.kind {repr(kind)[:60]} is unknown: use one of {', '.join(CHOICES[path])}")
    return kind


def _with_kinds(fields: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """The fields with every kind filled in; a section whose kind was overridden starts from that kind's defaults."""
    tree: dict[str, Any] = plain(fields)
    for path, kind in kinds.items():
        *parents, last = path.split(".")
        here = tree
        for key in parents:
            here = here.setdefault(key, {})
        old = _at(tree, path)
        here[last] = {**old, "kind": kind} if old.get("kind", kind) == kind else {"kind": kind}
    return tree
