"""The configuration of `hadal serve` as a user meets it: help, and mistakes in flags and file."""

import re

import pytest


def write(path, text):
    path.write_text(text)
    return path


def test_help_lists_the_flags_by_section(hadal):
    text = hadal.text("serve", "--help")
    sections = re.findall(r"^([a-z]+):$", text, re.MULTILINE)
    assert sections == ["model", "http", "grpc", "operations", "security", "scheduling"]
    for flag in ("--config FILE", "--model DIR", "--port PORT=8000", "--max-body-bytes SIZE=8MiB",
                 "--log-requests,--no-log-requests", "--api-keys-file FILE"):
        assert flag in text, flag


@pytest.mark.parametrize("arguments, message", [
    (["--port", "abc"], "--port: expected an integer in [0, 65535], found 'abc'"),
    (["--port", "1", "--port", "2"], "--port"),
    (["--prot", "1"], "--prot"),
    (["--host", ""], "--host: expected a text that is not empty"),
    (["--max-body-bytes", "8XB"], "--max-body-bytes: expected a size in [1KiB, 1GiB], found '8XB'"),
    (["--log-level", "loud"], "--log-level: expected one of debug, info, warning, error"),
    (["--served-model-name", "a", "b"], "b"),
    (["--tls-key", "key.pem"], "http.tls_certificate: a key needs its certificate"),
    (["--max-requests", "1"], "scheduling.max_running_sequences: 64 exceeds max_requests, 1"),
])
def test_wrong_flags_exit_with_2(hadal, arguments, message):
    assert message in hadal.error(2, "serve", *arguments)


def test_mistakes_in_the_file_are_named_by_line_and_exit_with_78(hadal, tmp_path):
    config = write(tmp_path / "hadal.yaml", "http:\n  prot: 8000\n")
    error = hadal.error(78, "serve", "--config", config)
    assert f"{config}:2: unknown key 'prot' in section http; did you mean http.port?" in error
    assert "no such file" in hadal.error(78, "serve", "--config", tmp_path / "missing.yaml")


def test_flags_win_over_the_file(hadal, tmp_path):
    config = write(tmp_path / "hadal.yaml", "scheduling:\n  max_requests: 1\n")
    error = hadal.error(2, "serve", "--config", config)
    assert "scheduling.max_running_sequences: 64 exceeds max_requests, 1" in error
    error = hadal.error(2, "serve", "--config", config, "--max-requests", 63)
    assert "exceeds max_requests, 63" in error
