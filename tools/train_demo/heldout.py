"""Writes questions that training never saw as chat requests, for tests and benchmarks.

  python -m train_demo.heldout --corpus build/demo/carry --out models/demo/chats.json

Tasks of the held-out seed, but not those that evaluate.py scores, and the teacher's held-out
questions. They stay as they are when the model is trained again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from train_demo.chat import Conversation
from train_demo.corpus import read_lines
from train_demo.evaluation.answers import chat_body
from train_demo.tasks.registry import HELDOUT_SEED, TaskSource

_FIRST_EXAMPLE = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", type=int, default=220)
    parser.add_argument("--questions", type=int, default=20)
    args = parser.parse_args()
    source = TaskSource(args.corpus, HELDOUT_SEED)
    numbers = range(_FIRST_EXAMPLE, _FIRST_EXAMPLE + args.tasks)
    chats = [source.example(i).prompt() for i in numbers]
    documents = read_lines(args.corpus / "teacher.heldout.jsonl.xz")[: args.questions]
    chats += [Conversation(tuple(d["messages"][:1])) for d in documents]
    lines = ",\n".join(json.dumps(chat_body(c), ensure_ascii=False) for c in chats)
    args.out.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{args.out}: {len(chats)} chat requests")


if __name__ == "__main__":
    main()
