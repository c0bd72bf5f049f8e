"""tools/gguf_export.py: what gguf's own reader finds in the file is what the checkpoint holds."""

import json
import subprocess
import sys

import gguf
import numpy as np
import pytest
from conftest import ROOT, make_checkpoint
from safetensors import safe_open

# Rows of whole quantisation blocks, every dimension different.
WIDTHS = {"hidden_size": 96, "intermediate_size": 160, "moe_intermediate_size": 64,
          "kv_lora_rank": 128, "qk_nope_head_dim": 32, "v_head_dim": 64}
ROUTER_AND_NORMS = ("norm.weight", "ffn_gate_inp.weight", "exp_probs_b.bias")


def make(folder, shape, *arguments, **settings):
    words = [f"--set={key}={value}" for key, value in (WIDTHS | settings).items()]
    return make_checkpoint(folder, "--shape", shape, *words, *arguments)


def run_export(model, type_name, out):
    command = [sys.executable, ROOT / "tools" / "gguf_export.py", "--model", model,
               "--type", type_name, "--out", out]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def export(model, type_name):
    out = model.parent / f"{model.name}-{type_name}.gguf"
    result = run_export(model, type_name, out)
    assert result.returncode == 0, result.stderr
    return gguf.GGUFReader(out)


def values_of(tensor) -> np.ndarray:
    """Dequantised, last dimension contiguous."""
    shape = [int(size) for size in reversed(tensor.shape)]
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def checkpoint_values(model) -> dict[str, np.ndarray]:
    """Of a checkpoint in f32."""
    with safe_open(model / "model.safetensors", "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def expected_tensors(model) -> dict[str, np.ndarray]:
    """The GGUF file's tensors, by their documented names, from those of the checkpoint."""
    config = json.loads((model / "config.json").read_text())
    weights = checkpoint_values(model)
    heads, rank = config["num_attention_heads"], config["kv_lora_rank"]
    nope = config["qk_nope_head_dim"]
    expected = {"token_embd.weight": weights["model.embed_tokens.weight"],
                "output_norm.weight": weights["model.norm.weight"],
                "output.weight": weights["lm_head.weight"]}
    renamed = {"attn_norm.weight": "input_layernorm.weight",
               "ffn_norm.weight": "post_attention_layernorm.weight",
               "attn_q.weight": "self_attn.q_proj.weight",
               "attn_q_a.weight": "self_attn.q_a_proj.weight",
               "attn_q_a_norm.weight": "self_attn.q_a_layernorm.weight",
               "attn_q_b.weight": "self_attn.q_b_proj.weight",
               "attn_kv_a_mqa.weight": "self_attn.kv_a_proj_with_mqa.weight",
               "attn_kv_a_norm.weight": "self_attn.kv_a_layernorm.weight",
               "attn_output.weight": "self_attn.o_proj.weight",
               "ffn_gate.weight": "mlp.gate_proj.weight",
               "ffn_up.weight": "mlp.up_proj.weight",
               "ffn_down.weight": "mlp.down_proj.weight",
               "ffn_gate_inp.weight": "mlp.gate.weight",
               "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
               "ffn_gate_shexp.weight": "mlp.shared_experts.gate_proj.weight",
               "ffn_up_shexp.weight": "mlp.shared_experts.up_proj.weight",
               "ffn_down_shexp.weight": "mlp.shared_experts.down_proj.weight"}
    for layer in range(config["num_hidden_layers"]):
        source, target = f"model.layers.{layer}.", f"blk.{layer}."
        for name, old_name in renamed.items():
            if source + old_name in weights:
                expected[target + name] = weights[source + old_name]
        kv_b = weights[source + "self_attn.kv_b_proj.weight"].reshape(heads, -1, rank)
        expected[target + "attn_k_b.weight"] = np.swapaxes(kv_b[:, :nope], 1, 2)
        expected[target + "attn_v_b.weight"] = kv_b[:, nope:]
        if layer >= config["first_k_dense_replace"]:
            for part in ("gate", "up", "down"):
                expected[target + f"ffn_{part}_exps.weight"] = np.stack([
                    weights[f"{source}mlp.experts.{expert}.{part}_proj.weight"]
                    for expert in range(config["n_routed_experts"])
                ])
    return expected


@pytest.mark.parametrize("shape", ["tiny-v3", "tiny-v2-lite"])
@pytest.mark.parametrize("type_name", ["f32", "bf16", "q8_0", "q4_0"])
def test_tensors_are_those_of_the_checkpoint(tmp_path, shape, type_name):
    rank = {"q_lora_rank": 192} if shape == "tiny-v3" else {}
    model = make(tmp_path / shape, shape, "--dtype", "f32", **rank)
    found = {tensor.name: tensor for tensor in export(model, type_name).tensors}
    expected = expected_tensors(model)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        exact = type_name == "f32" or name.endswith(ROUTER_AND_NORMS)
        assert (found[name].tensor_type.name.lower() == ("f32" if exact else type_name)), name
        restored = values_of(found[name])
        assert restored.shape == values.shape, name
        # Half a unit of the block of 32 and its scale's rounding; bf16 keeps 8 bits of each value.
        blocks = np.abs(values).reshape(*values.shape[:-1], -1, 32) if values.ndim > 1 else 0
        allowed = {
            "f32": lambda: 0,
            "bf16": lambda: np.abs(values) / 256,
            "q8_0": lambda: blocks.max(-1).repeat(32, -1) / 127 * 0.57,
            "q4_0": lambda: blocks.max(-1).repeat(32, -1) / 8 * 1.01,
        }["f32" if exact else type_name]()
        assert np.all(np.abs(restored - values) <= allowed), name


def test_block_fp8_is_scaled_back(tmp_path):
    settings = {"hidden_size": 256, "q_lora_rank": 192}
    model = make(tmp_path / "fp8", "tiny-v3", "--dtype", "fp8", **settings)
    plain = make(tmp_path / "f32", "tiny-v3", "--dtype", "f32", **settings)
    tensors = {tensor.name: values_of(tensor) for tensor in export(model, "f32").tensors}
    weights = checkpoint_values(plain)
    name = "model.layers.0.self_attn.o_proj.weight"
    found, drawn = tensors["blk.0.attn_output.weight"], weights[name]
    # fp8 checkpoints draw a factor for each block; with it taken out, e4m3 keeps 4 bits.
    for row in range(0, drawn.shape[0], 128):
        for col in range(0, drawn.shape[1], 128):
            got, want = (array[row : row + 128, col : col + 128] for array in (found, drawn))
            factor = np.median(got[want != 0] / want[want != 0])
            assert 0.4 < factor < 2.1
            np.testing.assert_allclose(got, factor * want, rtol=0.08, atol=np.abs(want).max() / 50)


def test_shards_are_read_and_other_files_are_not(tmp_path):
    whole = make(tmp_path / "whole", "tiny-v2-lite", "--dtype", "f32")
    shards = make(tmp_path / "shards", "tiny-v2-lite", "--dtype", "f32", "--shards", "3")
    (shards / "packed.safetensors").write_bytes(b"not of the checkpoint")
    in_one, in_many = export(whole, "f32"), export(shards, "f32")
    assert [tensor.name for tensor in in_one.tensors] == [tensor.name for tensor in in_many.tensors]
    for one, many in zip(in_one.tensors, in_many.tensors, strict=True):
        np.testing.assert_array_equal(one.data, many.data)


def test_metadata_say_the_configuration(tmp_path):
    model = make(tmp_path / "v3", "tiny-v3", q_lora_rank=192)
    reader = export(model, "bf16")
    config = json.loads((model / "config.json").read_text())

    def value(key):
        return reader.get_field(key).contents()

    assert value("general.architecture") == "deepseek2"
    for key, name in (("block_count", "num_hidden_layers"), ("embedding_length", "hidden_size"),
                      ("feed_forward_length", "intermediate_size"),
                      ("expert_feed_forward_length", "moe_intermediate_size"),
                      ("expert_count", "n_routed_experts"), ("vocab_size", "vocab_size"),
                      ("expert_used_count", "num_experts_per_tok"),
                      ("expert_group_count", "n_group"), ("expert_group_used_count", "topk_group"),
                      ("attention.q_lora_rank", "q_lora_rank"),
                      ("attention.kv_lora_rank", "kv_lora_rank"),
                      ("expert_weights_norm", "norm_topk_prob"),
                      ("expert_weights_scale", "routed_scaling_factor"),
                      ("rope.freq_base", "rope_theta")):
        assert value(f"deepseek2.{key}") == config[name], key
    assert value("deepseek2.expert_gating_func") == gguf.ExpertGatingFuncType.SIGMOID
    assert value("deepseek2.attention.head_count_kv") == 1
    assert value("deepseek2.attention.key_length") == 128 + config["qk_rope_head_dim"]
    assert value("deepseek2.attention.key_length_mla") == 32 + config["qk_rope_head_dim"]
    assert value("deepseek2.rope.scaling.factor") == config["rope_scaling"]["factor"]
    assert value("deepseek2.rope.scaling.yarn_log_multiplier") == pytest.approx(0.1)


@pytest.mark.parametrize("shape, settings, type_name, message", [
    ("tiny-v3", {}, "q8_0", "blk.0.attn_q_b.weight: rows of 40 are no whole blocks of q8_0"),
    ("tiny-v3", {"q_lora_rank": 64, "num_hidden_layers": 27}, "f32", "q_lora_rank with 27 layers"),
    ("tiny-v2", {}, "f32", "group_limited_greedy"),
    ("tiny-v3", {"rope_scaling.mscale": 0.5}, "f32", "mscale and mscale_all_dim differ"),
])
def test_what_llamacpp_would_compute_differently_is_refused(
    tmp_path, shape, settings, type_name, message
):
    model = make(tmp_path / shape, shape, **settings)
    result = run_export(model, type_name, tmp_path / "out.gguf")
    assert result.returncode == 1
    assert message in result.stderr
    assert not (tmp_path / "out.gguf").exists()
