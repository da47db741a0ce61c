#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Renders chat templates with Jinja2 in the way transformers does, for tests/golden/chat.

The templates in tests/golden/chat/templates were written for this project, in the style of model
families. `cases.json` has, for every template and conversation, the text or the fact of an error.
"""
import argparse
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = datetime.datetime(2024, 2, 29, 23, 59, 59)

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a <place> & \"time\"",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "enum": ["Köln", "Oslo"]}, "days": {"type": "integer"}},
            "required": ["place"],
        },
    },
}

CONVERSATIONS = {
    "one": {"messages": [{"role": "user", "content": "Hello"}]},
    "system": {
        "messages": [
            {"role": "system", "content": "  Be brief.\n"},
            {"role": "user", "content": " Hi <there> & \"you\" 😀 "},
            {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."},
            {"role": "user", "content": "Why?"},
        ]
    },
    "no_prompt": {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "add_generation_prompt": False,
    },
    "tools": {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "weather", "arguments": {"place": "Köln", "days": 2}}}],
            },
            {"role": "tool", "content": "[1, 2.5, true, null]"},
        ],
        "tools": [WEATHER],
    },
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ]
    },
    "wrong_order": {"messages": [{"role": "assistant", "content": "first"}]},
    "empty": {"messages": []},
    "extra": {
        "messages": [{"role": "user", "content": "x"}],
        "extra": {"enable_thinking": False, "items": {"b": 1, "a": [True, None, "q'"]}},
    },
}


class Generation(jinja2.ext.Extension):
    """`{% generation %}`, which transformers uses to find the model's own text; here it has no effect."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    cases = []
    for path in sorted((out / "templates").glob("*.jinja")):
        template = environment().from_string(path.read_bytes().decode())
        for name, given in CONVERSATIONS.items():
            variables = {
                "messages": given["messages"],
                "add_generation_prompt": given.get("add_generation_prompt", True),
                "tools": given.get("tools"),
                "documents": None,
                "bos_token": "<s>",
                "eos_token": "</s>",
                **given.get("extra", {}),
            }
            case = {"template": path.name, "conversation": name}
            try:
                case["text"] = template.render(**variables)
            except Exception as error:  # noqa: BLE001: any failure of a template is a case
                case["error"] = type(error).__name__
            cases.append(case)
    golden = {
        "made_with": f"jinja2 {jinja2.__version__}",
        "now": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()),
        "conversations": CONVERSATIONS,
        "cases": cases,
    }
    (out / "cases.json").write_bytes((json.dumps(golden, ensure_ascii=False, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
