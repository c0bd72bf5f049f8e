"""Measures a demo checkpoint on held-out data, and writes the numbers where readers look.

  python -m train_demo.evaluate --model models/demo --corpus build/demo/carry \\
      --hadal build/release/hadal --write

Bits per byte by source, scores of tasks with checkable answers, the load of every expert, and the
acceptance of the MTP module's drafts by position. Answers come from Hadal where --hadal is given,
else from the PyTorch model on the checkpoint's own (dequantised) weights. --write puts
evaluation.json and the table of README.md into the model's folder.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from train_demo import tokenizer as tokenizers
from train_demo.evaluation.acceptance import acceptance
from train_demo.evaluation.answers import Writer, content_of, hadal_writer, torch_writer
from train_demo.chat import END, Conversation, Segment, chat_segments, text_segments
from train_demo.checkpoint import load_model
from train_demo.configuration import CONTEXT_TOKENS
from train_demo.corpus import read_lines
from train_demo.model import DemoModel
from train_demo.packing import TASK_FILE
from train_demo.tasks.registry import HELDOUT_SEED, TaskSource
from train_demo.tokenizer import NOT_LEARNED, SegmentEncoder
from train_demo.training.batches import MIXTURE

BEGIN_MARK, END_MARK = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
_DRAFT_STEPS = 3


def _heldout(corpus: Path, most: int) -> dict[str, list[list[Segment]]]:
    """Held-out samples by source, tasks among them."""
    samples: dict[str, list[list[Segment]]] = {}
    for path in sorted(corpus.glob("*.heldout.jsonl.xz")):
        samples[path.name.split(".")[0]] = [
            chat_segments(Conversation(tuple(d["messages"]))) if "messages" in d
            else text_segments(d["text"])
            for d in read_lines(path)[:most]
        ]
    tasks = TaskSource(corpus, HELDOUT_SEED)
    samples[TASK_FILE] = [chat_segments(tasks.example(i).conversation) for i in range(most)]
    return samples


@torch.inference_mode()
def _nats_and_loads(model: DemoModel, stored: np.ndarray) -> tuple[float, torch.Tensor]:
    """Nats of one sample's learned tokens, and how many tokens each expert of each block got."""
    device = next(model.parameters()).device
    tokens = torch.from_numpy(stored[: CONTEXT_TOKENS + 1].astype(np.int64)).to(device)[None]
    ids = tokens & (NOT_LEARNED - 1)
    learned = tokens[0, 1:] < NOT_LEARNED
    hidden, loads = model.hidden(ids)
    _, ahead = model.mtp_hidden(ids[:, 1:], hidden[:, :-1])
    logits = model.lm_head(hidden[0, :-1][learned]).float()
    nats = F.cross_entropy(logits, ids[0, 1:][learned], reduction="sum")
    return nats.item(), torch.stack([*loads, ahead])


def measure_text(model: DemoModel, encoder: SegmentEncoder, corpus: Path, most: int) -> dict:
    """Bits per byte of what the model is to write, by source; least and most expert load.

    Loads of sources count by their shares of training, and all alike.
    """
    bits, weighted, alike = {}, torch.zeros(()), torch.zeros(())
    for name, samples in _heldout(corpus, most).items():
        nats, size, total = 0.0, 0, torch.zeros(())
        for sample, stored in zip(samples, encoder.encode(samples), strict=True):
            if len(stored) > CONTEXT_TOKENS:
                continue
            cost, loads = _nats_and_loads(model, stored)
            nats, total = nats + cost, total + loads.cpu()
            size += sum(len(s.text.encode()) for s in sample if s.learn and not s.is_token)
        bits[name] = nats / math.log(2) / max(size, 1)
        if total.dim():
            relative = total / total.mean(-1, keepdim=True)
            weighted, alike = weighted + MIXTURE[name] * relative, alike + relative
    weighted, alike = (loads / loads.mean(-1, keepdim=True) for loads in (weighted, alike))
    return {"bits_per_byte": bits, "expert_load": {
        "least": weighted.min().item(), "most": weighted.max().item(),
        "least_by_layer": weighted.amin(-1).tolist(),
        "least_alike": alike.min().item(), "most_alike": alike.max().item()}}


def measure_tasks(
    writer: Writer, encoder: SegmentEncoder, tokenizer: object, corpus: Path, count: int
) -> tuple[dict, list[tuple[list[int], int]]]:
    """Share of right answers by task; and prompts with answers as ids, for the drafts."""
    source = TaskSource(corpus, HELDOUT_SEED)
    examples = [source.example(i) for i in range(count)]
    prompts = [example.prompt() for example in examples]
    answers = writer(prompts)
    right: dict[str, list[bool]] = defaultdict(list)
    sequences = []
    for example, prompt, ids in zip(examples, prompts, answers, strict=True):
        context = encoder.prompt(prompt)
        sequences.append((context + ids, len(context)))
        if example.check is not None:
            text = content_of(ids, tokenizer, prompt.thinking)
            right[example.task].append(example.check(text))
    scores = {name: sum(r) / len(r) for name, r in sorted(right.items())}
    checked = [r for results in right.values() for r in results]
    return {"tasks": scores, "tasks_mean": sum(checked) / len(checked),
            "task_examples": len(checked)}, sequences


def answered_chats(
    writer: Writer, encoder: SegmentEncoder, corpus: Path, count: int
) -> list[tuple[list[int], int]]:
    """Held-out questions to the teacher with this model's answers, as ids."""
    path = corpus / "teacher.heldout.jsonl.xz"
    documents = read_lines(path)[:count] if path.exists() else []
    prompts = [Conversation(tuple(d["messages"][:1])) for d in documents]
    contexts = [encoder.prompt(prompt) for prompt in prompts]
    answers = writer(prompts) if prompts else []
    return [(c + a, len(c)) for c, a in zip(contexts, answers, strict=True)]


def as_table(results: dict) -> str:
    """The numbers in Markdown."""
    lines = ["| held-out source | bits per byte |", "|---|---|"]
    lines += [f"| {n} | {v:.3f} |" for n, v in results["bits_per_byte"].items()]
    lines += ["", f"| task ({results['task_examples']} examples) | right |", "|---|---|"]
    lines += [f"| {n} | {100 * v:.0f} % |" for n, v in results["tasks"].items()]
    lines += [f"| all | {100 * results['tasks_mean']:.0f} % |", ""]
    rates = ", ".join(f"{100 * r:.1f} %" for r in results["mtp_acceptance"])
    load = results["expert_load"]
    lines += [f"MTP drafts accepted at positions 1, 2, 3 (greedy, given those before): {rates}.",
              "",
              f"Expert load over its layer's mean, held-out text in the shares of training: "
              f"{load['least']:.2f} to {load['most']:.2f}; with all sources alike: "
              f"{load['least_alike']:.2f} to {load['most_alike']:.2f}."]
    return "\n".join(lines)


def write_results(folder: Path, results: dict) -> None:
    """evaluation.json, and the marked part of README.md."""
    (folder / "evaluation.json").write_text(json.dumps(results, indent=2) + "\n")
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN_MARK)
    _, found, after = rest.partition(END_MARK)
    if not found:
        raise SystemExit(f"{readme}: lacks the marks {BEGIN_MARK} and {END_MARK}")
    readme.write_text(f"{before}{BEGIN_MARK}\n{as_table(results)}\n{END_MARK}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--hadal", type=Path, help="the program; without it, PyTorch answers")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--documents", type=int, default=100, help="held-out ones, of each source")
    parser.add_argument("--task-examples", type=int, default=400)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    model = load_model(args.model).to(args.device)
    tokenizer = tokenizers.load(args.model)
    encoder = SegmentEncoder(tokenizer)
    if args.hadal:
        writer = hadal_writer(args.hadal, args.model, args.max_tokens)
    else:
        writer = torch_writer(model, encoder, tokenizer.token_to_id(END), args.max_tokens)
    results = measure_text(model, encoder, args.corpus, args.documents)
    scores, sequences = measure_tasks(writer, encoder, tokenizer, args.corpus, args.task_examples)
    sequences += answered_chats(writer, encoder, args.corpus, args.documents)
    results.update(scores, mtp_acceptance=acceptance(model, sequences, _DRAFT_STEPS))
    print(as_table(results))
    if args.write:
        write_results(args.model, results)


if __name__ == "__main__":
    main()
