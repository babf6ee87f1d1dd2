"""The official Python client against the server, over an engine that repeats the last message.

Skipped where the client is not installed (pip install openai); SINTER_OPENAI_PATH may name a folder
that has it.
"""

import json
import os
import sys
import unittest

sys.path.append(os.environ.get("SINTER_OPENAI_PATH", ""))
try:
    import openai
except ImportError:
    openai = None

import servers

TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}},
                   "required": ["city"], "additionalProperties": False}}}]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


@unittest.skipUnless(openai, "the openai client is not installed")
class OpenAi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = servers.FakeServer("--key", "secret")
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="secret", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.close()

    def chat(self, text="Hello", **options):
        return self.client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": text}], **options)

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], ["fake"])
        self.assertEqual(self.client.models.retrieve("fake").owned_by, "sinter")

    def test_chat(self):
        answer = self.chat("Hello é 😀")
        self.assertEqual(answer.choices[0].message.content, "Hello é 😀")
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertEqual(answer.usage.prompt_tokens_details.cached_tokens, 0)

    def test_a_conversation_with_its_own_answers(self):
        answer = self.chat("one")
        messages = [{"role": "developer", "content": "x"}, {"role": "user", "content": "one"},
                    answer.choices[0].message,
                    {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "text", "text": "wo"}]}]
        again = self.client.chat.completions.create(model="fake", messages=messages)
        self.assertEqual(again.choices[0].message.content, "two")

    def test_streaming(self):
        chunks = list(self.chat("Hello 😀", stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), "Hello 😀")
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices][-1], "stop")
        self.assertEqual(chunks[-1].usage.completion_tokens, 10)
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))

    def test_stop(self):
        for stop in ("lo W", ["xyz", "lo W"]):
            answer = self.chat("Hello World", stop=stop)
            self.assertEqual(answer.choices[0].message.content, "Hel")
            self.assertEqual(answer.choices[0].finish_reason, "stop")
        text = "".join(c.choices[0].delta.content or "" for c in self.chat("Hello World", stop="lo W", stream=True))
        self.assertEqual(text, "Hel")

    def test_lengths(self):
        for name in ("max_tokens", "max_completion_tokens"):
            answer = self.chat("Hello", **{name: 2})
            self.assertEqual(answer.choices[0].message.content, "He")
            self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_n(self):
        answer = self.chat("ab", n=3)
        self.assertEqual([c.index for c in answer.choices], [0, 1, 2])
        self.assertEqual([c.message.content for c in answer.choices], ["ab"] * 3)
        texts = ["", "", ""]
        for chunk in self.chat("ab", n=3, stream=True):
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        self.assertEqual(texts, ["ab"] * 3)

    def test_logprobs(self):
        answer = self.chat("ab", logprobs=True, top_logprobs=2)
        content = answer.choices[0].logprobs.content
        self.assertEqual([t.token for t in content], ["a", "b"])
        self.assertEqual(content[0].top_logprobs[1].token, "b")
        streamed = [t for c in self.chat("ab", logprobs=True, stream=True) if c.choices[0].logprobs
                    for t in c.choices[0].logprobs.content]
        self.assertEqual([t.token for t in streamed], ["a", "b"])

    def test_sampling_fields(self):
        answer = self.chat("a", seed=7, temperature=0.3, top_p=0.8, presence_penalty=0.1, frequency_penalty=0.1,
                           logit_bias={"65": -5}, user="me", metadata={"a": "b"}, store=False,
                           extra_body={"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.1, "stop_token_ids": [7]})
        self.assertEqual(answer.choices[0].message.content, "a")

    def test_reasoning(self):
        message = self.chat("<think>\nhm\n</think>\n\nYes").choices[0].message
        self.assertEqual(message.reasoning_content, "hm")
        self.assertEqual(message.content, "Yes")

    def test_tools(self):
        answer = self.chat("Well.\n" + CALL, tools=TOOLS)
        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        self.assertEqual(answer.choices[0].message.content, "Well.")
        self.assertEqual((call.type, call.function.name), ("function", "weather"))
        self.assertEqual(json.loads(call.function.arguments), {"city": "Rome"})
        messages = [{"role": "user", "content": "?"}, answer.choices[0].message,
                    {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        self.client.chat.completions.create(model="fake", messages=messages, tools=TOOLS)

    def test_tools_streamed(self):
        two = CALL + CALL.replace("Rome", "Oslo")
        calls, deltas = [], 0
        for chunk in self.chat(two, tools=TOOLS, stream=True):
            for call in chunk.choices[0].delta.tool_calls or []:
                deltas += 1
                if call.id:
                    self.assertEqual((call.index, call.type, call.function.arguments), (len(calls), "function", ""))
                    calls.append([call.function.name, ""])
                calls[call.index][1] += call.function.arguments
            finish = chunk.choices[0].finish_reason
        self.assertEqual(calls, [["weather", '{"city": "Rome"}'], ["weather", '{"city": "Oslo"}']])
        self.assertEqual(finish, "tool_calls")
        self.assertGreater(deltas, 10)
        whole = self.chat(two, tools=TOOLS).choices[0].message.tool_calls
        self.assertEqual([[call.function.name, call.function.arguments] for call in whole], calls)
        with self.client.chat.completions.stream(model="fake", messages=[{"role": "user", "content": two}],
                                                 tools=TOOLS) as stream:
            put_together = stream.get_final_completion().choices[0].message.tool_calls
        self.assertEqual([call.function.arguments for call in put_together], [call[1] for call in calls])

    def test_a_tool_call_that_is_cut_off(self):
        for limit, arguments in ((9, None), (len(CALL) - 29, '{"city": "R')):
            choice = self.chat(CALL, tools=TOOLS, max_tokens=limit).choices[0]
            self.assertEqual((choice.finish_reason, choice.message.content or ""), ("length", ""))
            calls = choice.message.tool_calls or []
            self.assertEqual([call.function.arguments for call in calls], [arguments] if arguments else [])

    def test_tools_that_must_be_called(self):
        off = {"chat_template_kwargs": {"enable_thinking": False}}
        for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            answer = self.chat(CALL, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False, extra_body=off)
            call = answer.choices[0].message.tool_calls[0]
            self.assertEqual(json.loads(call.function.arguments), {"city": "Rome"})
        answer = self.chat(CALL, tools=TOOLS, tool_choice="none")
        self.assertEqual(answer.choices[0].message.content, CALL)
        self.assertIsNone(answer.choices[0].message.tool_calls)

    def test_response_format(self):
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        answer = self.chat('{"a": 12}', response_format={
            "type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}})
        self.assertEqual(json.loads(answer.choices[0].message.content), {"a": 12})
        answer = self.chat('{"b": [1]}', response_format={"type": "json_object"})
        self.assertEqual(json.loads(answer.choices[0].message.content), {"b": [1]})

    def test_completions(self):
        answer = self.client.completions.create(model="fake", prompt="abc", max_tokens=2, logprobs=1)
        self.assertEqual(answer.choices[0].text, "ab")
        self.assertEqual(answer.choices[0].logprobs.tokens, ["a", "b"])
        self.assertEqual(answer.choices[0].finish_reason, "length")
        stream = self.client.completions.create(model="fake", prompt="abc", stream=True)
        self.assertEqual("".join(c.choices[0].text for c in stream), "abc")

    def test_errors(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat("x", temperature=9)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat("x", extra_body={"unheard_of": 1})
        self.assertEqual((caught.exception.param, caught.exception.code), ("unheard_of", "unsupported_parameter"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat("x" * 5000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
        with openai.OpenAI(base_url=self.server.url + "/v1", api_key="wrong", max_retries=0) as stranger:
            with self.assertRaises(openai.AuthenticationError):
                stranger.models.list()


if __name__ == "__main__":
    servers.main()
