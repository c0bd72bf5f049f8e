"""Definitions from WordNet, simple facts, opposites, and small talk."""

from __future__ import annotations

import random

from train_demo.tasks.example import Check, Example, article, ask, contains, join, pick, sentence
from train_demo.tasks.lexicon import Lexicon
from train_demo.wordnet import Word

_CAPITALS = dict(pair.split(":") for pair in (
    "France:Paris Germany:Berlin Italy:Rome Spain:Madrid Portugal:Lisbon Austria:Vienna "
    "Norway:Oslo Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen Poland:Warsaw Greece:Athens "
    "Ireland:Dublin England:London Scotland:Edinburgh Russia:Moscow Japan:Tokyo China:Beijing "
    "Egypt:Cairo Peru:Lima Cuba:Havana Canada:Ottawa Hungary:Budapest Belgium:Brussels "
    "Turkey:Ankara Kenya:Nairobi Chile:Santiago Thailand:Bangkok Iceland:Reykjavik Ukraine:Kyiv "
    "Australia:Canberra"
).split())
_OPPOSITES = [pair.split("/") for pair in (
    "hot/cold big/small old/new up/down day/night happy/sad fast/slow light/dark hard/soft "
    "open/closed full/empty early/late rich/poor strong/weak wet/dry clean/dirty high/low "
    "long/short near/far right/wrong true/false loud/quiet thick/thin young/old good/bad "
    "first/last left/right in/out black/white easy/difficult cheap/expensive begin/end win/lose "
    "push/pull buy/sell love/hate"
).split()]
_SOUNDS = dict(pair.split(":") for pair in (
    "dog:barks cat:meows cow:moos sheep:bleats horse:neighs duck:quacks lion:roars frog:croaks "
    "owl:hoots pig:grunts bee:buzzes snake:hisses wolf:howls hen:clucks mouse:squeaks crow:caws"
).split())
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_MONTHS = ("January February March April May June July August September October November "
           "December").split()
_FACTS = (
    ("How many days are in a week?", "A week has seven days.", "seven"),
    ("How many months are in a year?", "A year has twelve months.", "twelve"),
    ("How many hours does a day have?", "A day has 24 hours.", "24"),
    ("How many minutes are in an hour?", "An hour has 60 minutes.", "60"),
    ("How many legs does a spider have?", "A spider has eight legs.", "eight"),
    ("How many legs does an insect have?", "An insect has six legs.", "six"),
    ("How many legs does a dog have?", "A dog has four legs.", "four"),
    ("What color is the sky on a clear day?", "On a clear day the sky is blue.", "blue"),
    ("What color is grass?", "Grass is green.", "green"),
    ("What color is snow?", "Snow is white.", "white"),
    ("What do bees make?", "Bees make honey.", "honey"),
    ("What do cows give us?", "Cows give us milk.", "milk"),
    ("What is ice made of?", "Ice is frozen water.", "water"),
    ("Where does the sun rise?", "The sun rises in the east.", "east"),
    ("Where does the sun set?", "The sun sets in the west.", "west"),
    ("Which planet do we live on?", "We live on the planet Earth.", "Earth"),
    ("What goes around the Earth?", "The Moon goes around the Earth.", "Moon"),
    ("What do plants need to grow?", "Plants need water, light and air to grow.", "water"),
    ("At what temperature does water freeze?", "Water freezes at 0 degrees Celsius.", "0"),
    ("At what temperature does water boil?", "Water boils at 100 degrees Celsius.", "100"),
    ("What is the largest animal?", "The blue whale is the largest animal.", "whale"),
    ("What is the largest planet?", "Jupiter is the largest planet of our sun.", "Jupiter"),
    ("Which season comes after winter?", "Spring comes after winter.", "spring"),
    ("Which season comes after summer?", "Autumn comes after summer.", "autumn"),
    ("What do we use to see?", "We see with our eyes.", "eyes"),
    ("What do we use to hear?", "We hear with our ears.", "ears"),
)
_TALK = (
    (("Hello!", "Hi", "Hi there!", "Good morning!", "Hey", "Hello, how are you?", "Good evening."),
     ("Hello! How can I help you?", "Hi! What can I do for you today?",
      "Hello! It is nice to meet you. What would you like to know?")),
    (("Who are you?", "What are you?", "What is your name?", "Tell me about yourself."),
     ("I am a very small language model that runs in Hadal. I can do simple tasks.",
      "I am Hadal's demo model. I am small, but I like to help.")),
    (("What can you do?", "How can you help me?", "Help", "What are you good at?"),
     ("I can add numbers, spell and sort words, explain words, write JSON, call tools and tell "
      "short stories.", "I can count, tell short stories, explain simple words and write JSON.")),
    (("Thank you!", "Thanks", "Thanks a lot.", "That was helpful, thank you."),
     ("You are welcome!", "You are welcome. Is there anything else?", "I am glad to help.")),
    (("Goodbye!", "Bye", "See you later.", "Good night!"),
     ("Goodbye! Have a nice day.", "Bye! Come back soon.", "Goodbye, and take care.")),
    (("Are you a person?", "Are you human?"),
     ("No, I am a small language model, a computer program.",)),
)


def definitions(rng: random.Random, lexicon: Lexicon) -> Example:
    """What a word means. Frequent words are asked for more often."""
    words = rng.choice((lexicon.nouns, lexicon.nouns, lexicon.verbs, lexicon.adjectives))
    word = words[int(len(words) * rng.random() ** 2)]
    subject = word.word
    question = pick(
        rng, "What does {w} mean?", 'What does the word "{w}" mean?', "Define {w}.",
        "Explain the word {w}.", "What is the meaning of {w}?", w=subject,
    )
    if word.kind == "noun" and rng.random() < 0.4:
        question = pick(rng, "What is {a}?", "Tell me what {a} is.", a=article(subject))
    return ask("definitions", question, _definition(rng, word), _says(word))


def _says(word: Word) -> Check:
    """The answer has half of the longer words of the definition."""
    meaning = word.definition.split(";")[0].lower()
    expected = {w.strip("(),.:") for w in meaning.split() if len(w) > 3}

    def check(answer: str) -> bool:
        found = sum(w in answer.lower() for w in expected)
        return word.word in answer and 2 * found >= len(expected)

    return check


def _definition(rng: random.Random, word: Word) -> str:
    kind = article(word.kind)
    meaning = word.definition.split(";")[0].strip()
    text = pick(rng, "{w} is {k}. It means: {m}.", "The {p} {w} means: {m}.",
                w=f'"{word.word}"', k=kind, p=word.kind, m=meaning)
    if word.examples and rng.random() < 0.5:
        text += f' For example: "{sentence(word.examples[0])}"'
    return text


def relations(rng: random.Random, lexicon: Lexicon) -> Example:
    """Broader words, synonyms and kinds of words."""
    while True:
        word = rng.choice(rng.choice((lexicon.nouns, lexicon.verbs, lexicon.adjectives))[:1500])
        kind = rng.randrange(3)
        if kind == 0 and word.synonyms:
            question = pick(rng, "What is another word for {w}?", "Give me a synonym of {w}.",
                            w=word.word)
            answer = f"Another word for {word.word} is {word.synonyms[0]}."
            return ask("relations", question, answer, contains(word.synonyms[0]))
        if kind == 1 and word.kind == "noun" and word.broader:
            question = f"What kind of thing is {article(word.word)}?"
            answer = sentence(f"{article(word.word)} is a kind of {word.broader}")
            return ask("relations", question, answer, contains(word.broader))
        if kind == 2:
            question = pick(rng, 'What part of speech is "{w}"?',
                            'Is "{w}" a noun, a verb or an adjective?', w=word.word)
            return ask("relations", question, f'"{word.word}" is {article(word.kind)}.',
                       contains(word.kind))


def simple_facts(rng: random.Random, lexicon: Lexicon) -> Example:
    """Capitals, opposites, sounds, days, months, and a table of plain facts."""
    kind = rng.randrange(6)
    if kind == 0:
        country, city = rng.choice(sorted(_CAPITALS.items()))
        question = pick(rng, "What is the capital of {c}?", "Name the capital of {c}.",
                        "Which city is the capital of {c}?", c=country)
        return ask("facts", question, f"The capital of {country} is {city}.", contains(city))
    if kind == 1:
        pair = rng.choice(_OPPOSITES)
        one, other = pair if rng.random() < 0.5 else pair[::-1]
        question = pick(rng, "What is the opposite of {w}?", "Tell me the opposite of {w}.", w=one)
        others = [p[1 - p.index(one)] for p in _OPPOSITES if one in p]
        return ask("facts", question, f"The opposite of {one} is {other}.",
                   lambda answer: any(o in answer for o in others))
    if kind == 2:
        animal, sound = rng.choice(sorted(_SOUNDS.items()))
        question = pick(rng, "What sound does {a} make?", "How does {a} sound?", a=article(animal))
        return ask("facts", question, sentence(f"{article(animal)} {sound}"), contains(sound))
    if kind in (3, 4):
        names, what = (_DAYS, "day") if kind == 3 else (_MONTHS, "month")
        i, after = rng.randrange(len(names)), rng.random() < 0.5
        result = names[(i + (1 if after else -1)) % len(names)]
        side = "after" if after else "before"
        question = pick(rng, "Which {k} comes {s} {n}?", "What {k} is {s} {n}?",
                        k=what, s=side, n=names[i])
        return ask("facts", question, f"{result} comes {side} {names[i]}.", contains(result))
    question, answer, needle = rng.choice(_FACTS)
    return ask("facts", question, answer, contains(needle))


def small_talk(rng: random.Random, lexicon: Lexicon) -> Example:
    """Greetings and questions about the model."""
    questions, answers = rng.choice(_TALK)
    return ask("small_talk", rng.choice(questions), rng.choice(answers), None)


def reading(rng: random.Random, lexicon: Lexicon) -> Example:
    """A question about a short text that stands before it."""
    people = rng.sample(lexicon.names, 3)
    things = rng.sample(lexicon.things, 3)
    rows = [f"{p} has {article(t)}." for p, t in zip(people, things, strict=True)]
    i = rng.randrange(3)
    text = " ".join(rng.sample(rows, 3))
    if rng.random() < 0.5:
        question, answer = f"{text} What does {people[i]} have?", sentence(
            f"{people[i]} has {article(things[i])}")
        return ask("reading", question, answer, contains(things[i]))
    if rng.random() < 0.3:
        answer = sentence(f"they are {join(people)}")
        return ask("reading", f"{text} Name all the people.", answer, contains(*people))
    answer = f"{people[i]} has the {things[i]}."
    return ask("reading", f"{text} Who has the {things[i]}?", answer, contains(people[i]))
