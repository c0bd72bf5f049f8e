"""The official client, as the tests use it."""

import openai

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}


def client_of(server, **options) -> openai.OpenAI:
    options = {"api_key": "none", "max_retries": 0, "base_url": server.url("/v1"), **options}
    return openai.OpenAI(**options)


def model_of(client) -> str:
    return client.models.list().data[0].id


def chat(client, **options):
    options = {"model": model_of(client), "messages": HELLO, "max_tokens": 16, "seed": 7, **options}
    return client.chat.completions.create(**options)


def complete(client, **options):
    options = {"model": model_of(client), "prompt": "Once upon", "max_tokens": 16, "seed": 7,
               **options}
    return client.completions.create(**options)


def text_of(answer) -> str:
    return answer.choices[0].message.content
