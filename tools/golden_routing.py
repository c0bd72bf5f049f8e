"""How close the router's choices were, so that tests in lower precision know which tokens to trust.

Captures what each router of a transformers model computed and derives, per token, the smallest gap
between something chosen and something left out. Used by golden_oracle.py; needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.utils.hooks


@dataclass(frozen=True)
class RoutingReport:
    """`margins[t]`: the smallest choice gap of token t over the MoE layers, in score units.
    `zero_mask_changes`: choices that masking dropped groups with 0 instead of -inf would change."""

    margins: np.ndarray
    zero_mask_changes: int


def _gap(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Last chosen minus first left out, per row; infinite where nothing is left out."""
    if count == scores.shape[-1]:
        return torch.full(scores.shape[:1], float("inf"))
    best = scores.topk(count + 1).values
    return best[:, count - 1] - best[:, count]


def _selection_scores(gate: torch.nn.Module, logits: torch.Tensor) -> torch.Tensor:
    if hasattr(gate, "e_score_correction_bias"):
        return logits.sigmoid() + gate.e_score_correction_bias
    return logits.softmax(dim=-1)


def _examine(
    gate: torch.nn.Module, logits: torch.Tensor, chosen: torch.Tensor
) -> tuple[torch.Tensor, int]:
    scores = _selection_scores(gate, logits)
    zero_masked = scores
    group_gap = torch.full(scores.shape[:1], float("inf"))
    has_bias = hasattr(gate, "e_score_correction_bias")
    if (gate.num_group or 1) > 1:
        grouped = scores.view(scores.shape[0], gate.num_group, -1)
        group_scores = grouped.topk(2).values.sum(-1) if has_bias else grouped.amax(-1)
        group_gap = _gap(group_scores, gate.topk_group)
        kept = torch.zeros_like(group_scores, dtype=torch.bool)
        kept.scatter_(1, group_scores.topk(gate.topk_group).indices, True)
        dropped = ~kept.repeat_interleave(grouped.shape[-1], dim=1)
        zero_masked = scores.masked_fill(dropped, 0.0)
        scores = scores.masked_fill(dropped, float("-inf"))
    expected = scores.topk(gate.top_k).indices.sort().values
    if not torch.equal(expected, chosen.sort().values):
        raise ValueError("the router chose other experts than its scores say")
    other = zero_masked.topk(gate.top_k).indices.sort().values
    changes = int((other != expected).any(dim=-1).sum())
    return torch.minimum(group_gap, _gap(scores, gate.top_k)), changes


class RoutingRecorder:
    """Records the choices of the given routers while it is open, in the order they are made.

    with RoutingRecorder(gates) as recorder: model(...)
    recorder.report()
    """

    def __init__(self, gates: list[torch.nn.Module]) -> None:
        self._gates = gates
        self._seen: list[tuple[torch.nn.Module, torch.Tensor, torch.Tensor]] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def _record(self, gate: torch.nn.Module, _: tuple, output: tuple) -> None:
        logits, _, chosen = output
        self._seen.append((gate, logits, chosen))

    def __enter__(self) -> "RoutingRecorder":
        self._hooks = [gate.register_forward_hook(self._record) for gate in self._gates]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def report(self) -> RoutingReport:
        """The margins and counts of one recorded sequence."""
        with torch.no_grad():
            results = [_examine(*one) for one in self._seen]
        margins = torch.stack([gap for gap, _ in results]).amin(0).numpy()
        return RoutingReport(margins, sum(changes for _, changes in results))
