"""Mutations that leave a file whole and make it wrong: of bytes, of plain values, and of each format's structure."""

import copy
import gzip
import json
import lzma
import random
import re
import struct
import zlib
from typing import Any

import yaml

DEEP = 3000
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3.5, -0.0, 255, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**200, 10**4400),
    *(1e300, -1e300, 1e-300, 5e-324, 1e30, float("nan"), float("inf"), -float("inf")),
    *(
        "",
        " ",
        "x",
        "\n",
        "\0",
        "\ud800",
        "ℝ" * 300,
        "../..",
        "~",
        "~nobody/x",
        "/dev/null",
        "null",
        "1e3",
        "NaN",
        "x" * 70_000,
    ),
    *([], {}, [[]], [None], {"": None}, {"kind": "mlp"}, {"kind": None}, [0] * 2000, {"a": {"b": {"c": 1}}}),
)


def bytes_of(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut, doubled or put in."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(out) + 1) if rng.random() < 0.5 else rng.randrange(min(len(out), 150) + 1)
        n = rng.choice((1, 1, 2, 4, 8, 100))
        match rng.randrange(5):
            case 0:
                out[at : at + n] = rng.randbytes(n)
            case 1:
                out[at : at + n] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"9", b"-", b"e")) * n
            case 2:
                del out[at : at + n]
            case 3:
                out[at:at] = out[max(at - n, 0) : at] * rng.choice((1, 3))
            case _:
                del out[at:]
    return bytes(out)


def plain(value: Any, rng: random.Random) -> Any:
    """One or two places of a tree of dicts and lists replaced, removed, renamed, doubled or wrapped."""
    root = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(root))
        holder, key = rng.choice(places)
        odd = copy.deepcopy(rng.choice(ODD))
        match rng.randrange(8):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(("", "x", key + "s", "kind", "__class__"))] = holder.pop(key)
            case 2:
                holder[key] = [holder[key]]
            case 3:
                holder[key] = {"kind": holder[key]}
            case 4 if isinstance(holder, list):
                holder *= 2
            case 5:
                other, at = rng.choice(places)
                holder[key] = copy.deepcopy(
                    other.get(at) if isinstance(other, dict) else other[at % len(other)] if other else None
                )
            case 6 if type(holder[key]) in (int, float) and abs(holder[key]) < 2**1000:  # what a float can be
                holder[key] *= rng.choice((-1, 0, 2, 10, 1e6, 1e-6, 10**15))
            case _:
                holder[key] = odd
    return root[0]


def _places(node: Any) -> Any:
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def json_of(value: Any, rng: random.Random) -> bytes:
    """JSON of a mutated value, now and then with what only its text can say."""
    text = dumped(plain(value, rng))
    match rng.randrange(12):
        case 0:
            text = text.replace("null", rng.choice(("[" * DEEP, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP)), 1)
        case 1:
            text = re.sub(r"\d+", lambda m: rng.choice(("1e999", "-1e999", "NaN", "9" * 5000, m[0])), text, count=3)
        case 2:
            text = "{" + ",".join([text[1:-1]] * 2) + "}"
        case 3:
            return bytes_of(text.encode(errors="surrogatepass"), rng)
        case 4:
            return rng.choice(
                (
                    b"",
                    b"null",
                    b"[]",
                    b"{}",
                    b"3",
                    b'"x"',
                    b"\xff\xfe{\0}\0",
                    b"\xef\xbb\xbf{}",
                    b"<html>",
                    b"[" * 200_000,
                )
            )
        case _:
            pass
    return text.encode(errors="surrogatepass")


def dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except ValueError:  # a number too long for Python to write
        return '{"step": ' + "9" * 5000 + "}"


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML_TEXTS = (
    LAUGHS,
    "a: &a [*a]\n",
    "? [1]\n: 2\n",
    "{" * 5000,
    "- " * 5000 + "x",
    "!!python/object:os.system x\n",
    "a: !!int ''\n",
    "a: 2001-99-99\n",
)
YAML_VALUES = (
    "",
    "!!float x",
    "!!binary x",
    "*a",
    "&a",
    "0b_",
    "0x_",
    "1_0:99:99",
    "=",
    "<<",
    "2001-13-40",
    "9" * 6000,
    "1e400",
    ".nan",
    "[" * 300,
    "~",
    "{a: b}",
)


def yaml_of(value: Any, rng: random.Random) -> bytes:
    """YAML of a mutated value, now and then with what only its text can say."""
    if rng.random() < 0.1:
        return rng.choice(YAML_TEXTS).encode()
    try:
        text = yaml.safe_dump(plain(value, rng), allow_unicode=True)
    except ValueError:
        return b"seed: " + b"9" * 5000
    match rng.randrange(5):
        case 0:
            lines = text.splitlines(keepends=True)
            at = rng.randrange(len(lines))
            lines[at] = lines[at].partition(":")[0] + ": " + rng.choice(YAML_VALUES) + "\n"
            text = "".join(lines)
        case 1:
            text += rng.choice(YAML_TEXTS)
        case 2:
            return bytes_of(text.encode(errors="surrogatepass"), rng)
        case _:
            pass
    return text.encode(errors="surrogatepass")


def safetensors_of(content: bytes, rng: random.Random) -> bytes:
    """A safetensors file with another header, or other numbers, behind a length that fits."""
    (n,) = struct.unpack("<Q", content[:8])
    header, numbers = json.loads(content[8 : 8 + n]), content[8 + n :]
    match rng.randrange(6):
        case 0:
            return bytes_of(content, rng)
        case 1:  # numbers that are not finite, or any
            numbers = bytearray(numbers)
            at = rng.randrange(len(numbers) // 4) * 4
            numbers[at : at + 4] = rng.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff" * 4, rng.randbytes(4)))
        case 2:  # one less, or under another name
            key = rng.choice(list(header))
            entry = header.pop(key)
            if rng.random() < 0.7:
                header[
                    rng.choice(
                        (key + "x", key.replace(".", "..", 1), "x", "optimiser.x.y", "optimiser.99.step", "start.age")
                    )
                ] = entry
        case 3:  # the same bytes, otherwise seen
            entry = header[rng.choice([key for key in header if key != "__metadata__"])]
            entry["dtype"] = rng.choice(("F32", "I32", "U32", "F64", "I64", "BOOL", "F8_E4M3", "C64", "F4", "X"))
            if rng.random() < 0.5:
                entry["shape"] = rng.choice(
                    ([], [1], [-1], [0], [2**40, 2**40], [4, 4], entry["shape"][::-1], [1] * 70)
                )
        case _:
            header = plain(header, rng)
    text = dumped(header).encode(errors="surrogatepass")
    return struct.pack("<Q", len(text)) + text + bytes(numbers)


def npy_of(content: bytes, rng: random.Random) -> bytes:
    """A .npy file with another header."""
    start = 10 + struct.unpack("<H", content[8:10])[0]
    header = content[10:start].decode("latin-1")
    shape = rng.choice(
        (
            "()",
            "(28, 28)",
            "(10**9,)",
            "(99999999999, 28, 28)",
            "(-1, 28, 28)",
            "(0, 28, 28)",
            "(28, 28, 1)",
            "(True,)",
            "'x'",
            "(2.5,)",
        )
    )
    descr = rng.choice(
        (
            "'|O'",
            "'<f4'",
            "'>f8'",
            "'<U9'",
            "'<f3'",
            "'<i8'",
            "'|b1'",
            "'<c16'",
            "[('a', '<f4')]",
            "'<M8[s]'",
            "None",
            "(" * 500,
        )
    )
    match rng.randrange(4):
        case 0:
            header = re.sub(r"\(.*\)", lambda _: shape, header)
        case 1:
            header = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': {descr}", header)
        case 2:
            header = header.replace("False", rng.choice(("True", "None", "0", "(", "-" * 9000 + "1")))
        case _:
            return bytes_of(content, rng)
    text = header.encode("latin-1")
    return content[:8] + struct.pack("<H", len(text) % 65536) + text + content[start:]


def png_of(content: bytes, rng: random.Random) -> bytes:
    """A PNG with chunks changed, doubled or dropped, their checksums right."""
    chunks, at = [], 8
    while at < len(content):
        (n,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + n]))
        at += 12 + n
    for _ in range(rng.choice((1, 1, 3))):
        i = rng.randrange(len(chunks))
        kind, body = chunks[i]
        match rng.randrange(5):
            case 0:
                chunks.insert(i, chunks[i])
            case 1 if len(chunks) > 1:
                del chunks[i]
            case 2:
                odd = rng.choice(
                    (b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"gAMA", b"sBIT", b"IHDR")
                )
                chunks.insert(
                    i, (odd, rng.randbytes(rng.choice((0, 1, 3, 26))) + zlib.compress(bytes(rng.choice((9, 10**6)))))
                )
            case 3 if kind == b"IHDR":
                size = struct.pack(">II", *rng.choices((0, 1, 28, 32, 62, 4092, 10**5, 2**31 - 1), k=2))
                chunks[i] = (
                    kind,
                    size + bytes(rng.choices((0, 1, 2, 3, 4, 6, 8, 16), k=5))
                    if rng.random() < 0.7
                    else size + body[8:],
                )
            case _:
                chunks[i] = (kind, bytes_of(body, rng))
    out = content[:8]
    for kind, body in chunks:
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out


def idx_of(content: bytes, rng: random.Random) -> bytes:
    """An IDX file with another header, or native_net once more, or a bomb."""
    n = 4 + 4 * content[3]
    match rng.randrange(6):
        case 0:
            head = bytes([0, 0, rng.choice((8, 8, 9, 11, 13, 14)), rng.choice((1, 2, 3, 4, 5, 255))])
            content = (
                head
                + struct.pack(f">{n // 4 - 1}I", *rng.choices((0, 1, 2, 3, 28, 2**16, 2**32 - 1), k=n // 4 - 1))
                + content[n:]
            )
        case 1:
            content += bytes(rng.choice((1, 784, 10**6)))
        case 2:
            content = content[: rng.randrange(len(content))]
        case _:
            content = bytes_of(content, rng)
    match rng.randrange(6):
        case 0:
            return gzip.compress(content, 1)
        case 1:
            return lzma.compress(content, preset=0)
        case 2:
            return bytes_of(gzip.compress(content, 1), rng)
        case 3 if rng.random() < 0.05:
            return gzip.compress(content[:n] + bytes(300_000_000), 1)
        case _:
            return content
