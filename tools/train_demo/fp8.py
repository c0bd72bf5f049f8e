"""Block-scaled fp8 e4m3 of weights, in PyTorch: for training on what will be exported.

Each 128x128 block has a float32 scale, its largest magnitude / 448. A stack of matrices is
quantised matrix by matrix. tests/model_test.py compares with float_formats.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from float_formats import E4M3_MAX

BLOCK = 128


def _per_value(scales: Tensor, shape: torch.Size) -> Tensor:
    spread = scales.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)
    return spread[..., : shape[-2], : shape[-1]]


def block_scales(weight: Tensor) -> Tensor:
    """The scale of each block of weight [..., rows, cols]; 1 for a block of zeros."""
    rows, cols = weight.shape[-2:]
    padded = F.pad(weight.abs().float(), (0, -cols % BLOCK, 0, -rows % BLOCK))
    blocks = padded.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK))
    scales = blocks.amax(dim=(-3, -1)) / E4M3_MAX
    return torch.where(scales > 0, scales, 1.0)


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Values in float8_e4m3fn and scales; weight is about values * scale of their block."""
    scales = block_scales(weight)
    scaled = weight.float() / _per_value(scales, weight.shape)
    return scaled.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn), scales


def dequantise(values: Tensor, scales: Tensor) -> Tensor:
    """float32 values of a quantised weight."""
    return values.float() * _per_value(scales, values.shape)


def round_trip(weight: Tensor) -> Tensor:
    """The float32 values that an exported weight stands for."""
    return dequantise(*quantise(weight))
