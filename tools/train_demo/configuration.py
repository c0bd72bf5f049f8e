"""The demo model's shape as a config.json, and the few numbers of it that the code works with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from checkpoint_shapes import FP8_QUANTIZATION, shape_config

Config = dict[str, Any]

VOCAB_SIZE = 8192
CONTEXT_TOKENS = 1024  # of a training row; YaRN stretches it by YARN_FACTOR
YARN_FACTOR = 4

# The latent norms of attention use this epsilon whatever rms_norm_eps says (docs/checkpoints.md).
LATENT_NORM_EPS = 1e-6


def demo_config() -> Config:
    """config.json of models/demo. Every matrix but kv_a_proj has sides divisible by 128."""
    config = shape_config("v3")
    config.update(
        first_k_dense_replace=1,
        hidden_size=256,
        intermediate_size=768,
        max_position_embeddings=CONTEXT_TOKENS * YARN_FACTOR,
        moe_intermediate_size=128,
        n_group=4,
        n_routed_experts=16,
        num_attention_heads=2,
        num_experts_per_tok=2,
        num_hidden_layers=4,
        num_key_value_heads=2,
        q_lora_rank=128,
        quantization_config=dict(FP8_QUANTIZATION),
        topk_group=2,
        torch_dtype="bfloat16",
        vocab_size=VOCAB_SIZE,
    )
    config["rope_scaling"].update(
        factor=YARN_FACTOR, original_max_position_embeddings=CONTEXT_TOKENS
    )
    return dict(sorted(config.items()))


def tiny_config() -> Config:
    """A shape for tests that run in seconds; sides of every kind, ragged blocks among them."""
    config = demo_config()
    config.update(
        hidden_size=128,
        intermediate_size=160,
        moe_intermediate_size=48,
        n_routed_experts=8,
        num_attention_heads=2,
        num_experts_per_tok=3,
        num_hidden_layers=3,
        num_key_value_heads=2,
        q_lora_rank=72,
        vocab_size=512,
    )
    return config


@dataclass(frozen=True)
class RopeFrequencies:
    """Angles per position of each pair of rotary dimensions, and the softmax scale's factor."""

    frequencies: tuple[float, ...]
    softmax_gain: float


def rope_frequencies(config: Config) -> RopeFrequencies:
    """YaRN of rope_scaling. Source: DeepSeek-V3 inference/model.py, precompute_freqs_cis."""
    dim, theta, scaling = config["qk_rope_head_dim"], config["rope_theta"], config["rope_scaling"]
    plain = [theta ** (-2 * i / dim) for i in range(dim // 2)]
    if scaling is None:
        return RopeFrequencies(tuple(plain), 1.0)

    def dimension_turning(turns: float) -> float:
        length = scaling["original_max_position_embeddings"]
        return dim * math.log(length / (2 * math.pi * turns)) / (2 * math.log(theta))

    low = max(math.floor(dimension_turning(scaling["beta_fast"])), 0)
    high = min(math.ceil(dimension_turning(scaling["beta_slow"])), dim - 1)
    width = (high - low) or 0.001
    frequencies = []
    for i, frequency in enumerate(plain):
        ramp = min(max((i - low) / width, 0.0), 1.0)
        frequencies.append(frequency * (1 - ramp) + frequency / scaling["factor"] * ramp)
    mscale = 0.1 * scaling["mscale_all_dim"] * math.log(scaling["factor"]) + 1.0
    return RopeFrequencies(tuple(frequencies), mscale * mscale)
