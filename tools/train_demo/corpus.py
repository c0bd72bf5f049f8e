"""Makes the text corpus from installed Debian packages: clean documents, split by their hash.

  python -m train_demo.corpus --out build/demo/carry

Writes SOURCE.jsonl.xz ({"text"} a line, held-out documents in SOURCE.heldout.jsonl.xz),
words.json.xz (the frequent words of WordNet, for tasks and prompts) and prints what each source is.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import hashlib
import html
import json
import lzma
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from train_demo.wordnet import Word, common_words, read_words

HELDOUT_PERCENT = 2
_LEAST_CHARACTERS = 80
_MOST_CHARACTERS = 6000
_PRESET = 6
_WORD_COUNT = 2  # least count of a word of words.json.xz
_DOC = Path("/usr/share/doc")


@dataclass(frozen=True)
class Source:
    """One corpus source: its Debian package, what the package's copyright file says, a reader."""

    name: str
    package: str
    licence: str
    read: Callable[[], Iterator[str]]

    def copyright_file(self) -> Path:
        return _DOC / self.package / "copyright"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _article(word: Word) -> str:
    text = f"{word.word} ({word.kind}): {_sentence(word.definition)}"
    if word.examples:
        text += " " + " ".join(f'"{_sentence(e)}"' for e in word.examples)
    if word.synonyms:
        text += " Also: " + ", ".join(word.synonyms) + "."
    return text + (f" A kind of {word.broader}." if word.broader else "")


def _read_wordnet() -> Iterator[str]:
    return map(_article, read_words())


def _read_bible() -> Iterator[str]:
    shown = subprocess.run(
        ["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True
    ).stdout
    chapter, text = "", ""
    for line in shown.splitlines():
        match = re.match(r"(\d*[A-Z][a-z]*)(\d+):(\d+)\s+(.*)", line)
        if match is None:
            continue
        here = f"{match[1]} {match[2]}"
        if here != chapter and text:
            yield text
            text = ""
        chapter, text = here, f"{text} {match[4]}".strip()
    yield text


def _dictionary_reader(path: str, least: int) -> Callable[[], Iterator[str]]:
    """Entries of a dictd database: a head word, then an indented text of wrapped paragraphs."""

    def read() -> Iterator[str]:
        text = gzip.open(path, "rt", encoding="utf-8", errors="replace").read()
        for entry in re.split(r"\n(?=\S)", text):
            head, _, body = entry.partition("\n")
            paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", body)]
            article = f"{head.strip()}: " + "\n".join(p for p in paragraphs if p)
            if len(article) >= least and not head.startswith("00-"):
                yield article

    return read


def _plain_markup(text: str) -> str:
    """reStructuredText without directives, roles and underlines."""
    text = re.sub(r"^\.\. .*(?:\n[ \t]+.*)*", "", text, flags=re.M)
    text = re.sub(r":[\w:+-]+:`~?!?([^`<]+?)(?:\s*<[^`]*>)?`", r"\1", text)
    text = re.sub(r"``?([^`]+)``?_?_?", r"\1", text)
    text = re.sub(r"^[=*\-~^\"#+]{3,}\s*$", "", text, flags=re.M)
    text = re.sub(r"\*\*?([^*\n]+)\*\*?", r"\1", text)
    return re.sub(r"::\s*$", ":", text, flags=re.M)


def _read_python_docs() -> Iterator[str]:
    sources = _DOC / "python3.11/html/_sources"
    for part in ("tutorial", "faq", "howto", "using", "library"):
        for path in sorted((sources / part).glob("*.rst.txt")):
            yield from _chunks(_plain_markup(path.read_text(encoding="utf-8")))


def _read_postgresql_docs() -> Iterator[str]:
    for path in sorted((_DOC / "postgresql-doc-15/html").glob("*.html")):
        if not path.name.startswith(("bookindex", "release", "features", "errcodes")):
            text = path.read_text(encoding="utf-8")
            text = re.sub(r'<div class="nav(?:header|footer)".*?</div>', "", text, flags=re.S)
            text = re.sub(r"<(script|style|head)\b.*?</\1>", "", text, flags=re.S)
            text = re.sub(r"</(p|div|pre|h\d|li|tr|dt|dd)>", "\n\n", text)
            yield from _chunks(html.unescape(re.sub(r"<[^>]+>", "", text)))


def _chunks(text: str) -> Iterator[str]:
    """Prose in pieces of about a thousand characters, at paragraph ends."""
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.strip("\n").splitlines()
        indented = any(line.startswith("   ") for line in lines)
        piece += "\n".join(lines) if indented else " ".join(" ".join(lines).split())
        piece += "\n\n" if lines else ""
        if len(piece) > 1000:
            yield piece.strip()
            piece = ""
    yield piece.strip()


SOURCES = (
    Source("wordnet", "wordnet-base", "WordNet 3.0 licence (permissive)", _read_wordnet),
    Source("bible", "bible-kjv-text", "public domain (text of 1611)", _read_bible),
    Source("jargon", "dict-jargon", "public domain",
           _dictionary_reader("/usr/share/dictd/jargon.dict.dz", 200)),
    Source("devil", "dict-devil", "public domain",
           _dictionary_reader("/usr/share/dictd/devil.dict.dz", 120)),
    Source("python", "python3.11-doc", "Python licence (PSF)", _read_python_docs),
    Source("postgresql", "postgresql-doc-15", "PostgreSQL licence", _read_postgresql_docs),
)


def clean(text: str) -> str | None:
    """The document with plain quotes and spaces, or None when it is no usable English text."""
    for fancy, plain in (("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'"), ("\u00a0", " ")):
        text = text.replace(fancy, plain)
    text = re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip()
    letters = sum(c.isascii() and (c.isalpha() or c == " ") for c in text)
    if len(text) < _LEAST_CHARACTERS or letters < 0.75 * len(text):
        return None
    return text[:_MOST_CHARACTERS]


def is_heldout(text: str) -> bool:
    """The split: a document's own hash decides, so it is the same in every run."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 100 < HELDOUT_PERCENT


def write_lines(path: Path, documents: list[dict], preset: int) -> int:
    """Writes JSON lines, compressed by xz's preset; returns the bytes of their text."""
    lines = "".join(json.dumps(d, ensure_ascii=False) + "\n" for d in documents)
    path.write_bytes(lzma.compress(lines.encode(), preset=preset))
    return len(lines.encode())


def read_lines(path: Path) -> list[dict]:
    """The documents of a file that write_lines wrote."""
    return [json.loads(line) for line in lzma.decompress(path.read_bytes()).splitlines()]


def read_word_list(folder: Path) -> list[Word]:
    """The words of words.json.xz."""
    rows = json.loads(lzma.decompress((folder / "words.json.xz").read_bytes()))
    return [Word(**{**r, "examples": tuple(r["examples"]), "synonyms": tuple(r["synonyms"])})
            for r in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    print(f"{'source':12}{'package':20}{'documents':>10}{'bytes':>12}{'packed':>10}  licence")
    for source in SOURCES:
        if not source.copyright_file().exists():
            raise SystemExit(f"corpus: apt-get install {source.package}")
        texts = list(dict.fromkeys(filter(None, map(clean, source.read()))))
        path = out / f"{source.name}.jsonl.xz"
        size = write_lines(path, [{"text": t} for t in texts if not is_heldout(t)], _PRESET)
        heldout = out / f"{source.name}.heldout.jsonl.xz"
        write_lines(heldout, [{"text": t} for t in texts if is_heldout(t)], _PRESET)
        print(f"{source.name:12}{source.package:20}{len(texts):10}{size:12}"
              f"{path.stat().st_size:10}  {source.licence}; {source.copyright_file()}")
    # Tasks ask for definitions, so words of held-out articles are none of theirs.
    words = [
        dataclasses.asdict(word) for word in common_words(list(read_words()), _WORD_COUNT)
        if not is_heldout(clean(_article(word)) or "")
    ]
    (out / "words.json.xz").write_bytes(lzma.compress(json.dumps(words).encode()))
    print(f"words: {len(words)}")


if __name__ == "__main__":
    main()
