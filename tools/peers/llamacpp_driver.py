#!/usr/bin/env python3
"""Times prompts and continuations of random tokens with the package llama-cpp-python.

Does what llama-batched-bench does: first all prompts, then one token of each sequence at a time.
Prints {"prefill": tokens a second, "decode": tokens a second}; null where there are no tokens.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

import llama_cpp

_BATCH_TOKENS = 2048


class Model:
    """A loaded model and its context; tokens go through it in batches."""

    def __init__(self, args: argparse.Namespace) -> None:
        llama_cpp.llama_backend_init()
        path = str(args.model).encode()
        model = llama_cpp.llama_model_load_from_file(path, llama_cpp.llama_model_default_params())
        if not model:
            sys.exit(f"llamacpp_driver: {args.model} cannot be loaded")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = args.sequences * args.context_tokens
        params.n_batch, params.n_ubatch = _BATCH_TOKENS, args.step_tokens
        params.n_seq_max = args.sequences
        params.n_threads = params.n_threads_batch = args.threads
        params.kv_unified = args.shared_prompt
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            sys.exit("llamacpp_driver: there is no room for the context")
        self._num_tokens = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._batch = llama_cpp.llama_batch_init(_BATCH_TOKENS, 0, 1)
        self._random = random.Random(args.seed)

    def process(self, places: list[tuple[int, int, bool]]) -> None:
        """Random tokens at (sequence, position, whether logits are wanted)."""
        for begin in range(0, len(places), _BATCH_TOKENS):
            part = places[begin : begin + _BATCH_TOKENS]
            batch = self._batch
            batch.n_tokens = len(part)
            for i, (sequence, position, wanted) in enumerate(part):
                batch.token[i] = self._random.randrange(self._num_tokens)
                batch.pos[i] = position
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = sequence
                batch.logits[i] = wanted
            code = llama_cpp.llama_decode(self._context, batch)
            if code != 0:
                sys.exit(f"llamacpp_driver: llama_decode gave {code}")
        llama_cpp.llama_synchronize(self._context)

    def share(self, num_sequences: int) -> None:
        """Gives the first sequence's tokens to the others."""
        memory = llama_cpp.llama_get_memory(self._context)
        for sequence in range(1, num_sequences):
            llama_cpp.llama_memory_seq_cp(memory, 0, sequence, -1, -1)

    def forget(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), False)


def measure(args: argparse.Namespace) -> dict[str, float | None]:
    model = Model(args)
    sequences, prompt = range(args.sequences), args.prompt_tokens
    model.process([(0, position, True) for position in range(16)])
    model.forget()

    start = time.perf_counter()
    model.process([
        (sequence, position, position == prompt - 1)
        for sequence in (sequences[:1] if args.shared_prompt else sequences)
        for position in range(prompt)
    ])
    if args.shared_prompt:
        model.share(args.sequences)
    middle = time.perf_counter()
    for position in range(prompt, prompt + args.output_tokens):
        model.process([(sequence, position, True) for sequence in sequences])
    end = time.perf_counter()

    def speed(num_tokens: int, seconds: float) -> float | None:
        return args.sequences * num_tokens / seconds if num_tokens else None

    prefill = None if args.shared_prompt else speed(prompt, middle - start)
    return {"prefill": prefill,
            "decode": speed(args.output_tokens, end - middle)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    for name in ("threads", "step-tokens", "seed", "sequences", "prompt-tokens", "output-tokens",
                 "context-tokens"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--shared-prompt", action="store_true",
                        help="all sequences continue one prompt; its speed does not count")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
