//===- GrammarTest.cpp - schemas to what may be written -------------------===//
#include "runtime/server/AnswerGrammar.h"
#include "runtime/server/GrammarConstraint.h"
#include "runtime/server/SchemaGrammar.h"

#include "test/runtime/server/SmallTokenizer.h"

#include <chrono>
#include <gtest/gtest.h>
#include <random>

using namespace sinter;
using namespace sinter::test;

namespace {

struct Compiled {
  std::shared_ptr<GrammarMatcher> matcher;
  FirstError error;
};

std::shared_ptr<const TokenTrie> smallTrie() {
  static const auto trie = std::make_shared<const TokenTrie>(smallTokenizer());
  return trie;
}

Compiled compile(const std::string &schema) {
  Compiled out;
  auto grammar = std::make_shared<Grammar>();
  SchemaGrammar schemas(*grammar, out.error);
  grammar->start = schemas.rule(OrderedJson::parse(schema), "s");
  if (!out.error)
    out.matcher =
        std::make_shared<GrammarMatcher>(grammar, smallTrie(), size_t(kSmallVocab + 31) / 32);
  return out;
}

bool matches(GrammarMatcher &matcher, const std::string &text) {
  GrammarMatcher::StateId state = matcher.start();
  for (const char c : text)
    if ((state = matcher.next(state, uint8_t(c))) == GrammarMatcher::kDead)
      return false;
  return matcher.accepts(state);
}

void check(const std::string &schema, const std::vector<std::string> &good,
           const std::vector<std::string> &bad) {
  const Compiled compiled = compile(schema);
  ASSERT_FALSE(compiled.error) << schema << ": " << compiled.error->message;
  for (const std::string &text : good)
    EXPECT_TRUE(matches(*compiled.matcher, text)) << schema << " refuses " << text;
  for (const std::string &text : bad)
    EXPECT_FALSE(matches(*compiled.matcher, text)) << schema << " lets through " << text;
}

TEST(Grammar, Scalars) {
  check(R"({"type": "integer"})", {"0", "-7", "123456789012345678"},
        {"", "01", "1.0", "1e3", "1234567890123456789", "+1", " 1", "1 "});
  check(R"({"type": "number"})", {"0", "-0.5", "1e9", "2.25E-10"},
        {".5", "1.", "1e", "1e999", "NaN", "Infinity"});
  check(R"({"type": "boolean"})", {"true", "false"}, {"True", "0", "nul"});
  check(R"({"type": "null"})", {"null"}, {"nil"});
  check(R"({"type": ["string", "null"]})", {"null", "\"a\""}, {"1"});
  check(R"({"const": {"a": [1, "b"]}})", {R"({"a":[1,"b"]})"}, {"{}"});
  check(R"({"enum": ["red", 3, null]})", {"\"red\"", "3", "null"}, {"\"re\"", "33"});
  check(R"({"type": "string", "enum": ["red", 3]})", {"\"red\""}, {"3"});
}

// A function that is named is called once; of calls that are only required there may be more.
TEST(Grammar, CallsOfTools) {
  ChatRequest chat;
  chat.tools = OrderedJson::parse(R"([{"type": "function", "function": {"name": "g"}},
                                      {"type": "function", "function": {"name": "h"}}])");
  const auto call = [](const char *name) {
    return "<tool_call>\n{\"name\": \"" + std::string(name) +
           "\", \"arguments\": {}}\n</tool_call>";
  };
  const auto letsThrough = [&](const std::string &text) {
    FirstError error;
    const auto grammar = answerGrammar(chat, Reasoning::None, error);
    EXPECT_TRUE(grammar && !error);
    GrammarMatcher matcher(grammar, smallTrie(), size_t(kSmallVocab + 31) / 32);
    return matches(matcher, text);
  };
  chat.toolChoice = {ToolChoice::Kind::Required, ""};
  EXPECT_TRUE(letsThrough(call("g")) && letsThrough(call("g") + "\n" + call("h")));
  chat.parallelToolCalls = false;
  EXPECT_TRUE(letsThrough(call("h")));
  EXPECT_FALSE(letsThrough(call("g") + "\n" + call("h")));
  chat.parallelToolCalls = true;
  chat.toolChoice = {ToolChoice::Kind::Named, "g"};
  EXPECT_TRUE(letsThrough(call("g")));
  EXPECT_FALSE(letsThrough(call("h")));
  EXPECT_FALSE(letsThrough(call("g") + "\n" + call("g")));
}

TEST(Grammar, Strings) {
  check(R"({"type": "string"})",
        {R"("")", R"("a b")", "\"\xc3\xa9\xf0\x9f\x98\x80\"", R"("\n\u00e9\"\\")",
         R"("\ud83d\ude00")"},
        {"\"", "\"a", "\"a\"b\"", "\"\xc3\"", "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"",
         "\"\n\"", R"("\x")", R"("\ud83d")", R"("\ude00")", R"("\u12")"});
  check(R"({"type": "string", "minLength": 2, "maxLength": 3})",
        {R"("ab")", R"("abc")", "\"\xc3\xa9\xf0\x9f\x98\x80\"", R"("\n\u00e9\ud83d\ude00")"},
        {R"("a")", R"("abcd")", R"("")"});
  check(R"({"type": "string", "minLength": 1})", {R"("a")", R"("abcdefgh")"}, {R"("")"});
}

TEST(Grammar, Arrays) {
  check(R"({"type": "array", "items": {"type": "integer"}})",
        {"[]", "[1]", "[1,2]", "[ 1, 2 ]", "[\n  1,\n  2\n]"},
        {"[1,]", "[,1]", "[1 2]", "[\"a\"]"});
  check(R"({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2})", {"[1]", "[1,2]"},
        {"[]", "[1,2,3]"});
  check(R"({"items": {"type": "integer"}, "minItems": 2})", {"[1,2]", "[1,2,3,4]"}, {"[1]", "[]"});
  check(R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"});
  check(R"({"type": "array"})", {R"([1,"a",{"b":[]},null])"}, {"{}"});
}

TEST(Grammar, Objects) {
  const std::string schema = R"({"type": "object", "properties": {"name": {"type": "string"},
    "age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["name", "tags"]})";
  check(schema,
        {R"({"name":"a","tags":[]})", R"({"name": "a", "age": 3, "tags": ["x"]})",
         "{\n  \"name\": \"a\",\n  \"tags\": []\n}"},
        {R"({"name":"a"})", R"({"age":3,"name":"a","tags":[]})", R"({"name":1,"tags":[]})", "{}",
         R"({"name":"a","tags":[],"more":1})", R"({,"name":"a","tags":[]})",
         R"({"name":"a","tags":[],})"});
  check(R"({"properties": {"a": {"type": "null"}, "b": {"type": "null"}}})",
        {"{}", R"({"a":null})", R"({"b":null})", R"({"a":null,"b":null})"},
        {R"({"b":null,"a":null})", R"({"a":null,"a":null})"});
  check(R"({"type": "object"})", {"{}", R"({"x":{"y":[1]},"z":"\u0041"})"}, {"[]", "{\"a\"}"});
  check(R"({"type": "object", "additionalProperties": false})", {"{}"}, {R"({"a":1})"});
}

TEST(Grammar, AdditionalProperties) {
  const std::string schema = R"({"properties": {"ab": {"type": "null"}},
                                 "additionalProperties": {"type": "integer"}})";
  check(schema,
        {"{}", R"({"ab":null})", R"({"a":1})", R"({"abc":1,"b":2})", R"({"ab":null,"x":1,"y":2})"},
        {R"({"ab":1})", R"({"x":1,"ab":null})", R"({"x":"s"})", R"({"\u0061b":1})"});
}

TEST(Grammar, AlternativesAndReferences) {
  check(R"({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#"}}]})",
        {"1", "[1,[2,[]]]"}, {"\"a\"", "[\"a\"]"});
  check(R"({"$defs": {"n": {"properties": {"v": {"type": "integer"}, "next": {"anyOf": [
           {"$ref": "#/$defs/n"}, {"type": "null"}]}}, "required": ["v", "next"]}},
           "$ref": "#/$defs/n"})",
        {R"({"v":1,"next":{"v":2,"next":null}})"}, {R"({"v":1})"});
  check(R"({"oneOf": [{"const": "a"}, {"const": "b"}]})", {"\"a\"", "\"b\""}, {"\"c\""});
}

TEST(Grammar, ErrorsNameTheKeyword) {
  const std::pair<const char *, const char *> cases[] = {
      {R"({"type": "string", "pattern": "a+"})", "s.pattern"},
      {R"({"properties": {"x": {"type": "integer", "minimum": 3}}})", "s.properties.x.minimum"},
      {R"({"type": "array", "items": {"uniqueItems": true}})", "s.items.uniqueItems"},
      {R"({"anyOf": [{"type": "string"}, {"format": "date"}]})", "s.anyOf[1].format"},
      {R"({"allOf": []})", "s.allOf"},
      {R"({"anyOf": [{}], "type": "string"})", "s.type"},
      {R"({"anyOf": []})", "s.anyOf"},
      {R"({"type": "text"})", "s.type"},
      {R"({"type": []})", "s.type"},
      {R"(false)", "s"},
      {R"({"required": ["a"]})", "s.required"},
      {R"({"required": 1})", "s.required"},
      {R"({"properties": []})", "s.properties"},
      {R"({"minItems": -1})", "s.minItems"},
      {R"({"minItems": 3, "maxItems": 2})", "s.maxItems"},
      {R"({"maxLength": 1e9})", "s.maxLength"},
      {R"({"enum": []})", "s.enum"},
      {R"({"enum": 3})", "s.enum"},
      {R"({"$ref": "#"})", "s.$ref"},
      {R"({"$ref": 3})", "s.$ref"},
      {R"({"$ref": "http://x"})", "s.$ref"},
      {R"({"$ref": "#/~x"})", "s.$ref"},
      {R"({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}},
           "$ref": "#/$defs/a"})",
       "s.$ref.anyOf[0].$ref.$ref"},
  };
  for (const auto &[schema, param] : cases) {
    const Compiled compiled = compile(schema);
    ASSERT_TRUE(compiled.error) << schema;
    EXPECT_EQ(compiled.error->param, param) << schema << ": " << compiled.error->message;
  }
}

TEST(Grammar, LargeSchemasAreRefused) {
  OrderedJson schema = {{"enum", OrderedJson::array()}};
  for (int i = 0; i < 1000; ++i)
    schema["enum"].push_back(std::string(1000, char('a' + i % 26)));
  EXPECT_TRUE(compile(schema.dump()).error);
}

/// Random answers, token by token, are valid JSON of the right shape.
TEST(Grammar, RandomAnswersAreValid) {
  const char *schemas[] = {
      R"({"type": "object"})",
      R"({"type": "object", "properties": {"a": {"type": "string", "maxLength": 4},
          "b": {"type": "number"}, "c": {"type": "array", "maxItems": 3}}, "required": ["a"],
          "additionalProperties": {"type": "integer"}})"};
  const Tokenizer tokenizer = smallTokenizer();
  std::mt19937 random(11);
  int finished = 0;
  for (int i = 0; i < 60; ++i) {
    const Compiled compiled = compile(schemas[i % 2]);
    GrammarConstraint constraint(compiled.matcher, tokenizer, {kEndToken});
    std::vector<uint32_t> mask(size_t(kSmallVocab + 31) / 32);
    std::string text;
    for (int step = 0; step < 1500; ++step) {
      const Status status = constraint.allowed(mask);
      ASSERT_TRUE(status) << status.message() << " after " << text;
      std::vector<int32_t> ids, closing;
      for (int32_t id = 0; id < kSmallVocab; ++id)
        if (mask[size_t(id) / 32] >> (id % 32) & 1) {
          ids.push_back(id);
          if (id == kEndToken || id == '"' || id == ']' || id == '}')
            closing.push_back(id);
        }
      ASSERT_FALSE(ids.empty());
      // Random walks open more than they close.
      const auto &from = !closing.empty() && random() % 3 ? closing : ids;
      const int32_t id = from[random() % from.size()];
      constraint.accept(id);
      if (id == kEndToken)
        break;
      text += tokenizer.tokenBytes(id);
    }
    OrderedJson value = OrderedJson::parse(text, nullptr, false);
    if (value.is_discarded())
      continue; // cut off
    ++finished;
    EXPECT_TRUE(value.is_object()) << text;
    if (i % 2)
      EXPECT_TRUE(value["a"].is_string()) << text;
  }
  EXPECT_GT(finished, 40);
}

TEST(Grammar, ClonesGoTheirOwnWay) {
  const Compiled compiled = compile(R"({"enum": ["ab", "ac"]})");
  GrammarConstraint first(compiled.matcher, smallTokenizer(), {kEndToken});
  for (const char c : std::string("\"a"))
    first.accept(c);
  const auto second = first.clone();
  first.accept('b');
  std::vector<uint32_t> mask(size_t(kSmallVocab + 31) / 32);
  ASSERT_TRUE(second->allowed(mask));
  EXPECT_TRUE(mask['c' / 32] >> ('c' % 32) & 1);
  ASSERT_TRUE(first.allowed(mask));
  EXPECT_FALSE(mask['c' / 32] >> ('c' % 32) & 1);
  EXPECT_TRUE(mask['"' / 32] >> ('"' % 32) & 1);
  first.accept('x');
  EXPECT_EQ(first.allowed(mask).code(), StatusCode::Internal);
}

TEST(Grammar, OnlyTheEndFollowsAWholeAnswer) {
  const Compiled compiled = compile(R"({"const": 1})");
  GrammarConstraint constraint(compiled.matcher, smallTokenizer(), {kEndToken});
  constraint.accept('1');
  std::vector<uint32_t> mask(size_t(kSmallVocab + 31) / 32);
  ASSERT_TRUE(constraint.allowed(mask));
  for (int32_t id = 0; id < kSmallVocab; ++id)
    EXPECT_EQ(mask[size_t(id) / 32] >> (id % 32) & 1, id == kEndToken ? 1u : 0u) << id;
}

TEST(Grammar, FreeTextUpToAMark) {
  auto grammar = std::make_shared<Grammar>();
  grammar->start = grammar->add();
  grammar->until(grammar->start, "</t>", grammar->addEnd());
  GrammarMatcher matcher(grammar, smallTrie(), 9);
  EXPECT_TRUE(matches(matcher, "a<</t>"));
  EXPECT_TRUE(matches(matcher, "</t</t>"));
  EXPECT_FALSE(matches(matcher, "</t>x"));
  EXPECT_FALSE(matches(matcher, "</t"));
}

} // namespace
