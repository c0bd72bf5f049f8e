"""Sums, differences, products, comparisons, word problems and counting."""

from __future__ import annotations

import random

from train_demo.tasks.example import Example, ask, ends_with_number, equals, pick
from train_demo.tasks.lexicon import Lexicon


def _add_by_columns(a: int, b: int) -> str:
    steps, carry, left = [], 0, max(len(str(a)), len(str(b)))
    for place in range(left):
        x, y = a // 10**place % 10, b // 10**place % 10
        total = x + y + carry
        with_carry = f" + {carry}" if carry else ""
        steps.append(f"{x} + {y}{with_carry} = {total}, write {total % 10}, carry {total // 10}.")
        carry = total // 10
    return "\n".join(steps) + f"\nThe sum is {a + b}."


def _subtract_by_columns(a: int, b: int) -> str:
    steps, borrow = [], 0
    for place in range(len(str(a))):
        x, y = a // 10**place % 10 - borrow, b // 10**place % 10
        borrow = int(x < y)
        lent = f", borrow 10: {x + 10} - {y}" if borrow else f": {x} - {y}"
        steps.append(f"{x} and {y}{lent} = {x + 10 * borrow - y}.")
    return "\n".join(steps) + f"\nThe difference is {a - b}."


def _multiply_by_parts(a: int, b: int) -> str:
    tens, ones = a // 10 * 10, a % 10
    return (
        f"{a} = {tens} + {ones}.\n{tens} * {b} = {tens * b}.\n{ones} * {b} = {ones * b}.\n"
        f"{tens * b} + {ones * b} = {a * b}."
    )


_ASK = ("What is {e}?", "{e} = ?", "Calculate {e}.", "Compute {e}", "How much is {e}?",
        "Can you work out {e}?", "Tell me what {e} is.")
_SAY = ("{e} = {r}", "The answer is {r}.", "{r}", "{e} is {r}.")


def sums(rng: random.Random, lexicon: Lexicon) -> Example:
    """Small sums at once, larger ones step by step: in a think block, or else in the answer."""
    kind = rng.choice("++--*")
    thinks, steps = rng.choices(((True, True), (False, True), (False, False)), (50, 20, 30))[0]
    if kind == "*":
        a, b = (rng.randint(11, 99), rng.randint(2, 9)) if steps else _times_table(rng)
        result, reasoning = a * b, _multiply_by_parts(a, b)
    else:
        top = rng.choice((99, 999, 9999)) if steps else 50
        a, b = rng.randint(0, top), rng.randint(0, top)
        if kind == "-":
            a, b = max(a, b), min(a, b)
        result = a + b if kind == "+" else a - b
        reasoning = _add_by_columns(a, b) if kind == "+" else _subtract_by_columns(a, b)
    spoken = {"+": "plus", "-": "minus", "*": "times"}[kind]
    expression = f"{a} {rng.choice((kind, kind, spoken))} {b}"
    answer = pick(rng, *_SAY, e=f"{a} {kind} {b}", r=result)
    if steps and not thinks:
        answer = f"{reasoning}\n{answer}"
    question = pick(rng, *_ASK, e=expression)
    return ask("sums", question, answer, ends_with_number(result), reasoning if thinks else "")


def _times_table(rng: random.Random) -> tuple[int, int]:
    return rng.randint(1, 12), rng.randint(1, 12)


def compare(rng: random.Random, lexicon: Lexicon) -> Example:
    """The larger or smaller of two numbers, or the largest of a few."""
    count = rng.choice((2, 2, 3, 4))
    numbers = rng.sample(range(0, rng.choice((20, 100, 1000))), count)
    larger = rng.random() < 0.5
    result = max(numbers) if larger else min(numbers)
    words = ("larger", "smaller") if count == 2 else ("largest", "smallest")
    word = words[0] if larger else words[1]
    listed = " or ".join(map(str, numbers)) if count == 2 else ", ".join(map(str, numbers))
    question = pick(rng, "Which number is {w}: {n}?", "Which is {w}, {n}?",
                    "Tell me the {w} of these numbers: {n}.", w=word, n=listed)
    answer = pick(rng, "{r}", "The {w} number is {r}.", "The answer is {r}.", w=word, r=result)
    return ask("compare", question, answer, ends_with_number(result))


_STORIES = {
    "+": (
        "{p} has {a} {t}. {q} gives {p} {b} more {t}. How many {t} does {p} have now?",
        "There are {a} {t} in a box. {p} puts {b} more in. How many {t} are in the box?",
        "{p} found {a} {t} and {q} found {b} {t}. How many {t} did they find together?",
        "On Monday {p} bought {a} {t}, and on Tuesday {b} {t}. How many {t} is that in all?",
    ),
    "-": (
        "{p} has {a} {t} and gives {b} of them to {q}. How many {t} does {p} have left?",
        "There are {a} {t} on the table. {p} takes {b} away. How many {t} are left?",
        "{p} had {a} {t} but lost {b}. How many {t} are left?",
        "{p} has {a} {t}. {q} has {b} fewer. How many {t} does {q} have?",
    ),
    "*": (
        "{p} has {a} bags with {b} {t} in each. How many {t} are there in all?",
        "There are {a} boxes, and every box holds {b} {t}. How many {t} are there?",
        "{p} buys {b} {t} every day for {a} days. How many {t} does {p} buy?",
    ),
}


def word_problems(rng: random.Random, lexicon: Lexicon) -> Example:
    """A little story with one sum in it, reasoned out."""
    kind = rng.choice("+-*")
    p, q = rng.sample(lexicon.names, 2)
    things = rng.choice(lexicon.things) + "s"
    a, b = (rng.randint(2, 10), rng.randint(2, 10)) if kind == "*" else (
        rng.randint(2, 60), rng.randint(2, 40))
    if kind == "-":
        a, b = max(a, b), min(a, b)
    result = {"+": a + b, "-": a - b, "*": a * b}[kind]
    question = rng.choice(_STORIES[kind]).format(p=p, q=q, a=a, b=b, t=things)
    why = {"+": "The numbers are put together, so I add.",
           "-": "Some are taken away, so I subtract.",
           "*": "There are equal groups, so I multiply."}[kind]
    thinks = rng.random() < 0.5
    reasoning = f"{why}\n{a} {kind} {b} = {result}." if thinks else ""
    answer = pick(rng, "{a} {k} {b} = {r}, so the answer is {r}.", "The answer is {r}.",
                  "{a} {k} {b} = {r}. There are {r}.", a=a, k=kind, b=b, r=result)
    return ask("word_problems", question, answer, ends_with_number(result), reasoning)


def counting(rng: random.Random, lexicon: Lexicon) -> Example:
    """Counting up or down, perhaps by a step; the next number of a row."""
    step = rng.choice((1, 1, 1, 2, 3, 5, 10))
    length = rng.randint(3, 12)
    start = rng.randint(1, 30) * (step if step >= 5 else 1)
    numbers = [start + step * i for i in range(length)]
    if rng.random() < 0.25:
        numbers.reverse()
    listed = ", ".join(map(str, numbers))
    if rng.random() < 0.3 and length >= 4:
        shown = ", ".join(map(str, numbers[:-1]))
        question = pick(rng, "What comes next: {s}?", "Which number comes next? {s}",
                        "Continue with one number: {s}", s=shown)
        return ask("counting", question, str(numbers[-1]), ends_with_number(numbers[-1]))
    by = f" by {abs(step)}s" if step > 1 else ""
    question = pick(rng, "Count from {a} to {b}{by}.", "Please count{by} from {a} to {b}.",
                    "Can you count from {a} to {b}{by}?", a=numbers[0], b=numbers[-1], by=by)
    return ask("counting", question, listed, equals(listed))
