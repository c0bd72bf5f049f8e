"""Rounds float32 arrays to bf16, f16 and fp8 e4m3fn, and back, with numpy only.

e4m3fn: 4 exponent bits (bias 7), 3 mantissa bits, no infinities, largest value 448. Rounding is to
nearest, ties to even; values beyond 448 saturate. `python float_formats.py` checks the fp8 rounding
against ml_dtypes or torch, whichever is installed.
"""

from __future__ import annotations

import sys

import numpy as np

E4M3_MAX = 448.0
_E4M3_MIN_EXPONENT = -6  # of the smallest normal value
_E4M3_MANTISSA_BITS = 3
_E4M3_BIAS = 7
_E4M3_NAN = 0x7F


def encode_bf16(values: np.ndarray) -> np.ndarray:
    """float32 -> bf16 bit patterns (uint16). REQUIRES: finite values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def decode_bf16(codes: np.ndarray) -> np.ndarray:
    """bf16 bit patterns (uint16) -> float32, exactly."""
    return (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)


def encode_e4m3(values: np.ndarray) -> np.ndarray:
    """float32 -> e4m3fn bit patterns (uint8), to nearest even, saturating at +-448."""
    values = np.asarray(values, np.float32)
    magnitude = np.minimum(np.abs(values), np.float32(E4M3_MAX))
    _, exponent = np.frexp(magnitude)  # magnitude = fraction * 2^exponent, fraction in [1/2, 1)
    exponent = np.where(magnitude > 0, exponent - 1, _E4M3_MIN_EXPONENT)
    exponent = np.maximum(exponent, _E4M3_MIN_EXPONENT)
    # Counts of the unit in the last place: 8..16 for normal values, 0..8 for subnormal ones.
    units = np.rint(np.ldexp(magnitude, _E4M3_MANTISSA_BITS - exponent))
    units = np.nan_to_num(units).astype(np.int32)
    # One binade holds 8 codes, so a carry into the next binade needs no special case; subnormal
    # values share the exponent of the lowest binade, whose implicit leading unit (8) they lack.
    code = units + (exponent + _E4M3_BIAS - 1) * 8
    code = np.where(np.isnan(values), _E4M3_NAN, code)
    return (code | (np.signbit(values) << 7)).astype(np.uint8)


def _e4m3_table() -> np.ndarray:
    codes = np.arange(256)
    exponent, mantissa = (codes >> 3) & 0xF, codes & 0x7
    normal = np.ldexp(1.0 + mantissa / 8.0, exponent - _E4M3_BIAS)
    subnormal = np.ldexp(mantissa / 8.0, _E4M3_MIN_EXPONENT)
    magnitude = np.where(exponent == 0, subnormal, normal)
    magnitude[(codes & 0x7F) == _E4M3_NAN] = np.nan
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.float32)


_E4M3_VALUES = _e4m3_table()


def decode_e4m3(codes: np.ndarray) -> np.ndarray:
    """e4m3fn bit patterns (uint8) -> float32, exactly."""
    return _E4M3_VALUES[codes]


def _peer_encode_e4m3(values: np.ndarray) -> np.ndarray | None:
    """The same rounding by an installed library; both want finite values within +-448."""
    try:
        import ml_dtypes

        return values.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    except ImportError:
        pass
    try:
        import torch

        return torch.from_numpy(values).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    except ImportError:
        return None


def self_check() -> str:
    """Checks the fp8 conversions; returns what was compared, raises AssertionError otherwise."""
    codes = np.array([c for c in range(256) if c & 0x7F != _E4M3_NAN], np.uint8)
    exact = decode_e4m3(codes)
    assert np.array_equal(encode_e4m3(exact), codes), "exact values do not round-trip"
    assert encode_e4m3(np.float32(1e9)) == 0x7E and encode_e4m3(np.float32(-1e9)) == 0xFE

    rng = np.random.Generator(np.random.PCG64(0))
    wide = rng.standard_normal(1 << 20, np.float32) * np.exp2(rng.integers(-14, 9, 1 << 20))
    ladder = np.sort(exact[exact >= 0])
    ties = (ladder[1:] + ladder[:-1]) / 2
    below, above = np.nextafter(ties, np.float32(0)), np.nextafter(ties, ties * 2)
    near_ties = np.concatenate([ties, below, above])
    values = np.clip(np.concatenate([wide, near_ties, -near_ties]), -E4M3_MAX, E4M3_MAX)
    values = values.astype(np.float32)
    peer = _peer_encode_e4m3(values)
    if peer is None:
        return "round trip only (neither ml_dtypes nor torch is installed)"
    assert np.array_equal(encode_e4m3(values), peer), "differs from the installed library"
    return f"round trip and {values.size} values against an installed library"


if __name__ == "__main__":
    try:
        print(f"fp8 e4m3: ok, {self_check()}")
    except AssertionError as error:
        sys.exit(f"fp8 e4m3: {error}")
