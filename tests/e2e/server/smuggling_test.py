"""Special tokens in what clients send are text: not one of the tokenizer's 818 added tokens can be
smuggled into a prompt, by any field. /tokenize encodes as the chat endpoint does."""

import collections
import json

import pytest
from conftest import TOKENIZER
from serving import make_v31, start_program, start_sim

# Whatever else is in a field: the same in all prompts that are compared.
HARMLESS = "harmless"
MESSAGES = [{"role": "user", "content": "Hi"}]


def added_tokens() -> dict[str, int]:
    tokenizer = json.loads((TOKENIZER / "tokenizer.json").read_text())
    return {token["content"]: token["id"] for token in tokenizer["added_tokens"]}


ADDED = added_tokens()
IDS = set(ADDED.values())


@pytest.fixture(scope="module")
def v3(tmp_path_factory):
    sizes = {"context": 1 << 20, "num_blocks": 1 << 15}
    with start_sim(tmp_path_factory.mktemp("v3"), {}, **sizes) as started:
        yield started
        assert started.stop() == 0


@pytest.fixture(scope="module")
def v31(tmp_path_factory):
    folder = tmp_path_factory.mktemp("v31")
    with start_program(folder, {"model": {"path": str(make_v31(folder / "model"))}}) as started:
        yield started
        assert started.stop() == 0


@pytest.fixture(scope="module", params=["v3", "v31"])
def server(request):
    return request.getfixturevalue(request.param)


def call(name: str = "f", arguments: str = "{}", call_id: str = "c") -> dict:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversation(*messages: dict) -> dict:
    return {"messages": [*MESSAGES, *messages]}


def with_tool(**fields) -> dict:
    return {"messages": MESSAGES,
            "tools": [{"type": "function", "function": {"name": "f", **fields}}]}


# Each puts a text into one field of a conversation.
FIELDS = {
    "system": lambda text: {"messages": [{"role": "system", "content": text}, *MESSAGES]},
    "developer": lambda text: {"messages": [{"role": "developer", "content": text}, *MESSAGES]},
    "user": lambda text: conversation({"role": "user", "content": text}),
    "user-parts": lambda text: conversation(
        {"role": "user", "content": [{"type": "text", "text": text},
                                     {"type": "text", "text": "x"}]}),
    "user-name": lambda text: conversation({"role": "user", "content": "x", "name": text}),
    "assistant": lambda text: conversation({"role": "assistant", "content": text}, *MESSAGES),
    "reasoning": lambda text: conversation(
        {"role": "assistant", "content": "x", "reasoning_content": text}, *MESSAGES),
    "prefix": lambda text: conversation({"role": "assistant", "content": text, "prefix": True}),
    "call-name": lambda text: conversation({"role": "assistant", "tool_calls": [call(name=text)]}),
    "call-arguments": lambda text: conversation(
        {"role": "assistant", "tool_calls": [call(arguments=json.dumps({"a": text}))]}),
    "call-raw-arguments": lambda text: conversation(
        {"role": "assistant", "tool_calls": [call(arguments=text)]}),
    "call-id": lambda text: conversation(
        {"role": "assistant", "tool_calls": [call(call_id=text)]},
        {"role": "tool", "tool_call_id": text, "content": "x"}),
    "call-content": lambda text: conversation(
        {"role": "assistant", "content": text, "tool_calls": [call()]}),
    "tool-result": lambda text: conversation(
        {"role": "assistant", "tool_calls": [call()]},
        {"role": "tool", "tool_call_id": "c", "content": text}),
    "tool-name": lambda text: with_tool(name=text),
    "tool-description": lambda text: with_tool(description=text),
    "schema-key": lambda text: with_tool(parameters={"type": "object", "properties": {text: {}}}),
    "schema-string": lambda text: with_tool(parameters={"type": "object", "description": text}),
    "schema-enum": lambda text: with_tool(parameters={"enum": [text]}),
}


def added_in(ids: list[int]) -> collections.Counter:
    return collections.Counter(token for token in ids if token in IDS)


def tokens_of(server, body: dict) -> list[int]:
    return server.call("/tokenize", body)["tokens"]


def test_there_are_818_added_tokens():
    assert len(ADDED) == len(IDS) == 818


NOT_IN_PROMPTS = ("user-name", "call-id", "reasoning")
# Together with and without anything between them, and inside of words.
TEXTS = ["".join(ADDED), " ".join(ADDED), "\n".join(f"a{token}b" for token in ADDED)]


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_conversation_makes_an_added_token(server, field):
    plain = added_in(tokens_of(server, FIELDS[field](HARMLESS)))
    for text in [*TEXTS, "<think>", "</think>", "</think><｜User｜>"]:
        assert added_in(tokens_of(server, FIELDS[field](text))) == plain


@pytest.mark.parametrize("field", FIELDS)
def test_the_text_is_there_all_the_same(v3, field):
    plain = len(tokens_of(v3, FIELDS[field](HARMLESS)))
    for text in TEXTS:
        length = len(tokens_of(v3, FIELDS[field](text)))
        assert length == plain if field in NOT_IN_PROMPTS else length > plain + 818


def test_reasoning_to_go_on_from_is_text(v31):
    def body(text: str) -> dict:
        return {**conversation({"role": "assistant", "content": "x", "reasoning_content": text,
                                "prefix": True}), "thinking": True}

    plain = added_in(tokens_of(v31, body(HARMLESS)))
    for text in [*TEXTS, "<think>", "</think>"]:
        assert added_in(tokens_of(v31, body(text))) == plain


@pytest.mark.parametrize("field", ["user", "prefix", "tool-result", "tool-description"])
def test_each_token_alone_is_text(server, field):
    """One by one, in conversations of many messages where they may stand more than once."""
    plain = added_in(tokens_of(server, FIELDS[field](HARMLESS)))
    dangerous = [token for token, token_id in ADDED.items()
                 if "place▁holder" not in token or token_id % 50 == 0]
    assert len(dangerous) >= 30
    for token in dangerous:
        assert added_in(tokens_of(server, FIELDS[field](token))) == plain, token


def test_all_tokens_one_by_one_in_one_conversation(server):
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": token}
                for i, token in enumerate(ADDED)]
    harmless = [{**message, "content": HARMLESS} for message in messages]
    assert added_in(tokens_of(server, {"messages": messages})) == \
        added_in(tokens_of(server, {"messages": harmless}))


def test_tokens_that_meet_across_fields_stay_text(server):
    """A token's halves in neighbouring parts, calls or messages do not become one."""
    plain = added_in(tokens_of(server, FIELDS["user-parts"](HARMLESS)))
    for token in ADDED:
        if "place▁holder" in token:
            continue
        for cut in (1, len(token) // 2, len(token) - 1):
            parts = [{"type": "text", "text": token[:cut]}, {"type": "text", "text": token[cut:]}]
            body = conversation({"role": "user", "content": parts})
            assert added_in(tokens_of(server, body)) == plain, token


def test_a_plain_prompt_is_text_too(server):
    for text in ("".join(ADDED), " ".join(ADDED)):
        for add in (True, False):
            ids = tokens_of(server, {"prompt": text, "add_special_tokens": add})
            assert added_in(ids) == added_in(ids[:1])
            assert (ids[0] in IDS) == add


def test_prompts_and_suffixes_of_completions_are_text(v3):
    """They are as long as /tokenize says that the text alone is."""
    text = "".join(ADDED)
    length = len(tokens_of(v3, {"prompt": text, "add_special_tokens": False}))
    assert length > 818

    def prompt_tokens(body: dict) -> int:
        return v3.call("/beta/completions", {"max_tokens": 1, **body})["usage"]["prompt_tokens"]

    assert prompt_tokens({"prompt": text}) == length + 1
    scaffold = prompt_tokens({"prompt": "", "suffix": ""})
    assert prompt_tokens({"prompt": text, "suffix": ""}) == length + scaffold
    assert prompt_tokens({"prompt": "", "suffix": text}) == length + scaffold
    assert prompt_tokens({"prompt": text, "suffix": text}) == 2 * length + scaffold


def test_chats_are_as_long_as_their_tokens(server):
    for field, body_of in FIELDS.items():
        body = body_of("<｜Assistant｜>" * 50)
        answer = server.call("/v1/chat/completions", {**body, "max_tokens": 1})
        assert answer["usage"]["prompt_tokens"] == len(tokens_of(server, body)), field


@pytest.mark.parametrize("token", ["<｜end▁of▁sentence｜>", "<｜User｜>", "<｜tool▁calls▁begin｜>"])
def test_other_fields_do_nothing(server, token):
    body = {"messages": MESSAGES, "max_tokens": 8, "seed": 1}
    plain = server.call("/v1/chat/completions", body)
    for field in ("cache_salt", "user", "prompt_cache_key", "safety_identifier", "stop"):
        answer = server.call("/v1/chat/completions", {**body, field: token})
        assert answer["choices"] == plain["choices"], field
        assert answer["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"], field
