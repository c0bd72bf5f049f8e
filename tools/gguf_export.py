#!/usr/bin/env python3
"""Converts a checkpoint folder of the DeepSeek V2/V3 generation to GGUF, for llama.cpp.

Writes what llama.cpp calls architecture "deepseek2", without a tokenizer: the file is for
benchmarks and comparisons by token ids. Every matrix takes the type asked for, router and norms
are float32; MTP layers are left out. Needs tools/requirements-peers.txt.

  gguf_export.py --model /tmp/tiny-v3 --type q8_0 --out /tmp/tiny-v3-q8_0.gguf
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as GgmlType

from checkpoint_reader import CheckpointReader
from checkpoint_tensors import is_moe_layer
from float_formats import encode_bf16

Config = dict[str, Any]

MATRIX_TYPES = {
    "f32": (GgmlType.F32, gguf.LlamaFileType.ALL_F32),
    "bf16": (GgmlType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (GgmlType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (GgmlType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}

_PIECE_VALUES = 1 << 22  # bounds the temporaries of quantising
# llama.cpp tells the models without q_lora_rank by these numbers of layers, whatever the file says.
_LITE_LAYERS = (26, 27)


class ExportError(Exception):
    """llama.cpp cannot say this checkpoint; the message says why."""


@dataclass(frozen=True)
class GgufTensor:
    """One tensor to write. `pieces` yields its values in order, as float32 rows."""

    name: str
    shape: tuple[int, ...]  # the last dimension is contiguous; GGUF lists it first
    type: GgmlType
    pieces: Callable[[], Iterator[np.ndarray]]

    @property
    def num_bytes(self) -> int:
        block_values, block_bytes = gguf.GGML_QUANT_SIZES[self.type]
        return math.prod(self.shape) // block_values * block_bytes


def check_config(config: Config) -> None:
    """Refuses what llama.cpp would compute differently."""
    if "rope_theta" not in config:
        raise ExportError("config.json is not in the published spelling: it has no rope_theta")
    if config["moe_layer_freq"] != 1:
        raise ExportError(f"moe_layer_freq {config['moe_layer_freq']}: llama.cpp knows 1 only")
    if config["topk_method"] == "group_limited_greedy" and config["n_group"] > 1:
        raise ExportError("group_limited_greedy: llama.cpp scores groups by two experts, not one")
    if config["q_lora_rank"] is not None and config["num_hidden_layers"] in _LITE_LAYERS:
        raise ExportError(f"q_lora_rank with {config['num_hidden_layers']} layers")
    scaling = config["rope_scaling"]
    if scaling is None:
        return
    if scaling["type"] != "yarn":
        raise ExportError(f"rope_scaling type {scaling['type']}")
    if scaling.get("mscale") is None or scaling["mscale"] != scaling.get("mscale_all_dim"):
        raise ExportError("mscale and mscale_all_dim differ: llama.cpp knows one of them")


def add_metadata(writer: gguf.GGUFWriter, config: Config) -> None:
    """The keys that llama.cpp's deepseek2 reads."""
    rank, rope_dim = config["kv_lora_rank"], config["qk_rope_head_dim"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    # Attention in the latent form: one key and value head, whose value is the key's first part.
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(1)
    writer.add_q_lora_rank(config["q_lora_rank"] or 0)
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(rank + rope_dim)
    writer.add_value_length(rank)
    writer.add_key_length_mla(config["qk_nope_head_dim"] + rope_dim)
    writer.add_value_length_mla(config["v_head_dim"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_group_count(config["n_group"])
    writer.add_expert_group_used_count(config["topk_group"])
    writer.add_expert_weights_scale(float(config["routed_scaling_factor"]))
    writer.add_expert_weights_norm(config["norm_topk_prob"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType[config["scoring_func"].upper()])
    add_rope_metadata(writer, config)


def add_rope_metadata(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_rope_dimension_count(config["qk_rope_head_dim"])
    writer.add_rope_freq_base(float(config["rope_theta"]))
    scaling = config["rope_scaling"]
    if scaling is None:
        return
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(float(scaling["factor"]))
    writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_beta_fast(float(scaling["beta_fast"]))
    writer.add_rope_scaling_yarn_beta_slow(float(scaling["beta_slow"]))
    # llama.cpp takes the tenth out again.
    writer.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])


class TensorList:
    """Lists the GGUF tensors of a checkpoint."""

    def __init__(self, reader: CheckpointReader, matrix_type: GgmlType) -> None:
        self._reader = reader
        self._config = reader.config
        self._matrix_type = matrix_type

    def all(self) -> Iterator[GgufTensor]:
        """Every tensor of the main model, in model order."""
        hidden, vocab = self._config["hidden_size"], self._config["vocab_size"]
        yield self._matrix("token_embd.weight", "model.embed_tokens.weight", vocab, hidden)
        for layer in range(self._config["num_hidden_layers"]):
            source, target = f"model.layers.{layer}.", f"blk.{layer}."
            yield self._vector(target + "attn_norm.weight", source + "input_layernorm.weight")
            yield from self._attention(source + "self_attn.", target)
            norm = source + "post_attention_layernorm.weight"
            yield self._vector(target + "ffn_norm.weight", norm)
            if is_moe_layer(self._config, layer):
                yield from self._experts(source + "mlp.", target)
            else:
                width = self._config["intermediate_size"]
                yield from self._swiglu([source + "mlp."], target, "", width)
        yield self._vector("output_norm.weight", "model.norm.weight")
        if not self._config["tie_word_embeddings"]:
            yield self._matrix("output.weight", "lm_head.weight", vocab, hidden)

    def _attention(self, source: str, target: str) -> Iterator[GgufTensor]:
        config = self._config
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        q_rank, kv_rank = config["q_lora_rank"], config["kv_lora_rank"]
        q_rows = heads * (config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
        if q_rank is None:
            yield self._matrix(target + "attn_q.weight", source + "q_proj.weight", q_rows, hidden)
        else:
            yield self._matrix(
                target + "attn_q_a.weight", source + "q_a_proj.weight", q_rank, hidden
            )
            yield self._vector(target + "attn_q_a_norm.weight", source + "q_a_layernorm.weight")
            yield self._matrix(
                target + "attn_q_b.weight", source + "q_b_proj.weight", q_rows, q_rank
            )
        kv_a_rows = kv_rank + config["qk_rope_head_dim"]
        yield self._matrix(
            target + "attn_kv_a_mqa.weight", source + "kv_a_proj_with_mqa.weight", kv_a_rows, hidden
        )
        yield self._vector(target + "attn_kv_a_norm.weight", source + "kv_a_layernorm.weight")
        yield from self._kv_b(source + "kv_b_proj.weight", target)
        o_cols = heads * config["v_head_dim"]
        yield self._matrix(target + "attn_output.weight", source + "o_proj.weight", hidden, o_cols)

    def _kv_b(self, source: str, target: str) -> Iterator[GgufTensor]:
        """kv_b_proj's two parts: keys, transposed to take queries into the latent, and values."""
        heads, rank = self._config["num_attention_heads"], self._config["kv_lora_rank"]
        nope, value = self._config["qk_nope_head_dim"], self._config["v_head_dim"]

        def by_head() -> np.ndarray:
            return self._reader.rows(source).reshape(heads, nope + value, rank)

        def keys() -> Iterator[np.ndarray]:
            yield by_head()[:, :nope].transpose(0, 2, 1).reshape(-1, nope)

        def values() -> Iterator[np.ndarray]:
            yield by_head()[:, nope:].reshape(-1, rank)

        k_shape, v_shape = (heads, rank, nope), (heads, value, rank)
        yield GgufTensor(target + "attn_k_b.weight", k_shape, self._matrix_type, keys)
        yield GgufTensor(target + "attn_v_b.weight", v_shape, self._matrix_type, values)

    def _experts(self, source: str, target: str) -> Iterator[GgufTensor]:
        config = self._config
        experts, hidden = config["n_routed_experts"], config["hidden_size"]
        yield self._rows([source + "gate.weight"], target + "ffn_gate_inp.weight",
                         (experts, hidden), GgmlType.F32)
        if config["topk_method"] == "noaux_tc":
            bias = source + "gate.e_score_correction_bias"
            yield self._vector(target + "exp_probs_b.bias", bias)
        width = config["moe_intermediate_size"]
        each = [f"{source}experts.{expert}." for expert in range(experts)]
        yield from self._swiglu(each, target, "_exps", width)
        if config["n_shared_experts"]:
            shared_width = config["n_shared_experts"] * width
            yield from self._swiglu([source + "shared_experts."], target, "_shexp", shared_width)

    def _swiglu(
        self, sources: list[str], target: str, suffix: str, width: int
    ) -> Iterator[GgufTensor]:
        """The three matrices of one network, or of several stacked ones."""
        hidden = self._config["hidden_size"]
        stack = (len(sources),) if suffix == "_exps" else ()
        for part, shape in (("gate", (width, hidden)), ("up", (width, hidden)),
                            ("down", (hidden, width))):
            names = [f"{source}{part}_proj.weight" for source in sources]
            name = f"{target}ffn_{part}{suffix}.weight"
            yield self._rows(names, name, stack + shape, self._matrix_type)

    def _matrix(self, name: str, source: str, rows: int, cols: int) -> GgufTensor:
        return self._rows([source], name, (rows, cols), self._matrix_type)

    def _vector(self, name: str, source: str) -> GgufTensor:
        values = self._reader.rows(source)
        return GgufTensor(name, values.shape, GgmlType.F32, lambda: iter([values]))

    def _rows(
        self, sources: list[str], name: str, shape: tuple[int, ...], type: GgmlType
    ) -> GgufTensor:
        """The rows of all sources, one below the other."""
        num_rows, cols = shape[-2:]
        step = max(1, _PIECE_VALUES // cols)

        def pieces() -> Iterator[np.ndarray]:
            for source in sources:
                for begin in range(0, num_rows, step):
                    yield self._reader.rows(source, begin, begin + step)

        return GgufTensor(name, shape, type, pieces)


def encode(values: np.ndarray, type: GgmlType) -> np.ndarray:
    """float32 rows -> the bytes of the type."""
    if type == GgmlType.F32:
        encoded = np.ascontiguousarray(values)
    elif type == GgmlType.BF16:
        encoded = encode_bf16(values)
    else:
        encoded = gguf.quants.quantize(values, type)
    return encoded.reshape(-1).view(np.uint8)


def encode_tensor(tensor: GgufTensor) -> np.ndarray:
    """The tensor's bytes."""
    encoded = np.empty(tensor.num_bytes, np.uint8)
    end = 0
    for piece in tensor.pieces():
        part = encode(piece, tensor.type)
        begin, end = end, end + part.size
        encoded[begin:end] = part
    if end != tensor.num_bytes:
        raise ExportError(f"{tensor.name}: {end} bytes of {tensor.num_bytes}")
    return encoded


def export(model: Path, type_name: str, out: Path) -> None:
    """Writes the checkpoint folder `model` to the file `out`."""
    reader = CheckpointReader(model)
    check_config(reader.config)
    matrix_type, file_type = MATRIX_TYPES[type_name]
    tensors = list(TensorList(reader, matrix_type).all())
    for tensor in tensors:
        block_values, _ = gguf.GGML_QUANT_SIZES[tensor.type]
        if tensor.shape[-1] % block_values:
            raise ExportError(
                f"{tensor.name}: rows of {tensor.shape[-1]} are no whole blocks of {type_name}"
            )
    writer = gguf.GGUFWriter(out, "deepseek2")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_metadata(writer, reader.config)
    for tensor in tensors:
        # The numpy type is asked for and not used beside the GGUF type.
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.num_bytes, tensor.type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(encode_tensor(tensor))
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--type", choices=MATRIX_TYPES, required=True, help="of matrices")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    args = parser.parse_args()
    try:
        export(args.model, args.type, args.out)
    except (ExportError, OSError) as error:
        sys.exit(f"gguf_export: {error}")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.3f} MB")


if __name__ == "__main__":
    main()
