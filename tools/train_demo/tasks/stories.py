"""Short templated stories and dialogues in simple English."""

from __future__ import annotations

import random

from train_demo.tasks.example import Example, article, ask, contains, pick, sentence
from train_demo.tasks.lexicon import (
    ADJECTIVES, ANIMALS, COLORS, FOODS, NAMES, PLACES, THINGS, Lexicon,
)

_OPENINGS = (
    "Once upon a time there was {h} named {n} who lived near the {p}.",
    "There was once {h} called {n}. {n} lived in a small house by the {p}.",
    "{n} was {h} who loved the {p}.",
    "In a {p} far away lived {h}. The name of this animal was {n}.",
    "One {w} morning {n}, {h}, walked to the {p}.",
)
_WISHES = (
    "{n} wanted to find {t}.",
    "Every day {n} looked for {t}, but it was never there.",
    "{n} had lost {t} and felt very sad.",
    "{n} dreamed of {t} that shone like the sun.",
    "What {n} liked best was {t}.",
)
_MEETINGS = (
    'On the way {n} met {o} named {m}. "Where are you going?" asked {m}.',
    'Then {o} came by. It was {m}. "Can I help you?" said {m}.',
    '"Hello, {n}!" called {m}, who was {o}. "What are you doing here?"',
    "Behind a tree sat {m}, {o}. {m} looked up and smiled.",
)
_REPLIES = (
    '"I am looking for {t}," said {n}. "Will you come with me?"',
    '"I need {t}," answered {n}. "Have you seen it?"',
    '{n} told {m} about {t}. {m} listened and nodded.',
)
_TROUBLES = (
    "Suddenly it began to rain, and the path was wet and slippery.",
    "But the river was deep and there was no bridge.",
    "Soon it was dark, and they could not see the way home.",
    "A strong wind blew, and a big branch fell on the road.",
    "They heard a loud noise and hid behind a rock.",
    "They were hungry and had only {f} to eat.",
)
_DEEDS = (
    "{m} had an idea. They held hands and went on slowly, step by step.",
    "{n} was afraid, but {m} said, \"We can do it together.\"",
    "They shared {f} and waited until it was over.",
    "{n} worked hard, and {m} helped, and at last they made it.",
)
_ENDINGS = (
    "In the end they found {t} under an old tree. {n} was very happy.",
    "There, in the grass, lay {t}! {n} laughed and danced.",
    "They did not find {t}, but {n} had found a friend, and that was better.",
    "{n} got {t} at last and gave {m} a big hug. They were friends forever.",
    "When they came home, {t} was on the table. It had been there all the time!",
)
_MORALS = (
    "From that day on they met every day at the {p}.",
    "{n} learned that a friend is worth more than gold.",
    "And {n} slept well that night.",
    "Since then {n} always helps others.",
    "The end.",
)


def _story(rng: random.Random, hero: str, thing: str, place: str) -> str:
    name, other_name = rng.sample(NAMES, 2)
    other = rng.choice([a for a in ANIMALS if a != hero])
    fields = {
        "n": name, "m": other_name, "p": place, "f": rng.choice(FOODS),
        "h": article(f"{rng.choice(ADJECTIVES)} {hero}"),
        "o": article(f"{rng.choice(ADJECTIVES)} {other}"),
        "t": f"the {rng.choice(COLORS)} {thing}",
        "w": rng.choice(("sunny", "cold", "rainy", "bright", "windy", "warm")),
    }
    parts = [_OPENINGS, _WISHES, _MEETINGS, _REPLIES, _TROUBLES, _DEEDS, _ENDINGS, _MORALS]
    always = (_OPENINGS, _WISHES, _MEETINGS, _ENDINGS)
    kept = [part for part in parts if part in always or rng.random() < 0.7]
    lines = [sentence(rng.choice(part).format(**fields)) for part in kept]
    if rng.random() < 0.4:
        half = len(lines) // 2
        return " ".join(lines[:half]) + "\n\n" + " ".join(lines[half:])
    return " ".join(lines)


def stories(rng: random.Random, lexicon: Lexicon) -> Example:
    """A story with a given hero, thing or place."""
    hero, thing, place = rng.choice(ANIMALS), rng.choice(THINGS), rng.choice(PLACES)
    kind = rng.randrange(4)
    topic, needles = (
        (article(hero), (hero,)),
        (f"{article(hero)} and {article(thing)}", (hero, thing)),
        (f"{article(hero)} in the {place}", (hero, place)),
        (f"{article(thing)}", (thing,)),
    )[kind]
    question = pick(
        rng, "Tell me a story about {t}.", "Write a short story about {t}.",
        "Can you tell a story about {t}?", "I would like a story about {t}.", "A story about {t}, "
        "please.", t=topic,
    )
    return ask("stories", question, _story(rng, hero, thing, place), contains(*needles))


def simple_sentence(rng: random.Random) -> tuple[str, list[str]]:
    """A sentence and the words of it that were drawn."""
    animal, thing, place = rng.choice(ANIMALS), rng.choice(THINGS), rng.choice(PLACES)
    adjective, color, food = rng.choice(ADJECTIVES), rng.choice(COLORS), rng.choice(FOODS)
    text, parts = rng.choice((
        (f"The {adjective} {animal} found a {color} {thing}.", [adjective, animal, color, thing]),
        (f"My {animal} likes to eat {food} in the {place}.", [animal, food, place]),
        (f"We saw {article(adjective + ' ' + animal)} in the {place}.", [adjective, animal, place]),
        (f"The {thing} on the table is {color}.", [thing, color]),
        (f"{rng.choice(NAMES)} gave the {animal} some {food}.", [animal, food]),
        (f"There is a {color} {thing} near the {place}.", [color, thing, place]),
    ))
    return text, parts


_DIALOGUES = (
    ("I feel sad today.", "I am sorry to hear that. What happened?"),
    ("I am bored.", "Let us do something! I can tell you a story about {a}, or we can count."),
    ("I like {c}.", "{C} is a nice color. Many flowers are {c}."),
    ("My favorite animal is the {h}.", "The {h} is a lovely animal. Why do you like it?"),
    ("I am going to the {p}.", "That sounds nice. Have a good time at the {p}!"),
    ("What should I eat today?", "You could eat {f}. That is tasty."),
    ("I have a {h} at home.", "How nice! What is the name of your {h}?"),
    ("I lost my {t}.", "Oh no! Where did you see your {t} last?"),
    ("It is raining.", "Then take an umbrella with you, or stay at home and read a book."),
    ("I am tired.", "Then you should rest. A good sleep helps."),
    ("Can you help me?", "Yes, of course. What do you need?"),
    ("Today is my birthday!", "Happy birthday! I hope you get a big cake and {a}."),
)


def dialogues(rng: random.Random, lexicon: Lexicon) -> Example:
    """Something a person says, and a kind reply."""
    hero, color = rng.choice(ANIMALS), rng.choice(COLORS)
    fields = {"a": article(rng.choice(THINGS)), "c": color, "C": color.capitalize(), "h": hero,
              "p": rng.choice(PLACES), "f": rng.choice(FOODS), "t": rng.choice(THINGS)}
    said, reply = rng.choice(_DIALOGUES)
    return ask("dialogues", said.format(**fields), reply.format(**fields), None)
