"""A small Llama in PyTorch that writes many texts at once, for prompts of one length.

Source of the weights' layout: llama.cpp's `llama` architecture, whose rotary dimensions are
interleaved pairs.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from train_demo.model import rotate_pairs
from train_demo.teacher.gguf import read_gguf

_CONTROL = 3  # token type of GGUF


class Llama:
    """Weights, tokenizer and shape of one GGUF file. REQUIRES: tied embeddings."""

    def __init__(self, path: Path, device: str, dtype: torch.dtype) -> None:
        metadata, tensors = read_gguf(path)
        self.device, self.dtype = torch.device(device), dtype
        self._weights = {n: torch.from_numpy(t).to(device, dtype) for n, t in tensors.items()}
        self._layers = metadata["llama.block_count"]
        self._heads = metadata["llama.attention.head_count"]
        self._kv_heads = metadata["llama.attention.head_count_kv"]
        self._width = metadata["llama.embedding_length"] // self._heads
        self._eps = metadata["llama.attention.layer_norm_rms_epsilon"]
        self._theta = metadata["llama.rope.freq_base"]
        self.end_id = metadata["tokenizer.ggml.eos_token_id"]
        self.tokenizer = _tokenizer(metadata)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self._weights[name], self._eps)

    def _attend(self, x: Tensor, layer: int, start: int, cache: Tensor, cos: Tensor,
                sin: Tensor) -> Tensor:
        """Attention of tokens start.. of x [B, T, hidden]; keys and values go into the cache."""
        weights, prefix = self._weights, f"blk.{layer}."
        batch, tokens = x.shape[:2]
        q, k, v = (
            F.linear(x, weights[f"{prefix}attn_{part}.weight"]).view(batch, tokens, -1, self._width)
            .transpose(1, 2)
            for part in "qkv"
        )
        end = start + tokens
        cache[layer, 0, :, :, start:end] = rotate_pairs(k, cos[start:end], sin[start:end])
        cache[layer, 1, :, :, start:end] = v
        keys, values = cache[layer, :, :, :, :end]
        q = rotate_pairs(q, cos[start:end], sin[start:end])
        # The query heads of a key head stand one after another: [B, KV, group * T, width].
        group = self._heads // self._kv_heads
        q = q.reshape(batch, self._kv_heads, group * tokens, self._width)
        scores = (q @ keys.mT).float() * self._width**-0.5
        if tokens > 1:
            hidden = torch.ones(tokens, end, dtype=torch.bool, device=x.device).triu(start + 1)
            scores = scores.masked_fill(hidden.repeat(group, 1), float("-inf"))
        out = scores.softmax(-1).to(x.dtype) @ values
        out = out.view(batch, self._heads, tokens, self._width).transpose(1, 2).flatten(2)
        return F.linear(out, weights[f"{prefix}attn_output.weight"])

    def _logits(self, ids: Tensor, start: int, cache: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Logits after the last of ids [B, T], which stand at positions start..."""
        weights = self._weights
        x = F.embedding(ids, weights["token_embd.weight"])
        for layer in range(self._layers):
            prefix = f"blk.{layer}."
            normed = self._norm(x, f"{prefix}attn_norm.weight")
            x = x + self._attend(normed, layer, start, cache, cos, sin)
            normed = self._norm(x, f"{prefix}ffn_norm.weight")
            gate = F.silu(F.linear(normed, weights[f"{prefix}ffn_gate.weight"]))
            inner = gate * F.linear(normed, weights[f"{prefix}ffn_up.weight"])
            x = x + F.linear(inner, weights[f"{prefix}ffn_down.weight"])
        last = self._norm(x[:, -1], "output_norm.weight")
        return F.linear(last, weights["token_embd.weight"]).float()

    @torch.inference_mode()
    def generate(
        self, prompts: Tensor, max_tokens: int, temperature: float, min_p: float
    ) -> Tensor:
        """Continues prompts [B, T] until nearly all have ended; [B, up to max_tokens] ids.

        Samples among tokens with at least `min_p` of the best one's probability. What follows an
        end token is end tokens.
        """
        batch, length = prompts.shape
        total = length + max_tokens
        shape = (self._layers, 2, batch, self._kv_heads, total, self._width)
        cache = torch.empty(shape, dtype=self.dtype, device=self.device)
        pairs = torch.arange(0, self._width, 2, device=self.device) / self._width
        angles = torch.arange(total, device=self.device)[:, None] * self._theta**-pairs
        cos, sin = angles.cos(), angles.sin()
        ended = torch.zeros(batch, dtype=torch.bool, device=self.device)
        written, ids, start = [], prompts, 0
        for step in range(max_tokens):
            logits = self._logits(ids, start, cache, cos, sin) / temperature
            floor = logits.amax(-1, keepdim=True) + math.log(min_p)
            logits = logits.masked_fill(logits < floor, float("-inf"))
            noise = -torch.empty_like(logits).exponential_().log()
            chosen = (logits + noise).argmax(-1).masked_fill(ended, self.end_id)
            ended |= chosen == self.end_id
            written.append(chosen)
            start += ids.shape[1]
            ids = chosen[:, None]
            if step % 16 == 15 and ended.float().mean() > 0.97:
                break
        return torch.stack(written, dim=1)


def _tokenizer(metadata: dict) -> Tokenizer:
    """The byte-level BPE of a GGUF file with pre-tokenizer `smollm`."""
    if metadata["tokenizer.ggml.pre"] != "smollm":
        raise ValueError(f"pre-tokenizer {metadata['tokenizer.ggml.pre']} is not supported")
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ", 1)) for m in metadata["tokenizer.ggml.merges"]]
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    control = [t for t, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in control])
    return tokenizer
