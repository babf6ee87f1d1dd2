//===- AnswerGrammar.cpp --------------------------------------------------===//
#include "runtime/server/AnswerGrammar.h"

#include "runtime/server/SchemaGrammar.h"

namespace sinter {
namespace {

using NodeId = Grammar::NodeId;
using Choice = ToolChoice::Kind;

/// `<think>...</think>` and white space, in front of what follows.
NodeId afterReasoning(Grammar &grammar, NodeId rest, Reasoning reasoning) {
  if (reasoning == Reasoning::None)
    return rest;
  const NodeId start = grammar.add(), inside = grammar.add(), after = grammar.add(),
               line = grammar.add();
  const NodeId end = grammar.addEnd();
  if (reasoning == Reasoning::Allowed) {
    grammar.text(start, "<think>", inside);
    grammar.call(start, rest, end);
  } else {
    grammar.empty(start, inside);
  }
  grammar.until(inside, "</think>", after);
  grammar.byte(after, '\n', line);
  grammar.call(after, rest, end);
  const NodeId secondLine = grammar.add();
  grammar.byte(line, '\n', secondLine);
  grammar.call(line, rest, end);
  grammar.call(secondLine, rest, end);
  return start;
}

/// One tool call, or several of functions that nobody named, as Qwen models are taught to write
/// them.
NodeId toolCallsRule(Grammar &grammar, const ChatRequest &chat, FirstError &error) {
  const NodeId start = grammar.add(), end = grammar.addEnd();
  for (size_t i = 0; i < chat.tools.size(); ++i) {
    const OrderedJson &function = chat.tools[i]["function"];
    const auto name = function["name"].get<std::string>();
    if (chat.toolChoice.kind == Choice::Named && name != chat.toolChoice.name)
      continue;
    SchemaGrammar schemas(grammar, error);
    const std::string path = "tools[" + std::to_string(i) + "].function.parameters";
    const bool free = !function.contains("parameters") || function["parameters"].empty();
    const NodeId arguments =
        free ? schemas.json().anyObjectRule() : schemas.rule(function["parameters"], path);
    const NodeId before = grammar.add(), after = grammar.add();
    grammar.text(
        start, "<tool_call>\n{\"name\": " + OrderedJson(name).dump() + ", \"arguments\": ", before);
    grammar.call(before, arguments, after);
    grammar.text(after, "}\n</tool_call>", end);
  }
  if (!chat.parallelToolCalls || chat.toolChoice.kind == Choice::Named)
    return start;
  const NodeId several = grammar.add(), more = grammar.addEnd();
  grammar.call(several, start, more);
  grammar.byte(more, '\n', several);
  return several;
}

} // namespace

std::shared_ptr<const Grammar> answerGrammar(const ChatRequest &chat, Reasoning reasoning,
                                             FirstError &error) {
  const bool mustCall = chat.usesTools() && (chat.toolChoice.kind == Choice::Required ||
                                             chat.toolChoice.kind == Choice::Named);
  if (chat.format.kind == ResponseFormat::Kind::Text && !mustCall)
    return nullptr;
  auto grammar = std::make_shared<Grammar>();
  NodeId rest = 0;
  if (mustCall) {
    rest = toolCallsRule(*grammar, chat, error);
  } else {
    SchemaGrammar schemas(*grammar, error);
    rest = chat.format.kind == ResponseFormat::Kind::JsonObject
               ? schemas.json().anyObjectRule()
               : schemas.rule(chat.format.schema, "response_format.json_schema.schema");
  }
  grammar->start = afterReasoning(*grammar, rest, reasoning);
  return grammar;
}

} // namespace sinter
