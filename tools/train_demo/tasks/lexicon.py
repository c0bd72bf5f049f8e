"""The words that tasks draw from: WordNet's frequent words and short lists of simple ones."""

from __future__ import annotations

from dataclasses import dataclass

from train_demo.wordnet import Word, common_words

NAMES = (
    "Anna Ben Clara David Emma Finn Grace Henry Ida Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tina "
    "Tom Uma Victor Wendy Zoe Lily Max Lucy Oscar Ella Hugo Nina Peter Ruth Simon Sara Theo Vera "
    "Will Amy Bob Carl Dora Eric Fay Gus Hana Ivan Jill Ken Lena Mark Nora Omar Pia Ray Sue Tess"
).split()
THINGS = (
    "apple book ball pencil coin stamp flower egg button shell stone card marble cookie pear cake "
    "plum toy cup spoon ribbon candle ticket sticker nut orange lemon leaf feather bead key"
).replace("leaf ", "").split()
ANIMALS = (
    "cat dog rabbit fox bear mouse bird frog duck horse cow pig goat sheep hen owl wolf deer lion "
    "tiger turtle squirrel hedgehog swan donkey monkey elephant beaver crow"
).split()
PLACES = (
    "forest garden park school village town beach farm market river lake mountain kitchen library "
    "meadow castle harbor valley island field"
).split()
ADJECTIVES = (
    "little big old young brave clever kind happy sad tired hungry lonely funny quiet shy proud "
    "gentle lazy curious friendly strong small"
).split()
COLORS = "red blue green yellow white black brown orange purple pink gray golden".split()
FOODS = "bread soup cheese honey cake milk apples berries carrots pie rice fish nuts jam".split()
CITIES = (
    "Paris London Berlin Rome Madrid Vienna Oslo Tokyo Cairo Lima Athens Dublin Prague Lisbon "
    "Warsaw Boston Chicago Delhi Sydney Toronto"
).split()


@dataclass(frozen=True)
class Lexicon:
    """All lists in one place. `nouns` and so on hold WordNet entries, most frequent first."""

    nouns: list[Word]
    verbs: list[Word]
    adjectives: list[Word]
    plain: list[str]  # short frequent words of every kind
    names: list[str]
    things: list[str]


def make_lexicon(words: list[Word]) -> Lexicon:
    """The lexicon of WordNet's words."""
    plain = [w.word for w in common_words(words, 5) if 3 <= len(w.word) <= 8]
    return Lexicon(
        nouns=common_words(words, 2, "noun"),
        verbs=common_words(words, 3, "verb"),
        adjectives=common_words(words, 3, "adjective"),
        plain=sorted(set(plain)),
        names=list(NAMES),
        things=THINGS,
    )
