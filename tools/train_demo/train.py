"""Trains the demo model, in as many runs as it takes.

  python -m train_demo.train --tokens-from build/demo/run/tokens --state build/demo/run \\
      --seconds 540 --total-seconds 1300

A run stops after --seconds of wall-clock time, or at SIGTERM or Ctrl-C after the step that runs,
and leaves state.pt in --state; the next one goes on from there, exactly: the same batches, the same
updates. The schedule counts seconds of training or tokens, whichever total is given. --finish makes
this run the last: what is left of its time becomes the end of the schedule. log.jsonl gets a line
every --log-every steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from train_demo.training.batches import Aims, Batch, Sampler, SamplerState, make_batch
from train_demo.configuration import CONTEXT_TOKENS, demo_config, tiny_config
from train_demo.experts import METHODS
from train_demo.model import DemoModel
from train_demo.training.optimizer import MasterOptimizer, OptimizerSettings
from train_demo.training.schedule import Schedule

_SYNC_EVERY = 10  # steps; the device runs ahead of the clock in between
_UNTIMED_STEPS = 2  # of each run: they compile


@dataclasses.dataclass
class Progress:
    """What a run has done, over all its calls."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


LossFunction = Callable[[Batch, Tensor], tuple[Tensor, ...]]


def make_loss(model: DemoModel, mtp_rows: int) -> LossFunction:
    """Loss, each row's loss sum and count, the MTP loss, and expert loads, of one batch.

    The head is computed where something is learned only. The MTP module sees the first `mtp_rows`
    rows, which are as mixed as any.
    """

    def nats(hidden: Tensor, aims: Aims) -> Tensor:
        logits = model.lm_head(hidden.flatten(0, 1)[aims.places])
        return F.cross_entropy(logits.float(), aims.tokens, reduction="none")

    def loss(batch: Batch, mtp_weight: Tensor) -> tuple[Tensor, ...]:
        hidden, loads = model.hidden(batch.ids[:, :-1])
        ahead, mtp_load = model.mtp_hidden(batch.ids[:mtp_rows, 1:], hidden[:mtp_rows])
        each, mtp = nats(hidden, batch.aims), nats(ahead, batch.mtp_aims)
        rows, zeros = batch.aims.places // hidden.shape[1], each.new_zeros(len(hidden))
        sums = zeros.index_add(0, rows, each.detach())
        counts = zeros.index_add(0, rows, torch.ones_like(each))
        mtp = mtp.sum() / max(len(mtp), 1)
        total = each.sum() / max(len(each), 1) + mtp_weight * mtp
        return total, sums, counts, mtp.detach(), torch.stack([*loads, mtp_load])

    return loss


class Trainer:
    """One model in training: its optimizer, its data, its progress."""

    def __init__(self, args: argparse.Namespace, schedule: Schedule) -> None:
        self._args, self.schedule = args, schedule
        self._device = torch.device(args.device)
        config = tiny_config() if args.shape == "tiny" else demo_config()
        if args.shape == "tiny":
            config["vocab_size"] = demo_config()["vocab_size"]
        self.model = DemoModel(config)
        self.model.initialise(args.seed)
        for moe in self.model.moes():
            moe.experts.method = args.experts
        self.model.to(self._device)
        self.optimizer = MasterOptimizer(self.model, OptimizerSettings(method=args.optimizer))
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(getattr(torch, args.dtype))
        self.sampler = Sampler(args.tokens_from, args.row_tokens, args.seed)
        self.done = Progress()
        self._loss = make_loss(self.model, args.mtp_rows)
        if args.compile:
            self._loss = torch.compile(self._loss)

    def step(self) -> dict[str, Tensor | list[int] | float]:
        """One batch, one update. Tensors of the result are still being computed."""
        progress = self.schedule.progress(self.done.tokens, self.done.seconds)
        rows, sources = self.sampler.batch(self._args.rows, self.schedule.mixture(progress))
        batch = make_batch(rows, self._args.mtp_rows, self._device)
        weight = torch.tensor(self.schedule.mtp_weight(progress), device=self._device)
        loss, sums, counts, mtp, loads = self._loss(batch, weight)
        loss.backward()
        self.done.steps += 1
        self.done.tokens += len(rows) * self._args.row_tokens
        rate = self.schedule.rate(progress, self.done.steps)
        norm = self.optimizer.step(rate, self.schedule.is_quantised(progress))
        for moe, load in zip(self.model.moes(), loads, strict=True):
            moe.balance(load, self.schedule.balance(progress))
        return {"sums": sums, "counts": counts, "mtp": mtp, "loads": loads, "norm": norm,
                "sources": sources, "rate": rate, "progress": progress}

    def save(self, path: Path) -> None:
        """Writes the state, whole or not at all."""
        buffers = dict(self.model.named_buffers())
        state = {"optimizer": self.optimizer.state(), "buffers": buffers,
                 "sampler": dataclasses.asdict(self.sampler.state),
                 "done": dataclasses.asdict(self.done), "config": self.model.config}
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Goes on from a saved state."""
        state = torch.load(path, map_location=self._device)
        self.optimizer.load_state(state["optimizer"])
        for name, buffer in self.model.named_buffers():
            buffer.copy_(state["buffers"][name])
        self.sampler.state = SamplerState(**state["sampler"])
        self.done = Progress(**state["done"])
        progress = self.schedule.progress(self.done.tokens, self.done.seconds)
        self.optimizer.write_parameters(self.schedule.is_quantised(progress))


def describe(trainer: Trainer, results: list[dict], seconds: float, row_tokens: int) -> dict:
    """One line of the log, of the steps since the last line."""
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for result in results:
        triples = zip(result["sources"], result["sums"].tolist(), result["counts"].tolist(),
                      strict=True)
        for source, total, count in triples:
            name = trainer.sampler.names[source]
            sums[name] = sums.get(name, 0.0) + total
            counts[name] = counts.get(name, 0.0) + count
    loads = torch.stack([r["loads"] for r in results]).sum(0)
    relative = loads / loads.mean(-1, keepdim=True)
    tokens = len(results) * len(results[0]["sources"]) * row_tokens
    return {
        "step": trainer.done.steps,
        "tokens": trainer.done.tokens,
        "progress": round(results[-1]["progress"], 4),
        "rate": round(results[-1]["rate"], 6),
        "loss": round(sum(sums.values()) / max(sum(counts.values()), 1), 4),
        "mtp_loss": round(torch.stack([r["mtp"] for r in results]).mean().item(), 4),
        "by_source": {n: round(s / max(counts[n], 1), 3) for n, s in sorted(sums.items())},
        "norm": round(results[-1]["norm"].item(), 3),
        "load": [round(relative.min().item(), 3), round(relative.max().item(), 3)],
        "tokens_per_second": round(tokens / seconds) if seconds else 0,
    }


def run(args: argparse.Namespace, started: float) -> None:
    """Trains until the time or the schedule is over, and saves."""
    schedule = Schedule(
        learning_rate=args.learning_rate, warmup_steps=args.warmup_steps,
        total_tokens=args.total_tokens, total_seconds=args.total_seconds,
    )
    trainer, state = Trainer(args, schedule), args.state / "state.pt"
    args.state.mkdir(parents=True, exist_ok=True)
    if state.exists():
        trainer.load(state)
    stops: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stops.append(received))
    deadline, results = started + args.seconds, []
    clock, first = time.monotonic(), trainer.done.steps
    while time.monotonic() < deadline and not stops:
        results.append(trainer.step())
        steps = trainer.done.steps - first
        if steps == _UNTIMED_STEPS or steps % _SYNC_EVERY == 0:
            results[-1]["norm"].item()
            now = time.monotonic()
            if steps > _UNTIMED_STEPS:
                trainer.done.seconds += now - clock
            elif args.finish:
                total = trainer.done.seconds + deadline - now
                trainer.schedule = dataclasses.replace(schedule, total_seconds=total)
            clock = now
        if steps == _UNTIMED_STEPS:
            logged, results = trainer.done.seconds, []
        elif steps % args.log_every == 0:
            seconds = trainer.done.seconds - logged
            line = describe(trainer, results, seconds, args.row_tokens)
            logged, results = trainer.done.seconds, []
            print(json.dumps(line), flush=True)
            with (args.state / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        if trainer.schedule.progress(trainer.done.tokens, trainer.done.seconds) >= 1:
            break
    trainer.save(state)
    print(f"steps {trainer.done.steps}, tokens {trainer.done.tokens}, seconds of training "
          f"{trainer.done.seconds:.1f}, wall-clock {time.monotonic() - started:.0f} s")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--tokens-from", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540, help="wall-clock, of this run")
    parser.add_argument("--total-seconds", type=float, default=0)
    parser.add_argument("--total-tokens", type=int, default=0)
    parser.add_argument("--finish", action="store_true")
    parser.add_argument("--shape", choices=("demo", "tiny"), default="demo")
    parser.add_argument("--rows", type=int, default=64 if on_gpu else 8)
    parser.add_argument("--mtp-rows", type=int, default=64 if on_gpu else 2,
                        help="rows of a batch that the MTP module learns from")
    parser.add_argument("--row-tokens", type=int, default=CONTEXT_TOKENS)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--warmup-steps", type=int, default=100)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--experts", choices=METHODS, default="dense" if on_gpu else "loop")
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"),
                        default="bfloat16" if on_gpu else "float32")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=on_gpu)
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main() -> None:
    started = time.monotonic()
    args = make_parser().parse_args()
    if not (args.total_seconds or args.total_tokens or args.finish):
        raise SystemExit("train: give --total-seconds, --total-tokens or --finish")
    torch.set_float32_matmul_precision("high")
    run(args, started)


if __name__ == "__main__":
    main()
