"""Hadal on exported checkpoints: the same log-probabilities, prompts and tokens as in training."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from train_demo.evaluation.answers import chat_body, hadal_writer, torch_writer
from train_demo.chat import END
from train_demo.checkpoint import load_model, write_checkpoint
from train_demo.export import write_generation_config
from train_demo.tests.model_test import random_ids, random_model
from train_demo.tests.small_texts import CONVERSATIONS, small_tokenizer
from train_demo.tokenizer import SegmentEncoder, write

_TEXTS = ("The little dog, 12345!", "Größe 你好 don't\n\n  x", " \ta_b (c) 3.14")


def output_of(program: Path, *arguments: object) -> dict:
    command = [program, *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def checkpoint(folder: Path, dtype: str) -> Path:
    """A tiny random checkpoint with the small tokenizer."""
    model = random_model()
    write_checkpoint(folder, model.config, model.state_dict(), dtype, mtp_copies=False)
    write_generation_config(folder, model.config)
    write(small_tokenizer(), folder)
    return folder


@pytest.mark.parametrize("dtype", ("f32", "fp8"))
@torch.no_grad()
def test_score_agrees(hadal: Path, tmp_path: Path, dtype: str) -> None:
    folder = checkpoint(tmp_path, dtype)
    model = load_model(folder)
    ids = random_ids(model)
    (tmp_path / "ids.json").write_text(json.dumps(ids.tolist()))
    scored = output_of(hadal, "score", "--model", folder, "--ids", tmp_path / "ids.json")
    hidden, _ = model.hidden(torch.from_numpy(ids)[None])
    table = model.lm_head(hidden)[0].log_softmax(-1)
    expected = table[torch.arange(len(ids) - 1), torch.from_numpy(ids[1:])].numpy()
    difference = np.abs(np.array(scored["logprobs"][1:]) - expected)
    # The fp8 product rounds activations too, and may then route a token elsewhere.
    assert difference.max() < 2e-3 if dtype == "f32" else np.median(difference) < 0.1


def test_prompts_and_texts_have_the_same_tokens(hadal: Path, tmp_path: Path) -> None:
    folder, tokenizer = checkpoint(tmp_path, "f32"), small_tokenizer()
    encoder, chat = SegmentEncoder(tokenizer), tmp_path / "chat.json"
    for conversation in CONVERSATIONS:
        chat.write_text(json.dumps(chat_body(conversation)))
        out = output_of(hadal, "tokenize", "--model", folder, "--chat", chat)
        assert out["ids"] == encoder.prompt(conversation)
    for text in _TEXTS:
        out = output_of(hadal, "tokenize", "--model", folder, "--text", text)
        assert out["ids"] == tokenizer.encode(text, add_special_tokens=False).ids


def test_greedy_answers_agree(hadal: Path, tmp_path: Path) -> None:
    folder, tokenizer = checkpoint(tmp_path, "f32"), small_tokenizer()
    ours = torch_writer(
        load_model(folder), SegmentEncoder(tokenizer), tokenizer.token_to_id(END), max_tokens=8
    )
    conversations = list(CONVERSATIONS[:3])
    assert hadal_writer(hadal, folder, max_tokens=8)(conversations) == ours(conversations)
