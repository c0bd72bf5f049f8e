"""Turns the corpus and generated tasks into token files that training reads.

  python -m train_demo.packing --in build/demo/carry --out build/demo/run/tokens \\
      --task-tokens 100000000 --workers 16

Writes SOURCE.bin (uint16 tokens, samples back to back; NOT_LEARNED marks context) for every
SOURCE.jsonl.xz and for the tasks. Tasks are unlimited: ask for as many as will be trained on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from train_demo import tokenizer as tokenizers
from train_demo.chat import Conversation, Segment, chat_segments, fim_segments, text_segments
from train_demo.corpus import read_lines
from train_demo.tasks.example import plain_reasoning
from train_demo.tasks.registry import TaskSource
from train_demo.tokenizer import SegmentEncoder

TASK_FILE = "tasks"
_FIM_SHARE = 0.05
_THINKING_SHARE, _SECOND_TURN_SHARE = 0.1, 0.15
_BATCH = 2000
_TASK_SEED = 1


def _chat_sample(messages: list[dict], before: list[dict], rng: random.Random) -> list[Segment]:
    """A conversation, sometimes after another one, sometimes with thinking on."""
    question, answer = messages
    thinking = rng.random() < _THINKING_SHARE
    if thinking:
        answer = {**answer, "reasoning_content": plain_reasoning(rng, question["content"])}
    earlier = before if rng.random() < _SECOND_TURN_SHARE else []
    return chat_segments(Conversation((*earlier, question, answer), thinking=thinking))


def document_segments(document: dict, before: dict, rng: random.Random) -> list[Segment]:
    """A document's sample: a conversation, a text, or now and then a text with a hole."""
    if "messages" in document:
        return _chat_sample(document["messages"], before["messages"], rng)
    text = document["text"]
    if len(text) > 200 and rng.random() < _FIM_SHARE:
        first, second = sorted(rng.sample(range(len(text)), 2))
        return fim_segments(text[:first], text[first:second], text[second:])
    return text_segments(text)


def _batches(samples: list[list[Segment]], encoder: SegmentEncoder) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), _BATCH):
        yield np.concatenate(encoder.encode(samples[start : start + _BATCH]))


def pack_documents(path: Path, folder: Path, encoder: SegmentEncoder) -> int:
    """Packs one source in shuffled order; returns the number of tokens."""
    name = path.name.removesuffix(".jsonl.xz")
    rng = random.Random(name)
    documents = read_lines(path)
    rng.shuffle(documents)
    befores = [documents[-1], *documents[:-1]]
    samples = [document_segments(d, b, rng) for d, b in zip(documents, befores, strict=True)]
    tokens = np.concatenate(list(_batches(samples, encoder)))
    tokens.tofile(folder / f"{name}.bin")
    return len(tokens)


def _task_part(job: tuple[Path, Path, int, int, int]) -> None:
    """One worker's share of the tasks: every `step`-th block of examples."""
    source, out, first, step, wanted = job
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    encoder = SegmentEncoder(tokenizers.load(source / "tokenizer"))
    tasks, written, block = TaskSource(source, _TASK_SEED), 0, first
    with (out / f"{TASK_FILE}.{first}.part").open("wb") as file:
        while written < wanted:
            numbers = range(block * _BATCH, (block + 1) * _BATCH)
            samples = [chat_segments(tasks.example(i).conversation) for i in numbers]
            tokens = np.concatenate(encoder.encode(samples))
            tokens.tofile(file)
            written, block = written + len(tokens), block + step


def pack_tasks(source: Path, out: Path, tokens: int, workers: int) -> int:
    """Packs about `tokens` tokens of tasks; returns how many."""
    jobs = [(source, out, i, workers, tokens // workers) for i in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(_task_part, jobs)
    size = 0
    with (out / f"{TASK_FILE}.bin").open("wb") as file:
        for i in range(workers):
            part = out / f"{TASK_FILE}.{i}.part"
            size += file.write(part.read_bytes()) // 2
            part.unlink()
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in", type=Path, required=True, dest="source")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--task-tokens", type=int, default=20_000_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    encoder = SegmentEncoder(tokenizers.load(args.source / "tokenizer"))
    for path in sorted(args.source.glob("*.jsonl.xz")):
        if ".heldout." not in path.name:
            count = pack_documents(path, args.out, encoder)
            print(f"{path.name.split('.')[0]:12}{count:12} tokens")
    if args.task_tokens:
        count = pack_tasks(args.source, args.out, args.task_tokens, args.workers)
        print(f"{TASK_FILE:12}{count:12} tokens")
    print(f"packed in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
