"""The official client against the whole server: what it sends is understood, and what it gets is
what it expects, whole or in a stream, as an answer or as an error."""

import openai
import pytest
from openai_client import HELLO, TOOL, chat, client_of, complete, model_of, text_of
from serving import make_v31, start_program, start_sim


@pytest.fixture(scope="module")
def sim_server(tmp_path_factory):
    with start_sim(tmp_path_factory.mktemp("sim"), {}) as server:
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def tiny_server(tmp_path_factory):
    """The program on a small random model of DeepSeek-V3.1's format, whose name has a slash."""
    folder = tmp_path_factory.mktemp("tiny")
    model = make_v31(folder / "model")
    with start_program(folder, {"model": {"path": str(model), "names": ["org/tiny-v3.1", "tiny"]}}
                       ) as server:
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module", params=["sim_server", "tiny_server"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def client(server):
    with client_of(server) as made:
        yield made


@pytest.fixture
def sim(sim_server):
    with client_of(sim_server) as made:
        yield made


@pytest.fixture
def tiny(tiny_server):
    with client_of(tiny_server) as made:
        yield made


# ---- chat


def test_a_chat_is_answered(client):
    answer = chat(client)
    choice = answer.choices[0]
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion"
    assert answer.model == model_of(client) and answer.created > 1_700_000_000
    assert answer.system_fingerprint.startswith("hadal-")
    assert (choice.index, choice.message.role, choice.finish_reason) == (0, "assistant", "length")
    assert choice.message.content and choice.message.refusal is None
    assert choice.message.tool_calls is None and choice.logprobs is None
    usage = answer.usage
    assert usage.completion_tokens == 16 and usage.prompt_tokens > 1
    assert usage.total_tokens == usage.prompt_tokens + 16
    assert usage.prompt_cache_hit_tokens + usage.prompt_cache_miss_tokens == usage.prompt_tokens
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_cache_hit_tokens
    assert usage.completion_tokens_details.reasoning_tokens == 0


def test_seeds_repeat_and_differ(client):
    assert text_of(chat(client)) == text_of(chat(client))
    assert text_of(chat(client)) != text_of(chat(client, seed=8))
    assert text_of(chat(client, seed=-1)) == text_of(chat(client, seed=-1))
    greedy = {"temperature": 0, "seed": None}
    assert text_of(chat(client, **greedy)) == text_of(chat(client, **greedy))
    assert text_of(chat(client, seed=None)) != text_of(chat(client, seed=None))


@pytest.mark.parametrize("seed", range(10))
def test_a_stream_put_together_is_the_whole_answer(client, seed):
    whole = chat(client, seed=seed, max_tokens=40)
    chunks = list(chat(client, seed=seed, max_tokens=40, stream=True))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    first, last = chunks[0].choices[0], chunks[-1].choices[0]
    assert (first.delta.role, first.delta.content, first.finish_reason) == ("assistant", "", None)
    assert last.finish_reason == whole.choices[0].finish_reason
    assert last.delta.content is None
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text_of(whole)
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_in_a_chunk_of_its_own(client):
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 16
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_obfuscation_hides_how_long_tokens_are(sim):
    with sim.chat.completions.with_streaming_response.create(
            model="sim", messages=HELLO, max_tokens=30, stream=True,
            stream_options={"include_obfuscation": True}) as response:
        events = [line for line in response.iter_lines() if line.startswith("data: {")]
    assert len(events) >= 3
    assert len({len(event.encode()) for event in events}) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_log_probabilities_are_those_of_the_content(client, seed):
    choice = chat(client, seed=seed, logprobs=True, top_logprobs=3, max_tokens=30).choices[0]
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace") == \
        choice.message.content
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) <= 3
        best = [top.logprob for top in token.top_logprobs]
        assert best == sorted(best, reverse=True)
    assert choice.logprobs.refusal is None


def test_streamed_log_probabilities_are_those_of_the_whole(client):
    options = {"logprobs": True, "top_logprobs": 1, "max_tokens": 30}
    whole = chat(client, **options).choices[0].logprobs.content
    streamed = [token for chunk in chat(client, stream=True, **options)
                for token in (chunk.choices[0].logprobs.content or []
                              if chunk.choices[0].logprobs else [])]
    assert [(token.token, token.logprob) for token in streamed] == \
        [(token.token, token.logprob) for token in whole]


def test_choices_are_numbered_and_differ(client):
    answer = chat(client, n=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    texts = {choice.message.content for choice in answer.choices}
    assert len(texts) == 4 and answer.usage.completion_tokens == 64
    joined = [""] * 4
    for chunk in chat(client, n=4, stream=True):
        joined[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert joined == [choice.message.content for choice in answer.choices]


def test_stop_strings_cut_the_answer_before_them(client):
    text = text_of(chat(client, max_tokens=30))
    stop = next(text[i:i + 3] for i in range(5, len(text) - 3) if "�" not in text[i:i + 3])
    for given in (stop, ["never in there", stop]):
        answer = chat(client, max_tokens=30, stop=given)
        assert text_of(answer) == text[:text.index(stop)]
        assert answer.choices[0].finish_reason == "stop"
        streamed = "".join(chunk.choices[0].delta.content or ""
                           for chunk in chat(client, max_tokens=30, stop=given, stream=True))
        assert streamed == text[:text.index(stop)]


def test_limits_of_tokens(client):
    assert chat(client, max_tokens=3).usage.completion_tokens == 3
    assert chat(client, max_tokens=None, max_completion_tokens=5).usage.completion_tokens == 5
    assert chat(client, max_tokens=3, max_completion_tokens=6).usage.completion_tokens == 6


def test_a_bias_forces_a_token(tiny):
    answer = chat(tiny, logit_bias={"19923": 100}, temperature=0, max_tokens=4, logprobs=True)
    tokens = [token.token for token in answer.choices[0].logprobs.content]
    assert len(tokens) == 4 and len(set(tokens)) == 1
    assert text_of(answer) == tokens[0] * 4


def test_a_bias_towards_the_end_ends_the_answer(tiny):
    answer = chat(tiny, logit_bias={"1": 100}, temperature=0)
    assert answer.choices[0].finish_reason == "stop"
    assert text_of(answer) == "" and answer.usage.completion_tokens == 1


def test_sampling_parameters_are_taken(client):
    for options in ({"temperature": 0.5, "top_p": 0.9}, {"presence_penalty": 1.0},
                    {"frequency_penalty": -1.0}, {"user": "me", "store": False},
                    {"metadata": {"a": "b"}, "service_tier": "auto"},
                    {"extra_body": {"top_k": 5, "min_p": 0.01, "repetition_penalty": 1.1}},
                    {"parallel_tool_calls": False}, {"response_format": {"type": "text"}}):
        assert chat(client, max_tokens=2, **options).usage.completion_tokens == 2


def test_the_end_may_be_ignored_and_put_off(tiny):
    bias = {"logit_bias": {"1": 100}, "temperature": 0, "max_tokens": 4}
    assert chat(tiny, **bias, extra_body={"ignore_eos": True}).usage.completion_tokens == 4
    assert chat(tiny, **bias, extra_body={"min_tokens": 3}).usage.completion_tokens == 4
    stopped = chat(tiny, temperature=0, logit_bias={"19923": 100}, max_tokens=4,
                   extra_body={"stop_token_ids": [19923]})
    assert stopped.choices[0].finish_reason == "stop"


def test_all_roles_and_parts_are_understood(client):
    call = {"id": "call_1", "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    answer = chat(client, tools=[TOOL], tool_choice="auto", messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "The weather"},
                                     {"type": "text", "text": " in Oslo?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"}])
    assert answer.usage.completion_tokens == 16
    assert answer.usage.prompt_tokens > chat(client).usage.prompt_tokens


def test_tools_are_a_part_of_the_prompt_unless_none_may_be_called(client):
    plain = chat(client).usage.prompt_tokens
    assert chat(client, tools=[TOOL]).usage.prompt_tokens > plain + 20
    assert chat(client, tools=[TOOL], tool_choice="none").usage.prompt_tokens == plain


# ---- what DeepSeek has besides


def test_thinking_gives_reasoning_and_no_content(tiny):
    thinking = {"extra_body": {"thinking": {"type": "enabled"}}, "logit_bias": {"1": -100}}
    answer = chat(tiny, **thinking)
    message = answer.choices[0].message
    assert message.reasoning_content and not message.content
    assert answer.usage.completion_tokens_details.reasoning_tokens == 16
    deltas = [chunk.choices[0].delta for chunk in chat(tiny, stream=True, **thinking)]
    joined = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert joined == message.reasoning_content
    assert not any(delta.content for delta in deltas)


def test_thinking_may_be_turned_off(tiny):
    for extra in ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"thinking": False}},
                  {"thinking": False}, {}):
        answer = chat(tiny, extra_body=extra)
        assert answer.usage.completion_tokens_details.reasoning_tokens == 0
        assert text_of(answer)
    on = chat(tiny, extra_body={"chat_template_kwargs": {"enable_thinking": True}})
    assert on.usage.completion_tokens_details.reasoning_tokens == on.usage.completion_tokens


def test_the_end_of_thinking_begins_the_content(tiny):
    answer = chat(tiny, extra_body={"thinking": True}, logit_bias={"128799": 100}, temperature=0,
                  max_tokens=1)
    assert not answer.choices[0].message.content


def test_an_answer_goes_on_from_a_prefix(client):
    prefixed = [*HELLO, {"role": "assistant", "content": "It is", "prefix": True}]
    answer = chat(client, messages=prefixed)
    assert answer.usage.prompt_tokens > chat(client).usage.prompt_tokens
    assert not text_of(answer).startswith("It is")


def test_reasoning_may_be_sent_back(client):
    messages = [*HELLO, {"role": "assistant", "content": "Hi.", "reasoning_content": "They greet."},
                *HELLO]
    without = [*HELLO, {"role": "assistant", "content": "Hi."}, *HELLO]
    assert chat(client, messages=messages).usage.prompt_tokens == \
        chat(client, messages=without).usage.prompt_tokens


def test_a_prompt_seen_before_is_found_in_the_cache(client):
    messages = [{"role": "user", "content": "cache " * 200}]
    first, second = chat(client, messages=messages).usage, chat(client, messages=messages).usage
    assert first.prompt_cache_hit_tokens == 0
    assert second.prompt_tokens - second.prompt_cache_hit_tokens <= 64
    assert second.prompt_tokens_details.cached_tokens == second.prompt_cache_hit_tokens


# ---- text completions


def test_a_text_is_completed(client):
    answer = complete(client)
    assert answer.id.startswith("cmpl-") and answer.object == "text_completion"
    choice = answer.choices[0]
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert choice.text and answer.usage.completion_tokens == 16
    streamed = "".join(chunk.choices[0].text for chunk in complete(client, stream=True))
    assert streamed == choice.text


def test_a_completion_has_sixteen_tokens_unless_told(client):
    assert complete(client, max_tokens=openai.NOT_GIVEN).usage.completion_tokens == 16


def test_prompts_may_be_lists_and_tokens(client):
    answer = complete(client, prompt=["a", "b", "c"], n=2)
    assert [choice.index for choice in answer.choices] == list(range(6))
    alone = complete(client, prompt="b", n=2)
    assert [choice.text for choice in answer.choices[2:4]] == \
        [choice.text for choice in alone.choices]
    tokens = complete(client, prompt=[5, 6, 7])
    assert tokens.usage.prompt_tokens == 3
    several = complete(client, prompt=[[5, 6, 7], [8]])
    assert several.usage.prompt_tokens == 4
    assert several.choices[0].text == tokens.choices[0].text


def test_the_prompt_is_echoed_when_asked_for(client):
    plain = complete(client).choices[0].text
    assert complete(client, echo=True).choices[0].text == "Once upon" + plain
    chunks = complete(client, echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Once upon" + plain
    both = complete(client, prompt=["x", "y"], echo=True)
    assert [choice.text[0] for choice in both.choices] == ["x", "y"]


def test_log_probabilities_of_completions(client):
    answer = complete(client, logprobs=2).choices[0]
    logprobs = answer.logprobs
    lengths = {len(values) for values in (logprobs.tokens, logprobs.token_logprobs,
                                          logprobs.top_logprobs, logprobs.text_offset)}
    assert len(lengths) == 1
    assert logprobs.text_offset[0] == 0 and logprobs.text_offset == sorted(logprobs.text_offset)
    assert all(logprob <= 0 for logprob in logprobs.token_logprobs)
    assert all(1 <= len(top) <= 3 for top in logprobs.top_logprobs)


def test_the_middle_is_filled_in(server):
    with client_of(server, base_url=server.url("/beta")) as beta:
        model = model_of(beta)
        plain = beta.completions.create(model=model, prompt="def f(", max_tokens=4, seed=1)
        filled = beta.completions.create(model=model, prompt="def f(", suffix="return x",
                                         max_tokens=4, seed=1)
    assert filled.usage.prompt_tokens > plain.usage.prompt_tokens + 2
    assert filled.usage.completion_tokens == 4


# ---- models, errors, headers


def test_models_are_listed_and_found(client):
    models = client.models.list().data
    for model in models:
        assert model.object == "model" and model.owned_by == "hadal"
        assert client.models.retrieve(model.id).id == model.id
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("no/such model")
    assert error.value.code == "model_not_found" and error.value.param == "model"


def test_a_model_answers_to_each_of_its_names(tiny):
    assert [model.id for model in tiny.models.list()] == ["org/tiny-v3.1", "tiny"]
    assert chat(tiny, model="tiny").model == "tiny"
    assert chat(tiny, model="org/tiny-v3.1").model == "org/tiny-v3.1"


@pytest.mark.parametrize("options, param", [
    ({"temperature": 3}, "temperature"), ({"messages": []}, "messages"),
    ({"max_tokens": 0}, "max_tokens"), ({"n": 9}, "n"), ({"stop": [""]}, "stop[0]"),
    ({"tool_choice": "required", "tools": [TOOL]}, "tool_choice"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"logit_bias": {"x": 1}}, "logit_bias"), ({"top_logprobs": 5}, "top_logprobs"),
    ({"extra_body": {"guided_json": {}}}, "guided_json"), ({"extra_body": {"typo": 1}}, "typo"),
    ({"max_tokens": 10**9}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
     "messages[0].content[0].type")])
def test_errors_name_the_field(client, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, **options)
    assert error.value.param == param and error.value.type == "invalid_request_error"
    assert error.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.BadRequestError):
        chat(client, stream=True, **options)


def test_a_prompt_beyond_the_context_says_so(client):
    with pytest.raises(openai.BadRequestError) as error:
        chat(client, messages=[{"role": "user", "content": "word " * 50_000}])
    assert error.value.code == "context_length_exceeded" and error.value.param == "messages"


def test_unknown_models_and_paths_are_not_found(client):
    with pytest.raises(openai.NotFoundError) as error:
        chat(client, model="gpt-9")
    assert error.value.code == "model_not_found" and error.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="sim", input="x")


def test_headers_of_answers(client):
    raw = client.chat.completions.with_raw_response.create(
        model=model_of(client), messages=HELLO, max_tokens=1,
        extra_headers={"x-request-id": "my-id.7"})
    assert raw.headers["x-request-id"] == "my-id.7"
    assert raw.parse().choices[0].finish_reason == "length"
    ids = {client.models.with_raw_response.list().headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    forged = client.models.with_raw_response.list(extra_headers={"x-request-id": "a b\t<"})
    assert forged.headers["x-request-id"] != "a b\t<"


def test_headers_of_streams(sim):
    raw = sim.chat.completions.with_raw_response.create(
        model="sim", messages=HELLO, max_tokens=1, stream=True)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["cache-control"] == "no-cache"
    assert raw.headers["x-accel-buffering"] == "no"
    assert list(raw.parse())
