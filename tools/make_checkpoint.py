#!/usr/bin/env python3
"""Makes random, well-scaled checkpoints of the DeepSeek V2/V3 generation, as published.

Writes config.json and model.safetensors (or shards with their index) in the Hugging Face layout,
for tests and benchmarks that must not download anything. Needs numpy only. The same arguments
always give the same bytes.

  make_checkpoint.py --shape tiny-v3 --out /tmp/tiny-v3
  make_checkpoint.py --shape v3-2layer --dtype fp8 --shards 4 --out /tmp/v3-2layer
  make_checkpoint.py --shape tiny-v3 --set num_hidden_layers=5 --set rope_scaling.factor=8 --out d
  make_checkpoint.py --shape kimi-k2 --count            # parameter totals only, writes nothing
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from checkpoint_shapes import FP8_QUANTIZATION, SHAPES, shape_config, to_recent_spelling
from checkpoint_tensors import count_parameters, tensor_specs
from checkpoint_weights import WeightSource
from safetensors_file import write_checkpoint_files

Config = dict[str, Any]

_TORCH_DTYPES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "fp8": "bfloat16"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_PUBLISHED_VOCAB_SIZES = (102400, 129280, 163840)
_VOCAB_MULTIPLE = 64


class UsageError(Exception):
    """The arguments or files given cannot make a checkpoint; the message says why."""


def apply_setting(config: Config, setting: str) -> None:
    """Applies one `key=value`; the key may be dotted, the value is JSON or else a plain string."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise UsageError(f"--set {setting}: expected key=value")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(config.get(parent), dict):
            raise UsageError(f"--set {setting}: {parent} is not an object in this shape")
        config = config[parent]
    config[last] = value


def _token_id(tokenizer: Config, tokenizer_config: Config, role: str) -> int:
    token = tokenizer_config.get(role)
    content = token["content"] if isinstance(token, dict) else token
    ids = dict(tokenizer["model"]["vocab"])
    ids.update({added["content"]: added["id"] for added in tokenizer.get("added_tokens", [])})
    if content not in ids:
        raise UsageError(f"tokenizer: {role} {content!r} is not in the vocabulary")
    return ids[content]


def _padded_vocab_size(num_tokens: int) -> int:
    """A published size when it is within 2 %, as V3's 129280 for its 128815 tokens."""
    for size in _PUBLISHED_VOCAB_SIZES:
        if num_tokens <= size <= num_tokens * 1.02:
            return size
    return -(-num_tokens // _VOCAB_MULTIPLE) * _VOCAB_MULTIPLE


def use_tokenizer(config: Config, folder: Path) -> None:
    """Sets vocab_size and the bos and eos ids to what the tokenizer in `folder` needs."""
    try:
        tokenizer, tokenizer_config = (
            json.loads((folder / name).read_text(encoding="utf-8")) for name in _TOKENIZER_FILES
        )
        ids = list(tokenizer["model"]["vocab"].values())
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise UsageError(f"--tokenizer {folder}: {error}") from error
    ids += [added["id"] for added in tokenizer.get("added_tokens", [])]
    config["vocab_size"] = _padded_vocab_size(max(ids) + 1)
    config["bos_token_id"] = _token_id(tokenizer, tokenizer_config, "bos_token")
    config["eos_token_id"] = _token_id(tokenizer, tokenizer_config, "eos_token")


def check_config(config: Config) -> None:
    """Refuses a configuration that no model of this family can have."""
    experts, groups = config["n_routed_experts"], config["n_group"]
    if experts % groups:
        raise UsageError(f"n_routed_experts {experts} is not a multiple of n_group {groups}")
    candidates = experts // groups * config["topk_group"]
    if config["num_experts_per_tok"] > candidates:
        raise UsageError(
            f"num_experts_per_tok {config['num_experts_per_tok']} exceeds the {candidates} experts"
            f" of topk_group {config['topk_group']} groups"
        )
    if config["qk_rope_head_dim"] % 2:
        raise UsageError(f"qk_rope_head_dim {config['qk_rope_head_dim']} is odd")


def make_config(
    shape: str, dtype: str, settings: list[str], tokenizer: Path | None = None
) -> Config:
    """The checkpoint's config.json, keys sorted as published."""
    config = shape_config(shape)
    config["torch_dtype"] = _TORCH_DTYPES[dtype]
    if dtype == "fp8":
        config["quantization_config"] = dict(FP8_QUANTIZATION)
    if tokenizer is not None:
        use_tokenizer(config, tokenizer)
    for setting in settings:
        apply_setting(config, setting)
    check_config(config)
    return dict(sorted(config.items()))


def write_config(folder: Path, config: Config, spelling: str) -> None:
    """Writes config.json in the published or the recent spelling."""
    spelled = config if spelling == "published" else to_recent_spelling(config)
    text = json.dumps(dict(sorted(spelled.items())), indent=2)
    (folder / "config.json").write_text(text + "\n")


def write_weights(folder: Path, config: Config, seed: int, dtype: str, shards: int) -> list[Path]:
    """Writes the safetensors files of the configuration; returns their paths."""
    source = WeightSource(config, seed, dtype)
    entries = [entry for spec in tensor_specs(config) for entry in source.entries(spec)]
    try:
        return write_checkpoint_files(folder, entries, shards)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", required=True, choices=SHAPES, metavar="NAME",
                        help=f"one of: {', '.join(SHAPES)}")
    parser.add_argument("--out", type=Path, help="folder to write; made if absent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=_TORCH_DTYPES, default="bf16",
                        help="stored type; fp8 is block-scaled e4m3 with bf16 for the rest")
    parser.add_argument("--shards", type=int, default=1, help="number of safetensors files")
    parser.add_argument("--config-only", action="store_true", help="write no weights")
    parser.add_argument("--count", action="store_true", help="print parameter totals")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="override a config key (dotted for nested ones); repeatable")
    parser.add_argument("--tokenizer", type=Path, metavar="DIR",
                        help="copy this tokenizer in, and size the vocabulary for it")
    parser.add_argument("--config-spelling", choices=("published", "recent"), default="published",
                        help="recent: rope_parameters and dtype, as transformers 5 writes them")
    return parser


def run(args: argparse.Namespace) -> None:
    config = make_config(args.shape, args.dtype, args.settings, args.tokenizer)
    if args.count:
        main_count, mtp_count = count_parameters(config)
        print(f"{args.shape}: {main_count / 1e9:.3f} B parameters ({main_count})")
        if mtp_count:
            print(f"{args.shape}: MTP layers {mtp_count / 1e9:.3f} B more ({mtp_count})")
    if args.out is None:
        if args.count:
            return
        raise UsageError("--out is required unless --count is given")
    if args.shards < 1:
        raise UsageError("--shards must be at least 1")
    args.out.mkdir(parents=True, exist_ok=True)
    write_config(args.out, config, args.config_spelling)
    if args.tokenizer is not None:
        for name in _TOKENIZER_FILES:
            shutil.copyfile(args.tokenizer / name, args.out / name)
    if args.config_only:
        return
    paths = write_weights(args.out, config, args.seed, args.dtype, args.shards)
    total = sum(path.stat().st_size for path in paths)
    print(f"{args.out}: {len(paths)} file(s) of weights, {total / 1e6:.3f} MB")


def main() -> None:
    try:
        run(_parser().parse_args())
    except (UsageError, OSError) as error:
        sys.exit(f"make_checkpoint: {error}")


if __name__ == "__main__":
    main()
