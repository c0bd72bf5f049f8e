"""Draws training rows from the token files: a mixture of sources, repeatable and resumable."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from train_demo.tokenizer import NOT_LEARNED

IGNORED = -100  # a target that is not learned

# Shares of a row's source; sources without a file are left out. Small sources have small shares, so
# that none is read tens of times. The last part of training turns to what the model is for.
MIXTURE = {"teacher": 46.0, "tasks": 38.0, "wordnet": 9.0, "bible": 1.5, "jargon": 0.6,
           "devil": 0.1, "python": 2.8, "postgresql": 2.0}
FINAL_MIXTURE = {"teacher": 52.0, "tasks": 42.0, "wordnet": 5.0, "python": 1.0}


@dataclass
class SamplerState:
    """Where the sampler stands: rows drawn so far, in all and by source."""

    rows: int = 0
    drawn: dict[str, int] = field(default_factory=dict)


class Sampler:
    """Rows of `tokens` + 2 tokens. A source's windows come in a new order each time round."""

    def __init__(self, folder: Path, tokens: int, seed: int) -> None:
        paths = {p.stem: p for p in sorted(folder.glob("*.bin")) if p.stem in MIXTURE}
        self._files = {n: np.memmap(p, np.uint16, "r") for n, p in paths.items()}
        self._files = {n: f for n, f in self._files.items() if len(f) >= 2 * (tokens + 2)}
        if not self._files:
            raise ValueError(f"{folder}: no token files")
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
        start = int(order[place]) * self._tokens + offset
        self.state.drawn[name] = drawn + 1
        return np.asarray(stream[start : start + self._tokens + 2])

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
class Batch:
    """Inputs [B, T + 1] and targets of the next token and of the one after, [B, T] each."""

    ids: Tensor
    targets: Tensor
    ahead_targets: Tensor


def make_batch(rows: np.ndarray, device: torch.device) -> Batch:
    """Splits stored rows [B, T + 2] into what the model reads and what it should say."""
    stored = torch.from_numpy(rows.astype(np.int64))
    if device.type == "cuda":
        stored = stored.pin_memory().to(device, non_blocking=True)
    ids = stored & (NOT_LEARNED - 1)
    targets = torch.where(stored >= NOT_LEARNED, IGNORED, ids)
    return Batch(ids[:, :-1], targets[:, 1:-1], targets[:, 2:])
