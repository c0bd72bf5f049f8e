"""The text of tests/golden/README.md, written from the manifest by make_goldens.py."""

from __future__ import annotations

import datetime
import platform
from importlib import metadata
from typing import Any

from golden_cases import GREEDY_TOKENS, PROMPT_TOKENS, GoldenCase

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")

_INTRODUCTION = """# Golden model outputs

Tiny random checkpoints of every model the engine reads, and what the `transformers` package's own
modelling code computes from them. The C++ tests read these files; they need no Python.

- Origin: weights from `tools/make_checkpoint.py` (`hf-saved-v3`: from `save_pretrained` of
  transformers); outputs from transformers' `DeepseekV2ForCausalLM` and `DeepseekV3ForCausalLM`.
- Command: `python tools/make_goldens.py`, in an environment with
  `tools/requirements-goldens.txt`. `python tools/make_goldens.py --check` recomputes and compares.
"""

_TENSORS = """
## Files

Each folder is a whole checkpoint (`config.json`, `model*.safetensors`) plus `golden.safetensors`
(T = {prompt} prompt tokens, N = {greedy} greedy tokens, V = `vocab_size`, d = `hidden_size`):

| tensor | shape | what it is |
|---|---|---|
| `input_ids` | I64 [T] | random prompt, no BOS added |
| `logits` | F32 [T, V] | logits at every prompt position |
| `hidden` | F32 [T, d] | last hidden states, after `model.norm` |
| `greedy_ids` | I64 [N] | greedy continuation of the prompt, end-of-sequence ignored |
| `greedy_margins` | F32 [N] | best minus second-best logit at each of those choices |
| `router_margins` | F32 [T+N-1] | least gap of each token between chosen and left out, see below |
| `mtp_logits` | F32 [T-1, V] | logits of the MTP layer, in the cases that have one |
| `mtp_router_margins` | F32 [T-1] | as `router_margins`, of the MTP layer's router |

The model runs in float32 on the stored weights' exact values (fp8: value times block scale, no
quantisation of activations), with eager attention. Row i of `mtp_logits` predicts token i+2 from
the embedding of token i+1 and row i of `hidden`, causally, at RoPE position i; it comes from
transformers' `MtpLayer` around its own decoder layer, then `lm_head`. The embedding at position 0
is not zeroed. `router_margins` covers the prompt and its continuation: over the MoE layers, the
smallest gap between a chosen and a left-out expert or group, in units of the selection score.

Every greedy margin is at least 0.05 and every router margin at least 1e-4, and a bfloat16 run of
the same code makes the same greedy choices. Where `router_margins` is below about 0.01, a run in
lower precision may choose other experts for that token; its logits then differ visibly, and those
of later tokens a little. That is not an error.

Good to know:
- transformers (as the original modelling code) uses epsilon 1e-6 in `q_a_layernorm` and
  `kv_a_layernorm` whatever `rms_norm_eps` says. Only `moonlight` has another `rms_norm_eps`; using
  that everywhere moves its logits by 1e-5.
- `kimi` runs as `deepseek_v3`; its `config.json` says `kimi_k2`.
- fp8 weights are dequantised by this folder's maker, not by transformers 5.23.0, whose own
  dequantisation takes rows / scale rows as the block size and so misreads ragged last blocks.
- `hf-saved-v3`: `save_pretrained` leaves out `scoring_func`, `topk_method` and `moe_layer_freq`,
  and says `num_nextn_predict_layers: 1` although it saves no MTP tensors.
"""


def _cases_table(cases: tuple[GoldenCase, ...], manifest: dict[str, Any]) -> str:
    rows = [
        "| case | shape and settings | dtype | seed | logits std | least greedy margin |"
        " least router margin | bf16 rms error | zero-mask changes | what it covers |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        entry = manifest.get(case.name)
        if entry is None:
            continue
        shape = ", ".join([case.shape or "(saved by transformers)", *case.settings])
        rows.append(
            f"| {case.name} | {shape} | {case.dtype} | {entry['seed']} | {entry['logits_std']} |"
            f" {entry['min_greedy_margin']} | {entry['min_router_margin']} |"
            f" {entry['bf16_rms_difference']} |"
            f" {entry['zero_mask_changes']} | {case.what} |"
        )
    return "\n".join(rows)


def _hash_table(manifest: dict[str, Any]) -> str:
    lines = [
        f"{digest}  {name}/{file}"
        for name, entry in manifest.items()
        for file, digest in entry["sha256"].items()
    ]
    return "\n".join(lines)


def readme_text(cases: tuple[GoldenCase, ...], manifest: dict[str, Any]) -> str:
    """The whole README: origin, versions, tensors, cases and hashes."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    made = (
        f"- Versions: Python {platform.python_version()},\n  {versions}.\n"
        f"- Date: {datetime.date.today().isoformat()}.\n"
    )
    tensors = _TENSORS.format(prompt=PROMPT_TOKENS, greedy=GREEDY_TOKENS)
    notes = (
        "\n`bf16 rms error`: of a bfloat16 run's prompt logits against these. `zero-mask changes`:"
        "\nrouting choices that masking dropped groups with 0 instead of -inf would change.\n"
    )
    return (
        f"{_INTRODUCTION}{made}{tensors}\n## Cases\n\n{_cases_table(cases, manifest)}\n{notes}"
        f"\n## SHA-256\n\n```\n{_hash_table(manifest)}\n```\n"
    )
