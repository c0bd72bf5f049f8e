"""How far training is, and what follows from it: learning rate, mixture, fp8, MTP's weight."""

from __future__ import annotations

from dataclasses import dataclass

from train_demo.training.batches import FINAL_MIXTURE, MIXTURE


@dataclass(frozen=True)
class Schedule:
    """Warm-up, a long constant part, then a linear fall to nothing (WSD).

    Progress runs from 0 to 1, by tokens or by seconds of training, whichever total is set.
    """

    learning_rate: float = 4e-3
    warmup_steps: int = 100
    decay_from: float = 0.55
    final_mixture_from: float = 0.7
    fp8_from: float = 0.8
    balance_until: float = 0.97
    balance_speed: float = 1e-2
    total_tokens: int = 0
    total_seconds: float = 0.0

    def progress(self, tokens: int, seconds: float) -> float:
        """In [0, 1]. REQUIRES: one of the totals."""
        by_time = seconds / self.total_seconds if self.total_seconds else 0.0
        by_tokens = tokens / self.total_tokens if self.total_tokens else 0.0
        return min(max(by_time, by_tokens), 1.0)

    def rate(self, progress: float, step: int) -> float:
        """The learning rate of step `step`, counted from 1."""
        warm = min(step / self.warmup_steps, 1.0)
        left = (1 - progress) / (1 - self.decay_from) if progress > self.decay_from else 1.0
        return self.learning_rate * min(warm, left)

    def mixture(self, progress: float) -> dict[str, float]:
        return FINAL_MIXTURE if progress >= self.final_mixture_from else MIXTURE

    def is_quantised(self, progress: float) -> bool:
        return progress >= self.fp8_from

    def mtp_weight(self, progress: float) -> float:
        """As in the DeepSeek-V3 report: 0.3, and 0.1 in the last third."""
        return 0.3 if progress < 0.67 else 0.1

    def balance(self, progress: float) -> float:
        """The speed of the router biases: fast at first, as routers settle within some hundred
        steps; at the end they stand still."""
        return self.balance_speed * max(1 - progress / self.balance_until, 0.0) ** 2
