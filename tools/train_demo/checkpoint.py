"""Between DemoModel's state and a checkpoint folder in the published layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from checkpoint_tensors import QUANTISED_ROLES, TensorSpec, tensor_specs
from float_formats import decode_bf16
from safetensors_file import Entry, read_file, write_checkpoint_files
from train_demo.configuration import Config
from train_demo.fp8 import dequantise, quantise
from train_demo.model import DemoModel

_PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
_SCALE_SUFFIX = "_scale_inv"


def stack_of(name: str) -> tuple[str, int] | None:
    """`...experts.3.up_proj.weight` -> (`...experts.up_proj`, 3); None for all other tensors."""
    before, separator, after = name.partition(".mlp.experts.")
    if not separator:
        return None
    expert, projection, _ = after.split(".")
    return f"{before}.mlp.experts.{projection}", int(expert)


def is_quantised(state_name: str) -> bool:
    """Whether fp8 checkpoints quantise this parameter of DemoModel."""
    kept = ("embed_tokens.weight", "lm_head.weight", "mlp.gate.weight", "eh_proj.weight")
    return state_name.endswith((".weight", *_PROJECTIONS)) and not (
        "norm" in state_name or state_name.endswith(kept)
    )


def stored_specs(config: Config, mtp_copies: bool) -> list[TensorSpec]:
    """The tensors to write; the MTP layer's copies of embedding and head may be left out."""
    return [spec for spec in tensor_specs(config) if mtp_copies or spec.copy_of is None]


def _tensor(state: dict[str, Tensor], spec: TensorSpec) -> Tensor:
    stacked = stack_of(spec.name)
    if stacked is not None:
        return state[stacked[0]][stacked[1]]
    return state[spec.copy_of or spec.name]


def _entries(spec: TensorSpec, tensor: Tensor, dtype: str) -> list[Entry]:
    """The file entries of one tensor; dtype: fp8, bf16 or f32."""
    tensor = tensor.detach().cpu().float().contiguous()
    if tensor.shape != spec.shape:
        raise ValueError(f"{spec.name}: {tuple(tensor.shape)}, expected {spec.shape}")

    def entry(name: str, kind: str, array: np.ndarray) -> Entry:
        return Entry(name, kind, array.shape, lambda: iter([array]))

    if spec.name.endswith("e_score_correction_bias") or dtype == "f32":
        return [entry(spec.name, "F32", tensor.numpy())]
    if dtype == "fp8" and spec.role in QUANTISED_ROLES:
        values, scales = quantise(tensor)
        codes = values.view(torch.uint8).numpy()
        scales_name = spec.name + _SCALE_SUFFIX
        return [entry(spec.name, "F8_E4M3", codes), entry(scales_name, "F32", scales.numpy())]
    return [entry(spec.name, "BF16", tensor.to(torch.bfloat16).view(torch.uint16).numpy())]


def write_checkpoint(
    folder: Path, config: Config, state: dict[str, Tensor], dtype: str, mtp_copies: bool
) -> int:
    """Writes config.json and model.safetensors; returns the bytes of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    written = dict(config, torch_dtype="float32" if dtype == "f32" else "bfloat16")
    if dtype != "fp8":
        written.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    entries = []
    for spec in stored_specs(config, mtp_copies):
        entries += _entries(spec, _tensor(state, spec), dtype)
    (path,) = write_checkpoint_files(folder, entries, num_shards=1)
    return path.stat().st_size


def _decoded(stored: dict[str, tuple[str, np.ndarray]], name: str) -> Tensor:
    dtype, values = stored[name]
    if dtype == "BF16":
        return torch.from_numpy(decode_bf16(values))
    if dtype == "F8_E4M3":
        codes = torch.from_numpy(values.copy()).view(torch.float8_e4m3fn)
        return dequantise(codes, torch.from_numpy(stored[name + _SCALE_SUFFIX][1].copy()))
    return torch.from_numpy(values.copy())


def load_model(folder: Path) -> DemoModel:
    """The checkpoint as a float32 DemoModel. ValueError when a tensor is missing or unknown."""
    config = json.loads((folder / "config.json").read_text())
    stored = read_file(folder / "model.safetensors")
    model = DemoModel(config)
    state = {name: torch.empty(value.shape) for name, value in model.state_dict().items()}
    for spec in stored_specs(config, mtp_copies=False):
        tensor, stacked = _decoded(stored, spec.name), stack_of(spec.name)
        if stacked is not None:
            state[stacked[0]][stacked[1]] = tensor
        elif spec.name in state:
            state[spec.name] = tensor
        else:
            raise ValueError(f"{spec.name}: the model has no such parameter")
    model.load_state_dict(state)
    return model.eval()
