"""The golden cases: which checkpoint each one is made of. Used by make_goldens.py."""

from __future__ import annotations

from dataclasses import dataclass

PROMPT_TOKENS = 96
GREEDY_TOKENS = 24


@dataclass(frozen=True)
class GoldenCase:
    """One folder of tests/golden. `shape` None: saved by transformers itself, not by our maker."""

    name: str
    shape: str | None
    dtype: str
    what: str
    settings: tuple[str, ...] = ()
    spelling: str = "published"
    shards: int = 1


CASES = (
    GoldenCase(
        "v2-lite", "tiny-v2-lite", "bf16",
        "softmax router, no groups, no query compression, YaRN with mscale 0.707",
    ),
    GoldenCase(
        "v2", "tiny-v2", "bf16",
        "group_limited_greedy router, query compression, YaRN ramp starting above 0",
    ),
    GoldenCase(
        "v2-sharded", "tiny-v2", "f16", "f16 weights in two shards with an index",
        ("num_hidden_layers=2",), shards=2,
    ),
    GoldenCase(
        "v3-bf16", "tiny-v3", "bf16",
        "noaux_tc router with negative biases, YaRN with mscale 1, one MTP layer",
    ),
    GoldenCase(
        "v3-fp8", "tiny-v3-wide", "fp8",
        "block-scaled e4m3 with ragged blocks, several both ways; one MTP layer",
    ),
    GoldenCase(
        "v3-f32", "tiny-v3", "f32", "f32 weights; config.json spelled as transformers 5 does",
        ("num_hidden_layers=2", "num_nextn_predict_layers=0"), spelling="recent",
    ),
    GoldenCase(
        "moonlight", "tiny-moonlight", "bf16", "deepseek_v3 without YaRN, groups or q_lora_rank",
    ),
    GoldenCase(
        "kimi", "tiny-kimi", "bf16", "model_type kimi_k2: no groups, YaRN with beta_fast 1",
    ),
    GoldenCase(
        "hf-saved-v3", None, "f32", "written by transformers' own save_pretrained",
    ),
)
