"""Writes the trained model as a checkpoint folder in the published layout.

  python -m train_demo.export --state build/demo/run/state.pt \\
      --tokenizer build/demo/carry/tokenizer --out models/demo

Block-fp8 weights, config.json, generation_config.json and the tokenizer's files. The MTP layer's
copies of embedding and head are left out unless --mtp-copies is given: loaders share the tables.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from checkpoint_tensors import count_parameters
from train_demo.checkpoint import write_checkpoint
from train_demo.configuration import Config

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def write_generation_config(folder: Path, config: Config) -> None:
    """Sampling advice for clients, and the end token."""
    advice = {
        "bos_token_id": config["bos_token_id"],
        "do_sample": True,
        "eos_token_id": config["eos_token_id"],
        "temperature": 0.6,
        "top_p": 0.95,
    }
    (folder / "generation_config.json").write_text(json.dumps(advice, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", choices=("fp8", "bf16", "f32"), default="fp8")
    parser.add_argument("--mtp-copies", action="store_true")
    args = parser.parse_args()
    saved = torch.load(args.state, map_location="cpu")
    config = saved["config"]
    state = {**saved["optimizer"]["masters"], **saved["buffers"]}
    size = write_checkpoint(args.out, config, state, args.dtype, args.mtp_copies)
    write_generation_config(args.out, config)
    for name in _TOKENIZER_FILES:
        shutil.copyfile(args.tokenizer / name, args.out / name)
    main_count, mtp_count = count_parameters(config)
    print(f"{args.out}: {size / 1e6:.2f} MB of weights; {main_count} parameters, MTP layer "
          f"{mtp_count}; {saved['done']['tokens']} tokens of training")


if __name__ == "__main__":
    main()
