#!/usr/bin/env python3
"""Makes tests/golden: tiny checkpoints, and what the transformers package computes from them.

Each case is a folder with a whole checkpoint and golden.safetensors (see tests/golden/README.md).
The C++ tests need neither Python nor this script. Needs tools/requirements-goldens.txt.

  make_goldens.py                  # makes every case anew, the manifest and the README
  make_goldens.py --case v3-fp8    # makes one case anew
  make_goldens.py --check          # recomputes everything and compares with what is committed

A case's seed is the first one from 0 whose outputs are robust: no greedy choice and no routing
choice is closer than the limits below, the greedy tokens are varied, and a bfloat16 run makes the
same greedy choices.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden_cases import CASES, PROMPT_TOKENS, GoldenCase
from golden_oracle import (
    all_logits,
    examine_routing,
    load_model,
    prompt_ids,
    read_weights,
    run_main_model,
    run_mtp_layer,
    save_with_transformers,
)
from golden_readme import readme_text
from make_checkpoint import make_config, write_config, write_weights
from safetensors_file import read_file, write_arrays

GOLDEN_FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden"
MIN_GREEDY_MARGIN = 0.05
MIN_ROUTER_MARGIN = 1e-4  # so that any float32 run routes alike
MIN_DISTINCT_TOKENS = 16
MAX_SEEDS = 400
CHECK_TOLERANCE = 1e-4  # absolute, on logits of standard deviation 1 to 3


@dataclass(frozen=True)
class Golden:
    """A case's golden tensors, and the figures recorded about them in the manifest."""

    tensors: dict[str, np.ndarray]
    figures: dict[str, Any]


def make_case_checkpoint(case: GoldenCase, seed: int, folder: Path) -> None:
    """Writes the case's checkpoint into an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if case.shape is None:
        save_with_transformers(folder, seed)
        (folder / "model.safetensors").chmod(0o644)
        return
    config = make_config(case.shape, case.dtype, list(case.settings))
    write_config(folder, config, case.spelling)
    write_weights(folder, config, seed, case.dtype, case.shards)


def compute_golden(folder: Path, input_ids: np.ndarray) -> Golden:
    """Runs transformers on the checkpoint in `folder`."""
    model = load_model(folder)
    tensors = run_main_model(model, input_ids)
    sequence = np.concatenate([input_ids, tensors["greedy_ids"][:-1]])
    routing = examine_routing(model, sequence)
    tensors["router_margins"] = routing.margins
    weights = read_weights(folder)
    if f"model.layers.{model.config.num_hidden_layers}.eh_proj.weight" in weights:
        tensors["mtp_logits"], mtp_routing = run_mtp_layer(
            model, weights, input_ids, tensors["hidden"]
        )
        tensors["mtp_router_margins"] = mtp_routing.margins

    figures = _figures(folder, tensors, sequence)
    figures["zero_mask_changes"] = routing.zero_mask_changes
    return Golden({name: np.ascontiguousarray(t) for name, t in tensors.items()}, figures)


def _figures(folder: Path, tensors: dict[str, np.ndarray], sequence: np.ndarray) -> dict[str, Any]:
    """What the manifest records: spread, margins, and how a bfloat16 run compares."""
    router_margins = [v for name, v in tensors.items() if name.endswith("router_margins")]
    difference = all_logits(load_model(folder, torch.bfloat16), sequence)
    bf16_ids = difference[PROMPT_TOKENS - 1 :].argmax(-1)
    difference[:PROMPT_TOKENS] -= tensors["logits"]
    return {
        "logits_std": round(float(tensors["logits"].std()), 4),
        "min_greedy_margin": round(float(tensors["greedy_margins"].min()), 4),
        "min_router_margin": float(f"{min(v.min() for v in router_margins):.2e}"),
        "bf16_same_greedy": bool(np.array_equal(bf16_ids, tensors["greedy_ids"])),
        "bf16_rms_difference": round(float(np.sqrt((difference[:PROMPT_TOKENS] ** 2).mean())), 4),
    }


def _is_robust(golden: Golden) -> bool:
    distinct = len(set(golden.tensors["greedy_ids"].tolist()))
    return (
        golden.figures["min_greedy_margin"] >= MIN_GREEDY_MARGIN
        and golden.figures["min_router_margin"] >= MIN_ROUTER_MARGIN
        and golden.figures["bf16_same_greedy"]
        and distinct >= MIN_DISTINCT_TOKENS
    )


def make_case(case: GoldenCase, out: Path) -> dict[str, Any]:
    """Searches a seed, writes the case's folder, and returns its manifest entry."""
    folder = out / case.name
    for seed in range(MAX_SEEDS):
        with tempfile.TemporaryDirectory() as name:
            trial = Path(name) / case.name
            make_case_checkpoint(case, seed, trial)
            vocab_size = json.loads((trial / "config.json").read_text())["vocab_size"]
            golden = compute_golden(trial, prompt_ids(seed, vocab_size))
            if not _is_robust(golden):
                continue
            write_arrays(trial / "golden.safetensors", golden.tensors)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(trial, folder)
        print(f"{case.name}: seed {seed}, {golden.figures}", flush=True)
        return {"seed": seed, "what": case.what, **golden.figures, "sha256": _hashes(folder)}
    raise SystemExit(f"make_goldens: {case.name}: no seed below {MAX_SEEDS} is robust")


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted(folder.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _compare(committed: dict[str, np.ndarray], fresh: dict[str, np.ndarray]) -> list[str]:
    if committed.keys() != fresh.keys():
        return [f"tensors {sorted(committed)} committed, {sorted(fresh)} recomputed"]
    problems = []
    for name, values in fresh.items():
        if values.shape != committed[name].shape:
            problems.append(f"{name}: shape {committed[name].shape}, now {values.shape}")
        elif values.dtype == np.int64 and not np.array_equal(values, committed[name]):
            problems.append(f"{name} differs")
        elif not np.allclose(values, committed[name], rtol=0, atol=CHECK_TOLERANCE):
            problems.append(f"{name} differs by {np.abs(values - committed[name]).max():.2e}")
    return problems


def check_case(case: GoldenCase, out: Path, entry: dict[str, Any]) -> list[str]:
    """What of the committed case cannot be reproduced; empty when all is well."""
    folder = out / case.name
    problems = []
    if _hashes(folder) != entry["sha256"]:
        problems.append("files differ from the manifest's hashes")
    with tempfile.TemporaryDirectory() as name:
        trial = Path(name) / case.name
        make_case_checkpoint(case, entry["seed"], trial)
        for made in sorted(trial.iterdir()):
            if made.read_bytes() != (folder / made.name).read_bytes():
                problems.append(f"{made.name} is not what the seed makes")
    stored = read_file(folder / "golden.safetensors")
    committed = {name: values for name, (_, values) in stored.items()}
    problems += _compare(committed, compute_golden(folder, committed["input_ids"].copy()).tensors)
    return [f"{case.name}: {problem}" for problem in problems]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=GOLDEN_FOLDER, help="default: tests/golden")
    parser.add_argument("--case", choices=[case.name for case in CASES], help="only this case")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    cases = [case for case in CASES if args.case in (None, case.name)]
    manifest_path = args.out / "manifest.json"
    manifest = json.loads(manifest_path.read_text()) if manifest_path.exists() else {}

    if args.check:
        missing = [case.name for case in cases if case.name not in manifest]
        if missing:
            sys.exit(f"make_goldens: not in {manifest_path}: {', '.join(missing)}")
        problems = [p for case in cases for p in check_case(case, args.out, manifest[case.name])]
        if problems:
            sys.exit("\n".join(f"make_goldens: {problem}" for problem in problems))
        print(f"make_goldens: {len(cases)} case(s) reproduced")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    for case in cases:
        manifest[case.name] = make_case(case, args.out)
        manifest_path.write_text(json.dumps(manifest, indent=2) + "\n")
    (args.out / "README.md").write_text(readme_text(CASES, manifest))


if __name__ == "__main__":
    main()
