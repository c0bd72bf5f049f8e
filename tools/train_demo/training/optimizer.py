"""Muon for matrices and AdamW for the rest, on float32 masters of the model's parameters.

The model's own parameters may be bfloat16, and in the last part of training the values that fp8
blocks give them: gradients are taken there and applied to the masters (straight-through).
Source of Muon: K. Jordan et al. 2024; its scale of 0.2 sqrt(max side) makes AdamW's learning rates
and decay fit (Moonlight report, 2025). Matrices of a stack (experts) are treated one by one, and so
are each head's keys and values in kv_b_proj, which is less work than the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train_demo.checkpoint import is_quantised
from train_demo.fp8 import round_trip
from train_demo.model import DemoModel

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_ADAM_PARTS = ("embed_tokens", "lm_head", "mlp.gate.weight")


@dataclass(frozen=True)
class OptimizerSettings:
    """Decay is decoupled and scaled by the learning rate."""

    method: str = "muon"  # or "adamw", for all parameters
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip_norm: float = 1.0


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly, of a stack [N, rows, cols]."""
    a, b, c = _NEWTON_SCHULZ
    x = matrices.to(torch.bfloat16) if matrices.is_cuda else matrices
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.mT).float()


class MasterOptimizer:
    """Holds masters and moments, and writes the model's parameters after each step."""

    def __init__(self, model: DemoModel, settings: OptimizerSettings) -> None:
        self._settings = settings
        self._parameters = dict(model.named_parameters())
        self.masters = {n: p.detach().float().clone() for n, p in self._parameters.items()}
        self._first = {n: torch.zeros_like(m) for n, m in self.masters.items()}
        adam = [n for n in self.masters if not self._uses_muon(n)]
        self._second = {n: torch.zeros_like(self.masters[n]) for n in adam}
        self._adam_names = adam
        if model.config["qk_nope_head_dim"] != model.config["v_head_dim"]:
            raise ValueError("expected keys and values of one width")
        self._head_rows = model.config["v_head_dim"]
        shapes: dict[torch.Size, list[str]] = {}
        for name, master in self.masters.items():
            if name not in self._second:
                shapes.setdefault(self._stack(name, master).shape[-2:], []).append(name)
        self._muon_groups = list(shapes.values())
        self._steps = 0

    def _uses_muon(self, name: str) -> bool:
        plain = self.masters[name].dim() < 2 or any(part in name for part in _ADAM_PARTS)
        return self._settings.method == "muon" and not plain

    def _stack(self, name: str, matrix: Tensor) -> Tensor:
        """The matrices [N, rows, cols] that Muon treats one by one."""
        if name.endswith("kv_b_proj.weight"):
            return matrix.unflatten(0, (-1, self._head_rows))
        return matrix if matrix.dim() > 2 else matrix[None]

    def _clip(self, grads: list[Tensor]) -> Tensor:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        torch._foreach_mul_(grads, (self._settings.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        return norm

    @torch.no_grad()
    def step(self, learning_rate: float, quantised: bool) -> Tensor:
        """One update from the parameters' gradients, which it clears; returns their norm."""
        self._steps += 1
        grads = {n: p.grad.float() for n, p in self._parameters.items()}
        norm = self._clip(list(grads.values()))
        decay = 1 - learning_rate * self._settings.weight_decay
        torch._foreach_mul_([m for m in self.masters.values() if m.dim() > 1], decay)
        self._step_adam(grads, learning_rate)
        for names in self._muon_groups:
            self._step_muon(names, grads, learning_rate)
        self.write_parameters(quantised)
        for parameter in self._parameters.values():
            parameter.grad = None
        return norm

    def _step_adam(self, grads: dict[str, Tensor], learning_rate: float) -> None:
        beta, beta2 = self._settings.betas
        names = self._adam_names
        gradients = [grads[n] for n in names]
        first, second = [self._first[n] for n in names], [self._second[n] for n in names]
        torch._foreach_lerp_(first, gradients, 1 - beta)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(second)
        torch._foreach_div_(roots, (1 - beta2**self._steps) ** 0.5)
        torch._foreach_add_(roots, 1e-10)
        rate = -learning_rate / (1 - beta**self._steps)
        torch._foreach_addcdiv_([self.masters[n] for n in names], first, roots, rate)

    def _step_muon(self, names: list[str], grads: dict[str, Tensor], learning_rate: float) -> None:
        gradients, first = [grads[n] for n in names], [self._first[n] for n in names]
        torch._foreach_lerp_(first, gradients, 1 - self._settings.momentum)
        nesterov = torch._foreach_lerp(gradients, first, self._settings.momentum)
        stacks = [self._stack(n, g) for n, g in zip(names, nesterov, strict=True)]
        updates = orthogonalise(torch.cat(stacks)).split([len(s) for s in stacks])
        scale = -learning_rate * 0.2 * max(stacks[0].shape[-2:]) ** 0.5
        for name, update in zip(names, updates, strict=True):
            self.masters[name].add_(update.view_as(self.masters[name]), alpha=scale)

    @torch.no_grad()
    def write_parameters(self, quantised: bool) -> None:
        """Sets the parameters to the masters, or to what fp8 makes of them."""
        for name, parameter in self._parameters.items():
            master = self.masters[name]
            rounds = quantised and is_quantised(name)
            parameter.copy_(round_trip(master) if rounds else master)

    def state(self) -> dict:
        """Everything a later run needs to go on."""
        return {"masters": self.masters, "first": self._first, "second": self._second,
                "steps": self._steps}

    @torch.no_grad()
    def load_state(self, state: dict) -> None:
        """Takes over what state() gave; write_parameters is the caller's."""
        for mine, theirs in ((self.masters, state["masters"]), (self._first, state["first"]),
                             (self._second, state["second"])):
            for name, tensor in mine.items():
                tensor.copy_(theirs[name])
        self._steps = state["steps"]
