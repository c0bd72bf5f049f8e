"""Reads GGUF files: metadata, and tensors of types F32, F16, Q4_1 and Q8_0 as float32.

Layout (ggml-org/ggml docs/gguf.md, version 3): magic, version, counts, key-value pairs, tensor
descriptions with dimensions fastest first, then the data, aligned.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}
_STRING, _ARRAY = 8, 9
_BLOCK = 32
_ALIGNMENT = 32
_Q4_1 = np.dtype([("scale", "<f2"), ("least", "<f2"), ("codes", "u1", _BLOCK // 2)])
_Q8_0 = np.dtype([("scale", "<f2"), ("codes", "i1", _BLOCK)])


def _read(file: BinaryIO, form: str) -> tuple:
    return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))


def _string(file: BinaryIO) -> str:
    (size,) = _read(file, "Q")
    return file.read(size).decode("utf-8")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        element, count = _read(file, "IQ")
        return [_value(file, element) for _ in range(count)]
    return _read(file, _SCALARS[kind])[0]


def _decode(data: memoryview, kind: int, count: int) -> np.ndarray:
    """`count` values of a tensor's data."""
    if kind in (0, 1):
        return np.frombuffer(data, "<f4" if kind == 0 else "<f2", count).astype(np.float32)
    if kind == 3:
        blocks = np.frombuffer(data, _Q4_1, count // _BLOCK)
        codes = np.concatenate([blocks["codes"] & 15, blocks["codes"] >> 4], axis=1)
        scale, least = (blocks[f].astype(np.float32)[:, None] for f in ("scale", "least"))
        return (codes * scale + least).reshape(-1)
    if kind == 8:
        blocks = np.frombuffer(data, _Q8_0, count // _BLOCK)
        return (blocks["codes"] * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)
    raise ValueError(f"GGUF tensor type {kind} is not supported")


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metadata, and every tensor as float32 with its rows first."""
    metadata: dict[str, Any] = {}
    described = []
    with path.open("rb") as file:
        magic, version, num_tensors, num_pairs = _read(file, "4sIQQ")
        if magic != b"GGUF" or version != 3:
            raise ValueError(f"{path}: not a GGUF file of version 3")
        for _ in range(num_pairs):
            key = _string(file)
            metadata[key] = _value(file, _read(file, "I")[0])
        for _ in range(num_tensors):
            name = _string(file)
            (rank,) = _read(file, "I")
            described.append((name, _read(file, "Q" * rank)[::-1], *_read(file, "IQ")))
        start = -(-file.tell() // metadata.get("general.alignment", _ALIGNMENT)) * _ALIGNMENT
    data = memoryview(path.read_bytes())
    tensors = {
        name: _decode(data[start + offset :], kind, math.prod(shape)).reshape(shape)
        for name, shape, kind, offset in described
    }
    return metadata, tensors
