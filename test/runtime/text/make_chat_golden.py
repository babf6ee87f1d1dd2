#!/usr/bin/env python3
"""Writes chat_golden.json beside this file, with transformers' own rendering as the judge.

The templates in chat_templates/ are written for this test: they use what the chat templates of Qwen3,
Qwen2.5 and Llama 3 use. For the template of a released model, name its chat_template.jinja and a file to
write; ChatTemplateTest reads such a file from ../shared/data/chat-templates/NAME.json where it exists.

    pip install transformers jinja2 && python3 test/runtime/text/make_chat_golden.py [TEMPLATE OUTPUT]
"""
import copy
import datetime
import json
import pathlib
import sys

from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).resolve().parent
NOW = datetime.datetime(2024, 7, 26, 9, 5, 3)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Wetter für eine Stadt — 天気 ☀ <b>\"now\"</b> & 'later'\n\tline two",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "München, 東京, …"},
                "days": {"type": "integer", "minimum": 0, "maximum": 18446744073709551615, "default": -3},
                "threshold": {"type": "number", "default": 0.1, "examples": [1e-07, 1e22, 2.0, -0.0, 123456789.125]},
                "units": {"type": ["string", "null"], "enum": ["c", "f", None]},
                "where": {
                    "type": "object",
                    "properties": {
                        "items": {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": False}},
                        "get": {"type": "boolean", "default": True},
                    },
                },
            },
            "required": ["city", "days"],
        },
        "strict": True,
    },
}
TIME = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}
CALLS = [
    {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2, "x": [1.5, None, {"a": "\u2028\x7f"}]}}},
    {"id": "2", "type": "function", "function": {"name": "time", "arguments": "{\"zone\": \"UTC\"}"}},
]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **rest):
    return {"role": "assistant", "content": text, **rest}


SYSTEM = {"role": "system", "content": "  You are terse.\nAnswer in German. "}
CONVERSATIONS = {
    "one question": [user("Hi")],
    "system": [SYSTEM, user("Wie geht's? \"gut\" <ok> & so")],
    "unicode": [user("漢字 \U0001f600 e\u0301 \u200b\ufeff\u00a0end"), assistant("ñ\n\n"), user("")],
    "multi-turn": [SYSTEM, user("1+1?"), assistant("2"), user("2+2?"), assistant("4"), user("3+3?")],
    "ends with the assistant": [user("a"), assistant("\n\nb\n")],
    "late system": [user("a"), {"role": "system", "content": "changed"}, user("b")],
    "two assistants": [user("a"), assistant("b"), assistant("c")],
    "thinking in content": [user("a"), assistant("<think>\nhm\nhm\n</think>\n\nanswer"), user("b"), assistant("<think>x</think>y</think>\nz")],
    "reasoning": [user("a"), assistant("b", reasoning_content="\nbecause\n"), user("c"), assistant("d", reasoning_content="so")],
    "reasoning by another name": [user("a"), assistant("b", reasoning="why"), user("c"), assistant("d", thinking="w")],
    "null reasoning": [user("a"), assistant("b", reasoning_content=None), assistant("", reasoning_content="")],
    "call": [user("weather?"), assistant("", tool_calls=CALLS[:1])],
    "call and result": [SYSTEM, user("weather?"), assistant("I look.", tool_calls=CALLS[:1]), {"role": "tool", "name": "get_weather", "content": "{\"t\": 21.5}"}],
    "two calls, two results": [user("both?"), assistant("", reasoning_content="two", tool_calls=CALLS), {"role": "tool", "content": "21"}, {"role": "tool", "content": "noon"}, assistant("21 at noon"), user("thanks")],
    "bare call": [user("q"), assistant("text", tool_calls=[CALLS[0]["function"]])],
    "empty calls": [user("q"), assistant("text", tool_calls=[])],
    "wrapped results": [user("q"), assistant("c"), user("<result>\n1\n</result>"), assistant("d")],
    "no user": [SYSTEM, assistant("hello")],
    "no messages": [],
    "parts": [user([{"type": "text", "text": "what is "}, {"type": "image", "image": "x.png"}, {"type": "hidden"}]), assistant("a cat")],
    "unknown part": [user([{"type": "audio"}])],
    "null content": [user("a"), assistant(None, tool_calls=CALLS[:1])],
    "no content": [user("a"), {"role": "assistant"}],
    "odd values": [user("a"), {"role": "note", "content": 3.0, "flag": True, "n": None, "list": ["it's", 'q"', "\n"], "d": {"k": (1 << 63)}}],
    "skipped": [user("a"), {"role": "skip", "content": "x"}, user("b"), {"role": "stop", "content": ""}, user("c")],
}  # fmt: skip
TOOLS = {"none": None, "empty": [], "both": [WEATHER, TIME]}
SWITCHES = [{}, {"enable_thinking": True}, {"enable_thinking": False}]
EXTRAS = [
    {},
    {"tools_in_user_message": False, "date_string": "1 Jan 2025"},
    {"builtin_tools": ["code_interpreter", "search", "wolfram"], "custom_tools": [TIME]},
]

# Snippets, each rendered with VARIABLES: what the language does in its corners.
VARIABLES = {
    "n": 3, "x": 1.5, "s": "ab ab", "t": "  pad\t\n", "uni": "é漢\U0001f600\u200b\u007f\u00a0", "l": [3, "b", None, 2.5, True],
    "d": {"b": 1, "a": {"items": [1], "get": 2}, "items": "shadowed"}, "none_v": None, "big": 18446744073709551615,
}  # fmt: skip
LANGUAGE = r"""
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 * 3 + 4 * 5 - 6 }}
{{ 1e22 }} {{ 1e16 }} {{ 1e15 }} {{ 123456.789 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1 / 3 }} {{ 100.0 }} {{ 5e-324 }} {{ -0.0 }} {{ 1_000 + 1 }}
{{ big }} {{ big + big }} {{ big | tojson }} {{ 9007199254740993 == 9007199254740992.0 }} {{ true + true }} {{ 1 == true == 1.0 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }}
{{ uni }}|{{ uni | length }}|{{ uni[1] }}|{{ uni[::-1] | length }}|{{ [uni] }}|{{ uni | tojson }}|{{ uni | tojson(ensure_ascii=true) }}|{{ uni[-1:] }}
{{ l[::-1] }} {{ l[1:-1] }} {{ l[-2:] }} {{ l[::2] }} {{ l[3:0:-2] }} {{ l[10:] }} {{ s[:2] }} {{ s[-2:] }} {{ s[::-2] }} {{ s[5] }} {{ l[-1] }} {{ l[9] }}
{{ d }} {{ d.a.b }} {{ d['items'] }} {{ d.items is defined }} {{ d.a['items'][0] }} {{ d.get('zz') }} {{ d.get('zz', 4) }} {{ 'b' in d }} {{ d.keys() | list }} {{ d.values() | list | length }}
{{ ["it's", 'q"', 'both\'"', "\n\t\r\\", "\x07\u2028", "é"] }} {{ () }} {{ (1,) }} {{ (1, 2) }} {{ [] }} {{ {} }} {{ none }} {{ true }}
{{ missing }}|{{ missing is defined }}|{{ missing | default('d') }}|{{ '' | default('d') }}|{{ '' | default('d', true) }}|{{ missing | length }}|{{ missing | list }}|{{ missing == other }}|{% for i in missing %}x{% else %}empty{% endfor %}
{{ none_v.x is defined }} {{ n.x is undefined }} {{ s.nothing }}|{{ 'a' if false }}|{{ ('a' if false) is defined }} {{ not missing }} {{ missing ~ 1 ~ none }}
{{ s.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b c '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ ''.split() }} {{ ''.split(',') }}
[{{ t.strip() }}] [{{ t.lstrip() }}] [{{ t.rstrip('\n\t') }}] [{{ t | trim }}] [{{ 'xxaxx'.strip('x') }}] [{{ 'xyaxy' | trim('xy') }}] [{{ '\u00a0é\u3000' | trim }}]
{{ s.replace('ab', 'é') }} {{ s.replace('a', 'b', 1) }} {{ 'ab'.replace('', '-') }} {{ s | replace('ab', 1) }} {{ s.find('b') }} {{ s.find('q') }} {{ 'éab'.find('b') }} {{ s.count('ab') }} {{ '-'.join(['a', 'b']) }}
{{ s.startswith('ab') }} {{ s.endswith(('x', 'ab')) }} {{ s.upper() }} {{ 'ÀÉ漢ж' | lower }} {{ 'àéж' | upper }} {{ 'hELLO' | capitalize }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }}
{{ l | tojson }} {{ d | tojson(sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }} {{ "<&'\"\\/\b\f" | tojson }} {{ [] | tojson(indent=2) }} {{ (1, 2) | tojson }} {{ 1.0 | tojson }} {{ none | tojson }}
{{ d | tojson(indent=2) }}{{ [[1, []], {}] | tojson(indent=1) }}{{ [1] | tojson(indent='--') }}
{{ l | select('string') | list }} {{ l | reject('none') | list }} {{ l | select | list }} {{ [{'a': 1}, {'a': 2, 'b': {'c': 5}}] | selectattr('a', 'gt', 1) | map(attribute='b.c') | list }} {{ ['a', 'b'] | map('upper') | join('+') }}
{{ [{'a': 1}, {}] | map(attribute='a', default='none') | list }} {{ [{'a': 1}, {}] | rejectattr('a') | list }} {{ [{'a': 'x'}] | join('-', attribute='a') }} {{ [[1, 2], [3]] | map('length') | list }} {{ [[1, 2]] | map(attribute=1) | list }}
{{ l | first }} {{ l | last }} {{ [] | first }} {{ 'abc' | first }} {{ 'abc' | reverse }} {{ [1, 2] | reverse | list }} {{ d | items | list }} {{ d | list }} {{ 'aé' | list }} {{ [1, 2] | join }} {{ l | join(', ') }}
{{ '12' | int }} {{ ' -3 ' | int }} {{ '2.9' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 2.9 | int }} {{ -3 | abs }} {{ x | abs }} {{ '1e2' | int }} {{ true | int }}
{{ n is number }} {{ true is number }} {{ true is integer }} {{ true is boolean }} {{ x is float }} {{ s is string }} {{ s is iterable }} {{ s is sequence }} {{ d is mapping }} {{ l is mapping }} {{ none_v is none }} {{ n is odd }} {{ 4 is divisibleby 2 }} {{ 3 is in l }} {{ n is not eq 3 }} {{ false is false }} {{ 0 is false }}
{{ 'a' in 'abc' }} {{ 'd' not in 'abc' }} {{ 3 in l }} {{ [1] + [2] }} {{ [0] * 3 }} {{ 'ab' * 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1, 2) == [1, 2] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ 'é' > 'z' }}
{% set a = 1 %}{% for i in [1, 2] %}{{ a }}{% set a = i + 10 %}{{ a }} {% endfor %}{{ a }}{% if true %}{% set a = 5 %}{% endif %}{{ a }}
{% set ns = namespace(c=0, q='z') %}{% for i in range(4) if i % 2 %}{% set ns.c = ns.c + i %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }} {% endfor %}{{ ns.c }}{{ ns.q }}{{ ns.nothing }}
{% for i in [1, 2, 3] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}{% for j in 'ab' %}{{ loop.index0 }}{{ j }}{% endfor %}{{ loop.index }};{% endfor %}{{ loop is defined }}
{% for a, b in [(1, 2), [3, 4]] %}{{ a }}-{{ b }} {% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% set p, q = 'xy' %}{{ q }}{{ p }}
{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i > 3 %}{% break %}{% endif %}{{ i }}{% else %}never{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}{{ range(3) | list }}
{% macro m(a, b='B', c=a) %}[{{ a }}{{ b }}{{ c }}{{ n }}]{% endmacro %}{{ m(1) }}{{ m(1, c=2) }}{{ m(b=3) }}{{ m('x', 'y', 'z') | lower }}{% for n in [9] %}{{ m(0) }}{% endfor %}
{% set block %}  {{ s }} {% endset %}[{{ block }}]{% set up | trim | upper %} {{ s }} {% endset %}[{{ up }}]{% raw %}{{ raw }} {% x %}{% endraw %}{# gone #}{% generation %}g{% set inner = 1 %}{% endgeneration %}{{ inner }}
{% for i in [1] %}{{ n }}{{ x }}{% endfor %}{% if true %}{% set x = 2 %}{% endif %}{% set n = 4 %}{% for i in [] %}{% else %}{% set n = 5 %}{% endfor %}{{ n }}{{ x }}
{% macro m() %}[{{ n }}{{ s }}]{% endmacro %}{{ m() }}{{ s }}{% set n = 5 %}{% set s = 6 %}{{ m() }}{% set t %}({{ t }}){% endset %}{{ t }}
{{ '<b>' | safe }}{% set h = d.a | tojson | safe if d is mapping else 1 %}{{ h }}{{ h is string }}{{ 1 if h }}
{{ 'a' 'b' "c" }}{{ "\x41\u00e9\101\q\'" }}{{ '\
' }}{{ {'a': [1, {'b': 2}]}['a'][1].b }}{{ -n | abs }}{{ 'x' ~ 1 + 1 ~ 'y' if false else 'ok' }}{{ l.0 }}{{ dict(a=1, b='c') }}{{ strftime_now('%Y-%m-%d %H:%M:%S %a %A %b %B %d %I %p %y %%') }}
  a  {%- if true %}  b  {%- endif -%}   c   {{- 'd' -}}   e  {% if true +%}
 f {%+ endif %}
    {% if true %}
  g
    {% endif %}
    {#- comment -#}   h
   {# lstrip #}
{{ 'i' }}
 j
"""


def language():
    """The snippets by line; the last one has several."""
    lines = LANGUAGE.strip("\n").split("\n")
    split = next(i for i, line in enumerate(lines) if line.startswith("{{ 'a' 'b'"))
    sources = lines[:split] + ["\n".join(lines[split : split + 2]), "\n".join(lines[split + 2 :]) + "\n"]
    out = []
    for source in sources:
        texts, _ = chat_template_utils.render_jinja_template([[]], chat_template=source, **copy.deepcopy(VARIABLES))
        out.append({"source": source, "text": texts[0]})
    return out


def cases():
    """Every conversation with and without a prompt and with all tools; switches and variables in turn."""
    count = 0
    for conversation in CONVERSATIONS:
        for prompt in (False, True):
            for tools in TOOLS:
                options = {"add_generation_prompt": prompt, **SWITCHES[count % 3], **EXTRAS[count // 3 % 3]}
                count += 1
                yield {"conversation": conversation, "tools": tools, "options": options}


def render(template, case):
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [copy.deepcopy(CONVERSATIONS[case["conversation"]])], tools=copy.deepcopy(TOOLS[case["tools"]]),
            chat_template=template, bos_token="<|bos|>", **copy.deepcopy(case["options"]))  # fmt: skip
        return {**case, "text": texts[0]}
    except Exception as error:  # the template refuses the conversation; so must we
        return {**case, "error": type(error).__name__}


def write(path, templates):
    golden = {"conversations": CONVERSATIONS, "tools": TOOLS, "templates": []}
    for name, text in templates.items():
        rendered = [render(text, case) for case in cases()]
        golden["templates"].append({"name": name, "source": text, "cases": rendered})
        print(name, len(rendered), "cases,", sum("error" in case for case in rendered), "refused")
    golden["variables"], golden["language"] = VARIABLES, language()
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def main():
    if len(sys.argv) == 3:
        source = pathlib.Path(sys.argv[1])
        write(pathlib.Path(sys.argv[2]), {source.name: source.read_text(encoding="utf-8")})
    else:
        sources = sorted((HERE / "chat_templates").glob("*.jinja"))
        write(HERE / "chat_golden.json", {path.name: path.read_text(encoding="utf-8") for path in sources})


if __name__ == "__main__":
    main()
