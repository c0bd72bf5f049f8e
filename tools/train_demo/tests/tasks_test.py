"""Every task's own answer passes its check, and examples depend on seed and number alone."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from pathlib import Path

import pytest

from train_demo.chat import CALL_BEGIN, CALL_END, CALLS_BEGIN, CALLS_END, SEPARATOR
from train_demo.tasks.registry import TASKS, TaskSource

_PLAIN = ("apple river stone green quick happy table window garden winter summer bread music paper "
          "letter number silver bottle candle forest").split()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TaskSource:
    folder = tmp_path_factory.mktemp("words")
    kinds = ("noun", "verb", "adjective")
    words = [
        {"word": word, "kind": kinds[i % 3], "definition": f"what {word} is", "count": 9,
         "examples": ["see it"], "synonyms": ["thing"], "broader": "entity"}
        for i, word in enumerate(_PLAIN)
    ]
    (folder / "words.json.xz").write_bytes(lzma.compress(json.dumps(words).encode()))
    return TaskSource(folder, seed=1)


def written(message: dict) -> str:
    """The answer as text, calls in V3.1's tokens."""
    text = message["content"]
    calls = message.get("tool_calls", [])
    if calls:
        parts = [CALL_BEGIN + c["function"]["name"] + SEPARATOR + c["function"]["arguments"]
                 + CALL_END for c in calls]
        text += CALLS_BEGIN + "".join(parts) + CALLS_END
    return text


def test_answers_pass_their_checks(source: TaskSource) -> None:
    seen: Counter[str] = Counter()
    for i in range(3000):
        example = source.example(i)
        answer = example.conversation.messages[-1]
        seen[example.task] += 1
        assert answer["role"] == "assistant"
        assert example.conversation.thinking == ("reasoning_content" in answer)
        if example.check is not None:
            assert example.check(written(answer)), (example.task, answer)
            assert not example.check("no idea"), example.task
    assert len(seen) >= len(TASKS) - 1


def test_examples_are_repeatable(source: TaskSource) -> None:
    assert source.example(7).conversation == source.example(7).conversation
    assert source.example(7).conversation != source.example(8).conversation
