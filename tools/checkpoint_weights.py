"""Draws the random, well-scaled weights of a synthetic checkpoint, one tensor at a time.

Every value is a function of the seed and the tensor's name alone. A tensor comes from numpy's
Generator(PCG64(crc32("<seed>:<name>"))); one of POOLED_MIN_VALUES values or more is instead a
cyclic slice, at an offset derived from its name, of one pool of POOL_VALUES normal values, so that
billions of weights take seconds. The scales keep activations near 1 and logits near 2, and spread
the router's scores. Under fp8, each 128x128 block also gets a random factor, so that block scales
differ and a misplaced scale shows.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from checkpoint_tensors import QUANTISED_ROLES, Role, TensorSpec
from float_formats import E4M3_MAX, encode_bf16, encode_e4m3
from safetensors_file import Entry

POOL_VALUES = (1 << 24) + 43  # prime, so that rows of a large table never repeat
POOLED_MIN_VALUES = 1 << 18
_CACHED_POOLS = 6

_HEAD_GAIN = 2.0
_ROUTER_GAIN = 1.5
# Selection scores (sigmoid + bias) fall on both sides of zero: masking a group with 0 instead of
# -inf then selects other experts.
_ROUTER_BIAS_MEAN, _ROUTER_BIAS_STD = -0.4, 0.15
_NORM_STD = 0.1
_ROUTED_SCALING_LIMIT = 6.0

SAFETENSORS_DTYPES = {"bf16": "BF16", "f16": "F16", "f32": "F32"}


class WeightSource:
    """Makes the file entries of each tensor for one config, seed and dtype (bf16|f16|f32|fp8)."""

    def __init__(self, config: dict[str, Any], seed: int, dtype: str) -> None:
        self._config = config
        self._seed = seed
        self._quantised = dtype == "fp8"
        self._plain_dtype = "bf16" if self._quantised else dtype
        self._pools: dict[float | str, np.ndarray] = {}

    def entries(self, spec: TensorSpec) -> list[Entry]:
        """The tensor's entry, followed under fp8 by its block scales' entry where it has them."""
        if self._quantised and spec.role in QUANTISED_ROLES:
            scales_name = spec.name + "_scale_inv"
            return [
                Entry(spec.name, "F8_E4M3", spec.shape, lambda: self._fp8_values(spec)),
                Entry(scales_name, "F32", self._grid(spec), lambda: self._fp8_scales(spec)),
            ]
        if spec.role is Role.ROUTER_BIAS:
            return [Entry(spec.name, "F32", spec.shape, lambda: iter([self._draw(spec)]))]
        dtype = SAFETENSORS_DTYPES[self._plain_dtype]
        return [Entry(spec.name, dtype, spec.shape, lambda: self._plain_values(spec))]

    def _std(self, spec: TensorSpec) -> float:
        fan_in = spec.shape[-1]
        routed_scaling = self._config["routed_scaling_factor"]
        gain = {
            Role.EMBEDDING: math.sqrt(fan_in),
            Role.HEAD: _HEAD_GAIN,
            Role.ROUTER: _ROUTER_GAIN,
            Role.EXPERT_DOWN: min(1.0, _ROUTED_SCALING_LIMIT / routed_scaling),
        }.get(spec.role, 1.0)
        return gain / math.sqrt(fan_in)

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(zlib.crc32(f"{self._seed}:{name}".encode())))

    def _draw(self, spec: TensorSpec) -> np.ndarray:
        """The tensor's values as float32, for a tensor below the pooling size."""
        normal = self._rng(spec.copy_of or spec.name).standard_normal(spec.shape, np.float32)
        if spec.role is Role.NORM:
            return np.float32(1) + np.float32(_NORM_STD) * normal
        if spec.role is Role.ROUTER_BIAS:
            return np.float32(_ROUTER_BIAS_MEAN) + np.float32(_ROUTER_BIAS_STD) * normal
        return normal * np.float32(self._std(spec))

    def _encode_plain(self, values: np.ndarray) -> np.ndarray:
        if self._plain_dtype == "bf16":
            return encode_bf16(values)
        return values.astype(np.float16 if self._plain_dtype == "f16" else np.float32)

    def _plain_values(self, spec: TensorSpec) -> Iterator[np.ndarray]:
        if spec.num_values < POOLED_MIN_VALUES:
            yield self._encode_plain(self._draw(spec))
            return
        std = self._std(spec)
        if std not in self._pools:
            self._remember(std, self._encode_plain(self._normal_pool() * np.float32(std)))
        yield from self._cyclic_slices(self._pools[std], spec)

    def _normal_pool(self) -> np.ndarray:
        if "normal" not in self._pools:
            pool = self._rng("pool").standard_normal(POOL_VALUES, np.float32)
            self._remember("normal", pool)
        return self._pools["normal"]

    def _remember(self, key: float | str, pool: np.ndarray) -> None:
        if len(self._pools) >= _CACHED_POOLS:
            self._pools.pop(next(k for k in self._pools if k != "normal"))
        self._pools[key] = pool

    def _cyclic_slices(self, pool: np.ndarray, spec: TensorSpec) -> Iterator[np.ndarray]:
        name = spec.copy_of or spec.name
        offset = zlib.crc32(f"{self._seed}:{name}".encode()) % POOL_VALUES
        remaining = spec.num_values
        while remaining:
            count = min(remaining, POOL_VALUES - offset)
            yield pool[offset : offset + count]
            remaining, offset = remaining - count, 0

    def _block(self) -> tuple[int, int]:
        rows, cols = self._config["quantization_config"]["weight_block_size"]
        return rows, cols

    def _grid(self, spec: TensorSpec) -> tuple[int, int]:
        rows, cols = self._block()
        return -(-spec.shape[0] // rows), -(-spec.shape[1] // cols)

    def _block_factors(self, spec: TensorSpec) -> np.ndarray:
        """One factor in [1/2, 2) for each block of the tensor."""
        exponents = self._rng(f"{spec.name}:block_factors").uniform(-1, 1, self._grid(spec))
        return np.exp2(exponents).astype(np.float32)

    def _per_value(self, grid: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        rows, cols = self._block()
        return grid.repeat(rows, axis=0).repeat(cols, axis=1)[: shape[0], : shape[1]]

    def _drawn_blocks(self, spec: TensorSpec) -> tuple[np.ndarray, np.ndarray]:
        """The values to quantise, and the scale of each block: its largest magnitude / 448."""
        values = self._draw(spec) * self._per_value(self._block_factors(spec), spec.shape)
        rows, cols = self._block()
        row_starts, col_starts = range(0, spec.shape[0], rows), range(0, spec.shape[1], cols)
        peaks = np.maximum.reduceat(np.abs(values), row_starts, axis=0)
        peaks = np.maximum.reduceat(peaks, col_starts, axis=1)
        return values, peaks / np.float32(E4M3_MAX)

    def _fp8_values(self, spec: TensorSpec) -> Iterator[np.ndarray]:
        if spec.num_values < POOLED_MIN_VALUES:
            values, scales = self._drawn_blocks(spec)
            yield encode_e4m3(values / self._per_value(scales, spec.shape))
            return
        if "e4m3" not in self._pools:
            pool = self._normal_pool()
            scaled = pool * np.float32(E4M3_MAX / np.abs(pool).max())
            pieces = np.array_split(scaled, 64)  # bounds the encoder's temporaries
            self._remember("e4m3", np.concatenate([encode_e4m3(piece) for piece in pieces]))
        yield from self._cyclic_slices(self._pools["e4m3"], spec)

    def _fp8_scales(self, spec: TensorSpec) -> Iterator[np.ndarray]:
        if spec.num_values < POOLED_MIN_VALUES:
            yield self._drawn_blocks(spec)[1]
            return
        unit = np.abs(self._normal_pool()).max() / E4M3_MAX * self._std(spec)
        yield self._block_factors(spec) * np.float32(unit)
