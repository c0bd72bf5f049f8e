"""Draws training rows from the token files: a mixture of sources, repeatable and resumable."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from train_demo.tokenizer import NOT_LEARNED

_BEGIN_ID = 0  # of chat.BEGIN, the first of the tokenizer's tokens

# Shares of a row's source; sources without a file are left out. Small sources have small shares, so
# that none is read tens of times. The last part of training turns to what the model is for.
MIXTURE = {"tasks": 80.0, "wordnet": 10.0, "teacher": 4.0, "python": 2.0, "bible": 1.5,
           "postgresql": 1.5, "jargon": 0.6, "devil": 0.1}
FINAL_MIXTURE = {"tasks": 88.0, "teacher": 7.0, "wordnet": 4.0, "python": 1.0}


@dataclass
class SamplerState:
    """Where the sampler stands: rows drawn so far, in all and by source."""

    rows: int = 0
    drawn: dict[str, int] = field(default_factory=dict)


class Sampler:
    """Rows of `tokens` + 2 tokens, in a new order each time round a source.

    A row starts where a sample does, so that little of it lacks its context.
    """

    def __init__(self, folder: Path, tokens: int, seed: int) -> None:
        paths = {p.stem: p for p in sorted(folder.glob("*.bin")) if p.stem in MIXTURE}
        self._files = {n: np.memmap(p, np.uint16, "r") for n, p in paths.items()}
        self._files = {n: f for n, f in self._files.items() if len(f) >= 2 * (tokens + 2)}
        if not self._files:
            raise ValueError(f"{folder}: no token files")
        self._begins = {n: np.flatnonzero((f & (NOT_LEARNED - 1)) == _BEGIN_ID)
                        for n, f in self._files.items()}
        self._tokens, self._seed = tokens, seed
        self._orders: dict[str, tuple[int, np.ndarray, int]] = {}
        self.state = SamplerState()
        self.names = sorted(self._files)

    def _window(self, name: str) -> np.ndarray:
        """The next window; each round cuts the file at another offset."""
        stream, drawn = self._files[name], self.state.drawn.get(name, 0)
        count = (len(stream) - 2) // self._tokens - 1
        turn, place = divmod(drawn, count)
        if self._orders.get(name, (-1,))[0] != turn:
            rng = np.random.default_rng([self._seed, turn, *name.encode()])
            self._orders[name] = (turn, rng.permutation(count), int(rng.integers(self._tokens)))
        _, order, offset = self._orders[name]
        start = self._sample_start(name, int(order[place]) * self._tokens + offset)
        self.state.drawn[name] = drawn + 1
        return np.asarray(stream[start : start + self._tokens + 2])

    def _sample_start(self, name: str, start: int) -> int:
        """The last start of a sample up to here, if it is in sight; else `start` itself."""
        begins = self._begins[name]
        before = int(np.searchsorted(begins, start, side="right")) - 1
        near = before >= 0 and start - begins[before] < self._tokens // 2
        return int(begins[before]) if near else start

    def batch(self, rows: int, mixture: dict[str, float]) -> tuple[np.ndarray, list[int]]:
        """`rows` rows [rows, tokens + 2] and the index of each one's source in `names`."""
        shares = np.array([mixture.get(name, 0.0) for name in self.names])
        windows, sources = [], []
        for _ in range(rows):
            rng = np.random.default_rng([self._seed, self.state.rows])
            source = int(rng.choice(len(shares), p=shares / shares.sum()))
            windows.append(self._window(self.names[source]))
            sources.append(source)
            self.state.rows += 1
        return np.stack(windows), sources


@dataclass(frozen=True)
class Aims:
    """The places of a batch that are learned, of its B * T, and the token each should say."""

    places: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class Batch:
    """Inputs [B, T + 1]; what the model learns, and what the MTP module does in its rows."""

    ids: Tensor
    aims: Aims
    mtp_aims: Aims


def _aims(stored: np.ndarray, device: torch.device) -> Aims:
    """Aims of the tokens [B, T] that stand one or two places after those that are read."""
    flat = stored.astype(np.int64).flatten()
    places = np.flatnonzero(flat < NOT_LEARNED)
    return Aims(torch.from_numpy(places).to(device), torch.from_numpy(flat[places]).to(device))


def make_batch(rows: np.ndarray, mtp_rows: int, device: torch.device) -> Batch:
    """Splits stored rows [B, T + 2] into what is read and what is learned from it."""
    ids = torch.from_numpy((rows[:, :-1] & (NOT_LEARNED - 1)).astype(np.int64)).to(device)
    return Batch(ids, _aims(rows[:, 1:-1], device), _aims(rows[:mtp_rows, 2:], device))
