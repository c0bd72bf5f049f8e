"""The command `bench`: what is asked for is done and counted, whatever it takes."""

import json
import os
import pathlib

import pytest

SMALL = ["bench", "--prompts", 8, "--prompt-tokens", 40, "--output-tokens", 8]
LATENCIES = ("queue_time_ms", "ttft_ms", "inter_token_latency_ms", "e2e_latency_ms")
PARTS = ("plan", "forward", "sample", "draft", "apply", "other")


def test_runs_without_a_model_and_counts_what_was_asked_for(hadal):
    result = hadal.run(*SMALL, "--concurrency", 4, "--json")
    assert result.returncode == 0, result.stderr.decode()
    assert "built in" in result.stderr.decode()
    report = json.loads(result.stdout)
    assert report["num_completed"] == 8 and report["num_failed"] == 0
    assert report["num_prompt_tokens"] == 8 * 40 and report["num_output_tokens"] == 8 * 8
    assert report["output_tokens_per_second"] == pytest.approx(64 / report["wall_time_s"])
    assert report["prompt_tokens_per_second"] == pytest.approx(320 / report["wall_time_s"])
    assert report["requests_per_second"] == pytest.approx(8 / report["wall_time_s"])
    for name in LATENCIES:
        numbers = [report[name][key] for key in ("p50", "p90", "p99", "max")]
        assert numbers == sorted(numbers) and numbers[0] <= numbers[-1], name
        assert 0 <= report[name]["mean"] <= numbers[-1], name
    assert report["ttft_ms"]["mean"] <= report["e2e_latency_ms"]["mean"]
    assert report["cache"] == {"hit_tokens": 0, "hit_share": 0}
    assert report["preemptions"] == 0
    # Two rounds of four; each request takes its prompt's step and seven more.
    assert report["num_steps"] >= 16
    times = report["step_time_us"]
    assert times["total"] == pytest.approx(sum(times[part] for part in PARTS))
    assert sum(report["step_time_share"][part] for part in PARTS) == pytest.approx(1)
    configuration = report["configuration"]
    assert configuration["concurrency"] == 4 and configuration["rate"] is None
    assert configuration["prompts"] == 8 and configuration["num_blocks"] >= 4


def test_text_is_for_people(hadal):
    text = hadal.text(*SMALL)
    for words in ("8 completed, 0 failed", "output tokens/s", "time to first token", "forward"):
        assert words in text


def test_a_shared_prefix_is_found_in_the_cache(hadal):
    flags = ["bench", "--prompts", 8, "--prompt-tokens", 150, "--output-tokens", 4,
             "--concurrency", 1]
    report = hadal.json(*flags, "--shared-prefix", 0.9)
    # 135 tokens are shared, two blocks of them whole; the first request finds nothing.
    assert report["cache"]["hit_tokens"] == 7 * 128
    assert report["cache"]["hit_share"] == pytest.approx(7 * 128 / (8 * 150))
    assert hadal.json(*flags)["cache"]["hit_tokens"] == 0


def test_open_load_lasts_as_long_as_the_arrivals(hadal):
    report = hadal.json(*SMALL, "--rate", 40, "--seed", 3)
    assert report["num_completed"] == 8
    assert report["configuration"]["rate"] == 40 and report["configuration"]["concurrency"] is None


@pytest.mark.parametrize("lines", [True, False])
def test_lengths_come_from_a_file(hadal, tmp_path, lines):
    lengths = [{"prompt_tokens": 10 * i, "output_tokens": i} for i in range(1, 6)]
    file = tmp_path / "lengths"
    file.write_text("\n".join(map(json.dumps, lengths)) if lines else json.dumps(lengths))
    report = hadal.json("bench", "--lengths", file)
    assert report["num_completed"] == 5
    assert report["num_prompt_tokens"] == 150 and report["num_output_tokens"] == 15


def test_a_real_checkpoint(hadal, tiny):
    report = hadal.json(*SMALL, "--model", tiny, "--temperature", 1)
    assert report["num_completed"] == 8
    assert pathlib.Path(report["configuration"]["model"]) == tiny


def test_chats_are_answered_to_their_end(hadal, tmp_path):
    chats = [{"messages": [{"role": "user", "content": f"What is {i} + 1?"}]} for i in range(6)]
    file = tmp_path / "chats.json"
    file.write_text(json.dumps(chats))
    flags = ["bench", "--chats", file, "--output-tokens", 100]
    reports = [hadal.json(*flags, "--draft-tokens", drafts) for drafts in ("0", "3")]
    for report in reports:
        assert report["num_completed"] == 6
        assert 6 <= report["num_output_tokens"] < 6 * 100
        assert report["configuration"]["chats"] == os.fspath(file)
    assert reports[0]["num_output_tokens"] == reports[1]["num_output_tokens"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '[{"messages": []}]', '[{"messages": 3}]'])
def test_chats_that_are_none(hadal, tmp_path, content):
    file = tmp_path / "chats.json"
    file.write_text(content)
    assert "chats.json" in hadal.error(2, "bench", "--chats", file)


def test_a_model_without_mtp_drafts_nothing(hadal):
    v2_lite = pathlib.Path(__file__).parents[1] / "golden/v2-lite"
    assert "MTP" in hadal.error(2, "bench", "--model", v2_lite, "--draft-tokens", 1)


@pytest.mark.parametrize("draft_tokens, num_places", [("0", 0), ("1", 1), ("3", 3)])
def test_drafts_are_counted_by_place(hadal, tiny, draft_tokens, num_places):
    report = hadal.json(*SMALL, "--model", tiny, "--draft-tokens", draft_tokens)
    assert report["num_output_tokens"] == 8 * 8
    assert report["configuration"]["draft_tokens"] == draft_tokens
    assert len(report["drafts"]) == num_places
    for place in report["drafts"]:
        assert 0 <= place["accepted"] <= place["drafted"] and place["drafted"] > 0


@pytest.mark.parametrize("flags, words", [
    (["--draft-tokens", 9], "--draft-tokens"),
    (["--prompts", 0], "--prompts"),
    (["--prompt-tokens", -1], "--prompt-tokens"),
    (["--output-tokens", 0], "--output-tokens"),
    (["--concurrency", 0], "--concurrency"),
    (["--rate", 0], "--rate"),
    (["--rate", "nan"], "--rate"),
    (["--rate", 5, "--concurrency", 5], "--concurrency"),
    (["--shared-prefix", 1.5], "--shared-prefix"),
    (["--shared-prefix", "nan"], "--shared-prefix"),
    (["--temperature", -1], "--temperature"),
    (["--seed", -1], "--seed"),
    (["--max-step-tokens", 0], "--max-step-tokens"),
    (["--max-sequences", 0], "--max-sequences"),
    (["--max-sequences", 600], "--max-step-tokens"),
    (["--target-step-ms", 0], "--target-step-ms"),
    (["--cache-memory", "much"], "cache-memory"),
    (["--cache-memory", "1KiB"], "cache"),
    (["--lengths", "x", "--prompts", 3], "--prompts"),
    (["--lengths", "x", "--chats", "y"], "--chats"),
    (["--lengths", "/nonexistent"], "/nonexistent"),
    (["--prompt-tokens", 4096], "4096"),
    (["--kernels", "none"], "none"),
])
def test_wrong_flags_are_usage_errors(hadal, flags, words):
    assert words in hadal.error(2, "bench", *flags)


def test_a_checkpoint_that_is_not_there(hadal, tmp_path):
    assert "no such" in hadal.error(78, "bench", "--model", tmp_path / "missing")
