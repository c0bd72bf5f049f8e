"""Reads a checkpoint folder's weights as float32, some rows at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from float_formats import decode_bf16, decode_e4m3
from safetensors_file import map_file


def weight_files(folder: Path) -> list[Path]:
    """The checkpoint's files: those that the index names, or model.safetensors."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [folder / "model.safetensors"]
    names = json.loads(index.read_text())["weight_map"].values()
    return [folder / name for name in sorted(set(names))]


class CheckpointReader:
    """A folder of config.json and safetensors files in bf16, f16, f32 or block-scaled fp8."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self._tensors: dict[str, tuple[str, np.ndarray]] = {}
        for path in weight_files(folder):
            self._tensors.update(map_file(path))

    def rows(self, name: str, begin: int = 0, end: int | None = None) -> np.ndarray:
        """The tensor's values, or those of its rows from `begin` to before `end`."""
        dtype, values = self._tensors[name]
        part = values[begin:end]
        if dtype == "BF16":
            return decode_bf16(part)
        if dtype == "F8_E4M3":
            return decode_e4m3(part) * self._scales(name, begin, part.shape)
        return part.astype(np.float32)

    def _scales(self, name: str, begin: int, shape: tuple[int, ...]) -> np.ndarray:
        """The scale of each value of `shape` rows from `begin` on, [rows, columns]."""
        block_rows, block_cols = self.config["quantization_config"]["weight_block_size"]
        grid = self._tensors[name + "_scale_inv"][1]
        of_rows = grid[np.arange(begin, begin + shape[0]) // block_rows]
        return of_rows.repeat(block_cols, axis=1)[:, : shape[1]]
