"""Reads WordNet's database files: English words with definitions, examples and frequencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
_KINDS = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}
_SENSE_TYPES = {"1": "noun", "2": "verb", "3": "adjective", "4": "adverb", "5": "adjective"}


@dataclass(frozen=True)
class Word:
    """The first sense of a word. `count` is how often it occurs in WordNet's tagged texts."""

    word: str
    kind: str
    definition: str
    examples: tuple[str, ...]
    synonyms: tuple[str, ...]
    broader: str | None
    count: int


@dataclass(frozen=True)
class _Synset:
    words: tuple[str, ...]
    broader: str | None  # offset of the first hypernym
    definition: str
    examples: tuple[str, ...]


def _readable(lemma: str) -> str:
    return re.sub(r"\([a-z]+\)$", "", lemma).replace("_", " ")


def _synset(line: str) -> tuple[str, _Synset]:
    head, _, gloss = line.partition(" | ")
    fields = head.split()
    num_words = int(fields[3], 16)
    words = tuple(_readable(fields[4 + 2 * i]) for i in range(num_words))
    pointers = fields[5 + 2 * num_words :]
    kinds = pointers[: max(len(pointers) - 3, 0)]
    broader = next((pointers[i + 1] for i, kind in enumerate(kinds) if kind == "@"), None)
    examples = tuple(example.strip() for example in re.findall(r'"([^"]+)"', gloss))
    definition = re.sub(r'\s*[;:]?\s*"[^"]*"', "", gloss).strip(" ;:\n")
    return fields[0], _Synset(words, broader, definition, examples)


def _synsets(folder: Path, part: str) -> dict[str, _Synset]:
    lines = (folder / f"data.{part}").read_text(encoding="utf-8").splitlines()
    return dict(_synset(line) for line in lines if not line.startswith(" "))


def _counts(folder: Path) -> dict[tuple[str, str], int]:
    """Occurrences of (lemma, kind), all senses together."""
    counts: dict[tuple[str, str], int] = {}
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, _, count = line.split()
        lemma, _, sense = key.partition("%")
        entry = (_readable(lemma), _SENSE_TYPES[sense[0]])
        counts[entry] = counts.get(entry, 0) + int(count)
    return counts


def read_words(folder: Path = FOLDER) -> Iterator[Word]:
    """Every word's first sense, by part of speech and then alphabet."""
    counts = _counts(folder)
    for part, kind in _KINDS.items():
        synsets = _synsets(folder, part)
        for line in (folder / f"index.{part}").read_text().splitlines():
            if line.startswith(" "):
                continue
            fields = line.split()
            word, synset = _readable(fields[0]), synsets[fields[-int(fields[2])]]
            broader = synsets[synset.broader].words[0] if synset.broader in synsets else None
            synonyms = tuple(w for w in synset.words if w.lower() != word)
            spelled = next((w for w in synset.words if w.lower() == word), word)
            yield Word(
                spelled, kind, synset.definition, synset.examples, synonyms, broader,
                counts.get((word, kind), 0),
            )


def common_words(words: list[Word], least: int, kind: str | None = None) -> list[Word]:
    """Single lower-case words that occur at least `least` times, most frequent first."""
    chosen = [
        w for w in words
        if w.count >= least and w.word.isalpha() and w.word.islower() and len(w.word) > 1
        and kind in (None, w.kind)
    ]
    return sorted(chosen, key=lambda w: (-w.count, w.word))
