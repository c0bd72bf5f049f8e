"""Greedy answers to conversations, from the PyTorch model or from Hadal itself."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer

from train_demo.chat import END, THINK_END, Conversation
from train_demo.model import DemoModel
from train_demo.tokenizer import SegmentEncoder

# The ids that a model writes after each conversation's prompt, the end token included.
Writer = Callable[[list[Conversation]], list[list[int]]]


def content_of(ids: list[int], tokenizer: Tokenizer, thinking: bool) -> str:
    """The answer as text without reasoning and end token; tokens of calls by name."""
    text = tokenizer.decode(ids, skip_special_tokens=False).replace(END, "")
    if thinking:
        _, found, text = text.partition(THINK_END)
        return text if found else ""
    return text


def torch_writer(model: DemoModel, encoder: SegmentEncoder, end_id: int, max_tokens: int) -> Writer:
    """Answers by recomputing everything for each token: for a GPU, or a few short prompts."""

    @torch.inference_mode()
    def write(conversations: list[Conversation]) -> list[list[int]]:
        device = next(model.parameters()).device
        rows = [encoder.prompt(c) for c in conversations]
        starts = [len(row) for row in rows]
        waiting = list(range(len(rows)))
        for _ in range(max_tokens):
            longest = max(len(rows[i]) for i in waiting)
            ids = torch.zeros(len(waiting), longest, dtype=torch.int64)
            for place, i in enumerate(waiting):
                ids[place, : len(rows[i])] = torch.tensor(rows[i])
            hidden, _ = model.hidden(ids.to(device))
            ends = torch.tensor([len(rows[i]) - 1 for i in waiting], device=device)
            last = hidden[torch.arange(len(waiting), device=device), ends]
            best = model.lm_head(last).float().argmax(-1).tolist()
            for i, token in zip(waiting, best, strict=True):
                rows[i].append(token)
            waiting = [i for i in waiting if rows[i][-1] != end_id]
            if not waiting:
                break
        return [row[start:] for row, start in zip(rows, starts, strict=True)]

    return write


def chat_body(conversation: Conversation) -> dict:
    """The conversation as the body of an API request."""
    body: dict = {"messages": list(conversation.messages), "thinking": conversation.thinking}
    if conversation.tools:
        body["tools"] = [{"type": "function", "function": tool} for tool in conversation.tools]
    return body


def hadal_writer(program: Path, folder: Path, max_tokens: int) -> Writer:
    """Answers by `hadal generate` on a checkpoint folder."""

    def write_one(conversation: Conversation) -> list[int]:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(chat_body(conversation), file)
            file.flush()
            command = [program, "generate", "--model", folder, "--chat", file.name, "--json",
                       "--temperature", "0", "--max-tokens", str(max_tokens)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["ids"]

    return lambda conversations: [write_one(c) for c in conversations]
