//===- ChatParser.cpp - the body of /v1/chat/completions ------------------===//
#include "runtime/server/GenerationParser.h"
#include "runtime/server/MessageParser.h"

#include "sinter/Support/Json.h"

namespace sinter {
namespace {

ResponseFormat parseResponseFormat(JsonFields &fields) {
  ResponseFormat format;
  const OrderedJson *given = fields.find("response_format");
  if (!given)
    return format;
  JsonFields object(*given, fields.pathOf("response_format"), fields.error());
  const std::string type = object.requiredText("type");
  if (type == "json_object") {
    format.kind = ResponseFormat::Kind::JsonObject;
  } else if (type == "json_schema") {
    format.kind = ResponseFormat::Kind::JsonSchema;
    if (const OrderedJson *schema = object.find("json_schema")) {
      JsonFields inner(*schema, object.pathOf("json_schema"), fields.error());
      for (const char *name : {"name", "description", "strict"})
        inner.harmless(name);
      if (const OrderedJson *value = inner.find("schema"))
        format.schema = *value;
      else
        inner.fail("schema", "missing", "missing_required_parameter");
      inner.finish();
    } else {
      object.fail("json_schema", "missing", "missing_required_parameter");
    }
  } else if (type != "text") {
    object.fail("type", "expected \"text\", \"json_object\" or \"json_schema\", got " +
                            quoteForMessage(type.substr(0, 40)));
  }
  object.finish();
  return format;
}

bool hasTool(const OrderedJson &tools, const std::string &name) {
  for (const OrderedJson &tool : tools)
    if (tool["function"]["name"] == name)
      return true;
  return false;
}

ToolChoice parseToolChoice(JsonFields &fields, const OrderedJson &tools) {
  using Kind = ToolChoice::Kind;
  ToolChoice choice;
  const OrderedJson *given = fields.find("tool_choice");
  if (!given)
    return choice;
  const std::string word = given->is_string() ? given->get<std::string>() : "";
  if (word == "none") {
    choice.kind = Kind::None;
    return choice;
  }
  if (tools.is_null())
    fields.fail("tool_choice", "only with \"tools\"");
  if (word == "required") {
    choice.kind = Kind::Required;
  } else if (given->is_object()) {
    choice.kind = Kind::Named;
    JsonFields object(*given, fields.pathOf("tool_choice"), fields.error());
    if (object.requiredText("type") != "function")
      object.expected("type", "\"function\"");
    if (const OrderedJson *function = object.find("function")) {
      JsonFields inner(*function, object.pathOf("function"), fields.error());
      choice.name = inner.requiredText("name");
      if (!tools.is_null() && !fields.error() && !hasTool(tools, choice.name))
        inner.fail("name", "no such tool");
      inner.finish();
    } else {
      object.fail("function", "missing", "missing_required_parameter");
    }
    object.finish();
  } else if (word != "auto") {
    fields.expected("tool_choice", "\"none\", \"auto\", \"required\" or a function");
  }
  return choice;
}

/// `chat_template_kwargs`: enable_thinking, and whatever else the template reads.
void parseTemplateVariables(JsonFields &fields, ChatRequest &out) {
  const OrderedJson *given = fields.find("chat_template_kwargs");
  if (!given)
    return;
  JsonFields object(*given, fields.pathOf("chat_template_kwargs"), fields.error());
  if (object.has("enable_thinking"))
    out.enableThinking = object.boolean("enable_thinking", true);
  if (!given->is_object())
    return;
  for (const auto &[name, value] : given->items())
    if (name != "enable_thinking")
      out.templateVariables[name] = value;
}

int32_t parseChatLogprobs(JsonFields &fields) {
  const bool wanted = fields.boolean("logprobs", false);
  if (fields.has("top_logprobs") && !wanted)
    fields.fail("top_logprobs", "only with \"logprobs\": true");
  const auto count = int32_t(fields.integer("top_logprobs", 0, 0, kMaxLogprobs));
  return wanted ? count : -1;
}

void parseChatLimit(JsonFields &fields, GenerationFields &out) {
  const auto older = parseTokenLimit(fields, "max_tokens");
  const auto newer = parseTokenLimit(fields, "max_completion_tokens");
  if (older && newer && *older != *newer)
    fields.fail("max_tokens", "differs from max_completion_tokens");
  out.maxTokens = newer ? newer : older;
  out.limitField = newer ? "max_completion_tokens" : older ? "max_tokens" : "";
}

/// Wishes that cannot both be fulfilled.
void checkCombinations(JsonFields &fields, const ChatRequest &request) {
  const bool grammar = request.format.kind != ResponseFormat::Kind::Text;
  if (grammar && request.usesTools())
    fields.fail("response_format", "not together with \"tools\"; give \"tool_choice\": \"none\"");
  const bool mustCall = request.toolChoice.kind == ToolChoice::Kind::Required ||
                        request.toolChoice.kind == ToolChoice::Kind::Named;
  if (request.generation.ignoreEos && (grammar || mustCall))
    fields.fail("ignore_eos", "not together with output that follows a grammar");
}

} // namespace

ChatRequest parseChatRequest(const OrderedJson &body, const RequestDefaults &defaults,
                             FirstError &error) {
  JsonFields fields(body, "", error);
  ChatRequest request;
  request.messages = parseMessages(fields);
  request.generation = parseGenerationFields(fields, defaults);
  parseChatLimit(fields, request.generation);
  request.generation.logprobs = parseChatLogprobs(fields);
  request.tools = parseTools(fields);
  request.toolChoice = parseToolChoice(fields, request.tools);
  request.parallelToolCalls = fields.boolean("parallel_tool_calls", true);
  request.format = parseResponseFormat(fields);
  parseTemplateVariables(fields, request);
  checkCombinations(fields, request);
  fields.finish();
  return request;
}

} // namespace sinter
