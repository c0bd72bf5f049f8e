"""Bad bodies: every field of every endpoint with every wrong type, values beyond every bound,
sizes beyond every limit, and bytes that are no JSON. Each is answered exactly, and does no harm."""

import functools
import json

import pytest
from serving import post, start_sim
from wall import (CHAT, COMPLETION, DETOKENIZE, TOKENIZE, Case, Wall, body_case, request,
                  with_fragment)

CHAT_PATH, COMPLETION_PATH = "/v1/chat/completions", "/v1/completions"
BASES = {CHAT_PATH: CHAT, COMPLETION_PATH: COMPLETION, "/tokenize": TOKENIZE,
         "/detokenize": DETOKENIZE}
MAX_BODY = 1 << 20
MESSAGE = CHAT["messages"][0]


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    config = {"http": {"max_body_bytes": MAX_BODY}}
    with start_sim(tmp_path_factory.mktemp("wall"), config, context=65536) as server:
        yield Wall(server)


# ---- types and ranges

# JSON texts of the wrong type, by the type that is expected.
NOT_A_NUMBER = ['"1"', "true", "[]", "{}", "1e309", "-1e309"]
WRONG = {
    "number": NOT_A_NUMBER,
    "integer": [*NOT_A_NUMBER, "1.5", "1.0", "1e0", "9223372036854775808", "-9223372036854775809",
                "18446744073709551616"],
    "bool": ['"true"', "1", "0", "1.5", "[]", "{}"],
    "text": ["1", "1.5", "true", "[]", "{}"],
    "object": ["1", '"x"', "true", "[]", "1.5"],
    "array": ["1", '"x"', "true", "{}", "1.5"],
}

GENERATION_FIELDS = {
    "number": ["temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty",
               "repetition_penalty", "timeout"],
    "integer": ["top_k", "n", "best_of", "max_tokens", "min_tokens", "seed", "priority"],
    "bool": ["stream", "ignore_eos", "store", "skip_special_tokens", "include_stop_str_in_output",
             "spaces_between_special_tokens", "return_token_ids", "use_beam_search"],
    "text": ["model", "user", "safety_identifier", "prompt_cache_key", "service_tier",
             "cache_salt", "request_id"],
    "object": ["logit_bias", "metadata", "response_format"],
    "array": ["stop_token_ids"],
}
FIELDS = {
    CHAT_PATH: {
        "number": [], "text": ["reasoning_effort", "verbosity"],
        "integer": ["max_completion_tokens", "top_logprobs"],
        "bool": ["logprobs", "parallel_tool_calls", "echo", "include_reasoning",
                 "add_generation_prompt"],
        "object": ["chat_template_kwargs", "prediction"],
        "array": ["messages", "tools", "modalities"]},
    COMPLETION_PATH: {"integer": ["logprobs"], "bool": ["echo", "add_special_tokens"],
                      "text": ["suffix"]},
    "/tokenize": {"text": ["model", "prompt"], "bool": ["add_special_tokens", "return_token_strs"],
                  "array": []},
    "/detokenize": {"text": ["model"], "array": ["tokens"]},
}


def type_cases():
    for path, own in FIELDS.items():
        for kind, fragments in WRONG.items():
            shared = GENERATION_FIELDS[kind] if path in (CHAT_PATH, COMPLETION_PATH) else []
            for field in [*shared, *own.get(kind, [])]:
                for fragment in fragments:
                    yield body_case(f"{field}-{fragment}", path,
                                    with_fragment(BASES[path], field, fragment), 400, param=field)


# (field, what is taken, what is refused), each as JSON text.
RANGES = [
    ("temperature", ["0", "2", "2.0", "1e-3", "null"], ["-0.001", "2.001", "-1", "1e300"]),
    ("top_p", ["0", "1", "0.5"], ["-0.001", "1.001", "2"]),
    ("min_p", ["0", "1"], ["-0.001", "1.001"]),
    ("presence_penalty", ["-2", "2"], ["-2.001", "2.001"]),
    ("frequency_penalty", ["-2", "2"], ["-2.001", "2.001"]),
    ("repetition_penalty", ["0.000001", "100"], ["0", "100.001", "-1"]),
    ("top_k", ["-1", "0", "2147483647"], ["-2", "2147483648"]),
    ("n", ["1", "8"], ["0", "9", "-1", "2147483648", "9223372036854775807"]),
    ("max_tokens", ["1", "20"], ["0", "-1", "2147483648"]),
    ("min_tokens", ["0", "1"], ["-1", "2", "2147483648"]),
    ("seed", ["-9223372036854775808", "9223372036854775807", "0"], []),
    ("priority", ["0", "1000"], ["-1", "1001"]),
    ("timeout", ["1", "600"], ["0", "-1", "600.001"]),
    ("ignore_eos", ["true", "false", "null"], []),
    ("response_format", ['{"type": "text"}'], []),
    ("stop_token_ids", ["[0, 1]", "[]", str(list(range(64)))], []),
    ("logit_bias", ['{"5": -100, "6": 100}', "{}"],
     ['{"5.0": 1}', '{"x": 1}', '{"-1": 1}', '{"": 1}', '{"05": 1}', '{"+5": 1}',
      '{"2147483648": 1}', '{" 5": 1}']),
]
CHAT_RANGES = [
    ("max_completion_tokens", ["1"], ["0", "-1", "2147483648"]),
    ("top_logprobs", ["0"], ["-1", "21"]),
    ("reasoning_effort", ['"low"', '"none"', '"max"'], ['"huge"', '""', '"HIGH"']),
    ("tool_choice", ['"auto"', '"none"'], []),
    ("modalities", ['["text"]'], ["[]", '["text", "text"]']),
    ("messages", [], ["[]"]),
    ("tools", ["[]"], []),
]
COMPLETION_RANGES = [
    ("logprobs", ["0", "20"], ["-1", "21"]),
    ("prompt", ['"a"', '["a", "b"]', "[5]", "[[5], [6, 7]]", '""'], ["[]", "1", "true", "{}"]),
    ("suffix", ['"b"', '""', "null"], []),
]


def range_cases():
    for path in (CHAT_PATH, COMPLETION_PATH):
        own = CHAT_RANGES if path == CHAT_PATH else COMPLETION_RANGES
        for field, taken, refused in [*RANGES, *own]:
            for fragment in taken:
                yield body_case(f"{field}-{fragment[:20]}", path,
                                with_fragment(BASES[path], field, fragment), 200)
            for fragment in refused:
                yield body_case(f"{field}-{fragment}", path,
                                with_fragment(BASES[path], field, fragment), 400, param=field)


# (name, base, field, JSON text, param, code) of what is wrong deeper inside.
NESTED = [
    (CHAT_PATH, "stop", "[1]", "stop[0]"), (CHAT_PATH, "stop", '["a", null]', "stop[1]"),
    (CHAT_PATH, "stop", '""', "stop"), (CHAT_PATH, "stop", '["a", ""]', "stop[1]"),
    (CHAT_PATH, "stop", "7", "stop"), (CHAT_PATH, "stop", "{}", "stop"),
    (CHAT_PATH, "stop_token_ids", "[-1]", "stop_token_ids[0]"),
    (CHAT_PATH, "stop_token_ids", "[1, 2147483648]", "stop_token_ids[1]"),
    (CHAT_PATH, "stop_token_ids", '["1"]', "stop_token_ids[0]"),
    (CHAT_PATH, "logit_bias", '{"5": 100.5}', "logit_bias.5"),
    (CHAT_PATH, "logit_bias", '{"5": "1"}', "logit_bias.5"),
    (CHAT_PATH, "logit_bias", '{"5": null}', "logit_bias.5"),
    (CHAT_PATH, "metadata", '{"a": 1}', "metadata"),
    (CHAT_PATH, "thinking", '"yes"', "thinking"), (CHAT_PATH, "thinking", "{}", "thinking.type"),
    (CHAT_PATH, "thinking", '{"type": "maybe"}', "thinking.type"),
    (CHAT_PATH, "thinking", '{"type": 1}', "thinking.type"),
    (CHAT_PATH, "thinking", '{"type": "enabled", "x": 1}', "thinking.x"),
    (CHAT_PATH, "chat_template_kwargs", '{"thinking": 1}', "chat_template_kwargs.thinking"),
    (CHAT_PATH, "chat_template_kwargs", '{"tokenize": true}', "chat_template_kwargs.tokenize"),
    (CHAT_PATH, "chat_template_kwargs", '{"thinking": true, "enable_thinking": false}',
     "chat_template_kwargs.enable_thinking"),
    (CHAT_PATH, "stream_options", '{"include_usage": true}', "stream_options"),
    (CHAT_PATH, "tool_choice", "1", "tool_choice"), (CHAT_PATH, "tool_choice", "[]", "tool_choice"),
    (CHAT_PATH, "response_format", "{}", "response_format.type"),
    (CHAT_PATH, "response_format", '{"type": 1}', "response_format.type"),
    (CHAT_PATH, "messages", "[1]", "messages[0]"), (CHAT_PATH, "messages", "[[]]", "messages[0]"),
    (CHAT_PATH, "messages", "[{}]", "messages[0].role"),
    (CHAT_PATH, "messages", '[{"role": "user"}]', "messages[0].content"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": null}]', "messages[0].content"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": 5}]', "messages[0].content"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": {}}]', "messages[0].content"),
    (CHAT_PATH, "messages", '[{"role": "root", "content": "x"}]', "messages[0].role"),
    (CHAT_PATH, "messages", '[{"role": 1, "content": "x"}]', "messages[0].role"),
    (CHAT_PATH, "messages", '[{"role": "User", "content": "x"}]', "messages[0].role"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": ["x"]}]', "messages[0].content[0]"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": [{}]}]', "messages[0].content[0].type"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": [{"type": "text"}]}]',
     "messages[0].content[0].text"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": [{"type": "text", "text": 1}]}]',
     "messages[0].content[0].text"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": [{"type": "image_url", "image_url": '
     '{"url": "http://169.254.169.254/"}}]}]', "messages[0].content[0].type"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": [{"type": "file", "file": {}}]}]',
     "messages[0].content[0].type"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": "x", "prefix": true}]',
     "messages[0].prefix"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": "x", "tool_call_id": "a"}]',
     "messages[0].tool_call_id"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": "x", "name": 5}]', "messages[0].name"),
    (CHAT_PATH, "messages", '[{"role": "user", "content": "x", "weird": 5}]', "messages[0].weird"),
    (CHAT_PATH, "messages", '[{"role": "tool", "content": "x"}]', "messages[0].tool_call_id"),
    (CHAT_PATH, "messages", '[{"role": "tool", "content": "x", "tool_call_id": "a"}]',
     "messages[0].tool_call_id"),
    (CHAT_PATH, "messages", '[{"role": "assistant", "tool_calls": [1]}]',
     "messages[0].tool_calls[0]"),
    (CHAT_PATH, "messages", '[{"role": "assistant", "tool_calls": [{"id": "a"}]}]',
     "messages[0].tool_calls[0].type"),
    (CHAT_PATH, "messages", '[{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", '
     '"function": {"name": "", "arguments": "{}"}}]}]', "messages[0].tool_calls[0].function.name"),
    (CHAT_PATH, "messages", '[{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", '
     '"function": {"name": "f", "arguments": {}}}]}]',
     "messages[0].tool_calls[0].function.arguments"),
    (CHAT_PATH, "tools", "[1]", "tools[0]"), (CHAT_PATH, "tools", "[{}]", "tools[0].type"),
    (CHAT_PATH, "tools", '[{"type": "web"}]', "tools[0].type"),
    (CHAT_PATH, "tools", '[{"type": "function"}]', "tools[0].function"),
    (CHAT_PATH, "tools", '[{"type": "function", "function": {}}]', "tools[0].function.name"),
    (CHAT_PATH, "tools", '[{"type": "function", "function": {"name": "f", "parameters": 1}}]',
     "tools[0].function.parameters"),
    (COMPLETION_PATH, "prompt", "[1, true]", "prompt[1]"),
    (COMPLETION_PATH, "prompt", "[-1]", "prompt[0]"), (COMPLETION_PATH, "prompt", "[1.5]",
                                                       "prompt[0]"),
    (COMPLETION_PATH, "prompt", "[[1], []]", "prompt[1]"),
    (COMPLETION_PATH, "prompt", '["a", 1]', "prompt[1]"),
    (COMPLETION_PATH, "prompt", "[[1], [[2]]]", "prompt[1][0]"),
    (COMPLETION_PATH, "prompt", "[999999]", "prompt"),
    (COMPLETION_PATH, "prompt", "null", "prompt"),
    ("/detokenize", "tokens", "[-1]", "tokens[0]"), ("/detokenize", "tokens", "[1.0]", "tokens[0]"),
    ("/detokenize", "tokens", "[999999]", "tokens"), ("/detokenize", "tokens", "null", "tokens"),
    ("/tokenize", "messages", "[{}]", "prompt"), ("/tokenize", "tools", "[]", "tools"),
]


def nested_cases():
    for path, field, fragment, param in NESTED:
        yield body_case(f"{field}-{fragment}", path, with_fragment(BASES[path], field, fragment),
                        400, param=param)
    for path, base in BASES.items():
        required = next(iter(base))
        yield body_case(f"no-{required}", path, {"model": "sim"}, 400,
                        param="prompt" if path == "/tokenize" else required)


# ---- fields by name

UNSUPPORTED = {
    None: ["length_penalty", "truncate_prompt_tokens", "prompt_logprobs", "allowed_token_ids",
           "bad_words", "logits_processors", "structured_outputs", "guided_json", "guided_regex",
           "guided_choice", "guided_grammar", "regex", "ebnf", "json_schema", "stop_regex",
           "lora_path", "session_params", "kv_transfer_params", "vllm_xargs",
           "custom_logit_processor"],
    CHAT_PATH: ["audio", "functions", "function_call", "web_search_options", "chat_template",
                "documents", "thinking_token_budget", "mm_processor_kwargs", "media_io_kwargs"],
    COMPLETION_PATH: ["prompt_embeds"],
}
UNSUPPORTED_VALUES = {
    None: [("include_stop_str_in_output", "true"), ("skip_special_tokens", "false"),
           ("return_token_ids", "true"), ("use_beam_search", "true"), ("best_of", "2"),
           ("response_format", '{"type": "json_object"}'),
           ("response_format", '{"type": "json_schema", "json_schema": {}}'),
           ("response_format", '{"type": "grammar"}')],
    CHAT_PATH: [("echo", "true"), ("continue_final_message", "true"),
                ("include_reasoning", "false"), ("tool_choice", '"required"'),
                ("modalities", '["audio"]'),
                ("tool_choice", '{"type": "function", "function": {"name": "f"}}')],
    COMPLETION_PATH: [("add_special_tokens", "false")],
}
UNKNOWN = ["temprature", "Temperature", "temperature ", "__proto__", "a.b", "", "\\u0000",
           "\\u2028", "ключ", "x" * 5000]


def name_cases():
    for path in (CHAT_PATH, COMPLETION_PATH):
        for field in [*UNSUPPORTED[None], *UNSUPPORTED[path]]:
            for fragment in ('"x"', "false"):
                yield body_case(f"{field}-{fragment}", path,
                                with_fragment(BASES[path], field, fragment), 400, param=field,
                                code="unsupported_value")
            yield body_case(f"{field}-null", path, with_fragment(BASES[path], field, "null"), 200)
        for field, fragment in [*UNSUPPORTED_VALUES[None], *UNSUPPORTED_VALUES[path]]:
            yield body_case(f"{field}-{fragment}", path,
                            with_fragment(BASES[path], field, fragment), 400, param=field,
                            code="unsupported_value")
    for path, base in BASES.items():
        for field in UNKNOWN:
            is_plain = field.replace("_", "").isascii() and field.replace("_", "").isalnum()
            yield body_case(f"unknown-{field[:20]}", path, with_fragment(base, field, "1"), 400,
                            param=field if is_plain and len(field) <= 64 else None, code=None)


MODELS = ["other", "SIM", "sim ", " sim", "sim/..", "../../etc/passwd", "sim\u0000", "s\r\nim",
          "\u001b[31msim", "\u2028", "a" * 512, "💥", "{{7*7}}", "%s%n", "<script>"]


def model_cases():
    for path, base in BASES.items():
        for model in MODELS:
            yield body_case(f"model-{ascii(model)[:20]}", path, {**base, "model": model}, 404,
                            param="model", code="model_not_found")
        yield body_case("model-513", path, {**base, "model": "a" * 513}, 400, param="model")
        yield body_case("model-empty", path, {**base, "model": ""}, 200)


# ---- sizes, at the limit and beyond

def tool(name: str, num_bytes: int = 0) -> dict:
    """A tool of so many bytes of JSON."""
    made = {"type": "function", "function": {"name": name, "description": ""}}
    own = len(json.dumps(made, separators=(",", ":")))
    made["function"]["description"] = "d" * max(0, num_bytes - own)
    return made


def nested_arrays(depth: int) -> bytes:
    return with_fragment(CHAT, "prediction", '{"a": ' + "[" * (depth - 2) + "]" * (depth - 2) + "}")


def padded(num_bytes: int) -> bytes:
    return json.dumps(CHAT).encode().ljust(num_bytes)


CHAT_SIZES = [  # name, field, what makes a value of size k, limit
    ("messages", "messages", lambda k: [MESSAGE] * k, 2048),
    ("parts", "messages[0].content",
     lambda k: [{"role": "user", "content": [{"type": "text", "text": "a"}] * k}], 256),
    ("tools", "tools", lambda k: [tool(f"f{i}") for i in range(k)], 128),
    ("tool-bytes", "tools[0]", lambda k: [tool("f", k)], 64 << 10),
    ("tools-bytes", "tools", lambda k: [tool(f"f{i}", 64 << 10) for i in range(3)] +
     [tool("f3", (64 << 10) - 100), tool("f4", k - (256 << 10) + 100)], 256 << 10),
    ("stops", "stop", lambda k: [f"stop {i}" for i in range(k)], 16),
    ("stop-bytes", "stop", lambda k: "s" * k, 256),
    ("stop-bytes-in-list", "stop[1]", lambda k: ["s", "é" * (k // 2) + "s" * (k % 2)], 256),
    ("stop-ids", "stop_token_ids", lambda k: list(range(k)), 64),
    ("biases", "logit_bias", lambda k: {str(i): 0 for i in range(k)}, 1024),
    ("user", "user", lambda k: "u" * k, 512),
    ("salt", "cache_salt", lambda k: "s" * k, 512),
    ("pairs", "metadata", lambda k: {str(i): "" for i in range(k)}, 16),
    ("pair-name", "metadata", lambda k: {"n" * k: ""}, 64),
    ("pair-value", "metadata", lambda k: {"n": "v" * k}, 512),
]


def size_cases():
    for name, param, make, limit in CHAT_SIZES:
        field = param.split("[")[0]
        for size, status in ((limit, 200), (limit + 1, 400)):
            body = {**CHAT, field: make(size)}
            if field == "tools":
                body["tool_choice"] = "none"  # checked, but not in the prompt
            yield body_case(f"{name}-{size}", CHAT_PATH, body, status, param=param)
    for size, status in ((64, 200), (65, 400)):
        yield body_case(f"prompts-{size}", COMPLETION_PATH,
                        {**COMPLETION, "prompt": ["a"] * size}, status, param="prompt")
        yield body_case(f"depth-{size}", CHAT_PATH, nested_arrays(size), status)
    for depth in (1000, 100_000):
        yield body_case(f"depth-{depth}", CHAT_PATH, nested_arrays(depth), 400)
        yield body_case(f"open-{depth}", CHAT_PATH, b"[" * depth, 400)
        yield body_case(f"open-objects-{depth}", CHAT_PATH, b'{"a":' * depth, 400)
    yield body_case("body-limit", CHAT_PATH, padded(MAX_BODY), 200)
    yield body_case("body-too-large", CHAT_PATH, padded(MAX_BODY + 1), 413,
                    code="request_too_large", closes=True)
    long = {"messages": [{"role": "user", "content": "word " * 100_000}]}
    yield body_case("context", CHAT_PATH, long, 400, param="messages",
                    code="context_length_exceeded")
    yield body_case("context", COMPLETION_PATH, {"prompt": "word " * 100_000}, 400, param="prompt",
                    code="context_length_exceeded")
    yield body_case("max-tokens", CHAT_PATH, {**CHAT, "max_tokens": 65536}, 400, param="messages",
                    code="context_length_exceeded")


# ---- bytes that are no JSON, or none that two readers would read alike

SYNTAX = ["", " ", "{", "}", "[", "]", '{"messages"}', '{"messages":}', '{"messages": [],}', "{,}",
          "{'messages': 1}", "{messages: 1}", '{"a": 1} {"a": 1}', '{"a": 1}x', "{} []",
          '// comment\n{}', '{"a": /* comment */ 1}', '{"a": 01}', '{"a": +1}', '{"a": .5}',
          '{"a": 1.}', '{"a": 0x10}', '{"a": NaN}', '{"a": Infinity}', '{"a": -}', '{"a": 1e}',
          '{"a": nul}', '{"a": True}', '{"a": undefined}', '{"a": "', '{"a": "\\"',
          '{"a": "\\x41"}', '{"a": "\\u12"}', '{"a": "\\ud800"}', '{"a": "\\udc00\\ud800"}',
          '{"a": "\\ud800\\u0041"}', '{"a": "\t"}', '{"a": "\n"}', '{"a": "\x00"}',
          '{"a": "\x1f"}', '{"a": 1 "b": 2}', '{"a" 1}', '{"a": [1 2]}', '{"a": [1,]}',
          "\x00", "\x0c{}", "messages=hi", "<xml/>", "--boundary"]
NOT_OBJECTS = ["null", "true", "1", "-0.5", '"text"', "[]", "[{}]"]
BAD_BYTES = {"ff": b"\xff", "lone-continuation": b"\x80", "overlong": b"\xc0\xaf",
             "surrogate": b"\xed\xa0\x80", "above-10ffff": b"\xf4\x90\x80\x80", "cut": b"\xe2\x82",
             "five-bytes": b"\xf8\x88\x80\x80\x80", "latin-1": b"caf\xe9"}
CODECS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
DUPLICATES = ['{"messages": [], "messages": []}', '{"a": {"b": 1, "b": 1}}',
              '{"a": [{"b": 1, "c": 2, "b": 3}]}', '{"a": 1, "\\u0061": 1}']


def text_cases():
    for path, base in BASES.items():
        for i, text in enumerate([*SYNTAX, *DUPLICATES]):
            yield body_case(f"syntax-{i}-{text[:20]}", path, text.encode(), 400, code=None)
        for text in NOT_OBJECTS:
            yield body_case(f"not-an-object-{text}", path, text.encode(), 400, code=None)
        for name, data in BAD_BYTES.items():
            body = json.dumps({**base, "user": "@"}).encode().replace(b"@", data)
            yield body_case(f"utf8-{name}", path, body, 400, code=None)
        for codec in CODECS:
            yield body_case(f"codec-{codec}", path, json.dumps(base).encode(codec), 400, code=None)
    for name, escape in {"nul": "\\u0000", "pair": "\\ud83d\\ude00", "bom": "\\ufeff",
                         "line-separator": "\\u2028", "noncharacter": "\\uffff"}.items():
        yield body_case(f"fine-{name}", COMPLETION_PATH,
                        with_fragment(COMPLETION, "prompt", f'"{escape}"'), 200)


CONTENT_TYPES = {"application/json": 200, "application/json; charset=utf-8": 200,
                 "Application/JSON": 200, "application/json ;x=y": 200, None: 415, "": 415,
                 "text/plain": 415, "application/x-www-form-urlencoded": 415,
                 "multipart/form-data; boundary=x": 415, "application/jsonp": 415,
                 "application/json, text/plain": 415, "text/json": 415, "application": 415,
                 "application/octet-stream": 415}


def content_type_cases():
    for path, base in BASES.items():
        for content_type, status in CONTENT_TYPES.items():
            case = body_case(f"type-{content_type}", path, base, status)
            case.data = request("POST", path, json.dumps(base).encode(), (), content_type)
            case.code = "unsupported_media_type" if status == 415 else case.code
            yield case


def header_cases():
    for name, good, bad in [("x-request-timeout", ["1", "600", "0.5"],
                             ["0", "-1", "601", "x", "", "nan", "inf", "1e9", "1s"]),
                            ("x-request-priority", ["0", "1000"],
                             ["-1", "1001", "x", "", "1.5", "99999999999"])]:
        for path in (CHAT_PATH, COMPLETION_PATH):
            for value in good + bad:
                status = 200 if value in good else 400
                case = body_case(f"{name}-{value}", path, BASES[path], status, param=name)
                case.data = post(path, BASES[path], (f"{name}: {value}",))
                yield case


def all_cases() -> list[Case]:
    makers = [type_cases, range_cases, nested_cases, name_cases, model_cases, size_cases,
              text_cases, content_type_cases, header_cases]
    return [case for maker in makers for case in maker()]


@functools.cache
def cases() -> list[Case]:
    return all_cases()


@pytest.mark.parametrize("case", cases(), ids=lambda case: ascii(case.name))
def test_the_answer_is_exact(wall, case):
    wall.check(case)


def test_there_are_enough_cases():
    assert len(cases()) >= 600


def test_afterwards_all_is_well(wall):
    wall.check_afterwards()
