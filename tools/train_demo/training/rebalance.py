"""Balances the routers' biases over all sources, after training and without changing a weight.

  python -m train_demo.training.rebalance --tokens-from build/demo/run/tokens \\
      --state build/demo/run/state.pt

Training balances them over its own mixture, in which some sources are rare. Overwrites the state.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from train_demo.model import DemoModel
from train_demo.training.batches import MIXTURE, Sampler, make_batch

_BATCHES, _ROWS, _ROW_TOKENS = 70, 8, 512
_SPEED = 4e-3  # of the biases, falling to nothing


@torch.no_grad()
def rebalance(model: DemoModel, tokens: Path) -> None:
    """Reads batches of all sources, nearly alike, and moves the biases after each."""
    sampler = Sampler(tokens, _ROW_TOKENS, seed=99)
    mixture = {name: 1 + MIXTURE[name] / 20 for name in sampler.names}
    for i in range(_BATCHES):
        rows, _ = sampler.batch(_ROWS, mixture)
        ids = make_batch(rows, _ROWS, torch.device("cpu")).ids
        hidden, loads = model.hidden(ids[:, :-1])
        _, mtp_load = model.mtp_hidden(ids[:, 1:], hidden)
        for moe, load in zip(model.moes(), [*loads, mtp_load], strict=True):
            moe.balance(load, _SPEED * (1 - i / _BATCHES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens-from", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    args = parser.parse_args()
    state = torch.load(args.state, map_location="cpu")
    model = DemoModel(state["config"])
    model.load_state_dict({**state["optimizer"]["masters"], **state["buffers"]}, strict=False)
    rebalance(model, args.tokens_from)
    state["buffers"] = dict(model.named_buffers())
    torch.save(state, args.state)


if __name__ == "__main__":
    main()
