"""Conversations in DeepSeek-V3.1's chat format, and which of their tokens a model learns to write.

A sample is a list of segments; a segment is text or one added token by name. What a user, a tool or
the system wrote is read, not learned. Source: V3.1's chat template, and its model card for tools.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

BEGIN, END, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
THINK_BEGIN, THINK_END = "<think>", "</think>"
FIM_HOLE, FIM_BEGIN, FIM_END = "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"
CALLS_BEGIN, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL_BEGIN, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
OUTPUTS_BEGIN, OUTPUTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
OUTPUT_BEGIN, OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"
SEPARATOR = "<｜tool▁sep｜>"
LEADING_TOKENS = (BEGIN, END, PAD)
TRAILING_TOKENS = (
    FIM_HOLE, FIM_BEGIN, FIM_END, USER, ASSISTANT, "<|EOT|>", CALLS_BEGIN, CALLS_END, CALL_BEGIN,
    CALL_END, OUTPUTS_BEGIN, OUTPUTS_END, OUTPUT_BEGIN, OUTPUT_END, SEPARATOR,
    "<｜search▁begin｜>", "<｜search▁end｜>", THINK_BEGIN, THINK_END,
)

_TOOLS_HEAD = "\n\n## Tools\nYou have access to the following tools:\n\n"
_TOOLS_FORM = "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
_TOOLS_RULES = (
    "\n\nWhere:\n- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters "
    "Schema\n- For multiple tool calls, chain them directly without separators or spaces"
)

Message = dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """A piece of a sample. `learn`: the model is trained to write it."""

    text: str
    is_token: bool
    learn: bool


@dataclass(frozen=True)
class Conversation:
    """Messages as in the chat API, the functions on offer, and whether the last answer reasons."""

    messages: tuple[Message, ...]
    tools: tuple[dict, ...] = ()
    thinking: bool = False


class _Builder:
    """Collects segments; neighbouring texts of one kind are joined, as merges reach across."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def text(self, text: str, learn: bool) -> None:
        last = self.segments[-1] if self.segments else None
        if last is not None and not last.is_token and last.learn == learn:
            self.segments[-1] = Segment(last.text + text, False, learn)
        elif text:
            self.segments.append(Segment(text, False, learn))

    def tokens(self, *names: str, learn: bool) -> None:
        self.segments += [Segment(name, True, learn) for name in names]


def _add_tools(builder: _Builder, tools: tuple[dict, ...]) -> None:
    text = _TOOLS_HEAD
    for tool in tools:
        parameters = json.dumps(tool["parameters"], ensure_ascii=False)
        text += f"### {tool['name']}\nDescription: {tool['description']}\n\n"
        text += f"Parameters: {parameters}\n\n"
    builder.text(text + _TOOLS_FORM, learn=False)
    builder.tokens(CALLS_BEGIN, CALL_BEGIN, learn=False)
    builder.text("tool_call_name", learn=False)
    builder.tokens(SEPARATOR, learn=False)
    builder.text("tool_call_arguments", learn=False)
    builder.tokens(CALL_END, learn=False)
    builder.text("{additional_tool_calls}", learn=False)
    builder.tokens(CALLS_END, learn=False)
    builder.text(_TOOLS_RULES, learn=False)


def _add_assistant(builder: _Builder, message: Message, opened: bool, thinking: bool) -> None:
    if opened:
        builder.tokens(ASSISTANT, THINK_BEGIN if thinking else THINK_END, learn=False)
    if thinking:
        builder.text(message["reasoning_content"], learn=True)
        builder.tokens(THINK_END, learn=True)
    builder.text(message.get("content") or "", learn=True)
    if message.get("tool_calls"):
        builder.tokens(CALLS_BEGIN, learn=True)
        for call in message["tool_calls"]:
            builder.tokens(CALL_BEGIN, learn=True)
            builder.text(call["function"]["name"], learn=True)
            builder.tokens(SEPARATOR, learn=True)
            builder.text(call["function"]["arguments"], learn=True)
            builder.tokens(CALL_END, learn=True)
        builder.tokens(CALLS_END, learn=True)
    builder.tokens(END, learn=True)


def chat_segments(conversation: Conversation) -> list[Segment]:
    """The conversation as the model reads and writes it; open for an answer unless it ends in one.

    `thinking` is about the last answer alone: earlier ones lose their reasoning.
    """
    messages, builder = conversation.messages, _Builder()
    builder.tokens(BEGIN, learn=False)
    system = [m["content"] for m in messages if m["role"] == "system"]
    builder.text("\n\n".join(system), learn=False)
    if conversation.tools:
        _add_tools(builder, conversation.tools)
    previous = ""
    for i, message in enumerate(messages):
        if message["role"] == "user":
            builder.tokens(USER, learn=False)
            builder.text(message["content"], learn=False)
        elif message["role"] == "tool":
            builder.tokens(OUTPUT_BEGIN, learn=False)
            builder.text(message["content"], learn=False)
            builder.tokens(OUTPUT_END, learn=False)
        elif message["role"] == "assistant":
            reasons = conversation.thinking and i == len(messages) - 1
            _add_assistant(builder, message, previous == "user", reasons)
        previous = message["role"]
    if previous == "user":
        opening = THINK_BEGIN if conversation.thinking else THINK_END
        builder.tokens(ASSISTANT, opening, learn=False)
    return builder.segments


def text_segments(text: str) -> list[Segment]:
    """A document, all of it to be learned."""
    return [Segment(BEGIN, True, False), Segment(text, False, True), Segment(END, True, True)]


def fim_segments(prefix: str, middle: str, suffix: str) -> list[Segment]:
    """A document whose middle is asked for."""
    return [
        Segment(BEGIN, True, False),
        Segment(FIM_BEGIN, True, False), Segment(prefix, False, True),
        Segment(FIM_HOLE, True, False), Segment(suffix, False, False),
        Segment(FIM_END, True, False), Segment(middle, False, True), Segment(END, True, True),
    ]


CHAT_TEMPLATE = (
    "{%- if thinking is not defined %}{% set thinking = false %}{% endif %}"
    "{%- set ns = namespace(system='', first=true, previous='') %}"
    "{%- for m in messages if m['role'] == 'system' %}"
    "{%- set ns.system = ns.system + ('' if ns.first else '\\n\\n') + m['content'] %}"
    "{%- set ns.first = false %}{%- endfor %}"
    "{{- bos_token + ns.system }}"
    "{%- if tools %}{{- " + json.dumps(_TOOLS_HEAD) + " }}{%- for t in tools %}"
    "{%- set f = t['function'] if t['function'] is defined else t %}"
    "{{- '### ' + f['name'] + '\\nDescription: ' + f['description'] + '\\n\\nParameters: ' }}"
    "{{- f['parameters'] | tojson + '\\n\\n' }}{%- endfor %}"
    "{{- " + json.dumps(_TOOLS_FORM + CALLS_BEGIN + CALL_BEGIN + "tool_call_name" + SEPARATOR
                        + "tool_call_arguments" + CALL_END + "{additional_tool_calls}" + CALLS_END
                        + _TOOLS_RULES, ensure_ascii=False) + " }}{%- endif %}"
    "{%- for m in messages %}{%- if m['role'] == 'user' %}{{- '<｜User｜>' + m['content'] }}"
    "{%- elif m['role'] == 'tool' %}"
    "{{- '<｜tool▁output▁begin｜>' + m['content'] + '<｜tool▁output▁end｜>' }}"
    "{%- elif m['role'] == 'assistant' %}"
    "{%- if ns.previous == 'user' %}{{- '<｜Assistant｜></think>' }}{%- endif %}"
    "{{- m['content'] if m['content'] else '' }}"
    "{%- if m['tool_calls'] %}{{- '<｜tool▁calls▁begin｜>' }}{%- for c in m['tool_calls'] %}"
    "{{- '<｜tool▁call▁begin｜>' + c['function']['name'] + '<｜tool▁sep｜>' }}"
    "{{- c['function']['arguments'] + '<｜tool▁call▁end｜>' }}{%- endfor %}"
    "{{- '<｜tool▁calls▁end｜>' }}{%- endif %}{{- '<｜end▁of▁sentence｜>' }}{%- endif %}"
    "{%- set ns.previous = m['role'] %}{%- endfor %}"
    "{%- if add_generation_prompt and ns.previous == 'user' %}"
    "{{- '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{%- endif %}"
)
