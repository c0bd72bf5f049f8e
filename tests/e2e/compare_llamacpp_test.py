"""tools/compare_llamacpp.py with programs in the peer's place that print what they are told."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

# The n-th call of this program prints n as its speed, and leaves its arguments in a file.
LLAMA_BENCH = """#!/bin/sh
folder=$(dirname "$0")
[ "$1" = --help ] && { echo "  -d, --n-depth <n>"; exit; }
echo "$@" >> "$folder/calls"
count=$(wc -l < "$folder/calls")
echo "[{\\"avg_ts\\": $count, \\"build_commit\\": \\"abc\\", \\"build_number\\": 7}]"
"""
LLAMA_BATCHED_BENCH = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/batched_calls"
while [ "$1" != -npl ]; do shift; done
echo "|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |"
echo "|-------|--------|------|--------|----------|----------|----------|----------|"
echo "|   128 |     64 |    $2 |   1536 |    1.000 |   512.25 |    2.000 |   ${2}00.5 |"
echo "|  4096 |     16 |    $2 |   1536 |    1.000 |   512.25 |    2.000 |   ${2}00.5 |"
"""


# As forks do.
LLAMA_BATCHED_BENCH_OF_ERRORS = "#!/bin/sh\nexec >&2\n" + LLAMA_BATCHED_BENCH.partition("\n")[2]


@pytest.fixture
def peer(tmp_path):
    folder = tmp_path / "peer"
    folder.mkdir()
    for name, text in (("llama-bench", LLAMA_BENCH),
                       ("llama-batched-bench", LLAMA_BATCHED_BENCH)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run_tool(folder, *arguments):
    command = [sys.executable, ROOT / "tools" / "compare_llamacpp.py", "--shape", "tiny-moonlight",
               "--weights", "bf16", "--folder", folder, "--threads", "1",
               "--hadal", os.environ["HADAL_PROGRAM"], *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def table_of(result) -> dict[str, list[str]]:
    assert result.returncode == 0, result.stderr
    rows = [line.strip("|").split("|") for line in result.stdout.splitlines() if "|" in line]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def median(cell: str) -> float:
    return float(re.fullmatch(r"([\d.]+) \[[\d.]+, [\d.]+\]", cell).group(1))


def test_medians_spread_and_ratio(tmp_path, peer):
    out = tmp_path / "table.md"
    result = run_tool(tmp_path / "models", "--peer", peer, "--tests", "decode",
                      "--repetitions", 3, "--output", out)
    table = table_of(result)
    hadal, llama, ratio = table["tg128, decode"]
    assert llama == "2.0 [1.0, 3.0]"
    assert float(ratio) == pytest.approx(median(hadal) / 2, rel=0.01, abs=0.02)
    assert "llama-bench abc (build 7)" in result.stdout
    assert "3 layers" in result.stdout
    assert re.search(r"waited for a CPU during \d+% to \d+%", result.stdout)
    assert out.read_text() == result.stdout
    calls = (peer / "calls").read_text().splitlines()
    assert len(calls) == 3
    assert all("-p 0 -n 128" in call and "-t 1" in call for call in calls)
    # Who goes first changes by turns.
    order = re.findall(r"^\d\. (Hadal|llama\.cpp)", result.stderr, re.MULTILINE)
    assert order == ["Hadal", "llama.cpp", "llama.cpp", "Hadal", "Hadal", "llama.cpp"]


def test_batches_have_two_rows_and_models_are_kept(tmp_path, peer):
    models = tmp_path / "models"
    arguments = ("--layers", 2, "--peer", peer, "--peer-name", "a fork", "--tests", "batched",
                 "--repetitions", 1)
    result = run_tool(models, *arguments)
    table = table_of(result)
    assert "a fork, tokens/s | ratio |" in result.stdout
    assert "cut to 2 of its 3 layers" in result.stdout
    assert table["batch 4 x (128 + 64), prefill"][1] == "512 [512, 512]"
    assert table["batch 4 x (128 + 64), decode"][1] == "400 [400, 400]"
    assert len([name for name in table if name.startswith("batch")]) == 10
    assert "making" in result.stderr
    (peer / "llama-batched-bench").write_text(LLAMA_BATCHED_BENCH_OF_ERRORS)
    again = run_tool(models, *arguments, "--only", "peer")
    assert "making" not in again.stderr
    assert "Hadal" not in again.stdout
    assert table_of(again)["batch 4 x (128 + 64), decode"] == ["400 [400, 400]"]


def test_sequences_of_one_long_prompt(tmp_path, peer):
    result = run_tool(tmp_path / "models", "--peer", peer, "--tests", "deep-batched",
                      "--repetitions", 1)
    table = table_of(result)
    assert table["batch 32 x (4096 shared + 16), decode"][1] == "3200 [3200, 3200]"
    assert not [name for name in table if "prefill" in name]
    calls = (peer / "batched_calls").read_text().splitlines()
    assert len(calls) == 5 and all(call.endswith("-pps") for call in calls)


def test_a_failing_program_is_named(tmp_path, peer):
    (peer / "llama-bench").write_text('#!/bin/sh\n[ "$1" = --help ] && exit\necho no >&2; exit 3\n')
    result = run_tool(tmp_path / "models", "--peer", peer, "--tests", "decode", "--only", "peer")
    assert result.returncode == 1
    assert "llama-bench" in result.stderr and "exit code 3\nno" in result.stderr
    assert result.stdout == ""
