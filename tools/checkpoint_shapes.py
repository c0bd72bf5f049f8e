"""Named model shapes: the config.json of every checkpoint that make_checkpoint.py can write.

Three kinds: `tiny-*` for tests (odd sizes, each dimension different, so that a transposed or
swapped dimension shows), benchmark shapes, and the published configurations. The words are those
of config.json. Run `make_checkpoint.py --help` for how to use them.
"""

from __future__ import annotations

import copy
from typing import Any

Config = dict[str, Any]

_COMMON: Config = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "aux_loss_alpha": 0.001,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "moe_layer_freq": 1,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000,
    "seq_aux": True,
    "tie_word_embeddings": False,
    "use_cache": True,
}

FP8_QUANTIZATION: Config = {
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "quant_method": "fp8",
    "weight_block_size": [128, 128],
}


def _yarn(factor: float, original: int, mscale: float, beta_fast: float = 32) -> Config:
    return {
        "beta_fast": beta_fast,
        "beta_slow": 1,
        "factor": factor,
        "mscale": mscale,
        "mscale_all_dim": mscale,
        "original_max_position_embeddings": original,
        "type": "yarn",
    }


def _derive(base: Config, **changes: Any) -> Config:
    return {**copy.deepcopy(base), **changes}


_V2 = _derive(
    _COMMON,
    architectures=["DeepseekV2ForCausalLM"],
    model_type="deepseek_v2",
    bos_token_id=100000,
    eos_token_id=100001,
    hidden_size=5120,
    intermediate_size=12288,
    kv_lora_rank=512,
    max_position_embeddings=163840,
    moe_intermediate_size=1536,
    n_group=8,
    n_routed_experts=160,
    n_shared_experts=2,
    norm_topk_prob=False,
    num_attention_heads=128,
    num_experts_per_tok=6,
    num_hidden_layers=60,
    num_key_value_heads=128,
    q_lora_rank=1536,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    rope_scaling=_yarn(40, 4096, 0.707),
    routed_scaling_factor=16.0,
    scoring_func="softmax",
    topk_group=3,
    topk_method="group_limited_greedy",
    v_head_dim=128,
    vocab_size=102400,
)

_V2_LITE = _derive(
    _V2,
    hidden_size=2048,
    intermediate_size=10944,
    moe_intermediate_size=1408,
    n_group=1,
    n_routed_experts=64,
    num_attention_heads=16,
    num_hidden_layers=27,
    num_key_value_heads=16,
    q_lora_rank=None,
    routed_scaling_factor=1.0,
    topk_group=1,
    topk_method="greedy",
)

_V3 = _derive(
    _COMMON,
    architectures=["DeepseekV3ForCausalLM"],
    model_type="deepseek_v3",
    bos_token_id=0,
    eos_token_id=1,
    ep_size=1,
    first_k_dense_replace=3,
    hidden_size=7168,
    intermediate_size=18432,
    kv_lora_rank=512,
    max_position_embeddings=163840,
    moe_intermediate_size=2048,
    n_group=8,
    n_routed_experts=256,
    n_shared_experts=1,
    norm_topk_prob=True,
    num_attention_heads=128,
    num_experts_per_tok=8,
    num_hidden_layers=61,
    num_key_value_heads=128,
    num_nextn_predict_layers=1,
    q_lora_rank=1536,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    rope_scaling=_yarn(40, 4096, 1.0),
    routed_scaling_factor=2.5,
    scoring_func="sigmoid",
    topk_group=4,
    topk_method="noaux_tc",
    v_head_dim=128,
    vocab_size=129280,
)

_MOONLIGHT = _derive(
    _V3,
    bos_token_id=163584,
    eos_token_id=163585,
    first_k_dense_replace=1,
    hidden_size=2048,
    intermediate_size=11264,
    max_position_embeddings=8192,
    moe_intermediate_size=1408,
    n_group=1,
    n_routed_experts=64,
    n_shared_experts=2,
    num_attention_heads=16,
    num_experts_per_tok=6,
    num_hidden_layers=27,
    num_key_value_heads=16,
    num_nextn_predict_layers=0,
    q_lora_rank=None,
    rms_norm_eps=1e-05,
    rope_scaling=None,
    rope_theta=50000.0,
    routed_scaling_factor=2.446,
    topk_group=1,
    vocab_size=163840,
)

_KIMI_K2 = _derive(
    _V3,
    model_type="kimi_k2",
    bos_token_id=163584,
    eos_token_id=163585,
    first_k_dense_replace=1,
    max_position_embeddings=131072,
    n_group=1,
    n_routed_experts=384,
    num_attention_heads=64,
    num_key_value_heads=64,
    num_nextn_predict_layers=0,
    rope_scaling=_yarn(32.0, 4096, 1.0, beta_fast=1.0),
    rope_theta=50000.0,
    routed_scaling_factor=2.827,
    topk_group=1,
    vocab_size=163840,
)

# DeepSeek-V3 features at 1.6 B parameters, 0.3 B active: the CPU benchmark model.
_S = _derive(
    _V3,
    bos_token_id=1,
    eos_token_id=2,
    first_k_dense_replace=1,
    hidden_size=1280,
    intermediate_size=4096,
    max_position_embeddings=16384,
    moe_intermediate_size=512,
    n_routed_experts=64,
    num_attention_heads=16,
    num_experts_per_tok=6,
    num_hidden_layers=12,
    num_key_value_heads=16,
    num_nextn_predict_layers=0,
    q_lora_rank=768,
    rope_scaling=None,
    vocab_size=32768,
)

_TINY: Config = {
    "bos_token_id": 0,
    "eos_token_id": 1,
    "first_k_dense_replace": 1,
    "num_hidden_layers": 3,
    "kv_lora_rank": 48,
    "qk_nope_head_dim": 24,
    "qk_rope_head_dim": 16,
    "v_head_dim": 20,
}

_TINY_V3 = _derive(
    _V3,
    **_TINY,
    hidden_size=72,
    intermediate_size=100,
    max_position_embeddings=1280,
    moe_intermediate_size=18,
    n_group=4,
    n_routed_experts=12,
    num_attention_heads=3,
    num_experts_per_tok=4,
    num_key_value_heads=3,
    q_lora_rank=40,
    rope_scaling=_yarn(40, 32, 1.0),
    topk_group=2,
    vocab_size=232,
)

SHAPES: dict[str, Config] = {
    "tiny-v2-lite": _derive(
        _V2_LITE,
        **_TINY,
        hidden_size=60,
        intermediate_size=104,
        max_position_embeddings=1280,
        moe_intermediate_size=22,
        n_routed_experts=8,
        num_attention_heads=3,
        num_experts_per_tok=3,
        num_key_value_heads=3,
        rope_scaling=_yarn(40, 32, 0.707),
        vocab_size=272,
    ),
    "tiny-v2": _derive(
        _V2,
        **_TINY,
        hidden_size=68,
        intermediate_size=92,
        max_position_embeddings=1920,
        moe_intermediate_size=14,
        n_group=4,
        n_routed_experts=12,
        num_attention_heads=4,
        num_experts_per_tok=4,
        num_key_value_heads=4,
        q_lora_rank=44,
        # Twice-per-window rotations kept: a ramp whose lower end is above zero.
        rope_scaling=_yarn(40, 48, 0.707, beta_fast=2),
        topk_group=2,
        vocab_size=264,
    ),
    "tiny-v3": _TINY_V3,
    # Wide enough for several 128x128 blocks both ways, each with a ragged last block.
    "tiny-v3-wide": _derive(
        _TINY_V3,
        hidden_size=136,
        intermediate_size=152,
        moe_intermediate_size=22,
        n_routed_experts=8,
        num_attention_heads=5,
        num_experts_per_tok=3,
        num_key_value_heads=5,
        q_lora_rank=52,
        vocab_size=160,
    ),
    "tiny-moonlight": _derive(
        _MOONLIGHT,
        **_TINY,
        hidden_size=60,
        intermediate_size=88,
        max_position_embeddings=8192,
        moe_intermediate_size=22,
        n_routed_experts=8,
        num_attention_heads=5,
        num_experts_per_tok=3,
        num_key_value_heads=5,
        vocab_size=280,
    ),
    "tiny-kimi": _derive(
        _KIMI_K2,
        **_TINY,
        hidden_size=76,
        intermediate_size=108,
        max_position_embeddings=1024,
        moe_intermediate_size=18,
        n_routed_experts=12,
        num_attention_heads=3,
        num_experts_per_tok=4,
        num_key_value_heads=3,
        q_lora_rank=36,
        rope_scaling=_yarn(32.0, 32, 1.0, beta_fast=1.0),
        vocab_size=248,
    ),
    "s": _S,
    "v2-lite": _V2_LITE,
    "v2": _V2,
    "v3": _V3,
    "v3-2layer": _derive(
        _V3, first_k_dense_replace=1, num_hidden_layers=2, num_nextn_predict_layers=0
    ),
    "kimi-k2": _KIMI_K2,
    "moonlight": _MOONLIGHT,
}


def shape_config(name: str) -> Config:
    """A fresh copy of the named shape's config.json, without dtype or quantisation keys."""
    return copy.deepcopy(SHAPES[name])


def to_recent_spelling(config: Config) -> Config:
    """The same configuration as recent transformers releases spell it.

    `rope_theta` and `rope_scaling` move into `rope_parameters`, `type` becomes `rope_type`, and
    `torch_dtype` becomes `dtype`.
    """
    recent = copy.deepcopy(config)
    scaling = recent.pop("rope_scaling") or {}
    rope_type = scaling.pop("type", scaling.pop("rope_type", "default"))
    recent["rope_parameters"] = {
        "rope_type": rope_type,
        "rope_theta": recent.pop("rope_theta"),
        **scaling,
    }
    if "torch_dtype" in recent:
        recent["dtype"] = recent.pop("torch_dtype")
    return recent
