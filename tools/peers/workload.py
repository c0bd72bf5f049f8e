"""What is run on each engine, and what comes out."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Phase(enum.Enum):
    """What is measured of a workload."""

    PREFILL = "prefill"  # the prompt of one sequence
    DECODE = "decode"  # one token after the other of one sequence
    BATCH = "batch"  # several sequences: first all prompts, then all continuations


@dataclass(frozen=True)
class Workload:
    """`num_sequences` prompts, each continued by `output_tokens`; lengths are tokens."""

    phase: Phase
    num_sequences: int
    prompt_tokens: int
    output_tokens: int
    shared_prompt: bool = False  # all sequences continue the same one, read once

    @property
    def name(self) -> str:
        """As llama.cpp's tools call it."""
        if self.phase is Phase.PREFILL:
            return f"pp{self.prompt_tokens}"
        if self.phase is Phase.BATCH:
            shared = " shared" if self.shared_prompt else ""
            return (f"batch {self.num_sequences} x"
                    f" ({self.prompt_tokens}{shared} + {self.output_tokens})")
        depth = f" @ {self.prompt_tokens}" if self.prompt_tokens else ""
        return f"tg{self.output_tokens}{depth}"


@dataclass(frozen=True)
class Speeds:
    """Tokens a second over all sequences; None: not measured."""

    prefill: float | None = None
    decode: float | None = None


class EngineError(Exception):
    """An engine did not do what it was asked to; the message says which and why."""


WORKLOADS: dict[str, list[Workload]] = {
    "prefill": [Workload(Phase.PREFILL, 1, tokens, 0) for tokens in (512, 2048)],
    "decode": [Workload(Phase.DECODE, 1, 0, 128)],
    "depth": [Workload(Phase.DECODE, 1, 4096, 32)],
    "batched": [Workload(Phase.BATCH, count, 128, 64) for count in (1, 4, 8, 16, 32)],
    "deep-batched": [Workload(Phase.BATCH, count, 4096, 16, shared_prompt=True)
                     for count in (1, 4, 8, 16, 32)],
}
