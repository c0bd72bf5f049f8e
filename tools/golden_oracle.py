"""Runs the transformers package's own modelling code on a tiny checkpoint, in float32 on the CPU.

Nothing here reimplements the model: the main model is AutoModelForCausalLM and the MTP layer is the
package's MtpLayer around its own decoder layer. Used by make_goldens.py; needs torch.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.utils import logging
from transformers.modeling_layers import MtpLayer
from transformers.models.deepseek_v3.modeling_deepseek_v3 import (
    DeepseekV3DecoderLayer,
    DeepseekV3RMSNorm,
)

from float_formats import decode_bf16, decode_e4m3
from golden_cases import GREEDY_TOKENS, PROMPT_TOKENS
from golden_routing import RoutingRecorder, RoutingReport
from safetensors_file import read_file, write_arrays

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
logging.set_verbosity_error()
logging.disable_progress_bar()

SCALE_SUFFIX = "_scale_inv"


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Every weight of the checkpoint as the float32 values it stands for, fp8 dequantised."""
    stored = {}
    for path in sorted(folder.glob("model*.safetensors")):
        stored.update(read_file(path))
    config = json.loads((folder / "config.json").read_text())
    weights = {}
    for name, (dtype, values) in stored.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        if dtype == "BF16":
            weights[name] = decode_bf16(values)
        elif dtype == "F8_E4M3":
            rows, cols = config["quantization_config"]["weight_block_size"]
            scales = stored[name + SCALE_SUFFIX][1].repeat(rows, axis=0).repeat(cols, axis=1)
            weights[name] = decode_e4m3(values) * scales[: values.shape[0], : values.shape[1]]
        else:
            weights[name] = values.astype(np.float32)
    return weights


@contextlib.contextmanager
def _readable_folder(folder: Path) -> Iterator[Path]:
    """The folder as transformers can read it: fp8 dequantised, kimi_k2 named deepseek_v3."""
    config = json.loads((folder / "config.json").read_text())
    if "quantization_config" not in config and config["model_type"] != "kimi_k2":
        yield folder
        return
    config.pop("quantization_config", None)
    config["model_type"] = config["model_type"].replace("kimi_k2", "deepseek_v3")
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "config.json").write_text(json.dumps(config))
        write_arrays(Path(name) / "model.safetensors", read_weights(folder))
        yield Path(name)


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The checkpoint as a transformers model; refuses missing, unexpected or misshapen tensors."""
    with _readable_folder(folder) as readable:
        model, info = AutoModelForCausalLM.from_pretrained(
            readable,
            dtype=dtype,
            attn_implementation="eager",
            experts_implementation="eager",
            output_loading_info=True,
        )
    first_mtp_layer = model.config.num_hidden_layers
    unexpected = [
        name
        for name in info["unexpected_keys"]
        if not name.startswith(f"model.layers.{first_mtp_layer}.")
    ]
    problems = [*info["missing_keys"], *unexpected, *info["mismatched_keys"]]
    if problems:
        raise ValueError(f"{folder}: transformers cannot place {problems}")
    return model.eval()


def prompt_ids(seed: int, vocab_size: int) -> np.ndarray:
    """The random prompt of a case, as the seed gives it."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:input_ids".encode())))
    return rng.integers(0, vocab_size, PROMPT_TOKENS, dtype=np.int64)


@torch.no_grad()
def run_main_model(model: torch.nn.Module, input_ids: np.ndarray) -> dict[str, np.ndarray]:
    """Logits and final hidden states of the prompt, and its greedy continuation with margins."""
    ids = torch.from_numpy(input_ids)[None]
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model(input_ids=ids, use_cache=False).logits
    greedy_ids, margins, last = [], [], logits[0, -1]
    while True:
        best = last.topk(2)
        greedy_ids.append(best.indices[0].item())
        margins.append((best.values[0] - best.values[1]).item())
        if len(greedy_ids) == GREEDY_TOKENS:
            break
        ids = torch.cat([ids, best.indices[None, :1]], dim=1)
        last = model(input_ids=ids, use_cache=False).logits[0, -1]
    return {
        "input_ids": input_ids,
        "logits": logits[0].numpy(),
        "hidden": hidden[0].numpy(),
        "greedy_ids": np.array(greedy_ids, np.int64),
        "greedy_margins": np.array(margins, np.float32),
    }


@torch.no_grad()
def all_logits(model: torch.nn.Module, ids: np.ndarray) -> np.ndarray:
    """The logits at every position of one sequence, as float32."""
    logits = model(input_ids=torch.from_numpy(ids)[None], use_cache=False).logits
    return logits[0].float().numpy()


def examine_routing(model: torch.nn.Module, ids: np.ndarray) -> RoutingReport:
    """Runs one sequence through the main model and examines every routing choice."""
    gates = [layer.mlp.gate for layer in model.model.layers if hasattr(layer.mlp, "gate")]
    with RoutingRecorder(gates) as recorder:
        all_logits(model, ids)
    return recorder.report()


def _mtp_state(weights: dict[str, np.ndarray], layer: int, block: torch.nn.Module) -> dict:
    """The MTP layer's tensors under the names of transformers' MtpLayer."""
    prefix = f"model.layers.{layer}."
    own = {
        name.removeprefix(prefix): torch.from_numpy(values.copy())
        for name, values in weights.items()
        if name.startswith(prefix)
    }
    state = {name: own.pop(name) for name in ("enorm.weight", "hnorm.weight", "eh_proj.weight")}
    state["post_norm.weight"] = own.pop("shared_head.norm.weight")
    experts = block.mlp.experts.num_experts
    projections = {
        kind: torch.stack([own.pop(f"mlp.experts.{e}.{kind}_proj.weight") for e in range(experts)])
        for kind in ("gate", "up", "down")
    }
    gate_up = torch.cat([projections["gate"], projections["up"]], dim=1)
    state["mtp_block.mlp.experts.gate_up_proj"] = gate_up
    state["mtp_block.mlp.experts.down_proj"] = projections["down"]
    for table in ("embed_tokens.weight", "shared_head.head.weight"):
        own.pop(table)
    state.update({f"mtp_block.{name}": values for name, values in own.items()})
    return state


@torch.no_grad()
def run_mtp_layer(
    model: torch.nn.Module,
    weights: dict[str, np.ndarray],
    input_ids: np.ndarray,
    hidden: np.ndarray,
) -> tuple[np.ndarray, RoutingReport]:
    """Logits of the first MTP layer, and its routing.

    Row i predicts token i + 2 from the embedding of token i + 1 and hidden state i.
    """
    layer = model.config.num_hidden_layers
    mtp = MtpLayer(model.config, DeepseekV3DecoderLayer, DeepseekV3RMSNorm, layer).eval()
    mtp.load_state_dict(_mtp_state(weights, layer, mtp.mtp_block), strict=True)

    steps = len(input_ids) - 1
    embeds = model.model.embed_tokens(torch.from_numpy(input_ids[1:])[None])
    positions = torch.arange(steps)[None]
    causal = torch.full((steps, steps), float("-inf")).triu(1)[None, None]
    with RoutingRecorder([mtp.mtp_block.mlp.gate]) as recorder:
        out = mtp(
            embeds,
            torch.from_numpy(hidden[:-1])[None],
            position_embeddings=model.model.rotary_emb(embeds, positions),
            attention_mask=causal,
            position_ids=positions,
            past_key_values=None,
        )
    return model.lm_head(out)[0].numpy(), recorder.report()


def save_with_transformers(folder: Path, seed: int) -> None:
    """A small random DeepSeek-V3 as the package's own save_pretrained writes it."""
    torch.manual_seed(seed)
    config = DeepseekV3Config(
        vocab_size=208, hidden_size=56, intermediate_size=84, moe_intermediate_size=18,
        num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3, n_shared_experts=1,
        n_routed_experts=8, routed_scaling_factor=2.5, kv_lora_rank=40, q_lora_rank=36,
        qk_rope_head_dim=16, v_head_dim=20, qk_nope_head_dim=24, n_group=4, topk_group=2,
        num_experts_per_tok=3, first_k_dense_replace=1, max_position_embeddings=1280,
        initializer_range=0.15,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "beta_fast": 32.0,
            "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 32,
        },
    )
    model = DeepseekV3ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
        for layer in model.model.layers[config.first_k_dense_replace :]:
            bias = layer.mlp.gate.e_score_correction_bias
            bias.copy_(-0.4 + 0.15 * torch.randn_like(bias))
    model.save_pretrained(folder)
