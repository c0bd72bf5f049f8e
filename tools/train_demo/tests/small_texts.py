"""A small tokenizer and a few conversations for the tests."""

from __future__ import annotations

import functools
import json

from tokenizers import Tokenizer

from train_demo.chat import Conversation
from train_demo.tokenizer import train

_TOOL = {"name": "get_time", "description": "Get the time",
         "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
_CALL = {"id": "call_0", "type": "function",
         "function": {"name": "get_time", "arguments": json.dumps({"city": "Oslo"})}}
_USER = {"role": "user", "content": "What time is it in Oslo?"}

CONVERSATIONS = (
    Conversation((_USER,)),
    Conversation((_USER,), thinking=True),
    Conversation(({"role": "system", "content": "Be kind."}, _USER), (_TOOL,)),
    Conversation((_USER, {"role": "assistant", "content": "Late."}, _USER)),
    Conversation((_USER, {"role": "assistant", "content": "", "tool_calls": [_CALL]},
                  {"role": "tool", "tool_call_id": "call_0", "content": "12:00"}), (_TOOL,)),
)


@functools.cache
def small_tokenizer(vocab_size: int = 400) -> Tokenizer:
    """A tokenizer with real merges."""
    words = "the little dog and the big cat went home to eat bread with honey and sing".split()
    texts = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    return train(iter(texts * 4), vocab_size=_reachable(vocab_size, texts))


def _reachable(wanted: int, texts: list[str]) -> int:
    """At most as many tokens as so little text has merges for."""
    letters = sum(len(word) - 1 for word in set(" ".join(texts).split()))
    return min(wanted, 3 + 256 + 19 + letters // 2)
