#!/usr/bin/env python3
"""Runs Hadal and llama.cpp on the same model, turn by turn, and prints speeds and ratios.

Makes a random checkpoint of the shape in build/compare, converts it to GGUF, then runs `hadal
bench` and the peer alternately: machines drift, so only runs that lie side by side compare. The
peer's programs are llama-bench and llama-batched-bench of --peer, a folder; without it, the
package llama-cpp-python of this Python. Speeds are medians with [least, greatest]. A table in
Markdown goes to stdout, each run to stderr. Needs tools/requirements-peers.txt.

  compare_llamacpp.py --shape s --weights int8 --peer llama.cpp/build/bin
  compare_llamacpp.py --shape v2-lite --layers 14 --weights int4 --tests decode,prefill

Prompts and answers are random tokens. Hadal's times hold its scheduler and sampling, which the
peer's tools leave out. The machine should be idle: beside other work llama.cpp's threads, which
wait for each other at every operation, fall to a few per cent of their speed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from checkpoint_shapes import SHAPES, shape_config
from checkpoint_tensors import count_parameters
from gguf_export import ExportError, export
from peers.comparison import Comparison
from peers.engines import Engine, Hadal, LlamaPackage, LlamaPrograms, run_program
from peers.workload import WORKLOADS, EngineError

ROOT = Path(__file__).resolve().parent.parent
# The peer's type of matrices, and bytes a parameter of its file.
PEER_TYPES = {"bf16": ("bf16", 2.0), "int8": ("q8_0", 34 / 32), "int4": ("q4_0", 18 / 32)}


class UsageError(Exception):
    """The comparison cannot be made; the message says why."""


class Models:
    """Checkpoint and GGUF file of one shape, made when they are missing."""

    def __init__(self, folder: Path, shape: str, layers: int | None) -> None:
        self._config = shape_config(shape)
        self._shape = shape
        self._layers = layers
        self.name = shape if layers is None else f"{shape}-{layers}-layers"
        self.checkpoint = folder / self.name

    def describe(self) -> str:
        layers = self._config["num_hidden_layers"]
        if self._layers is None or self._layers == layers:
            return f"{self._shape}, {layers} layers"
        return f"{self._shape} cut to {self._layers} of its {layers} layers"

    def make_checkpoint(self) -> None:
        if self.checkpoint.exists():
            return
        self._check_space(2)
        partial = self.checkpoint.with_name(self.name + ".partial")
        settings = [] if self._layers is None else ["--set", f"num_hidden_layers={self._layers}"]
        log(f"making {self.checkpoint}")
        run_program([sys.executable, ROOT / "tools" / "make_checkpoint.py", "--shape", self._shape,
                     "--out", partial, *settings])
        partial.rename(self.checkpoint)

    def make_gguf(self, weights: str) -> Path:
        type_name, bytes_each = PEER_TYPES[weights]
        path = self.checkpoint.with_name(f"{self.name}-{type_name}.gguf")
        if not path.exists():
            self.make_checkpoint()
            self._check_space(bytes_each)
            partial = path.with_suffix(".partial")
            log(f"making {path}")
            export(self.checkpoint, type_name, partial)
            partial.rename(path)
        return path

    def check_memory(self, weights: str) -> None:
        """Refuses weights that the machine's memory cannot hold: they would be read from disk."""
        num_bytes = self._num_parameters() * PEER_TYPES[weights][1]
        available = available_memory()
        if num_bytes > available:
            raise UsageError(
                f"{self.name} in {weights} needs {num_bytes / 1e9:.1f} GB of memory, of which"
                f" {available / 1e9:.1f} GB are available; --layers makes a smaller one"
            )

    def _num_parameters(self) -> int:
        config = dict(self._config)
        if self._layers is not None:
            config["num_hidden_layers"] = self._layers
        return sum(count_parameters(config))

    def _check_space(self, bytes_each: float) -> None:
        """Refuses to write parameters of so many bytes to a disk without room for them."""
        num_bytes = self._num_parameters() * bytes_each
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.checkpoint.parent).free
        if num_bytes > free:
            raise UsageError(
                f"{self.name} needs {num_bytes / 1e9:.1f} GB in {self.checkpoint.parent}, where"
                f" {free / 1e9:.1f} GB are free; --layers makes a smaller one"
            )


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make_engines(args: argparse.Namespace, models: Models) -> list[Engine]:
    engines: list[Engine] = []
    if args.only != "peer":
        models.make_checkpoint()
        flags = [] if args.weights == "bf16" else ["--weights", args.weights]
        engines.append(Hadal(args.hadal, models.checkpoint, args.threads, flags))
    if args.only != "hadal":
        gguf_file = models.make_gguf(args.weights)
        if args.peer is None:
            engines.append(LlamaPackage(gguf_file, args.threads))
        else:
            engines.append(LlamaPrograms(args.peer, gguf_file, args.threads,
                                         shlex.split(args.bench_flags),
                                         shlex.split(args.batched_flags), args.peer_name))
    return engines


def machine_limits(threads: int) -> str | None:
    """What the machine can do at best, by Hadal's own probe; None when it is not built."""
    probe = ROOT / "build" / "release" / "tests" / "bench" / "cpu_bench"
    return run_program([probe, "--limits", "--threads", threads]) if probe.exists() else None


def available_memory() -> int:
    """Bytes that programs can have without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise UsageError("/proc/meminfo does not say how much memory is available")


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "processor not known"


def compare(args: argparse.Namespace) -> str:
    """Makes the measurements; returns the report."""
    workloads = [workload for test in args.tests for workload in WORKLOADS[test]]
    models = Models(args.folder, args.shape, args.layers)
    models.check_memory(args.weights)
    engines = make_engines(args, models)
    comparison = Comparison(engines, workloads)
    limits = machine_limits(args.threads)
    for repetition in range(args.repetitions):
        comparison.measure(repetition, log)
    header = [
        f"Model: {models.describe()}; weights {args.weights}, the peer's"
        f" {PEER_TYPES[args.weights][0]}. {args.threads} threads of {processor()}."
        f" Medians of {args.repetitions} [least, greatest]; something waited for a CPU during"
        f" {comparison.contention()} of a run's time.",
        *(f"{engine.title}: {engine.describe()}." for engine in engines),
    ]
    if limits is not None:
        header.append(f"```\n{limits.strip()}\n```")
    return "\n\n".join([*header, comparison.table()]) + "\n"


def _tests(text: str) -> list[str]:
    tests = text.split(",")
    unknown = [test for test in tests if test not in WORKLOADS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: expected some of {', '.join(WORKLOADS)}"
        )
    return tests


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", required=True, choices=SHAPES, metavar="NAME",
                        help="of make_checkpoint.py; s and v2-lite are meant for this")
    parser.add_argument("--layers", type=int, metavar="N",
                        help="cut the model to its first N layers, for small machines")
    parser.add_argument("--weights", required=True, choices=PEER_TYPES)
    parser.add_argument("--tests", type=_tests, default=list(WORKLOADS), metavar="NAME,...",
                        help=f"some of {','.join(WORKLOADS)}; default: all")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--peer", type=Path, metavar="DIR",
                        help="folder with llama-bench and llama-batched-bench")
    parser.add_argument("--peer-name", default="llama.cpp", metavar="NAME",
                        help="of a fork, whose programs --peer has")
    parser.add_argument("--bench-flags", default="", metavar="FLAGS",
                        help="more flags for llama-bench, in one word")
    parser.add_argument("--batched-flags", default="", metavar="FLAGS",
                        help="more flags for llama-batched-bench, in one word")
    parser.add_argument("--hadal", type=Path, default=ROOT / "build" / "release" / "hadal",
                        metavar="PROGRAM")
    parser.add_argument("--only", choices=("hadal", "peer"), help="measure one of them alone")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "compare", metavar="DIR",
                        help="where checkpoints and GGUF files are made and kept")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report here too")
    return parser


def main() -> None:
    args = _parser().parse_args()
    try:
        report = compare(args)
        if args.output is not None:
            args.output.write_text(report)
    except (UsageError, EngineError, ExportError, OSError) as error:
        sys.exit(f"compare_llamacpp: {error}")
    print(report, end="")


if __name__ == "__main__":
    main()
