//===- ChatTemplateErrorsTest.cpp - one line for everything refused -------===//
#include <gtest/gtest.h>

#include "runtime/text/ChatTemplate.h"

using namespace sinter;
using Json = nlohmann::ordered_json;

namespace {

struct Case {
  const char *source;
  const char *message; ///< behind "chat template, line "
};

Status statusOf(const std::string &source, const ChatRenderOptions &options = {}) {
  auto chat = ChatTemplate::parse(source);
  if (!chat)
    return chat.status();
  return chat->render(Json::array(), nullptr, options).status();
}

void expectErrors(StatusCode code, std::initializer_list<Case> cases, bool atParse = true) {
  for (const Case &c : cases) {
    EXPECT_EQ(!ChatTemplate::parse(c.source), atParse) << c.source;
    const Status status = statusOf(c.source);
    EXPECT_EQ(status.message(), std::string("chat template, line ") + c.message) << c.source;
    EXPECT_EQ(status.code(), code) << c.source;
  }
}

TEST(ChatTemplateErrors, MalformedTemplates) {
  expectErrors(StatusCode::InvalidInput,
               {{"a\n{# b", "2: a comment is not closed"},
                {"{% raw %}{% endrow %}", "1: \"raw\" is not closed"},
                {"{{ a\n", "1: a tag is not closed by \"}}\""},
                {"{% if a\n\n", "1: a tag is not closed by \"%}\""},
                {"\n\n{{ 'abc }}", "3: a string is not closed"},
                {"{{ '\\x4' }}", "1: a string has a malformed escape sequence"},
                {"{{ 01 }}", "1: a number is malformed"},
                {"{{ 1x }}", "1: a number is malformed"},
                {"{{ a ? b }}", "1: unexpected character \"?\""},
                {"{{ a \x01 }}", "1: unexpected control character"},
                {"\n{{ (a] }}", "2: unexpected \"]\" in the tag opened on line 2"},
                {"{{ }}", "1: expected an expression, got \"}}\""},
                {"{{ a b }}", "1: expected \"}}\", got \"b\""},
                {"{{ a. }}", "1: expected an attribute, got \"}}\""},
                {"{{ [1, 2 }}", "1: unexpected \"}\" in the tag opened on line 1"},
                {"{{ a[1:2:3:4] }}", "1: expected \"]\", got \"4\""},
                {"{{ {1} }}", "1: expected \":\", got \"}\""},
                {"{{ in }}", "1: unexpected \"in\""},
                {"{{ a | }}", "1: expected a filter, got \"}}\""},
                {"{{ a is }}", "1: expected a test, got \"}}\""},
                {"{{ a is none is none }}", "1: tests cannot be chained with \"is\""},
                {"{{ a | replace('b') }}", "1: the filter \"replace\" needs at least 2 arguments"},
                {"{{ a | map }}", "1: the filter \"map\" needs at least 1 argument"},
                {"{{ a | select('eq') }}",
                 "1: the test \"eq\" in the filter \"select\" has the wrong number of arguments"},
                {"{{ a | default(1, default_value=2) }}",
                 "1: the filter \"default\" is given the argument \"default_value\" twice"},
                {"{{ f(a=1, a=2) }}", "1: the argument \"a\" is given twice"},
                {"{{ f(a=1, 2) }}", "1: a positional argument follows a named one"},
                {"{% %}", "1: expected a statement, got \"%}\""},
                {"{% if a %}b", "1: \"if\" is not closed"},
                {"{% if a %}b{% else %}c", "1: \"if\" is not closed"},
                {"{% for a in b %}", "1: \"for\" is not closed"},
                {"{% for a in b %}{% else %}", "1: \"for\" is not closed"},
                {"{% macro m() %}", "1: \"macro\" is not closed"},
                {"{% set a %}", "1: \"set\" is not closed"},
                {"{% for a of b %}", "1: expected \"in\", got \"of\""},
                {"a{% endif %}", "1: unexpected \"endif\""},
                {"{% if a %}{% endfor %}", "1: unexpected \"endfor\""},
                {"{% if a b %}", "1: expected \"%}\", got \"b\""},
                {"{% break %}", "1: \"break\" outside a loop"},
                {"{% set none = 1 %}", "1: cannot assign to \"none\""},
                {"{% set 1 = 1 %}", "1: expected a name to assign to, got \"1\""},
                {"{% set a.b %}", "1: expected \"=\", got \"%}\""},
                {"{% macro m(a, a) %}{% endmacro %}", "1: the parameter \"a\" is there twice"},
                {"{% macro m(a=1, b) %}{% endmacro %}",
                 "1: a parameter without a default follows one that has it"}});
}

TEST(ChatTemplateErrors, UnsupportedConstructs) {
  expectErrors(
      StatusCode::Unsupported,
      {{"\n{% include 'x' %}", "2: the statement \"include\" is not supported"},
       {"{% do x %}", "1: the statement \"do\" is not supported"},
       {"{% for a in b recursive %}{% endfor %}", "1: a recursive loop is not supported"},
       {"{% for a in b %}{% macro m() %}{% endmacro %}{% endfor %}",
        "1: a macro inside a loop or macro is not supported"},
       {"{% for (a, (b, c)) in d %}{% endfor %}", "1: nested unpacking is not supported"},
       {"{% set a, b.c = 1, 2 %}", "1: unpacking into attributes is not supported"},
       {"{% set ns._a = 1 %}", "1: the attribute \"_a\" is not supported"},
       {"{% macro range() %}{% endmacro %}",
        "1: a macro with the name of the function \"range\" is not supported"},
       {"a\n{{ b | pprint }}", "2: the filter \"pprint\" is not supported"},
       {"{{ a | map('pprint') }}",
        "1: the filter \"pprint\" in the filter \"map\" is not supported"},
       {"{{ a | map(b) }}", "1: the filter \"map\" with a computed filter is not supported"},
       {"{{ a | map('replace', 1, 2) }}",
        "1: the filter \"map\" with arguments for the filter it applies is not supported"},
       {"{{ a | select('x') }}", "1: the test \"x\" in the filter \"select\" is not supported"},
       {"{{ a | trim(1, 2) }}",
        "1: the filter \"trim\" with more than 1 argument is not supported"},
       {"{{ a | tojson(cls=1) }}",
        "1: the filter \"tojson\" with the argument \"cls\" is not supported"},
       {"{{ a is sameas b }}", "1: the test \"sameas\" is not supported"},
       {"{{ lipsum() }}", "1: the function \"lipsum\" is not supported"},
       {"{{ a.append(1) }}", "1: the method \"append\" is not supported"},
       {"{{ a.format(1) }}", "1: the method \"format\" is not supported"},
       {"{{ a[0](1) }}",
        "1: calling anything but a function, macro or method by its name is not supported"},
       {"{{ (a | list)(1) }}",
        "1: calling anything but a function, macro or method by its name is not supported"},
       {"{{ a | list() () }}", "1: calling the result of a filter or test is not supported"},
       {"{{ f(*a) }}", "1: unpacking arguments with \"*\" is not supported"},
       {"{{ namespace(a) }}",
        "1: the function \"namespace\" with arguments that have no name is not supported"},
       {"{{ a.__class__ }}", "1: the attribute \"__class__\" is not supported"},
       {"{{ a['__class__'] }}", "1: the attribute \"__class__\" is not supported"},
       {"{{ a[1, 2] }}", "1: a subscript with a comma is not supported"},
       {"{{ '\\N{DASH}' }}", "1: the escape sequence \\N in a string is not supported"},
       {"{{ 99999999999999999999 }}", "1: the number 99999999999999999999 is not supported"},
       {"{{ 1e999 }}", "1: the number 1e999 is not supported"}});
}

TEST(ChatTemplateErrors, RenderingFailures) {
  expectErrors(
      StatusCode::InvalidArgument,
      {{"a\n{{ b.c }}", "2: \"b\" is undefined"},
       {"{{ messages[0].role }}", "1: item 0 is undefined"},
       {"{{ none.a.b }}", "1: \"a\" of None is undefined"},
       {"{{ {}.a.b }}", "1: \"a\" of dict is undefined"},
       {"{{ a + 1 }}", "1: \"a\" is undefined"},
       {"{{ a < 1 }}", "1: \"a\" is undefined"},
       {"{{ -a }}", "1: \"a\" is undefined"},
       {"{{ a.strip() }}", "1: \"a\" is undefined"},
       {"{{ a[1:] }}", "1: \"a\" is undefined"},
       {"{{ a | int }}", "1: \"a\" is undefined"},
       {"{{ range(a) }}", "1: \"a\" is undefined"},
       {"{{ 'a' + 1 }}", "1: cannot compute str + int"},
       {"{{ none + 'a' }}", "1: cannot compute None + str"},
       {"{{ [] - [] }}", "1: cannot compute list - list"},
       {"{{ 1 // 0 }}", "1: division by zero"},
       {"{{ 0 ** -1 }}", "1: division by zero"},
       {"{{ 1 < 'a' }}", "1: cannot order int and str"},
       {"{{ -'a' }}", "1: cannot negate str"},
       {"{{ 1 in 'a' }}", "1: \"in\" a str needs a str, not int"},
       {"{{ [] in {} }}", "1: a list cannot be a key of a dict"},
       {"{{ [] * 2 ** 64 }}", "1: cannot repeat a value more than 2^63 times"},
       {"{{ 1 in 1 }}", "1: cannot iterate over int"},
       {"{% for a in 1 %}{% endfor %}", "1: cannot iterate over int"},
       {"{% set a, b = [1] %}", "1: cannot unpack 1 values into 2 names"},
       {"{% set a.b = 1 %}", "1: cannot set an attribute of \"a\", which is no namespace"},
       {"{{ none | length }}", "1: None has no length"},
       {"{{ [] | map('upper') | length }}", "1: generator has no length"},
       {"{{ 'a'[::0] }}", "1: a slice has step zero"},
       {"{{ none[1:] }}", "1: cannot slice None"},
       {"{{ 'a'['b':] }}", "1: slice: expected an int, got str"},
       {"{{ a | tojson }}", "1: tojson: a value of type undefined is not JSON"},
       {"{{ 1 | tojson(separators=1) }}", "1: tojson: separators must be two strings"},
       {"{{ 1 | tojson(separators=[1, 2]) }}", "1: tojson: separators: expected a str, got int"},
       {"{{ 1 | tojson(indent=[]) }}", "1: tojson: indent: expected an int, got list"},
       {"{{ 1 | items }}", "1: items: expected a dict, got int"},
       {"{{ 'a' | abs }}", "1: abs: expected a number, got str"},
       {"{{ [] | select | last }}",
        "1: last: the result of a filter such as map cannot be read backwards"},
       {"{{ 'a' | trim(1) }}", "1: trim: expected a str, got int"},
       {"{{ 'a'.strip(1) }}", "1: strip: expected a str, got int"},
       {"{{ 'a'.split('') }}", "1: split: the separator is empty"},
       {"{{ 'a'.startswith(1) }}", "1: startswith: expected a str, got int"},
       {"{{ 'a'.endswith(1) }}", "1: endswith: expected a str, got int"},
       {"{{ ','.join([1]) }}", "1: join: expected a str, got int"},
       {"{{ 1.0.strip() if false else 1 .strip() }}", "1: a int has no method \"strip\""},
       {"{{ {}.split() }}", "1: a dict has no method \"split\""},
       {"{{ [].index(1) }}", "1: index: the value is not in the list"},
       {"{{ range(1, 2, 0) }}", "1: range: the step is zero"},
       {"{{ range(100001) }}", "1: range: more than 100000 numbers"},
       {"{{ range('a') }}", "1: range: expected an int, got str"},
       {"{{ strftime_now(1) }}", "1: strftime_now: expected a str, got int"},
       {"{{ m() }}{% macro m() %}{% endmacro %}", "1: \"m\" is undefined"},
       {"{% macro m() %}{% endmacro %}{% set m = 1 %}{{ m() }}", "1: \"m\" is no macro"},
       {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "1: the macro \"m\" takes 1 arguments"},
       {"{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "1: the macro \"m\" takes no argument \"b\""},
       {"{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}",
        "1: the macro \"m\" takes no argument \"a\" twice"},
       {"a\n\n{{ raise_exception('roles\nmust alternate') }}",
        "3: the template refuses the conversation: \"roles\\x0amust alternate\""}},
      false);
}

TEST(ChatTemplateErrors, UnsupportedWhileRendering) {
  expectErrors(
      StatusCode::Unsupported,
      {{"{{ messages.append }}", "1: list.append is not supported"},
       {"{{ {}.update }}", "1: dict.update is not supported"},
       {"{{ {}.items }}", "1: printing a method is not supported"},
       {"{{ range(2) }}", "1: printing a range is not supported"},
       {"{{ [] | map('upper') }}", "1: printing a generator is not supported"},
       {"{{ {}.keys() }}", "1: printing a view is not supported"},
       {"{{ namespace() }}", "1: printing a namespace is not supported"},
       {"{{ ('a' | safe) ~ 'b' }}",
        "1: using the result of the filter \"safe\" other than printing it is not supported"},
       {"{{ [namespace()] }}", "1: a namespace inside a list, dict or namespace is not supported"},
       {"{% set n = namespace() %}{% set n.n = n %}",
        "1: a namespace inside a list, dict or namespace is not supported"},
       {"{{ namespace(_a=1) }}", "1: the attribute \"_a\" of a namespace is not supported"},
       {"{{ {1: 2} }}", "1: a dict key of type int is not supported"},
       {"{% set g = [1] | select %}{% for a in g %}{% endfor %}{% for a in g %}{% endfor %}",
        "1: using the result of a filter such as map or select twice (add \"| list\") is not "
        "supported"},
       {"{{ 'ß'.upper() }}", "1: changing the case of U+00DF is not supported"},
       {"{{ 'Σ' | lower }}", "1: changing the case of U+03A3 is not supported"},
       {"{{ 'a'.rsplit() }}", "1: rsplit without a separator is not supported"},
       {"{{ '%s' % 1 }}", "1: formatting a str with \"%\" is not supported"},
       {"{{ 2 ** 127 }}", "1: an integer beyond 127 bits is not supported"},
       {"{{ 2.0 ** 2 }}", "1: \"**\" with a float is not supported"},
       {"{{ 2 ** 60 / 3 }}", "1: a division of integers beyond 2^53 is not supported"},
       {"{{ 1e300 | int }}", "1: an integer beyond 2^100 is not supported"},
       {"{{ strftime_now('%Q') }}", "1: strftime_now: the directive \"%Q\" is not supported"}},
      false);
}

std::string repeated(const std::string &text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i)
    out += text;
  return out;
}

TEST(ChatTemplateErrors, ParsingIsBounded) {
  EXPECT_EQ(statusOf(std::string((1 << 20) + 1, 'a')).message(),
            "chat template: the template is larger than 1 MiB");
  EXPECT_EQ(statusOf("a\xFF").message(),
            "chat template: the template is not valid UTF-8 at byte 1");
  EXPECT_EQ(statusOf("{{ " + repeated("(", 60) + "1" + repeated(")", 60) + " }}").message(),
            "chat template, line 1: expressions nest deeper than 50 levels");
  EXPECT_EQ(statusOf("{{ " + repeated("not ", 1000) + "1 }}").message(),
            "chat template, line 1: expressions nest deeper than 50 levels");
  EXPECT_EQ(statusOf("{{ 1" + repeated(" + 1", 500) + " }}").message(),
            "chat template, line 1: an expression has more than 200 levels");
  EXPECT_EQ(statusOf("{{ a" + repeated(".a", 500) + " }}").message(),
            "chat template, line 1: an expression has more than 200 levels");
  EXPECT_EQ(statusOf(repeated("{% if a %}", 60)).message(),
            "chat template, line 1: blocks nest deeper than 50 levels");
}

TEST(ChatTemplateErrors, RenderingIsBounded) {
  const std::string work = "the template does more work than is allowed";
  const std::string deep = "macros and expressions nest deeper than 400 levels";
  const std::pair<std::string, std::string> cases[] = {
      {"{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", work},
      {"{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor "
       "%}",
       work},
      {"{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}{% endfor "
       "%}{{ n.s }}",
       work},
      {"{{ 'a' * 99999999999 }}", work},
      {"{{ [1] * 99999999999 }}", work},
      {"{{ [1] | tojson(indent=99999999999) }}", work},
      {"{% set n = namespace(s=[]) %}{% for i in range(99999) %}{% set n.s = [n.s] %}{% endfor %}",
       "values nest deeper than 100 levels"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", deep}};
  for (const auto &[source, message] : cases) {
    const Status status = statusOf(source);
    EXPECT_EQ(status.message(), "chat template, line 1: " + message) << source;
    EXPECT_EQ(status.code(), StatusCode::ResourceExhausted) << source;
  }
  ChatRenderOptions options;
  options.maxOutput = 3;
  EXPECT_TRUE(statusOf("abc", options));
  EXPECT_EQ(statusOf("ab{{ 'cd' }}", options).message(),
            "chat template, line 1: the text is longer than 3 bytes");
}

TEST(ChatTemplateErrors, Arguments) {
  auto chat = ChatTemplate::parse("{{ messages }}");
  ASSERT_TRUE(chat);
  const auto message = [&](const Json &messages, const Json &tools = nullptr,
                           const ChatRenderOptions &options = {}) {
    const Status status = chat->render(messages, tools, options).status();
    EXPECT_EQ(status.code(), StatusCode::InvalidArgument);
    return status.message();
  };
  EXPECT_EQ(message(Json::object()), "messages: expected an array");
  EXPECT_EQ(message(Json::array({Json::object(), "a"})), "messages[1]: expected an object");
  EXPECT_EQ(message(Json::array(), "a"), "tools: expected an array");
  EXPECT_EQ(message(Json::array(), Json::array({1})), "tools[0]: expected an object");
  EXPECT_EQ(message(Json::array({Json{{"content", "a\xFF"}}})),
            "chat template: messages[0]: a string is not valid UTF-8 at its byte 1");
  EXPECT_EQ(message(Json::array({Json{{"content", Json::binary({1})}}})),
            "chat template: messages[0]: a value is not JSON");
  ChatRenderOptions options;
  options.variables = 1;
  EXPECT_EQ(message(Json::array(), nullptr, options),
            "chat template variables: expected an object");
  options.variables = {{"messages", 1}};
  EXPECT_EQ(message(Json::array(), nullptr, options),
            "chat template variables: \"messages\" is set by the request itself");
  options.variables = {{"enable_thinking", true}};
  options.enableThinking = false;
  EXPECT_EQ(message(Json::array(), nullptr, options),
            "chat template variables: \"enable_thinking\" is given twice");
  Json deep;
  for (int i = 0; i < 100000; ++i) {
    Json outer = Json::array();
    outer.push_back(std::move(deep));
    deep = std::move(outer);
  }
  options = {};
  options.variables["deep"] = std::move(deep);
  EXPECT_EQ(chat->render(Json::array(), nullptr, options).status().message(),
            "chat template: values nest deeper than 100 levels");
}

} // namespace
