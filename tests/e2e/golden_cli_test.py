"""score and generate on the golden checkpoints, against what transformers computed."""

import json

import numpy as np
import pytest
from conftest import GOLDEN
from safetensors.numpy import load_file

CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    golden = load_file(GOLDEN / request.param / "golden.safetensors")
    ids_file = tmp_path / "ids.json"
    ids_file.write_text(json.dumps(golden["input_ids"].tolist()))
    return GOLDEN / request.param, golden, ids_file


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_score_equals_transformers(hadal, case):
    model, golden, ids_file = case
    ids = golden["input_ids"]
    result = hadal.json("score", "--model", model, "--ids", ids_file)
    expected = log_softmax(golden["logits"][:-1])[np.arange(len(ids) - 1), ids[1:]]
    assert result["logprobs"][0] is None
    assert result["ids"] == ids.tolist()
    np.testing.assert_allclose(result["logprobs"][1:], expected, atol=1e-4)
    assert result["perplexity"] == pytest.approx(np.exp(-expected.mean()), rel=1e-4)


def test_greedy_generation_equals_transformers(hadal, case):
    model, golden, ids_file = case
    result = hadal.json("generate", "--model", model, "--ids", ids_file, "--temperature", "0",
                        "--max-tokens", len(golden["greedy_ids"]), "--ignore-eos", "--logprobs", 3)
    assert result["ids"] == golden["greedy_ids"].tolist()
    assert result["finish_reason"] == "length"
    first = result["logprobs"][0]
    logprobs = log_softmax(golden["logits"][-1])
    best = np.argsort(-logprobs)[:3]
    assert [top["id"] for top in first["top_logprobs"]] == best.tolist()
    assert first["logprob"] == pytest.approx(logprobs[best[0]], abs=1e-4)


# An fp8 cache has 4 bits where bf16 has 8.
@pytest.mark.parametrize("dtype, most", [("bf16", 0.02), ("fp8", 16 * 0.02)])
def test_rounded_cache_is_close(hadal, case, dtype, most):
    model, golden, ids_file = case
    exact = hadal.json("score", "--model", model, "--ids", ids_file)
    rounded = hadal.json("score", "--model", model, "--ids", ids_file, "--cache-dtype", dtype)
    difference = np.abs(np.subtract(exact["logprobs"][1:], rounded["logprobs"][1:]))
    assert 0 < np.median(difference) < most
