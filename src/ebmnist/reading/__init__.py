"""Files at the border: bytes of a bounded size, strict JSON, and the schema that what was read must have."""

from ebmnist.reading.bounded import GZIP, LARGEST, XZ, from_home, inflate, inflated_start, read_bytes, resembles
from ebmnist.reading.strict_json import parse_json, read_json

__all__ = [
    "GZIP",
    "LARGEST",
    "XZ",
    "from_home",
    "inflate",
    "inflated_start",
    "parse_json",
    "read_bytes",
    "read_json",
    "resembles",
]
