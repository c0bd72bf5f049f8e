"""All tasks with their shares, and the stream of examples that training and evaluation draw from.

Example i of a seed is always the same one. Evaluation uses seeds that training never does.
"""

from __future__ import annotations

import random
from pathlib import Path

from train_demo.chat import Conversation
from train_demo.corpus import read_word_list
from train_demo.tasks import arithmetic, facts, letters, stories, structured
from train_demo.tasks.example import Example, plain_reasoning
from train_demo.tasks.lexicon import make_lexicon

HELDOUT_SEED = 1_000_003

# (generator, share)
TASKS = (
    (arithmetic.sums, 14), (arithmetic.compare, 4), (arithmetic.word_problems, 7),
    (arithmetic.counting, 6), (letters.copying, 6), (letters.reversing, 6), (letters.spelling, 8),
    (letters.lists, 6), (letters.letter_case, 3), (letters.sentences, 4),
    (structured.json_objects, 6), (structured.json_extraction, 5), (structured.tool_calls, 10),
    (facts.definitions, 12), (facts.relations, 5), (facts.simple_facts, 6), (facts.small_talk, 4),
    (facts.reading, 5), (stories.stories, 8), (stories.dialogues, 4),
)
_SYSTEM_TEXTS = (
    "You are a helpful assistant.", "You are Hadal, a small and friendly assistant.",
    "Answer briefly.", "You are a helpful assistant. Answer in simple English.", "Be kind.",
)
_SYSTEM_SHARE, _SECOND_TURN_SHARE, _PLAIN_REASONING_SHARE = 0.2, 0.2, 0.15


class TaskSource:
    """Examples by number. `folder` holds words.json.xz."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._lexicon = make_lexicon(read_word_list(folder))
        self._seed = seed
        self._generators = [generator for generator, _ in TASKS]
        self._shares = [share for _, share in TASKS]

    def _one(self, rng: random.Random) -> Example:
        (generator,) = rng.choices(self._generators, self._shares)
        return generator(rng, self._lexicon)

    def example(self, number: int) -> Example:
        """Example `number`: a task, sometimes after another turn or with a system text."""
        rng = random.Random(f"{self._seed}:{number}")
        example = self._one(rng)
        conversation = example.conversation
        messages, thinking = conversation.messages, conversation.thinking
        if not (thinking or conversation.tools) and rng.random() < _PLAIN_REASONING_SHARE:
            reasoning = plain_reasoning(rng, messages[-2]["content"])
            messages = (*messages[:-1], {**messages[-1], "reasoning_content": reasoning})
            thinking = True
        if rng.random() < _SECOND_TURN_SHARE:
            before = self._one(rng).conversation
            if not before.tools:
                messages = (*before.messages, *messages)
        if rng.random() < _SYSTEM_SHARE:
            messages = ({"role": "system", "content": rng.choice(_SYSTEM_TEXTS)}, *messages)
        whole = Conversation(messages, conversation.tools, thinking)
        return Example(example.task, whole, example.check)
