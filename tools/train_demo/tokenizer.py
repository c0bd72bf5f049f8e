"""Trains the demo model's byte-level BPE and writes it as DeepSeek-V3's tokenizer is written.

  python -m train_demo.tokenizer --in build/demo/carry --out build/demo/carry/tokenizer

Ids: V3's three leading special tokens, the 256 bytes, merges, then V3's other added tokens with
V3.1's think tokens. The pre-tokenizer is V3's. It keeps digits in groups of up to three, but no
merge of digits is learned, so each digit is a token: sums can be carried digit by digit.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from train_demo.chat import (
    BEGIN, CHAT_TEMPLATE, END, LEADING_TOKENS, PAD, TRAILING_TOKENS, Conversation, Segment,
    chat_segments,
)
from train_demo.configuration import CONTEXT_TOKENS, VOCAB_SIZE, YARN_FACTOR
from train_demo.corpus import read_lines

NOT_LEARNED = 0x8000  # set in a stored token that is context only

_DIGITS = r"\p{N}{1,3}"
_CJK = "[一-龥\u3040-ゟ゠-ヿ]+"
_WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
_FREE_TEXT_SAMPLES = 60_000
_TECHNICAL_SAMPLES = 1_000  # else their words would crowd out simple ones
_TECHNICAL = ("python", "postgresql", "bible")
_TASK_SAMPLES = 40_000


def _steps(digits: str) -> pre_tokenizers.PreTokenizer:
    patterns = (digits, _CJK, _WORDS)
    splits = [pre_tokenizers.Split(Regex(p), behavior="isolated") for p in patterns]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, byte_level])


def train(texts: Iterator[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` tokens, trained on texts without added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _steps(r"\p{N}")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TRAILING_TOKENS),
        special_tokens=list(LEADING_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = _steps(_DIGITS)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True)
    tokenizer.add_tokens(list(TRAILING_TOKENS))
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"{tokenizer.get_vocab_size()} tokens, expected {vocab_size}: more text")
    return tokenizer


def write(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": BEGIN,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": CONTEXT_TOKENS * YARN_FACTOR,
        "pad_token": PAD,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


class SegmentEncoder:
    """Turns samples into stored tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        names = (*LEADING_TOKENS, *TRAILING_TOKENS)
        self._ids = {name: tokenizer.token_to_id(name) for name in names}

    def encode(self, samples: list[list[Segment]]) -> list[np.ndarray]:
        """The uint16 tokens of each sample, those it does not learn marked NOT_LEARNED."""
        texts = [s.text for sample in samples for s in sample if not s.is_token]
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        arrays = []
        for sample in samples:
            parts = []
            for segment in sample:
                own = [self._ids[segment.text]] if segment.is_token else next(encoded).ids
                mark = np.uint16(0 if segment.learn else NOT_LEARNED)
                parts.append(np.array(own, np.uint16) | mark)
            arrays.append(np.concatenate(parts))
        return arrays

    def prompt(self, conversation: Conversation) -> list[int]:
        """The ids of a conversation that waits for an answer."""
        (array,) = self.encode([chat_segments(conversation)])
        return (array & ~np.uint16(NOT_LEARNED)).tolist()


def training_texts(folder: Path, seed: int = 0) -> Iterator[str]:
    """What the merges are learned from: text of every source, and tasks."""
    from train_demo.tasks.registry import TaskSource

    rng = random.Random(seed)
    for path in sorted(folder.glob("*.jsonl.xz")):
        if ".heldout." not in path.name:
            documents = read_lines(path)
            technical = path.name.startswith(_TECHNICAL)
            most = _TECHNICAL_SAMPLES if technical else _FREE_TEXT_SAMPLES
            for document in rng.sample(documents, min(len(documents), most)):
                if "text" in document:
                    yield document["text"]
                else:
                    yield from (m["content"] for m in document["messages"])
    source = TaskSource(folder, seed)
    for i in range(_TASK_SAMPLES):
        for segment in chat_segments(source.example(i).conversation):
            if not segment.is_token:
                yield segment.text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in", type=Path, required=True, dest="source")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = train(training_texts(args.source))
    write(tokenizer, args.out)
    sample = "The little dog ran home, 1234 times."
    print(f"{args.out}: {tokenizer.get_vocab_size()} tokens; {tokenizer.encode(sample).tokens}")


if __name__ == "__main__":
    main()
