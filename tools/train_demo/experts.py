"""Feed-forward blocks: SwiGLU, the group-limited sigmoid router, and the mixture of experts.

The routed experts can be computed in three ways, which give the same numbers but for rounding:
`loop` (one product per expert over its own tokens: least work, for the CPU), `grouped` (tokens
sorted by expert, one grouped product: least work, for Hopper) and `dense` (one wide SwiGLU whose
activations the router's weights multiply, most of them zero: four times the work, but only large
products and no sorting).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train_demo.configuration import Config

METHODS = ("loop", "grouped", "dense")
_GROUP_ALIGNMENT = 8  # rows; the grouped product wants segments at multiples of 16 bytes


class SwiGlu(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden, width, bias=False)
        self.up_proj = nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Router(nn.Module):
    """Chooses experts by sigmoid score + bias among the best groups; weighs them by score alone.

    Source: DeepSeek-V3 report 2.1.2 (auxiliary-loss-free balancing); group score: its two best.
    """

    e_score_correction_bias: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        experts = config["n_routed_experts"]
        self.weight = nn.Parameter(torch.empty(experts, config["hidden_size"]))
        self.register_buffer("e_score_correction_bias", torch.zeros(experts))
        self.groups, self.kept_groups = config["n_group"], config["topk_group"]
        self.top_k = config["num_experts_per_tok"]
        self.scaling = config["routed_scaling_factor"]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (float32) and ids of the chosen experts, [N, k] each, of x [N, hidden]."""
        scores = F.linear(x.float(), self.weight.float()).sigmoid()
        choice = (scores + self.e_score_correction_bias).detach()
        grouped = choice.unflatten(-1, (self.groups, -1))
        group_scores = grouped.topk(2, dim=-1).values.sum(-1)
        kept = group_scores.topk(self.kept_groups, dim=-1).indices
        mask = torch.zeros_like(group_scores, dtype=torch.bool).scatter(1, kept, True)
        choice = grouped.masked_fill(~mask[..., None], float("-inf")).flatten(1)
        chosen = choice.topk(self.top_k, dim=-1).indices
        weights = scores.gather(1, chosen)
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return weights * self.scaling, chosen


class Experts(nn.Module):
    """The routed experts' stacked matrices."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        experts, hidden = config["n_routed_experts"], config["hidden_size"]
        width = config["moe_intermediate_size"]
        self.gate_proj = nn.Parameter(torch.empty(experts, width, hidden))
        self.up_proj = nn.Parameter(torch.empty(experts, width, hidden))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, width))
        self.method = "loop"

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """Sum of weights[n, j] * expert chosen[n, j] of x[n], in x's type."""
        return getattr(self, f"_{self.method}")(x, weights, chosen)

    def _loop(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        order = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=len(self.gate_proj)).tolist()
        rows = order.div(chosen.shape[1], rounding_mode="floor")
        gathered = x[rows]
        matrices = (self.gate_proj.unbind(), self.up_proj.unbind(), self.down_proj.unbind())
        outs = []
        for part, gate, up, down in zip(gathered.split(counts), *matrices, strict=True):
            outs.append((F.silu(part @ gate.T) * (part @ up.T)) @ down.T)
        out = torch.cat(outs) * weights.flatten()[order, None].to(x.dtype)
        return torch.zeros_like(x).index_add(0, rows, out)

    def _dense(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        experts, width, hidden = self.gate_proj.shape
        table = torch.zeros(len(x), experts, dtype=weights.dtype, device=x.device)
        table = table.scatter(1, chosen, weights).to(x.dtype)
        inner = F.silu(x @ self.gate_proj.flatten(0, 1).T) * (x @ self.up_proj.flatten(0, 1).T)
        inner = (inner.unflatten(-1, (experts, width)) * table[..., None]).flatten(-2)
        return inner @ self.down_proj.transpose(1, 2).reshape(experts * width, hidden)

    def _grouped(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        experts = len(self.gate_proj)
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        counts = torch.zeros(experts, dtype=torch.int64, device=x.device)
        counts = counts.scatter_add(0, flat, torch.ones_like(flat))
        aligned = (counts + _GROUP_ALIGNMENT - 1) // _GROUP_ALIGNMENT * _GROUP_ALIGNMENT
        ends = aligned.cumsum(0)
        # Where each sorted row stands once every expert's segment begins aligned.
        shift = (ends - aligned) - (counts.cumsum(0) - counts)
        slots = torch.arange(len(flat), device=x.device) + shift[flat[order]]
        rows = order.div(chosen.shape[1], rounding_mode="floor")
        padded = x.new_zeros(len(flat) + experts * _GROUP_ALIGNMENT, x.shape[1])
        padded = padded.index_copy(0, slots, x[rows])
        offsets = ends.to(torch.int32)
        product = torch._grouped_mm  # noqa: SLF001  (public only in later releases)
        gate = product(padded, self.gate_proj.transpose(1, 2), offs=offsets)
        up = product(padded, self.up_proj.transpose(1, 2), offs=offsets)
        out = product(F.silu(gate) * up, self.down_proj.transpose(1, 2), offs=offsets)
        out = out[slots] * weights.flatten()[order, None].to(x.dtype)
        return torch.zeros_like(x).index_add(0, rows, out)


class Moe(nn.Module):
    """Routed experts plus the shared expert."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)
        width = config["moe_intermediate_size"] * config["n_shared_experts"]
        self.shared_experts = SwiGlu(config["hidden_size"], width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y [B, T, hidden], and how many tokens went to each expert [E]."""
        flat = x.flatten(0, -2)
        weights, chosen = self.gate(flat)
        routed = self.experts(flat, weights, chosen).view_as(x)
        experts = len(self.gate.weight)
        ones = torch.ones_like(chosen.flatten(), dtype=torch.float32)
        load = torch.zeros(experts, device=x.device).scatter_add(0, chosen.flatten(), ones)
        return routed + self.shared_experts(x), load

    @torch.no_grad()
    def balance(self, load: Tensor, speed: float) -> None:
        """Moves each bias by `speed` towards an even load."""
        self.gate.e_score_correction_bias += speed * (load.mean() - load).sign()
