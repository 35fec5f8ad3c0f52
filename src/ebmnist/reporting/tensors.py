"""Tensors by name as the bytes of a safetensors file, and back, with its header checked first."""

import struct
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.reading import parse_json
from ebmnist.reading.schema import check, list_of, mapping_of, one_of, record, whole

LARGEST_HEADER = 16_000_000  # bytes
# The header of a safetensors file: what each tensor is, and where it stands.
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")
HEADER_SCHEMA = mapping_of(
    record(
        {"dtype": one_of(*DTYPES), "shape": list_of(whole(0), 8), "data_offsets": list_of(whole(0), length=2)},
        closed=True,
    )
)


def tensors_to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the bytes of a safetensors file with these tensors."""
    # Copies: safetensors refuses what is strided (channels-last weights) and what shares its storage.
    return safetensors.torch.save(
        {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        }
    )


def tensors_of(content: bytes, name: str, mend: str) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a safetensors file. Raises: BadInput if they are not one."""
    (length,) = struct.unpack("<Q", content[:8]) if len(content) >= 8 else (LARGEST_HEADER,)
    if length > min(len(content) - 8, LARGEST_HEADER):
        raise BadInput(f"{name}: damaged: its header should have {length} bytes; {mend}")
    header = parse_json(content[8 : 8 + length], name, mend)
    described = (
        {key: value for key, value in header.items() if key != "__metadata__"} if isinstance(header, dict) else header
    )
    check(described, HEADER_SCHEMA, name, mend)
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise BadInput(f"{name}: damaged ({error}); {mend}") from error
