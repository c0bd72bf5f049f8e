"""Writes and reads safetensors files with numpy only.

The writer streams: it needs every tensor's dtype and shape beforehand, and holds one piece of one
tensor at a time. Tensors are ordered by falling element size, so each starts aligned.
Format: u64 header size, JSON header padded with spaces to 8 bytes, then the tensors back to back.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ELEMENT_BYTES = {"I64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}
# bf16 and e4m3 have no numpy type: they are held as their bit patterns.
_NUMPY_TYPES = {"I64": "<i8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "|u1"}


@dataclass(frozen=True)
class Entry:
    """One tensor to write. `pieces` yields its values in order, already in the stored type."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[np.ndarray]]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * ELEMENT_BYTES[self.dtype]


def _header(entries: list[Entry]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in entries:
        offsets = [offset, offset + entry.num_bytes]
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": offsets,
        }
        offset = offsets[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def write_file(path: Path, entries: list[Entry]) -> None:
    """Writes the entries to one file."""
    ordered = sorted(entries, key=lambda entry: -ELEMENT_BYTES[entry.dtype])
    with path.open("wb") as file:
        header = _header(ordered)
        file.write(struct.pack("<Q", len(header)))
        file.write(header)
        for entry in ordered:
            start = file.tell()
            for piece in entry.pieces():
                file.write(np.ascontiguousarray(piece).data)
            written = file.tell() - start
            if written != entry.num_bytes:
                raise ValueError(f"{entry.name}: wrote {written} bytes of {entry.num_bytes}")


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes int64 and float32 arrays to one file."""
    names = {"int64": "I64", "float32": "F32"}
    write_file(
        path,
        [
            Entry(name, names[str(array.dtype)], array.shape, lambda array=array: iter([array]))
            for name, array in arrays.items()
        ],
    )


def _parse_header(data: np.ndarray) -> tuple[int, dict[str, Any]]:
    """Of a file's bytes: where the tensors begin, and the header without its metadata."""
    begin = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:begin].tobytes())
    header.pop("__metadata__", None)
    return begin, header


def map_file(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """As read_file, but values are read from the file when they are used: it must not change."""
    data = np.memmap(path, np.uint8, mode="r")
    start, header = _parse_header(data)
    tensors = {}
    for name, info in header.items():
        begin, end = (start + offset for offset in info["data_offsets"])
        values = data[begin:end].view(_NUMPY_TYPES[info["dtype"]])
        tensors[name] = (info["dtype"], values.reshape(info["shape"]))
    return tensors


def read_file(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """All tensors of a file: name -> (dtype, values; bit patterns for BF16 and F8_E4M3)."""
    return {name: (dtype, np.array(values)) for name, (dtype, values) in map_file(path).items()}


def _split(entries: list[Entry], num_shards: int) -> list[list[Entry]]:
    """Consecutive runs of entries of roughly equal size."""
    total = sum(entry.num_bytes for entry in entries)
    shards: list[list[Entry]] = [[] for _ in range(num_shards)]
    written = 0
    for entry in entries:
        shards[min(written * num_shards // total, num_shards - 1)].append(entry)
        written += entry.num_bytes
    if not all(shards):
        raise ValueError(f"the tensors do not fill {num_shards} shards")
    return shards


def write_checkpoint_files(folder: Path, entries: list[Entry], num_shards: int) -> list[Path]:
    """Writes model.safetensors, or numbered shards and their index when num_shards > 1."""
    if num_shards == 1:
        path = folder / "model.safetensors"
        write_file(path, entries)
        return [path]
    paths, weight_map = [], {}
    for i, shard in enumerate(_split(entries, num_shards), start=1):
        path = folder / f"model-{i:05d}-of-{num_shards:05d}.safetensors"
        write_file(path, shard)
        paths.append(path)
        weight_map.update({entry.name: path.name for entry in shard})
    index = {
        "metadata": {"total_size": sum(entry.num_bytes for entry in entries)},
        "weight_map": weight_map,
    }
    index_path = folder / "model.safetensors.index.json"
    index_path.write_text(json.dumps(index, indent=2) + "\n")
    return [*paths, index_path]
