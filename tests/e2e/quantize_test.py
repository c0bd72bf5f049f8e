"""Packed weights as a user meets them: made once, found again, mended, and what they cost."""

import json
import os
import shutil

import pytest
from conftest import ROOT

SANITIZED = os.environ["HADAL_SANITIZED"] == "1"


@pytest.fixture
def model(tiny, tmp_path):
    """A checkpoint of this test alone."""
    return shutil.copytree(tiny, tmp_path / "model")


def logged(result, text):
    lines = [json.loads(line) for line in result.stderr.decode().splitlines()
             if line.startswith("{")]
    return [line for line in lines if text in line["message"]]


def generate(hadal, model, *more):
    result = hadal.run("generate", "--model", model, "--prompt", "Once upon a time",
                       "--temperature", 0, "--max-tokens", 8, "--json", *more)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["ids"], result


def test_quantize_then_start_from_the_file(hadal, model):
    for weights in ("int8", "int4"):
        report = hadal.json("quantize", "--model", model, "--weights", weights)
        packed = model / f"hadal-{weights}.packed"
        assert report["path"] == str(packed) and report["written"] and report["quality"] is None
        assert report["bytes"] < report["native_bytes"]
        written = packed.stat().st_mtime_ns
        ids, result = generate(hadal, model, "--weights", weights, "--verbose")
        assert not logged(result, "packed again") and logged(result, f"weights {weights}")
        assert packed.stat().st_mtime_ns == written
        assert not hadal.json("quantize", "--model", model, "--weights", weights)["written"]
        packed.unlink()
        assert generate(hadal, model, "--weights", weights)[0] == ids
        assert packed.exists()


def test_a_damaged_file_is_mended(hadal, model):
    ids, _ = generate(hadal, model, "--weights", "int8")
    packed = model / "hadal-int8.packed"
    good = packed.read_bytes()
    packed.write_bytes(good[:-100] + bytes([good[-100] ^ 1]) + good[-99:])
    again, result = generate(hadal, model, "--weights", "int8")
    assert again == ids and packed.read_bytes() == good
    assert [line["level"] for line in logged(result, "its data is damaged")] == ["warning"]


def test_a_place_that_cannot_be_written_costs_a_warning(hadal, model):
    ids, _ = generate(hadal, model, "--weights", "int8")
    (model / "hadal-int8.packed").unlink()
    (model / "hadal-int8.packed.partial").mkdir()
    again, result = generate(hadal, model, "--weights", "int8")
    assert again == ids and len(logged(result, "kept in memory alone")) == 1
    result = hadal.run("quantize", "--model", model, "--weights", "int8")
    assert result.returncode == 1 and b"no packed file could be written" in result.stderr


def test_quality_of_a_text(hadal, model, tmp_path):
    text = tmp_path / "text"
    text.write_text("It was the best of times, it was the worst of times. " * 20)
    quality = {}
    for weights in ("int8", "int4"):
        report = hadal.json("quantize", "--model", model, "--weights", weights, "--file", text)
        quality[weights] = report["quality"]
    score = hadal.json("score", "--model", model, "--file", text)
    for weights in quality:
        assert quality[weights]["tokens"] == len(score["ids"]) - 1
        assert quality[weights]["native_perplexity"] == pytest.approx(score["perplexity"], rel=1e-4)
    assert 0 < quality["int8"]["rms_logit_error"] < quality["int4"]["rms_logit_error"]
    assert 0 < quality["int8"]["mean_divergence"] < quality["int4"]["mean_divergence"]
    packed = hadal.json("score", "--model", model, "--file", text, "--weights", "int4")
    assert packed["perplexity"] == pytest.approx(quality["int4"]["perplexity"], rel=1e-4)


def test_quality_of_answers_to_chats(hadal, tmp_path):
    chats = json.loads((ROOT / "models" / "demo" / "chats.json").read_text())[:4]
    (tmp_path / "chats.json").write_text(json.dumps(chats))
    report = hadal.json("quantize", "--weights", "int8", "--chats", tmp_path / "chats.json")
    assert 20 < report["quality"]["tokens"] <= 4 * 64
    assert 0.9 < report["quality"]["perplexity_ratio"] < 1.1


@pytest.mark.skipif(SANITIZED, reason="a sanitized program takes minutes for all its chats")
@pytest.mark.parametrize("weights, most", [("int8", 1.002), ("int4", 1.02)])
def test_the_demo_model_loses_next_to_nothing(hadal, weights, most):
    report = hadal.json("quantize", "--weights", weights)
    assert report["path"] is None
    assert report["quality"]["tokens"] > 4000
    assert 0.99 < report["quality"]["perplexity_ratio"] <= most


def test_wrong_flags(hadal, model):
    assert "--weights" in hadal.error(2, "quantize", "--model", model)
    assert "native weights need no packing" in hadal.error(
        2, "quantize", "--model", model, "--weights", "native")
    assert "int3" in hadal.error(
        2, "generate", "--model", model, "--prompt", "x", "--weights", "int3")
