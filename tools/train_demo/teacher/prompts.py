"""What the teacher is asked: questions over WordNet's frequent words, in many forms."""

from __future__ import annotations

import random

from train_demo.tasks.example import article
from train_demo.tasks.lexicon import ADJECTIVES, ANIMALS, NAMES, PLACES, THINGS, Lexicon

SYSTEM_TEXT = (
    "You are a kind helper who answers children in short, simple and correct English sentences."
)

# (share, forms). Fields: n, m nouns; v verb; j adjective; a animal; t thing; p place; w name.
_FORMS = (
    (30, (
        "Write a short story about {j} {a} and {t1}.",
        "Tell me a short story about {w} and {a1}.",
        "Tell me a story about {a1} in the {p}.",
        "Write a short story about {n}.",
        "Tell a story in which {w} finds {t1} in the {p}.",
        "Write a bedtime story about {a1} who wants to {v}.",
        "Write a story about {w}, who learned to {v}.",
        "Write a story with the words {n}, {m} and {a}.",
    )),
    (34, (
        "What is {n}?", "What does the word {n} mean?", "Explain {n} in simple words.",
        "Tell me about {n}.", "Why is {n} important?", "What do people use {n} for?",
        "What is the difference between {n} and {m}?", "Tell me something interesting about {n}.",
        "What can you say about {a1}?", "Where do you find {n}?", "What does it mean to {v}?",
        "Give me an example of {n}.", "How would you describe {n}?", "Who needs {n}?",
    )),
    (20, (
        "How can I learn to {v}?", "Why do people {v}?", "When should I {v}?",
        "Give me three tips about {n}.", "What should I do if I have no {n}?",
        "How do I find {n}?", "I want to {v}. What should I do first?",
        "Is it good to {v}?", "What can I do in the {p}?", "How do I take care of {a1}?",
        "What should I say to a friend who likes {n}?", "Name three things about {n}.",
    )),
    (16, (
        "Write three simple sentences with the word {n}.", "Describe {p1} in a few sentences.",
        "Write a short poem about {n}.",
        "Write a short conversation between {w} and {x} about {n}.",
        "Write a short letter from {w} to {x} about {n}.", "Describe a day in the {p}.",
        "What would you see in the {p}?", "Describe {j} {a}.",
        "Write a sentence that begins with the word {n}.", "List five words that go with {n}.",
    )),
)


def question(rng: random.Random, lexicon: Lexicon) -> str:
    """One question. Frequent words come more often."""

    def word(words: list) -> str:
        return words[int(len(words) * rng.random() ** 1.5)].word

    (forms,) = rng.choices([f for _, f in _FORMS], [share for share, _ in _FORMS])
    name, other = rng.sample(NAMES, 2)
    animal, thing, place = rng.choice(ANIMALS), rng.choice(THINGS), rng.choice(PLACES)
    return rng.choice(forms).format(
        n=word(lexicon.nouns), m=word(lexicon.nouns), v=word(lexicon.verbs),
        j=article(rng.choice(ADJECTIVES)), a=animal, a1=article(animal), t1=article(thing),
        p=place, p1=article(place), w=name, x=other,
    )
