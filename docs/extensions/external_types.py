"""Links to the types of Python, NumPy and PyTorch, from an inventory written here: their own would need a network."""

import zlib
from pathlib import Path

from sphinx.application import Sphinx

# site: {name: (role, page)}; `$` stands for the name.
EXTERNAL = {
    "https://docs.python.org/3/": {
        "bool": ("class", "library/functions.html#$"),
        "bytes": ("class", "library/stdtypes.html#$"),
        "collections.abc.Collection": ("class", "library/collections.abc.html#$"),
        "collections.abc.Generator": ("class", "library/collections.abc.html#$"),
        "collections.abc.Callable": ("class", "library/collections.abc.html#$"),
        "collections.abc.Iterable": ("class", "library/collections.abc.html#$"),
        "collections.abc.Iterator": ("class", "library/collections.abc.html#$"),
        "collections.abc.Mapping": ("class", "library/collections.abc.html#$"),
        "collections.abc.Sequence": ("class", "library/collections.abc.html#$"),
        "dict": ("class", "library/stdtypes.html#$"),
        "enum.Enum": ("class", "library/enum.html#$"),
        "enum.IntEnum": ("class", "library/enum.html#$"),
        "float": ("class", "library/functions.html#$"),
        "int": ("class", "library/functions.html#$"),
        "list": ("class", "library/stdtypes.html#$"),
        "None": ("data", "library/constants.html#$"),
        "object": ("class", "library/functions.html#$"),
        "pathlib.Path": ("class", "library/pathlib.html#$"),
        "str": ("class", "library/stdtypes.html#$"),
        "tuple": ("class", "library/stdtypes.html#$"),
        "typing.Any": ("data", "library/typing.html#$"),
        "typing.Self": ("data", "library/typing.html#$"),
    },
    "https://numpy.org/doc/stable/": {
        "numpy.ndarray": ("class", "reference/generated/numpy.ndarray.html#$"),
    },
    "https://docs.pytorch.org/docs/stable/": {
        "torch.Generator": ("class", "generated/torch.Generator.html#$"),
        "torch.Tensor": ("class", "tensors.html#$"),
        "torch.device": ("class", "tensor_attributes.html#$"),
        "torch.dtype": ("class", "tensor_attributes.html#$"),
        "torch.nn.Module": ("class", "generated/torch.nn.Module.html#$"),
        # where these are really defined
        "torch._C.Generator": ("class", "generated/torch.Generator.html#torch.Generator"),
        "torch.nn.modules.module.Module": ("class", "generated/torch.nn.Module.html#torch.nn.Module"),
        "torch.distributed.distributed_c10d.Store": ("class", "distributed.html#torch.distributed.Store"),
        "torch.distributed.distributed_c10d.ProcessGroup": ("class", "distributed.html#groups"),
    },
}


def _write(path: Path, project: str, names: dict[str, tuple[str, str]]) -> None:
    """Write Sphinx's inventory format, version 2."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version:\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = "".join(f"{name} py:{role} 1 {page} -\n" for name, (role, page) in names.items())
    path.write_bytes(head.encode() + zlib.compress(lines.encode()))


def _point_intersphinx_there(app: Sphinx, config: object) -> None:
    folder = Path(app.outdir).parent / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for i, (site, names) in enumerate(EXTERNAL.items()):
        path = folder / f"{i}.inv"
        _write(path, f"external-{i}", names)
        mapping[f"external-{i}"] = (site, str(path))
    config.intersphinx_mapping = mapping  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, bool]:
    """Give intersphinx the inventories before it looks for them."""
    app.connect("config-inited", _point_intersphinx_there, priority=1)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
