"""How many of the MTP module's drafts the main model would accept, by position in the draft.

At step s the module reads the token drafted at step s - 1 and its own last hidden state, after
shared_head.norm, and attends to the true prefix and to what it drafted since (the convention of
vLLM and SGLang for more drafts than MTP layers).
"""

from __future__ import annotations

import torch
from torch import Tensor

from train_demo.experts import Moe
from train_demo.model import DemoModel

KeyValue = tuple[Tensor, Tensor]


def _attend(model: DemoModel, x: Tensor, true: KeyValue, drafted: list[KeyValue],
            rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, KeyValue]:
    """Row i attends to true keys up to i, and to row i of every drafted step and of itself."""
    attention = model.mtp.self_attn
    q, k, v = attention.project(x, *rotation)
    keys, values = true
    steps = [*drafted, (k, v)]
    scores = (q @ keys.mT) * attention.scale
    rows = scores.shape[-1]
    hidden = torch.ones(rows, rows, dtype=torch.bool, device=x.device).triu(1)
    scores = scores.masked_fill(hidden, float("-inf"))
    own = [(q * key).sum(-1, keepdim=True) * attention.scale for key, _ in steps]
    weights = torch.cat([scores, *own], dim=-1).softmax(-1)
    out = weights[..., :rows] @ values
    for place, (_, value) in enumerate(steps):
        out = out + weights[..., rows + place, None] * value
    return attention.o_proj(out.transpose(1, 2).flatten(-2)), (k, v)


def _mlp(model: DemoModel, x: Tensor) -> Tensor:
    normed = model.mtp.post_attention_layernorm(x)
    assert isinstance(model.mtp.mlp, Moe)
    return x + model.mtp.mlp(normed)[0]


@torch.inference_mode()
def drafts(model: DemoModel, ids: Tensor, steps: int) -> Tensor:
    """The module's drafts [steps, T - 1] after each position of one sequence ids [T].

    Row s, column i: the token drafted for position i + 2 + s.
    """
    ids = ids[None]
    hidden, _ = model.hidden(ids)
    hidden, tokens = hidden[:, :-1], ids[:, 1:]
    count = tokens.shape[1]
    cos, sin = model.rotations(count + steps, ids.device)
    embedding = model.model.embed_tokens(tokens)
    start = model.mtp.input_layernorm(model.mtp.combine(embedding, hidden))
    _, key, value = model.mtp.self_attn.project(start, cos[:count], sin[:count])
    state, _ = model.mtp_hidden(tokens, hidden)
    drafted, written = [], [model.lm_head(state).argmax(-1)]
    for step in range(1, steps):
        x = model.mtp.combine(model.model.embed_tokens(written[-1]), state)
        rotation = cos[step : step + count], sin[step : step + count]
        out, key_value = _attend(
            model, model.mtp.input_layernorm(x), (key, value), drafted, rotation
        )
        drafted.append(key_value)
        state = model.mtp.shared_head["norm"](_mlp(model, x + out))
        written.append(model.lm_head(state).argmax(-1))
    return torch.cat(written)


def acceptance(
    model: DemoModel, sequences: list[tuple[list[int], int]], steps: int
) -> list[float]:
    """Share of drafts accepted at each position, given that those before it were.

    A sequence is the ids of a prompt and its greedy answer, and the prompt's length. A draft stands
    where the main model has just written its first token after some prefix of the answer.
    """
    device = next(model.parameters()).device
    tried, accepted = [0] * steps, [0] * steps
    for ids, prompt_length in sequences:
        guesses = drafts(model, torch.tensor(ids, device=device), steps).tolist()
        for i in range(prompt_length - 1, len(ids) - 2):
            for step in range(steps):
                if i + 2 + step >= len(ids):
                    break
                tried[step] += 1
                if guesses[step][i] != ids[i + 2 + step]:
                    break
                accepted[step] += 1
    return [a / t if t else 0.0 for a, t in zip(accepted, tried, strict=True)]
