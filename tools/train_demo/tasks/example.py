"""What a task gives: a conversation that ends in a right answer, and a check of other answers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from train_demo.chat import Conversation

Check = Callable[[str], bool]


@dataclass(frozen=True)
class Example:
    """`check` judges what stands after the reasoning; None where no program can judge."""

    task: str
    conversation: Conversation
    check: Check | None

    def prompt(self) -> Conversation:
        """The conversation without its answer."""
        return Conversation(
            self.conversation.messages[:-1], self.conversation.tools, self.conversation.thinking
        )


def ask(task: str, question: str, answer: str, check: Check | None, reasoning: str = "") -> Example:
    """One question and its answer, with thinking on when there is reasoning."""
    reply: dict[str, Any] = {"role": "assistant", "content": answer}
    if reasoning:
        reply["reasoning_content"] = reasoning
    messages = ({"role": "user", "content": question}, reply)
    return Example(task, Conversation(messages, thinking=bool(reasoning)), check)


def pick(rng: random.Random, *forms: str, **values: object) -> str:
    """One of the forms, its fields filled in."""
    return rng.choice(forms).format(**values)


def plain_reasoning(rng: random.Random, question: str) -> str:
    """What to think before a question that needs no thought."""
    first = question.strip().splitlines()[-1][:120]
    return pick(
        rng, "This is simple, so I can answer at once.", "I know how to answer this.",
        "The question is: {q}\nI will answer it in simple sentences.",
        "I am asked: {q}\nA short answer is best.", q=first,
    )


def ends_with_number(number: int) -> Check:
    """The last number of the answer is this one."""

    def check(answer: str) -> bool:
        found = re.findall(r"-?\d+", answer)
        return bool(found) and int(found[-1]) == number

    return check


def contains(*needles: str) -> Check:
    """The answer holds every needle, whatever the case."""
    return lambda answer: all(needle.lower() in answer.lower() for needle in needles)


def equals(expected: str) -> Check:
    """The answer is this text, but for space around it and a final full stop."""
    return lambda answer: answer.strip().rstrip(".") == expected.strip().rstrip(".")


def join(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def article(noun: str) -> str:
    """`a cat`, `an owl`."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    ended = text.endswith((".", "!", "?", '."', '!"', '?"'))
    return text[:1].upper() + text[1:] + ("" if ended else ".")
