"""Training resumes exactly; the tokenizer and its chat template agree with the chat encoder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from train_demo.evaluation.acceptance import drafts
from train_demo.chat import Conversation, chat_segments
from train_demo.configuration import VOCAB_SIZE
from train_demo.training.optimizer import orthogonalise
from train_demo.tests.model_test import random_ids, random_model
from train_demo.tests.small_texts import CONVERSATIONS, small_tokenizer
from train_demo.tokenizer import SegmentEncoder, load, write
from train_demo.train import make_parser, run

transformers = pytest.importorskip("transformers")


def arguments(tokens: Path, state: Path, total: int) -> list[str]:
    return ["--tokens-from", str(tokens), "--state", str(state), "--shape", "tiny",
            "--total-tokens", str(total), "--rows", "2", "--row-tokens", "32", "--seconds", "60",
            "--warmup-steps", "2", "--log-every", "3", "--device", "cpu", "--dtype", "float32",
            "--experts", "loop", "--no-compile"]


def weights_after(tokens: Path, state: Path, stops: list[int]) -> dict[str, torch.Tensor]:
    """Masters after runs that stop at these steps, all on one schedule of 12 steps."""
    from train_demo.training import schedule

    original = schedule.Schedule.progress
    for stop in stops:
        args = make_parser().parse_args(arguments(tokens, state, 64 * 12))

        def progress(self: schedule.Schedule, done: int, seconds: float, stop: int = stop) -> float:
            return 1.0 if done >= 64 * stop else original(self, done, seconds)

        schedule.Schedule.progress = progress
        try:
            run(args, time.monotonic())
        finally:
            schedule.Schedule.progress = original
    return torch.load(state / "state.pt")["optimizer"]["masters"]


def test_two_runs_equal_one(tmp_path: Path) -> None:
    """Fp8 rounding begins at 0.8 of the schedule, so the second run crosses into it."""
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, 4000)
    for name in ("tasks", "wordnet"):
        ids.astype(np.uint16).tofile(tmp_path / f"{name}.bin")
    whole = weights_after(tmp_path, tmp_path / "whole", [12])
    parts = weights_after(tmp_path, tmp_path / "parts", [5, 12])
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_orthogonalised_rows_are_nearly_orthonormal() -> None:
    out = orthogonalise(torch.randn(3, 16, 40))
    singular = torch.linalg.svdvals(out)
    assert singular.min() > 0.6 and singular.max() < 1.3


@torch.no_grad()
def test_first_drafts_are_those_of_the_mtp_logits() -> None:
    model = random_model()
    ids = torch.from_numpy(random_ids(model))
    hidden, _ = model.hidden(ids[None, :-1])
    ahead = model.lm_head(model.mtp_hidden(ids[None, 1:], hidden)[0])
    expected = ahead[0].argmax(-1)
    guesses = drafts(model, ids, steps=3)
    assert guesses.shape == (3, len(ids) - 1)
    assert torch.equal(guesses[0], expected)


def test_chat_template_equals_the_encoder(tmp_path: Path) -> None:
    tokenizer = small_tokenizer()
    write(tokenizer, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    encoder = SegmentEncoder(load(tmp_path))
    for conversation in CONVERSATIONS:
        text = "".join(s.text for s in chat_segments(conversation))
        tools = [{"type": "function", "function": t} for t in conversation.tools] or None
        rendered = theirs.apply_chat_template(
            list(conversation.messages), tools=tools, tokenize=False,
            add_generation_prompt=True, thinking=conversation.thinking,
        )
        assert rendered == text
        ids = encoder.prompt(conversation)
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert theirs.encode(text, add_special_tokens=False) == ids


def test_digits_stay_apart_and_bytes_round_trip() -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.encode("12345").tokens == list("12345")
    for text in ("Größe, 你好!\n\n  x", "don't 3.14 <think>", "\t tab"):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_only_answers_are_learned() -> None:
    messages = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"},
                {"role": "assistant", "content": "a", "reasoning_content": "r"})
    segments = chat_segments(Conversation(messages, thinking=True))
    learned = "".join(s.text for s in segments if s.learn)
    assert learned == "r</think>a<｜end▁of▁sentence｜>"
