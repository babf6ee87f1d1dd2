//===- MessageParser.cpp --------------------------------------------------===//
#include "runtime/server/MessageParser.h"

#include "sinter/Support/Json.h"

#include <algorithm>

namespace sinter {
namespace {

constexpr size_t kMaxMessages = 4096;
constexpr size_t kMaxTools = 128;
constexpr size_t kMaxNameBytes = 64;

std::string indexed(const std::string &path, size_t index) {
  return path + "[" + std::to_string(index) + "]";
}

/// A string, or parts of type "text", which are joined.
std::string parseContent(JsonFields &message) {
  const OrderedJson *content = message.find("content");
  if (!content)
    return {};
  if (content->is_string())
    return content->get<std::string>();
  if (!content->is_array()) {
    message.expected("content", "a string or a list of parts");
    return {};
  }
  std::string joined;
  for (size_t i = 0; i < content->size(); ++i) {
    JsonFields part((*content)[i], indexed(message.pathOf("content"), i), message.error());
    const std::string type = part.requiredText("type");
    if (type != "text")
      part.fail("type",
                "only \"text\" is supported, got " + quoteForMessage(type.substr(0, kMaxNameBytes)),
                "unsupported_value");
    joined += part.requiredText("text");
    part.finish();
  }
  return joined;
}

OrderedJson parseToolCalls(JsonFields &message) {
  OrderedJson calls = OrderedJson::array();
  const OrderedJson *given = message.find("tool_calls");
  if (!given)
    return calls;
  if (!given->is_array()) {
    message.expected("tool_calls", "a list");
    return calls;
  }
  for (size_t i = 0; i < given->size(); ++i) {
    JsonFields call((*given)[i], indexed(message.pathOf("tool_calls"), i), message.error());
    const std::string id = call.requiredText("id");
    if (call.text("type", "function") != "function")
      call.expected("type", "\"function\"");
    call.harmless("index"); // what a streamed call is sent back with
    if (const OrderedJson *function = call.find("function")) {
      JsonFields inner(*function, call.pathOf("function"), message.error());
      const std::string name = inner.requiredText("name");
      const std::string arguments = inner.requiredText("arguments");
      inner.finish();
      calls.push_back({{"id", id},
                       {"type", "function"},
                       {"function", {{"name", name}, {"arguments", arguments}}}});
    } else {
      call.fail("function", "missing", "missing_required_parameter");
    }
    call.finish();
  }
  return calls;
}

OrderedJson parseMessage(const OrderedJson &given, const std::string &path, FirstError &error) {
  JsonFields message(given, path, error);
  std::string role = message.requiredText("role");
  if (role == "developer")
    role = "system";
  OrderedJson out = {{"role", role}, {"content", parseContent(message)}};
  message.harmless("name");
  if (role == "assistant") {
    OrderedJson calls = parseToolCalls(message);
    if (!calls.empty())
      out["tool_calls"] = std::move(calls);
    else if (!message.has("content"))
      message.fail("content", "missing", "missing_required_parameter");
    if (message.has("reasoning_content"))
      out["reasoning_content"] = message.text("reasoning_content", "");
    for (const char *name : {"refusal", "annotations"}) // of answers that are sent back
      message.harmless(name);
  } else if (role == "tool") {
    out["tool_call_id"] = message.requiredText("tool_call_id");
  } else if (role != "system" && role != "user") {
    message.fail("role", "expected system, developer, user, assistant or tool, got " +
                             quoteForMessage(role.substr(0, kMaxNameBytes)));
  }
  if (role != "assistant" && !message.has("content"))
    message.fail("content", "missing", "missing_required_parameter");
  message.finish();
  return out;
}

bool isFunctionName(const std::string &name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '_' || c == '-' || c == '.';
         });
}

/// The name of a tool.
std::string checkTool(const OrderedJson &given, const std::string &path, FirstError &error) {
  JsonFields tool(given, path, error);
  std::string name;
  if (tool.requiredText("type") != "function")
    tool.expected("type", "\"function\"");
  if (const OrderedJson *function = tool.find("function")) {
    JsonFields inner(*function, tool.pathOf("function"), error);
    name = inner.requiredText("name");
    if (!isFunctionName(name))
      inner.expected("name", "1 to 64 letters, digits, '_', '-' or '.'");
    inner.text("description", "");
    if (const OrderedJson *parameters = inner.find("parameters");
        parameters && !parameters->is_object())
      inner.expected("parameters", "an object");
    inner.boolean("strict", false);
    inner.finish();
  } else {
    tool.fail("function", "missing", "missing_required_parameter");
  }
  tool.finish();
  return name;
}

} // namespace

OrderedJson parseMessages(JsonFields &fields) {
  OrderedJson out = OrderedJson::array();
  const OrderedJson *given = fields.find("messages");
  if (!given) {
    fields.fail("messages", "missing", "missing_required_parameter");
    return out;
  }
  if (!given->is_array() || given->empty() || given->size() > kMaxMessages) {
    fields.expected("messages", "a list of 1 to " + std::to_string(kMaxMessages) + " messages");
    return out;
  }
  for (size_t i = 0; i < given->size(); ++i)
    out.push_back(parseMessage((*given)[i], indexed("messages", i), fields.error()));
  return out;
}

OrderedJson parseTools(JsonFields &fields) {
  const OrderedJson *given = fields.find("tools");
  if (!given || (given->is_array() && given->empty()))
    return nullptr;
  if (!given->is_array() || given->size() > kMaxTools) {
    fields.expected("tools", "a list of at most " + std::to_string(kMaxTools) + " tools");
    return nullptr;
  }
  std::set<std::string> names;
  for (size_t i = 0; i < given->size(); ++i) {
    const std::string path = indexed("tools", i);
    const std::string name = checkTool((*given)[i], path, fields.error());
    if (!names.insert(name).second)
      fields.fail(path + ".function.name", "there is another tool of this name");
  }
  return fields.error() ? OrderedJson(nullptr) : *given;
}

} // namespace sinter
