"""The forms in which models write tool calls as text, read into calls of the tools on offer."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memagent.engines.openai.tool_calls import call_arguments
from memagent.types import ToolCall

__all__ = ["Tools", "offered_tools", "written_calls"]

Tools = Mapping[str, Mapping[str, Any]]
"""The tools on offer: the schema of each one's parameters by its name."""

_ARGUMENTS = ("arguments", "parameters", "args", "input", "kwargs")
# Qwen Coder: <function=name><parameter=key>value</parameter></function>; others write it as
# <invoke name="…">, and Llama 3.1 puts JSON inside.
_FUNCTION = re.compile(
    r"<(?:function=|invoke name=)[\"']?([\w.-]+)[\"']?>(.*?)(?:</(?:function|invoke)>|\Z)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"<parameter(?:=| name=)[\"']?([\w.-]+)[\"']?>\n?(.*?)\n?(?=</parameter>|<parameter|\Z)",
    re.DOTALL,
)
# GLM: name<arg_key>key</arg_key><arg_value>value</arg_value>
_ARG = re.compile(r"<arg_key>\s*(.*?)\s*</arg_key>\s*<arg_value>\n?(.*?)\n?</arg_value>", re.DOTALL)
# Mistral: name[ARGS]{…}; DeepSeek: name<｜tool▁sep｜>… with the arguments in a fence.
_NAMED = re.compile(
    r"([A-Za-z_][\w.-]*)\s*(?:\[CALL_ID\]\w+)?(?:\[ARGS\]|<｜tool▁sep｜>)?\s*(?=\{)"
)
_SEPARATED = re.compile(r"<｜tool▁sep｜>([\w.-]+)\s*```(?:json)?\s*(?=\{)")


def offered_tools(tools: Sequence[Mapping[str, Any]]) -> Tools:
    """The tools of a request by their names."""
    functions = [tool["function"] for tool in tools]
    return {each["name"]: each.get("parameters", {}).get("properties", {}) for each in functions}


def written_calls(text: str, tools: Tools) -> list[ToolCall]:
    """The calls of offered tools that a text consists of; [] if it is anything else."""
    forms = (_functions, _glm, _objects, _separated, _python)
    found = next((calls for form in forms if (calls := list(form(text, tools)))), [])
    return [
        ToolCall(f"call_{number}", name, arguments)
        for number, (name, arguments) in enumerate(found, start=1)
    ]


_Calls = Iterator[tuple[str, dict[str, Any]]]


def _functions(text: str, tools: Tools) -> _Calls:
    for name, body in _FUNCTION.findall(text):
        if name in tools:
            pairs = _PARAMETER.findall(body)
            yield name, _typed(pairs, tools[name]) if pairs else call_arguments(body.strip())


def _glm(text: str, tools: Tools) -> _Calls:
    for call in text.split("<tool_call>"):
        name = call.strip().partition("<arg_key>")[0].strip()
        if name in tools:
            yield name, _typed(_ARG.findall(call), tools[name])


def _objects(text: str, tools: Tools) -> _Calls:
    """Calls as JSON objects, or as lists of them: Hermes, Qwen, Llama, Granite, Phi, Mistral."""
    for value in _json_values(text):
        for item in value if isinstance(value, list) else [value]:
            yield from _object(item, tools)


def _object(value: object, tools: Tools) -> _Calls:
    if not isinstance(value, dict):
        return
    if isinstance(value.get("tool_calls"), list):
        for item in value["tool_calls"]:
            yield from _object(item, tools)
        return
    inner = value.get("function")
    call: dict[str, Any] = inner if isinstance(inner, dict) else value
    name = call.get("name") or call.get("function") or call.get("tool")
    given = next((call[key] for key in _ARGUMENTS if key in call), None)
    if isinstance(name, str) and name in tools and isinstance(given, dict | str):
        yield name, call_arguments(given)


def _separated(text: str, tools: Tools) -> _Calls:
    for form in (_SEPARATED, _NAMED):
        for match in form.finditer(text):
            value = next(_json_values(text[match.end() :]), None)
            if match.group(1) in tools and isinstance(value, dict):
                yield match.group(1), value


def _python(text: str, tools: Tools) -> _Calls:
    """Calls as Python writes them, alone or in a list: Llama 3 and 4."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        for call in tree.elts if isinstance(tree, ast.List) else [tree]:
            function = call.func if isinstance(call, ast.Call) else None
            if isinstance(function, ast.Attribute) and function.attr == "call":
                function = function.value
            if isinstance(function, ast.Name) and function.id in tools:
                keywords = call.keywords if isinstance(call, ast.Call) else []
                yield (
                    function.id,
                    {str(each.arg): ast.literal_eval(each.value) for each in keywords if each.arg},
                )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _json_values(text: str) -> Iterator[object]:
    """The JSON values that a text begins with, but for fences, and what separates them."""
    decoder = json.JSONDecoder()
    at = 0
    while match := re.compile(r"(?:```\w*|[\s;,]|<tool_call>|</?tools>)*(?=[{\[])").match(text, at):
        try:
            value, at = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            value, at = _literal(text[match.end() :].rstrip("` \n")), len(text)
        yield value


def _literal(text: str) -> object:
    """An object in Python's notation, which some models mistake for JSON."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _typed(pairs: Sequence[tuple[str, str]], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that came as text, those that are no strings read as JSON."""
    typed: dict[str, Any] = {}
    for key, text in pairs:
        schema = properties.get(key)
        is_text = not isinstance(schema, dict) or schema.get("type", "string") == "string"
        try:
            typed[key] = text if is_text else json.loads(text)
        except ValueError:
            typed[key] = text
    return typed
