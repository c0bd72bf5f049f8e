"""The commands as a user meets them: text in, text out, and clear errors."""

import json
import shutil
import subprocess

import pytest
from conftest import GOLDEN, TOKENIZER, make_checkpoint
from tokenizers import Tokenizer


@pytest.fixture(scope="session")
def oracle() -> Tokenizer:
    return Tokenizer.from_file(str(TOKENIZER / "tokenizer.json"))


def write_json(path, value):
    path.write_text(json.dumps(value))
    return path


# ---- generate


def test_generate_streams_text_that_equals_its_json(hadal, tiny):
    flags = ["generate", "--model", tiny, "--prompt", "Once upon a time", "--max-tokens", 12,
             "--seed", 5]
    result = hadal.json(*flags)
    assert hadal.text(*flags) == result["text"] + "\n"
    assert len(result["ids"]) == result["completion_tokens"] == 12
    assert result["finish_reason"] == "length"
    assert hadal.text("detokenize", "--model", tiny, "--ids", ",".join(map(str, result["ids"])))


def test_seeds_repeat_and_differ(hadal, tiny):
    flags = ["generate", "--model", tiny, "--prompt", "x", "--max-tokens", 8]
    first = hadal.json(*flags, "--seed", 1)["ids"]
    assert hadal.json(*flags, "--seed", 1)["ids"] == first
    assert hadal.json(*flags, "--seed", 2)["ids"] != first
    unseeded = hadal.json(*flags)
    assert hadal.json(*flags, "--seed", unseeded["seed"])["ids"] == unseeded["ids"]


def test_threads_and_kernels_do_not_change_greedy_tokens(hadal, tiny):
    flags = ["generate", "--model", tiny, "--prompt", "abc", "--max-tokens", 6, "--temperature", 0]
    expected = hadal.json(*flags)["ids"]
    for more in (["--threads", 1], ["--threads", 3], ["--kernels", "cpu-portable"],
                 ["--kernels", "reference"], ["--kernels", "auto,mla_attention=reference"]):
        assert hadal.json(*flags, *more)["ids"] == expected, more


def test_stop_strings_cut_the_text_before_them(hadal, tiny):
    flags = ["generate", "--model", tiny, "--prompt", "Hello", "--max-tokens", 16, "--seed", 9]
    whole = hadal.json(*flags)["text"]
    stop = whole[5:8]
    stopped = hadal.json(*flags, "--stop", stop)
    assert stopped["text"] == whole[:whole.index(stop)]
    assert stopped["finish_reason"] == "stop"


def test_stop_token_ids_and_logit_bias(hadal, tiny):
    flags = ["generate", "--model", tiny, "--prompt", "Hello", "--temperature", 0]
    result = hadal.json(*flags, "--logit-bias", 19923, 100, "--stop-token-ids", "7,19923")
    assert result["ids"] == [19923]
    assert result["finish_reason"] == "stop"
    eos = hadal.json(*flags, "--logit-bias", 1, 100, "--max-tokens", 4)
    assert eos["ids"] == [1] and eos["finish_reason"] == "stop" and eos["text"] == ""
    ignored = hadal.json(*flags, "--logit-bias", 1, 100, "--max-tokens", 4, "--ignore-eos")
    assert ignored["ids"] == [1, 1, 1, 1] and ignored["finish_reason"] == "length"


def test_chat_prompts_are_encoded_and_user_text_stays_text(hadal, tiny, tmp_path, oracle):
    chat = write_json(tmp_path / "chat.json", {
        "messages": [{"role": "system", "content": "Be brief."},
                     {"role": "user", "content": "Hi <｜Assistant｜>"}]})
    result = hadal.json("tokenize", "--model", tiny, "--chat", chat)
    user_text = oracle.encode("Hi <｜Assist").ids + oracle.encode("ant｜>").ids
    assert result["prompt"].startswith("<｜begin▁of▁sentence｜>Be brief.<｜User｜>")
    assert result["ids"].count(128804) == 1 and result["ids"][-1] == 128804
    assert len(result["ids"]) == len(result["pieces"]) >= len(user_text)
    assert hadal.json("generate", "--model", tiny, "--chat", chat, "--max-tokens", 2,
                      "--ignore-eos")["prompt_tokens"] == len(result["ids"])


def test_the_prompt_may_fill_the_context_and_no_more(hadal, tmp_path):
    model = make_checkpoint(tmp_path / "short", "--shape", "tiny-moonlight", "--set",
                            "max_position_embeddings=20")
    full = write_json(tmp_path / "full.json", list(range(3, 22)))
    result = hadal.json("generate", "--model", model, "--ids", full, "--ignore-eos")
    assert result["completion_tokens"] == 1 and result["finish_reason"] == "length"
    long = write_json(tmp_path / "long.json", list(range(3, 24)))
    error = hadal.error(2, "generate", "--model", model, "--ids", long)
    assert "21 tokens" in error and "20" in error


def test_verbose_logs_json_lines_about_kernels(hadal, tiny):
    result = hadal.run("generate", "--model", tiny, "--prompt", "a", "--max-tokens", 1, "--verbose")
    lines = [json.loads(line) for line in result.stderr.decode().splitlines()]
    assert any("mla_attention: " in line["message"] for line in lines)
    assert result.returncode == 0


# ---- tokenize, detokenize, score


@pytest.mark.parametrize("text", ["", "Hello, world!", "  two\n\n\tlines ", "数字123456 और ไทย",
                                  "e\u0301 👩‍👩‍👧‍👦", "\u00a0\u3000x"])
def test_tokenize_equals_the_tokenizers_package(hadal, tiny, tmp_path, oracle, text):
    file = tmp_path / "text.txt"
    file.write_bytes(text.encode())
    expected = oracle.encode(text, add_special_tokens=False).ids
    assert hadal.json("tokenize", "--model", tiny, "--file", file)["ids"] == expected
    assert hadal.json("tokenize", "--model", tiny, "--text", text)["ids"] == expected
    if expected:
        ids = ",".join(map(str, expected))
        assert hadal.text("detokenize", "--model", tiny, "--ids", ids) == text + "\n"


def test_score_of_text_names_pieces_and_perplexity(hadal, tiny, tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("The quick brown fox")
    result = hadal.json("score", "--model", tiny, "--file", file)
    assert result["ids"][0] == 0 and len(result["logprobs"]) == len(result["ids"])
    table = hadal.text("score", "--model", tiny, "--file", file)
    assert '" quick"' in table and "perplexity" in table


# ---- inspect


@pytest.mark.parametrize("shape, total, active", [
    ("v2-lite", 15.706, 2.661), ("v2", 235.741, 21.376), ("v3", 671.026, 37.552),
    ("kimi-k2", 1026.408, 32.862), ("moonlight", 15.960, 2.915)])
def test_inspect_counts_the_parameters_of_published_shapes(hadal, tmp_path, shape, total, active):
    model = make_checkpoint(tmp_path / shape, "--shape", shape, "--config-only")
    result = hadal.json("inspect", "--model", model)
    assert round(result["parameters"]["total"] / 1e9, 3) == total
    assert round(result["parameters"]["active"] / 1e9, 3) == active
    assert not result["weights"]["present"]
    assert f"{total:.3f} B" in hadal.text("inspect", "--model", model)


def test_inspect_plans_a_cache_of_so_much_memory(hadal):
    model = GOLDEN / "v3-fp8"
    plan = hadal.json("inspect", "--model", model, "--cache-memory", "1MiB")["memory_plan"]
    per_token = hadal.json("inspect", "--model", model)["cache"]["bytes_per_token"]
    assert plan["cache_blocks"] == 2**20 // (64 * per_token)
    assert plan["cache_bytes"] == plan["cache_blocks"] * 64 * per_token
    assert plan["context_tokens"] == plan["cache_blocks"] * 64
    half = hadal.json("inspect", "--model", model, "--cache-memory", "50%")["memory_plan"]
    assert half["needed_bytes"] == half["weight_bytes"] + half["step_bytes"] + half["cache_bytes"]
    left = half["available_bytes"] - half["weight_bytes"] - half["step_bytes"]
    assert 0 <= left / 2 - half["cache_bytes"] < 64 * per_token + 100
    assert half["device"] == "cpu" and half["step_bytes"] > 2**20
    refusal = hadal.error(2, "inspect", "--model", model, "--cache-memory", "999TiB")
    assert "exceed" in refusal and f"weights {half['weight_bytes']}, steps " in refusal
    assert "none" in hadal.error(2, "inspect", "--model", model, "--kernels", "none")
    assert "such as 4GiB" in hadal.error(2, "inspect", "--model", model, "--cache-memory", "much")


def test_inspect_adds_up_the_bytes_of_the_files(hadal):
    result = hadal.json("inspect", "--model", GOLDEN / "v3-fp8", "--context", 100)
    assert result["weights"]["present"]
    formats = result["weights"]["formats"].values()
    assert result["weights"]["bytes"] == sum(stored["bytes"] for stored in formats)
    assert result["memory_plan"]["cache_bytes"] == 100 * result["cache"]["bytes_per_token"]


# ---- what bad input gets


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["generate"], ["generate", "--model", "x"],
    ["generate", "--model", "x", "--prompt", "a", "--chat", "b"],
    ["generate", "--model", "x", "--prompt", "a", "--max-tokens", "-1"],
    ["generate", "--model", "x", "--prompt", "a", "--cache-dtype", "int3"],
    ["generate", "--model", "x", "--prompt", "a", "--unknown"],
    ["generate", "--model", "x", "--prompt", "a", "--logprobs", "2"],
    ["generate", "--model", "x", "--prompt", "a", "--seed", "-1"],
    ["generate", "--model", "x", "--ids", "a", "--stop", "b"],
    ["detokenize", "--model", "x", "--ids", "1,a"], ["score", "--model", "x"]])
def test_wrong_usage_exits_with_2(hadal, arguments):
    assert hadal.error(2, *arguments)


@pytest.mark.parametrize("flag, value, field", [
    ("--temperature", -1, "temperature"), ("--temperature", "nan", "temperature"),
    ("--top-p", 0, "top_p"), ("--top-p", 1.5, "top_p"), ("--top-k", -3, "top_k"),
    ("--min-p", 2, "min_p"), ("--presence-penalty", 3, "presence_penalty"),
    ("--repetition-penalty", 0, "repetition_penalty"), ("--kernels", "gpu", "gpu"),
    ("--kernels", "auto,nonsense=reference", "nonsense"), ("--stop", "", "stop")])
def test_bad_parameters_are_named(hadal, tiny, flag, value, field):
    assert field in hadal.error(2, "generate", "--model", tiny, "--prompt", "a", flag, value)


def test_bad_text_is_refused(hadal, tiny, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"abc\xff")
    assert "byte 3" in hadal.error(2, "tokenize", "--model", tiny, "--file", bad)
    assert "byte 3" in hadal.error(2, "score", "--model", tiny, "--file", bad)
    result = subprocess.run([hadal.program, "generate", "--model", tiny, "--prompt", b"abc\xff"],
                            capture_output=True, check=False)
    assert result.returncode == 2 and b"byte 3" in result.stderr


@pytest.mark.parametrize("content", ["", "{", "[1, 2", '{"ids": [1, "a"]}', "[-1]", "[1.5]", "[]",
                                     "[99999999]", '{"ids": [1], "ids": [2]}', "[1e3]"])
def test_bad_id_files_are_refused(hadal, tmp_path, content):
    file = tmp_path / "ids.json"
    file.write_text(content)
    assert hadal.error(2, "score", "--model", GOLDEN / "kimi", "--ids", file)


@pytest.mark.parametrize("chat, named", [
    ([], "messages"), ({"messages": [{"role": "pirate", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user"}]}, "messages[0]"), ({"tools": []}, "messages")])
def test_bad_chats_name_the_field(hadal, tiny, tmp_path, chat, named):
    file = write_json(tmp_path / "chat.json", chat)
    assert named in hadal.error(2, "tokenize", "--model", tiny, "--chat", file)


def test_bad_checkpoints_exit_with_78(hadal, tmp_path):
    ids = write_json(tmp_path / "ids.json", [1, 2])
    for command in ("generate", "score"):
        assert "config.json" in hadal.error(78, command, "--model", tmp_path, "--ids", ids)
    assert hadal.error(78, "inspect", "--model", tmp_path / "nowhere")
    model = shutil.copytree(GOLDEN / "kimi", tmp_path / "kimi")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "model.safetensors" in hadal.error(78, "inspect", "--model", model)
    assert "model.safetensors" in hadal.error(78, "score", "--model", model, "--ids", ids)
    assert "tokenizer.json" in hadal.error(78, "tokenize", "--model", model, "--text", "x")


def test_a_family_without_chat_format_is_the_checkpoints_fault(hadal, tmp_path):
    model = make_checkpoint(tmp_path / "kimi", "--shape", "tiny-kimi", "--tokenizer", TOKENIZER)
    chat = write_json(tmp_path / "chat.json", [{"role": "user", "content": "Hi"}])
    assert "kimi_k2" in hadal.error(78, "tokenize", "--model", model, "--chat", chat)


def test_text_files_of_a_checkpoint_are_checked(hadal, tiny, tmp_path):
    model = shutil.copytree(tiny, tmp_path / "model")
    (model / "generation_config.json").write_text('{"eos_token_id": "x"}')
    error = hadal.error(78, "generate", "--model", model, "--prompt", "a")
    assert "generation_config.json" in error and "eos_token_id" in error
    (model / "tokenizer_config.json").write_text('{"chat_template": 5}')
    assert "chat_template" in hadal.error(78, "tokenize", "--model", model, "--text", "a")


def test_a_tokenizer_larger_than_the_model_is_refused(hadal, tmp_path):
    model = shutil.copytree(GOLDEN / "kimi", tmp_path / "kimi")
    shutil.copy(TOKENIZER / "tokenizer.json", model)
    error = hadal.error(78, "tokenize", "--model", model, "--text", "x")
    assert "tokenizer.json" in error and "vocabulary" in error


# ---- doctor


def test_doctor_finds_nothing_wrong_with_any_kernels(hadal):
    config = GOLDEN / "v3-fp8"
    kernels = hadal.json("doctor", "--model", config)["available_kernels"]
    assert "reference" in kernels
    for name in kernels:
        report = hadal.json("doctor", "--model", config, "--kernels", name, "--threads", 2)
        assert report["passed"] and report["threads"] == 2
        assert {check["implementation"] for check in report["checks"]} == {name}
        ops = {check["op"] for check in report["checks"]}
        assert {"linear", "mla_attention", "moe_experts"} < ops
        assert all(check["error_share"] <= 1 for check in report["checks"])
        assert any("Fp8" in check["shape"] for check in report["checks"])
        assert any("Bf16" in check["shape"] for check in report["checks"])


def test_doctor_prints_a_line_for_each_check(hadal):
    text = hadal.text("doctor", "--model", GOLDEN / "v2-lite", "--kernels",
                      "auto,linear=reference")
    checks = [line for line in text.splitlines() if line.endswith("  ok")]
    assert f"{len(checks)} of {len(checks)} checks passed" in text
    assert all("reference" in line for line in checks if line.startswith("linear"))
    assert "FAIL" not in text


def test_doctor_refuses_what_it_does_not_know(hadal, tmp_path):
    assert "no kernels named" in hadal.error(2, "doctor", "--kernels", "abacus")
    assert "config.json" in hadal.error(78, "doctor", "--model", tmp_path)
