"""Runs a workload once on Hadal, on llama.cpp's programs, or on the llama-cpp-python package."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from peers.workload import EngineError, Phase, Speeds, Workload

STEP_TOKENS = 512  # prompt tokens that go through the layers together, on every engine
_SEQUENCE_ALIGNMENT = 256  # of a sequence's share of llama.cpp's cache


def run_program(command: Sequence[object]) -> str:
    """The program's standard output. EngineError, with the end of its errors, if it fails."""
    return run_for_streams(command)[0]


def run_for_streams(command: Sequence[object]) -> tuple[str, str]:
    """As run_program; standard output and standard error."""
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        last_lines = "\n".join(result.stderr.strip().splitlines()[-8:])
        raise EngineError(f"{' '.join(words)}: exit code {result.returncode}\n{last_lines}")
    return result.stdout, result.stderr


class Engine(Protocol):
    """Something that can run a workload. `title` heads its column."""

    title: str

    def describe(self) -> str:
        """Version and settings, for the report."""

    def run(self, workload: Workload, seed: int) -> Speeds:
        """One measurement. EngineError when it fails."""


class Hadal:
    """`hadal bench` on a checkpoint folder, its cache in bf16."""

    title = "Hadal"

    def __init__(self, program: Path, model: Path, threads: int, flags: Sequence[str]) -> None:
        self._program = program
        self._common = ["bench", "--json", "--model", model, "--threads", threads,
                        "--cache-dtype", "bf16", "--draft-tokens", 0,
                        "--max-step-tokens", STEP_TOKENS, "--target-step-ms", 60000, *flags]
        self._flags = flags

    def describe(self) -> str:
        version = run_program([self._program, "--version"]).strip()
        return " ".join([version, *self._flags])

    def run(self, workload: Workload, seed: int) -> Speeds:
        # The prompt's last step gives the first token of an answer. Sampling with temperature:
        # greedy answers of random weights circle, and always choose the same experts.
        report = self._bench(workload, seed)
        num_prompt_tokens = workload.num_sequences * workload.prompt_tokens
        prefill = num_prompt_tokens / report["ttft_ms"]["max"] * 1000
        if workload.phase is Phase.PREFILL:
            return Speeds(prefill=prefill)
        if workload.phase is Phase.DECODE:
            return Speeds(decode=1000 / report["inter_token_latency_ms"]["mean"])
        decode = report["widest_decode"]
        if decode["num_sequences"] != workload.num_sequences:
            raise EngineError(f"Hadal: only {decode['num_sequences']} sequences ran together")
        return Speeds(prefill=None if workload.shared_prompt else prefill,
                      decode=decode["tokens_per_second"])

    def _bench(self, workload: Workload, seed: int) -> dict[str, Any]:
        count = workload.num_sequences
        return json.loads(run_program(
            [self._program, *self._common, "--prompts", count, "--concurrency", count,
             "--prompt-tokens", max(workload.prompt_tokens, 1),
             "--output-tokens", workload.output_tokens + 1,
             "--shared-prefix", int(workload.shared_prompt), "--temperature", 1, "--seed", seed]
        ))


class LlamaPrograms:
    """llama-bench and llama-batched-bench of llama.cpp, or of a fork of it, in one folder."""

    def __init__(self, folder: Path, model: Path, threads: int, bench_flags: Sequence[str] = (),
                 batched_flags: Sequence[str] = (), title: str = "llama.cpp") -> None:
        self.title = title
        self._bench = [folder / "llama-bench", "-m", model, "-t", threads, "-r", 1,
                       "-o", "json", *bench_flags]
        self._batched = [folder / "llama-batched-bench", "-m", model, "-t", threads,
                         "-tb", threads, "-b", 2048, "-ub", STEP_TOKENS, *batched_flags]
        self._flags = [*bench_flags, *batched_flags]
        self._has_depth = "--n-depth" in run_program([folder / "llama-bench", "--help"])
        self._version = "llama-bench"

    def describe(self) -> str:
        return " ".join([self._version, *self._flags])

    def run(self, workload: Workload, seed: int) -> Speeds:
        if workload.phase is Phase.BATCH:
            return self._run_batched(workload)
        if workload.phase is Phase.PREFILL:
            speed = self._run_bench(["-p", workload.prompt_tokens, "-n", 0])
            return Speeds(prefill=speed)
        depth, count = workload.prompt_tokens, workload.output_tokens
        if depth == 0:
            arguments = ["-p", 0, "-n", count]
        elif self._has_depth:
            arguments = ["-p", 0, "-n", count, "-d", depth]
        else:
            arguments = ["-p", 0, "-n", 0, "-gp", f"{depth},{count}"]
        return Speeds(decode=self._run_bench(arguments))

    def _run_bench(self, arguments: Sequence[object]) -> float:
        (result,) = json.loads(run_program([*self._bench, *arguments]))
        self._version = f"llama-bench {result['build_commit']} (build {result['build_number']})"
        return result["avg_ts"]

    def _run_batched(self, workload: Workload) -> Speeds:
        count, prompt, output = (
            workload.num_sequences, workload.prompt_tokens, workload.output_tokens
        )
        shared = ["-pps"] if workload.shared_prompt else []
        streams = run_for_streams([*self._batched, "-c", count * cache_share(workload),
                                   "-npp", prompt, "-ntg", output, "-npl", count, *shared])
        for line in "\n".join(streams).splitlines():  # a fork prints its table as errors
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[:3] == [str(prompt), str(output), str(count)]:
                return Speeds(prefill=None if workload.shared_prompt else float(cells[5]),
                              decode=float(cells[7]))
        raise EngineError(f"llama-batched-bench printed no row for {workload.name}")


class LlamaPackage:
    """llama.cpp as the package llama-cpp-python brings it, driven by llamacpp_driver.py."""

    title = "llama.cpp"

    def __init__(self, model: Path, threads: int) -> None:
        driver = Path(__file__).with_name("llamacpp_driver.py")
        self._command = [sys.executable, driver, "--model", model, "--threads", threads,
                         "--step-tokens", STEP_TOKENS]

    def describe(self) -> str:
        return run_program([sys.executable, "-c",
                            "import llama_cpp; print('llama-cpp-python', llama_cpp.__version__)"
                            ]).strip()

    def run(self, workload: Workload, seed: int) -> Speeds:
        text = run_program([*self._command, "--seed", seed,
                            "--sequences", workload.num_sequences,
                            "--prompt-tokens", workload.prompt_tokens,
                            "--output-tokens", workload.output_tokens,
                            "--context-tokens", cache_share(workload),
                            *(["--shared-prompt"] if workload.shared_prompt else [])])
        speeds = Speeds(**json.loads(text))
        if workload.phase is Phase.DECODE or workload.shared_prompt:
            return Speeds(decode=speeds.decode)
        return speeds


def cache_share(workload: Workload) -> int:
    """Tokens of llama.cpp's cache for each sequence."""
    tokens = workload.prompt_tokens + workload.output_tokens
    return -(-tokens // _SEQUENCE_ALIGNMENT) * _SEQUENCE_ALIGNMENT
