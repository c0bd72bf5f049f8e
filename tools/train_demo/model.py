"""The DeepSeek-V3 architecture with its MTP module, in PyTorch, for training.

Parameters have the names and shapes of the published checkpoint, but for the routed experts, which
are stacked: `mlp.experts.gate_proj` [E, width, hidden], and so on. Attention is the materialised
form of MLA: every head gets its own keys and values, and scaled_dot_product_attention does the
rest. The maths is that of `transformers`' DeepseekV3ForCausalLM; tests/model_test.py compares.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from checkpoint_tensors import is_moe_layer
from train_demo.configuration import LATENT_NORM_EPS, Config, rope_frequencies
from train_demo.experts import Moe, SwiGlu


_GAIN_SPREAD = 0.8


class RmsNorm(nn.Module):
    """y = weight * x / rms(x); statistics in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * normed.to(x.dtype)


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates interleaved pairs. x [..., T, D]; cos, sin [T, D/2], float32."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return rotated.flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Multi-head latent attention, causal, without a cache."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        hidden, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.nope, self.rope = config["qk_nope_head_dim"], config["qk_rope_head_dim"]
        self.value, self.latent = config["v_head_dim"], config["kv_lora_rank"]
        qk, q_rank = self.nope + self.rope, config["q_lora_rank"]
        self.q_a_proj = nn.Linear(hidden, q_rank, bias=False)
        self.q_a_layernorm = RmsNorm(q_rank, LATENT_NORM_EPS)
        self.q_b_proj = nn.Linear(q_rank, self.heads * qk, bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(hidden, self.latent + self.rope, bias=False)
        self.kv_a_layernorm = RmsNorm(self.latent, LATENT_NORM_EPS)
        kv_rows = self.heads * (self.nope + self.value)
        self.kv_b_proj = nn.Linear(self.latent, kv_rows, bias=False)
        self.o_proj = nn.Linear(self.heads * self.value, hidden, bias=False)
        self.scale = qk**-0.5 * rope_frequencies(config).softmax_gain

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys [B, H, T, 192] and values [B, H, T, 128] of x [B, T, hidden]."""
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        q = q.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q_nope, q_rope = q.split((self.nope, self.rope), dim=-1)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split((self.latent, self.rope), dim=-1)
        kv = self.kv_b_proj(self.kv_a_layernorm(latent))
        kv = kv.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k_nope, value = kv.split((self.nope, self.value), dim=-1)
        q_rope = rotate_pairs(q_rope, cos, sin)
        k_rope = rotate_pairs(k_rope[:, None], cos, sin).expand(-1, self.heads, -1, -1)
        return torch.cat((q_nope, q_rope), -1), torch.cat((k_nope, k_rope), -1), value

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, value = self.project(x, cos, sin)
        # The fused kernels want values as wide as keys.
        value = F.pad(value, (0, q.shape[-1] - self.value))
        out = F.scaled_dot_product_attention(q, k, value, is_causal=True, scale=self.scale)
        return self.o_proj(out[..., : self.value].transpose(1, 2).flatten(-2))


class DecoderLayer(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x)). Returns x and the tokens of each expert."""

    def __init__(self, config: Config, layer: int) -> None:
        super().__init__()
        hidden, eps = config["hidden_size"], config["rms_norm_eps"]
        self.input_layernorm = RmsNorm(hidden, eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(hidden, eps)
        self.mlp: nn.Module
        if is_moe_layer(config, layer):
            self.mlp = Moe(config)
        else:
            self.mlp = SwiGlu(hidden, config["intermediate_size"])

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor | None]:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        normed = self.post_attention_layernorm(x)
        if isinstance(self.mlp, Moe):
            out, load = self.mlp(normed)
            return x + out, load
        return x + self.mlp(normed), None


class MtpLayer(DecoderLayer):
    """The multi-token prediction module: predicts token t + 2 from hidden t and token t + 1."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, config["num_hidden_layers"])
        hidden, eps = config["hidden_size"], config["rms_norm_eps"]
        self.enorm = RmsNorm(hidden, eps)
        self.hnorm = RmsNorm(hidden, eps)
        self.eh_proj = nn.Linear(2 * hidden, hidden, bias=False)
        self.shared_head = nn.ModuleDict({"norm": RmsNorm(hidden, eps)})

    def combine(self, embedding: Tensor, hidden: Tensor) -> Tensor:
        """The layer's input: embeddings of tokens t + 1, hidden states t after the final norm."""
        return self.eh_proj(torch.cat((self.enorm(embedding), self.hnorm(hidden)), -1))

    def predict(self, embedding: Tensor, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple:
        """Hidden states for the head, and the tokens of each expert."""
        out, load = self(self.combine(embedding, hidden), cos, sin)
        return self.shared_head["norm"](out), load


class Body(nn.Module):
    """`model.` of the checkpoint; the MTP module is the last of `layers`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        count = config["num_hidden_layers"]
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        layers = [DecoderLayer(config, layer) for layer in range(count)]
        self.layers = nn.ModuleList([*layers, MtpLayer(config)])
        self.norm = RmsNorm(config["hidden_size"], config["rms_norm_eps"])


class DemoModel(nn.Module):
    """The whole model. REQUIRES: q_lora_rank, one MTP layer, no tied embeddings."""

    frequencies: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        if config["num_nextn_predict_layers"] != 1 or config["tie_word_embeddings"]:
            raise ValueError("expected one MTP layer and an untied head")
        self.config = config
        self.model = Body(config)
        self.lm_head = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        frequencies = torch.tensor(rope_frequencies(config).frequencies)
        self.register_buffer("frequencies", frequencies, persistent=False)

    @property
    def mtp(self) -> MtpLayer:
        return self.model.layers[-1]

    def moes(self) -> list[Moe]:
        """The MoE blocks in layer order, that of the MTP module last."""
        return [layer.mlp for layer in self.model.layers if isinstance(layer.mlp, Moe)]

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draws all weights: N(0, 0.02), and less for what writes into the residual stream.

        The norms before the head begin far from 1, as those of published checkpoints are: who takes
        the hidden state before them for the one after, in the MTP module, is to notice.
        """
        generator = torch.Generator().manual_seed(seed)
        depth = math.sqrt(2 * len(self.model.layers))
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
                if name.endswith(("model.norm.weight", "shared_head.norm.weight")):
                    gains = torch.Generator().manual_seed(seed)
                    parameter.mul_(torch.exp(
                        _GAIN_SPREAD * torch.randn(parameter.shape, generator=gains)))
                continue
            writes = name.endswith(("o_proj.weight", "down_proj.weight", "experts.down_proj"))
            std = self.config["initializer_range"] / (depth if writes else 1.0)
            drawn = torch.randn(parameter.shape, generator=generator) * std
            parameter.copy_(drawn)

    def rotations(self, tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """cos and sin of positions 0 .. tokens - 1."""
        positions = torch.arange(tokens, device=device, dtype=torch.float32)
        angles = positions[:, None] * self.frequencies
        return angles.cos(), angles.sin()

    def hidden(self, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Hidden states after the final norm [B, T, hidden], and expert loads layer by layer."""
        cos, sin = self.rotations(ids.shape[1], ids.device)
        x = self.model.embed_tokens(ids)
        loads = []
        for layer in self.model.layers[:-1]:
            x, load = layer(x, cos, sin)
            if load is not None:
                loads.append(load)
        return self.model.norm(x), loads

    def mtp_hidden(self, next_ids: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """States of the MTP module for the head. next_ids[:, i] is the token after position i."""
        cos, sin = self.rotations(next_ids.shape[1], next_ids.device)
        return self.mtp.predict(self.model.embed_tokens(next_ids), hidden, cos, sin)
