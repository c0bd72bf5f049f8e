"""Tasks on words and letters: repeating, reversing, spelling, counting, sorting."""

from __future__ import annotations

import random

from train_demo.tasks.example import Example, ask, contains, ends_with_number, equals, join, pick
from train_demo.tasks.lexicon import Lexicon


def copying(rng: random.Random, lexicon: Lexicon) -> Example:
    """Words or a line repeated exactly."""
    words = rng.sample(lexicon.plain, rng.randint(1, 8))
    if rng.random() < 0.3:
        words.insert(rng.randrange(len(words) + 1), str(rng.randint(0, 9999)))
    text = " ".join(words)
    question = pick(
        rng, "Repeat after me: {t}", "Say exactly this: {t}", "Copy this text: {t}",
        "Please repeat: {t}", "Write this down: {t}", 'Repeat the words "{t}".', t=text,
    )
    return ask("copying", question, text, equals(text))


def reversing(rng: random.Random, lexicon: Lexicon) -> Example:
    """A word's letters or a list of words, backwards; letters are reasoned out."""
    if rng.random() < 0.5:
        word = rng.choice([w for w in rng.sample(lexicon.plain, 8)])
        spelled, backwards = " ".join(word), " ".join(reversed(word))
        result = word[::-1]
        question = pick(
            rng, 'Reverse the word "{w}".', "Spell {w} backwards.", "Write {w} backwards.",
            'What is "{w}" spelled backwards?', w=word,
        )
        reasoning = f"The letters are: {spelled}.\nBackwards: {backwards}."
        at_once = len(word) <= 4 and rng.random() < 0.5
        return ask("reversing", question, result, equals(result), "" if at_once else reasoning)
    words = rng.sample(lexicon.plain, rng.randint(2, 6))
    result = " ".join(reversed(words))
    question = pick(
        rng, "Reverse the order of these words: {t}", "Say these words in reverse order: {t}",
        "Write the words backwards, last word first: {t}", t=" ".join(words),
    )
    return ask("reversing", question, result, equals(result))


def spelling(rng: random.Random, lexicon: Lexicon) -> Example:
    """Letters of a word: all, the first, the last, how many, how often."""
    word = rng.choice(lexicon.plain)
    kind = rng.randrange(5)
    if kind == 0:
        result = "-".join(word)
        question = pick(rng, "Spell the word {w}.", "How do you spell {w}?", w=word)
        return ask("spelling", question, result, equals(result))
    if kind in (1, 2):
        which, letter = ("first", word[0]) if kind == 1 else ("last", word[-1])
        question = pick(rng, "What is the {k} letter of {w}?",
                        'Which letter does "{w}" have at the {k} place?', k=which, w=word)
        return ask("spelling", question, letter, equals(letter))
    letters = " ".join(word)
    if kind == 3:
        question = pick(
            rng, "How many letters does {w} have?", 'Count the letters in "{w}".', w=word
        )
        numbered = ", ".join(f"{c} {i}" for i, c in enumerate(word, start=1))
        answer = pick(rng, "{n}", "The word {w} has {n} letters.", n=len(word), w=word)
        check = _has_number(len(word))
        return ask("spelling", question, answer, check, f"{numbered}.")
    letter = rng.choice(word) if rng.random() < 0.8 else rng.choice("aeiourst")
    count = word.count(letter)
    question = pick(rng, 'How many times is the letter {c} in "{w}"?',
                    "How often does {w} contain the letter {c}?", c=letter, w=word)
    marks = ", ".join(f"{c} {'yes' if c == letter else 'no'}" for c in word)
    return ask("spelling", question, str(count), ends_with_number(count),
               f"The letters are {letters}.\n{marks}.\nThat makes {count}.")


def _has_number(number: int):
    return lambda answer: str(number) in answer.split() or answer.strip(". ") == str(number)


def lists(rng: random.Random, lexicon: Lexicon) -> Example:
    """Sorting words, counting them, the first, last or longest one."""
    words = rng.sample(lexicon.plain, rng.randint(3, 6))
    listed = ", ".join(words)
    kind = rng.randrange(5)
    if kind == 0:
        result = ", ".join(sorted(words))
        question = pick(rng, "Sort these words alphabetically: {t}",
                        "Put these words in alphabetical order: {t}", t=listed)
        return ask("lists", question, result, equals(result),
                   f"First letters: {', '.join(f'{w} {w[:2]}' for w in words)}.")
    if kind == 1:
        question = pick(
            rng, "How many words are in this list: {t}?", "Count the words: {t}", t=listed
        )
        return ask("lists", question, str(len(words)), ends_with_number(len(words)))
    if kind == 2:
        result = max(words, key=len)
        if sum(len(w) == len(result) for w in words) == 1:
            question = pick(rng, "Which is the longest word: {t}?",
                            "Find the longest word in this list: {t}", t=listed)
            sizes = ", ".join(f"{w} {len(w)}" for w in words)
            return ask("lists", question, result, equals(result), f"Lengths: {sizes}.")
    which, result = ("first", words[0]) if kind == 3 else ("last", words[-1])
    question = pick(rng, "What is the {k} word of this list: {t}?",
                    "Give me the {k} of these words: {t}", k=which, t=listed)
    return ask("lists", question, result, equals(result))


def letter_case(rng: random.Random, lexicon: Lexicon) -> Example:
    """Capital letters and small ones."""
    words = rng.sample(lexicon.plain, rng.randint(1, 4))
    text = " ".join(words)
    if rng.random() < 0.5:
        question = pick(rng, "Write this in capital letters: {t}", "Put in upper case: {t}", t=text)
        return ask("letter_case", question, text.upper(), equals(text.upper()))
    question = pick(
        rng, "Write this in small letters: {t}", "Put in lower case: {t}", t=text.upper()
    )
    return ask("letter_case", question, text, equals(text))


def sentences(rng: random.Random, lexicon: Lexicon) -> Example:
    """A sentence that uses given words."""
    from train_demo.tasks.stories import simple_sentence

    text, parts = simple_sentence(rng)
    chosen = rng.sample(parts, rng.randint(1, min(2, len(parts))))
    named = join([f'"{w}"' for w in chosen])
    question = pick(rng, "Write a sentence with {w}.", "Make a sentence that uses {w}.",
                    "Use {w} in a sentence.", w=named)
    return ask("sentences", question, text, contains(*chosen))
