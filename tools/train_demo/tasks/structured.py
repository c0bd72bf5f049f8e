"""JSON from facts, and calls of tools in V3.1's format."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from train_demo.chat import CALL_BEGIN, CALL_END, CALLS_BEGIN, CALLS_END, SEPARATOR, Conversation
from train_demo.tasks.example import Check, Example, ask, contains, pick, sentence
from train_demo.tasks.lexicon import CITIES, COLORS, FOODS, Lexicon


def is_json(expected: Any) -> Check:
    """The answer is JSON of this value, perhaps in a code fence."""

    def check(answer: str) -> bool:
        text = answer.strip().removeprefix("```json").removesuffix("```")
        try:
            return json.loads(text) == expected
        except json.JSONDecodeError:
            return False

    return check


def _fields(rng: random.Random, lexicon: Lexicon) -> dict[str, Any]:
    """A small record; every draw has its own set and order of fields."""
    makers: dict[str, Callable[[], Any]] = {
        "name": lambda: rng.choice(lexicon.names),
        "age": lambda: rng.randint(3, 90),
        "city": lambda: rng.choice(CITIES),
        "color": lambda: rng.choice(COLORS),
        "food": lambda: rng.choice(FOODS),
        "price": lambda: rng.randint(1, 500),
        "count": lambda: rng.randint(0, 99),
        "active": lambda: rng.random() < 0.5,
        "item": lambda: rng.choice(lexicon.things),
        "tags": lambda: rng.sample(lexicon.plain, rng.randint(1, 3)),
        "word": lambda: rng.choice(lexicon.plain),
    }
    names = rng.sample(sorted(makers), rng.randint(1, 4))
    return {name: makers[name]() for name in names}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, list) else str(value)


_SCHEMA_TYPES = {str: "string", int: "integer", bool: "boolean", list: "array"}


def json_objects(rng: random.Random, lexicon: Lexicon) -> Example:
    """A record given in words, wanted as JSON; sometimes with a schema."""
    record = _fields(rng, lexicon)
    listed = ", ".join(f"{k} {_shown(v)}" if not isinstance(v, list) else
                       f"{k} [{_shown(v)}]" for k, v in record.items())
    if rng.random() < 0.3:
        schema = json.dumps({"type": "object", "properties": {
            k: {"type": _SCHEMA_TYPES[type(v)]} for k, v in record.items()}})
        question = f"Answer with JSON of this schema: {schema}\nThe values: {listed}."
    else:
        question = pick(
            rng, "Write JSON with {t}.", "Give me a JSON object with {t}.",
            "Turn this into JSON: {t}", "Make a JSON object: {t}.", "As JSON please: {t}", t=listed,
        )
    return ask("json", question, json.dumps(record), is_json(record))


def json_extraction(rng: random.Random, lexicon: Lexicon) -> Example:
    """Name, age and so on of a sentence, as JSON."""
    name, city, age = rng.choice(lexicon.names), rng.choice(CITIES), rng.randint(4, 90)
    text = pick(
        rng, "{n} is {a} years old and lives in {c}.", "{n}, who lives in {c}, is {a}.",
        "My friend {n} from {c} is {a} years old.", "In {c} there lives {n}, aged {a}.",
        n=name, a=age, c=city,
    )
    whole = {"name": name, "age": age, "city": city}
    keys = rng.sample(sorted(whole), rng.randint(1, 3))
    record = {key: whole[key] for key in keys}
    question = pick(
        rng, "Extract {k} as JSON: {t}", "Give {k} of this text as JSON. {t}",
        "{t} Answer in JSON with the keys {k}.", k=", ".join(keys), t=text,
    )
    return ask("json", question, json.dumps(record), is_json(record))


def _parameters(**properties: str) -> dict:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }


_TOOLS: dict[str, tuple[str, dict, tuple[str, ...]]] = {
    "get_weather": ("Get the weather of a city", _parameters(city="string"), (
        "What is the weather in {city}?", "How is the weather in {city} today?",
        "Is it raining in {city}?", "Weather in {city}, please.")),
    "get_time": ("Get the local time of a city", _parameters(city="string"), (
        "What time is it in {city}?", "Tell me the time in {city}.")),
    "add_numbers": ("Add two numbers", _parameters(a="integer", b="integer"), (
        "Use the tool to add {a} and {b}.", "Add {a} and {b} with your tool.")),
    "send_message": ("Send a message to a person", _parameters(to="string", text="string"), (
        'Send "{text}" to {to}.', 'Tell {to}: {text}', "Write {to} a message: {text}")),
    "search": ("Search for a topic", _parameters(query="string"), (
        "Search for {query}.", "Look up {query}.", "Find something about {query}.")),
    "set_timer": ("Set a timer", _parameters(minutes="integer"), (
        "Set a timer for {minutes} minutes.", "Wake me in {minutes} minutes.")),
    "translate": ("Translate a word", _parameters(word="string", language="string"), (
        "Translate {word} into {language}.", "What is {word} in {language}?")),
    "play_music": ("Play music of an artist", _parameters(artist="string"), (
        "Play something by {artist}.", "I want to hear {artist}.")),
}


def _arguments(rng: random.Random, lexicon: Lexicon) -> dict[str, Any]:
    return {
        "city": rng.choice(CITIES), "a": rng.randint(1, 999), "b": rng.randint(1, 999),
        "to": rng.choice(lexicon.names), "text": " ".join(rng.sample(lexicon.plain, 3)),
        "query": " ".join(rng.sample(lexicon.plain, rng.randint(1, 2))),
        "minutes": rng.randint(1, 90), "word": rng.choice(lexicon.plain),
        "language": rng.choice(("French", "German", "Spanish", "Italian")),
        "artist": rng.choice(lexicon.names),
    }


def _offer(names: list[str]) -> tuple[dict, ...]:
    return tuple(
        {"name": n, "description": _TOOLS[n][0], "parameters": _TOOLS[n][1]} for n in names
    )


def _calls(name: str, arguments: dict) -> Check:
    start, end = CALLS_BEGIN + CALL_BEGIN + name + SEPARATOR, CALL_END + CALLS_END

    def check(answer: str) -> bool:
        before, found, rest = answer.partition(start)
        body, closed, _ = rest.partition(end)
        return bool(found and closed) and is_json(arguments)(body)

    return check


def tool_calls(rng: random.Random, lexicon: Lexicon) -> Example:
    """The right tool with the right arguments; or an answer once the result is there."""
    names = rng.sample(sorted(_TOOLS), rng.randint(1, 3))
    name = rng.choice(names)
    _, parameters, questions = _TOOLS[name]
    values = _arguments(rng, lexicon)
    arguments = {key: values[key] for key in parameters["properties"]}
    question = {"role": "user", "content": rng.choice(questions).format(**arguments)}
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": "call_0", "type": "function", "function": function}
    asks = {"role": "assistant", "content": "", "tool_calls": [call]}
    if name in _RESULTS and rng.random() < 0.4:
        result, answer, needles = _RESULTS[name](rng, arguments)
        messages = (question, asks,
                    {"role": "tool", "tool_call_id": "call_0", "content": result},
                    {"role": "assistant", "content": answer})
        return Example("tool_results", Conversation(messages, _offer(names)), contains(*needles))
    conversation = Conversation((question, asks), _offer(names))
    return Example("tool_calls", conversation, _calls(name, arguments))


def _weather(rng: random.Random, arguments: dict) -> tuple[str, str, tuple[str, ...]]:
    sky, degrees = rng.choice(("sunny", "cloudy", "rainy", "windy", "snowy")), rng.randint(-9, 35)
    result = json.dumps({"sky": sky, "degrees": degrees})
    answer = f"In {arguments['city']} it is {sky}, {degrees} degrees."
    return result, answer, (sky, str(degrees))


def _time(rng: random.Random, arguments: dict) -> tuple[str, str, tuple[str, ...]]:
    clock = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
    return json.dumps({"time": clock}), f"It is {clock} in {arguments['city']}.", (clock,)


def _sum(rng: random.Random, arguments: dict) -> tuple[str, str, tuple[str, ...]]:
    total = str(arguments["a"] + arguments["b"])
    return total, sentence(f"{arguments['a']} plus {arguments['b']} is {total}"), (total,)


_RESULTS = {"get_weather": _weather, "get_time": _time, "add_numbers": _sum}
