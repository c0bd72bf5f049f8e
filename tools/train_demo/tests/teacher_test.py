"""The GGUF reader on a file made here, and what is kept of the teacher's answers."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from train_demo.teacher.generate import usable
from train_demo.teacher.gguf import read_gguf
from train_demo.teacher.prompts import question
from train_demo.tasks.lexicon import make_lexicon
from train_demo.wordnet import Word


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _gguf(tensors: dict[str, tuple[tuple[int, ...], int, bytes]]) -> bytes:
    """A file with one string, one list of numbers, and these (shape, type, data)."""
    out = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 2)
    out += _string("general.name") + struct.pack("<I", 8) + _string("tiny")
    out += _string("sizes") + struct.pack("<IIQII", 9, 4, 2, 7, 8)
    data = b""
    for name, (shape, kind, values) in tensors.items():
        out += _string(name) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *shape[::-1]) + struct.pack("<IQ", kind, len(data))
        data += values + b"\0" * (-len(values) % 32)
    return out + b"\0" * (-len(out) % 32) + data


def test_reads_each_type(tmp_path: Path) -> None:
    plain = np.arange(6, dtype="<f4")
    codes = np.arange(32, dtype=np.uint8) % 16
    packed = (codes[:16] | codes[16:] << 4).tobytes()
    signed = np.arange(-16, 16, dtype=np.int8)
    (tmp_path / "t.gguf").write_bytes(_gguf({
        "plain": ((2, 3), 0, plain.tobytes()),
        "four": ((1, 32), 3, struct.pack("<ee", 0.5, -2.0) + packed),
        "eight": ((32,), 8, struct.pack("<e", 0.25) + signed.tobytes()),
    }))
    metadata, tensors = read_gguf(tmp_path / "t.gguf")
    assert metadata == {"general.name": "tiny", "sizes": [7, 8]}
    assert np.array_equal(tensors["plain"], plain.reshape(2, 3))
    assert np.array_equal(tensors["four"], (0.5 * codes - 2.0)[None])
    assert np.array_equal(tensors["eight"], 0.25 * signed)


@pytest.mark.parametrize(("answer", "kept"), (
    ("A dog is an animal. It barks, and it likes to play with", "A dog is an animal."),
    ("I am SmolLM, a model made by somebody. How can I help you today?", None),
    ("Too short.", None),
    ("The owl went up the tree. The owl went up the tree. The owl went up the tree.", None),
))
def test_usable_answers(answer: str, kept: str | None) -> None:
    longer = answer.replace("A dog is an animal.", "A dog is an animal that lives with people.")
    expected = kept and kept.replace("animal.", "animal that lives with people.")
    assert usable(longer) == expected


def test_questions_fill_their_fields() -> None:
    words = [Word(w, k, "d", (), (), None, 9) for w in ("apple", "run")
             for k in ("noun", "verb", "adjective")]
    lexicon, rng = make_lexicon(words), random.Random(0)
    asked = {question(rng, lexicon) for _ in range(300)}
    assert len(asked) > 150
    assert not any("{" in text for text in asked)
