"""The tensor list of a DeepSeek V2/V3-generation checkpoint, computed from its config.json.

Names and shapes are those of the published Hugging Face checkpoints; shapes are [out, in].
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]


class Role(enum.Enum):
    """What a tensor does; decides how it is drawn and whether fp8 checkpoints quantise it."""

    EMBEDDING = "embedding"
    HEAD = "head"
    NORM = "norm"
    LINEAR = "linear"
    ROUTER = "router"
    ROUTER_BIAS = "router_bias"
    EXPERT_DOWN = "expert_down"
    MTP_PROJECTION = "mtp_projection"


QUANTISED_ROLES = frozenset({Role.LINEAR, Role.EXPERT_DOWN})


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of the checkpoint. `copy_of` names the tensor whose bytes it repeats."""

    name: str
    shape: tuple[int, ...]
    role: Role
    copy_of: str | None = None

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)


def _attention(config: Config, prefix: str) -> Iterator[TensorSpec]:
    hidden = config["hidden_size"]
    heads = config["num_attention_heads"]
    qk_dim = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    q_rank, kv_rank = config["q_lora_rank"], config["kv_lora_rank"]
    if q_rank is None:
        yield TensorSpec(f"{prefix}q_proj.weight", (heads * qk_dim, hidden), Role.LINEAR)
    else:
        yield TensorSpec(f"{prefix}q_a_proj.weight", (q_rank, hidden), Role.LINEAR)
        yield TensorSpec(f"{prefix}q_a_layernorm.weight", (q_rank,), Role.NORM)
        yield TensorSpec(f"{prefix}q_b_proj.weight", (heads * qk_dim, q_rank), Role.LINEAR)
    kv_a_rows = kv_rank + config["qk_rope_head_dim"]
    yield TensorSpec(f"{prefix}kv_a_proj_with_mqa.weight", (kv_a_rows, hidden), Role.LINEAR)
    yield TensorSpec(f"{prefix}kv_a_layernorm.weight", (kv_rank,), Role.NORM)
    kv_b_rows = heads * (config["qk_nope_head_dim"] + config["v_head_dim"])
    yield TensorSpec(f"{prefix}kv_b_proj.weight", (kv_b_rows, kv_rank), Role.LINEAR)
    o_shape = (hidden, heads * config["v_head_dim"])
    yield TensorSpec(f"{prefix}o_proj.weight", o_shape, Role.LINEAR)


def _swiglu(prefix: str, hidden: int, width: int, down: Role) -> Iterator[TensorSpec]:
    yield TensorSpec(f"{prefix}gate_proj.weight", (width, hidden), Role.LINEAR)
    yield TensorSpec(f"{prefix}up_proj.weight", (width, hidden), Role.LINEAR)
    yield TensorSpec(f"{prefix}down_proj.weight", (hidden, width), down)


def is_moe_layer(config: Config, layer: int) -> bool:
    """Whether the decoder layer routes to experts; the MTP layers always do."""
    beyond_dense = layer >= config["first_k_dense_replace"]
    return beyond_dense and layer % config["moe_layer_freq"] == 0


def _mlp(config: Config, prefix: str, layer: int) -> Iterator[TensorSpec]:
    hidden, experts = config["hidden_size"], config["n_routed_experts"]
    if not is_moe_layer(config, layer):
        yield from _swiglu(prefix, hidden, config["intermediate_size"], Role.LINEAR)
        return
    yield TensorSpec(f"{prefix}gate.weight", (experts, hidden), Role.ROUTER)
    if config["topk_method"] == "noaux_tc":
        bias = f"{prefix}gate.e_score_correction_bias"
        yield TensorSpec(bias, (experts,), Role.ROUTER_BIAS)
    width = config["moe_intermediate_size"]
    for expert in range(experts):
        yield from _swiglu(f"{prefix}experts.{expert}.", hidden, width, Role.EXPERT_DOWN)
    if config["n_shared_experts"]:
        shared_width = config["n_shared_experts"] * width
        yield from _swiglu(f"{prefix}shared_experts.", hidden, shared_width, Role.LINEAR)


def _decoder_layer(config: Config, layer: int) -> Iterator[TensorSpec]:
    prefix, hidden = f"model.layers.{layer}.", config["hidden_size"]
    yield TensorSpec(f"{prefix}input_layernorm.weight", (hidden,), Role.NORM)
    yield from _attention(config, f"{prefix}self_attn.")
    yield TensorSpec(f"{prefix}post_attention_layernorm.weight", (hidden,), Role.NORM)
    yield from _mlp(config, f"{prefix}mlp.", layer)


def _mtp_layer(config: Config, layer: int) -> Iterator[TensorSpec]:
    prefix, hidden = f"model.layers.{layer}.", config["hidden_size"]
    table = (config["vocab_size"], hidden)
    yield TensorSpec(
        f"{prefix}embed_tokens.weight", table, Role.EMBEDDING, "model.embed_tokens.weight"
    )
    yield TensorSpec(f"{prefix}enorm.weight", (hidden,), Role.NORM)
    yield TensorSpec(f"{prefix}hnorm.weight", (hidden,), Role.NORM)
    yield TensorSpec(f"{prefix}eh_proj.weight", (hidden, 2 * hidden), Role.MTP_PROJECTION)
    yield from _decoder_layer(config, layer)
    yield TensorSpec(f"{prefix}shared_head.norm.weight", (hidden,), Role.NORM)
    yield TensorSpec(f"{prefix}shared_head.head.weight", table, Role.HEAD, "lm_head.weight")


def tensor_specs(config: Config) -> Iterator[TensorSpec]:
    """Every tensor of the checkpoint, in model order, fp8 scales not included."""
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    table = (config["vocab_size"], hidden)
    yield TensorSpec("model.embed_tokens.weight", table, Role.EMBEDDING)
    for layer in range(layers):
        yield from _decoder_layer(config, layer)
    yield TensorSpec("model.norm.weight", (hidden,), Role.NORM)
    if not config["tie_word_embeddings"]:
        yield TensorSpec("lm_head.weight", table, Role.HEAD)
    for layer in range(layers, layers + config.get("num_nextn_predict_layers", 0)):
        yield from _mtp_layer(config, layer)


def count_parameters(config: Config) -> tuple[int, int]:
    """Parameters of the main model, and of the MTP layers without their copied tables."""
    main = mtp = 0
    mtp_prefixes = tuple(
        f"model.layers.{config['num_hidden_layers'] + i}."
        for i in range(config.get("num_nextn_predict_layers", 0))
    )
    for spec in tensor_specs(config):
        if not spec.name.startswith(mtp_prefixes):
            main += spec.num_values
        elif spec.copy_of is None:
            mtp += spec.num_values
    return main, mtp
