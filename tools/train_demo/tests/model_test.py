"""The training model against `transformers`, and the fp8 round trip against float_formats.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from float_formats import E4M3_MAX, decode_e4m3, encode_e4m3
from train_demo.checkpoint import is_quantised, load_model, write_checkpoint
from train_demo.configuration import demo_config, tiny_config
from train_demo.experts import METHODS
from train_demo.fp8 import quantise, round_trip
from train_demo.model import DemoModel

golden_oracle = pytest.importorskip("golden_oracle")

TOKENS = 60


def random_model(seed: int = 0) -> DemoModel:
    """A tiny model with weights large enough that every part matters."""
    model = DemoModel(tiny_config())
    model.initialise(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.mul_(4.0)
        for moe in model.moes():
            bias = moe.gate.e_score_correction_bias
            bias.copy_(0.1 * torch.randn(bias.shape, generator=generator))
    return model.eval()


def random_ids(model: DemoModel, tokens: int = TOKENS) -> np.ndarray:
    return np.random.default_rng(3).integers(0, model.config["vocab_size"], tokens)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoModel, Path]:
    model, folder = random_model(), tmp_path_factory.mktemp("tiny")
    write_checkpoint(folder, model.config, model.state_dict(), "f32", mtp_copies=True)
    return model, folder


@torch.no_grad()
def test_logits_equal_transformers(exported: tuple[DemoModel, Path]) -> None:
    model, folder = exported
    ids = random_ids(model)
    theirs = golden_oracle.load_model(folder)
    expected = golden_oracle.all_logits(theirs, ids)
    hidden, _ = model.hidden(torch.from_numpy(ids)[None])
    ours = model.lm_head(hidden)[0].numpy()
    assert expected.std() > 0.3
    assert np.abs(ours - expected).max() < 1e-4


@torch.no_grad()
def test_mtp_logits_equal_transformers(exported: tuple[DemoModel, Path]) -> None:
    model, folder = exported
    ids = random_ids(model)
    theirs, weights = golden_oracle.load_model(folder), golden_oracle.read_weights(folder)
    batch = torch.from_numpy(ids)[None]
    hidden, _ = model.hidden(batch)
    expected, _ = golden_oracle.run_mtp_layer(theirs, weights, ids, hidden[0].numpy())
    _, loads = model.hidden(batch[:, :-1])
    ahead, load = model.mtp_hidden(batch[:, 1:], hidden[:, :-1])
    ours, loads = model.lm_head(ahead), torch.stack([*loads, load])
    assert expected.std() > 0.3
    assert np.abs(ours[0].numpy() - expected).max() < 1e-4
    routed = (TOKENS - 1) * model.config["num_experts_per_tok"]
    assert loads.sum(-1).tolist() == [routed] * len(model.moes())


@pytest.mark.parametrize("method", METHODS)
def test_expert_methods_agree_with_their_gradients(method: str) -> None:
    if method == "grouped" and not torch.cuda.is_available():
        pytest.skip("grouped products in float32 and on the CPU are not the same everywhere")
    model = random_model()
    moe = model.moes()[0]
    torch.manual_seed(0)
    x = torch.randn(2, 13, model.config["hidden_size"])

    def run(name: str) -> list[torch.Tensor]:
        moe.experts.method = name
        moe.zero_grad()
        out, load = moe(x)
        out.square().sum().backward()
        grads = [p.grad.clone() for p in moe.parameters()]
        return [out.detach(), load, *grads]

    for ours, expected in zip(run(method), run("loop"), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_fp8_equals_float_formats() -> None:
    weight = torch.randn(2, 200, 300) * torch.logspace(-3, 2, 300)
    values, scales = quantise(weight)
    assert scales.shape == (2, 2, 3)
    for matrix, codes, grid in zip(weight.numpy(), values, scales.numpy(), strict=True):
        spread = grid.repeat(128, 0).repeat(128, 1)[:200, :300]
        expected = encode_e4m3(matrix / spread)
        assert np.array_equal(codes.view(torch.uint8).numpy(), expected)
        assert np.isclose(np.abs(decode_e4m3(expected)).max(), E4M3_MAX)


@torch.no_grad()
def test_fp8_checkpoint_holds_the_rounded_weights(tmp_path: Path) -> None:
    model = random_model()
    write_checkpoint(tmp_path, model.config, model.state_dict(), "fp8", mtp_copies=False)
    loaded = load_model(tmp_path).state_dict()
    for name, value in model.state_dict().items():
        if is_quantised(name):
            expected = round_trip(value)
        elif name.endswith("e_score_correction_bias"):
            expected = value
        else:
            expected = value.to(torch.bfloat16).float()
        assert torch.equal(loaded[name], expected), name


def test_demo_fits_its_budget() -> None:
    """At most 45 MB on disk without the MTP layer's copies of embedding and head."""
    model = DemoModel(demo_config())
    sizes = [p.numel() * (1 if is_quantised(n) else 2) for n, p in model.named_parameters()]
    assert sum(sizes) < 43e6
