//===- ChatTemplate.cpp - conversations to prompts ------------------------===//
#include "runtime/text/ChatTemplate.h"

#include "runtime/text/jinja/Interpreter.h"
#include "runtime/text/jinja/Lexer.h"
#include "sinter/Support/Json.h"

#include <functional>
#include <set>
#include <string>

namespace sinter {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kWhere = "chat template";

/// Work allowed per byte of conversation: templates copy a message a few times.
constexpr size_t kWorkPerByte = 64;

Status toStatus(const jinja::Error &error) {
  std::string where = kWhere;
  if (error.line > 0)
    where += ", line " + std::to_string(error.line);
  return {error.code, where + ": " + error.message};
}

Status checkArguments(const Json &messages, const Json &tools, const ChatRenderOptions &options) {
  if (!messages.is_array())
    return invalidArgument("messages: expected an array");
  for (size_t i = 0; i < messages.size(); ++i)
    if (!messages[i].is_object())
      return invalidArgument("messages[" + std::to_string(i) + "]: expected an object");
  if (!tools.is_null() && !tools.is_array())
    return invalidArgument("tools: expected an array");
  for (size_t i = 0; i < tools.size(); ++i)
    if (!tools[i].is_object())
      return invalidArgument("tools[" + std::to_string(i) + "]: expected an object");
  if (!options.variables.is_object())
    return invalidArgument("chat template variables: expected an object");
  for (const char *name : {"messages", "tools", "add_generation_prompt"})
    if (options.variables.contains(name))
      return invalidArgument(std::string("chat template variables: \"") + name +
                             "\" is set by the request itself");
  if (options.enableThinking && options.variables.contains("enable_thinking"))
    return invalidArgument("chat template variables: \"enable_thinking\" is given twice");
  return Status::ok();
}

/// Reasoning under any of its names is seen as `reasoning_content` and `thinking`; transformers
/// does the same before it renders.
jinja::Value withReasoning(const jinja::Value &message, jinja::Budget &budget) {
  const jinja::Value *reasoning = nullptr;
  for (const char *name : {"reasoning_content", "thinking", "reasoning"}) {
    const jinja::Value *value = message.dict()->find(name, budget);
    if (!reasoning && value && !value->isNone())
      reasoning = value;
  }
  if (!reasoning)
    return message;
  jinja::Entries entries = {{"thinking", *reasoning}};
  for (const auto &[key, value] : message.dict()->entries)
    jinja::setEntry(entries, key, value, budget);
  jinja::setEntry(entries, "reasoning_content", *reasoning, budget);
  return jinja::makeDict(std::move(entries), budget);
}

jinja::Value conversation(const Json &messages, jinja::Budget &budget) {
  jinja::Values out;
  for (size_t i = 0; i < messages.size(); ++i)
    out.push_back(withReasoning(
        jinja::fromJson(messages[i], "messages[" + std::to_string(i) + "]", budget), budget));
  return jinja::makeList(std::move(out), budget);
}

/// Does not look below the nesting that is refused later.
size_t approximateSize(const Json &json, int level = 0) {
  if (json.is_string())
    return json.get_ref<const std::string &>().size() + 32;
  size_t size = 32;
  if (json.is_structured() && level < 128)
    for (const auto &[key, value] : json.items())
      size += key.size() + approximateSize(value, level + 1);
  return size;
}

std::tm localNow() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

/// A special token: text, or an object with the text as `content`.
Status readSpecialToken(const Json &config, const char *name, jinja::Entries &out) {
  const auto it = config.find(name);
  if (it == config.end() || it->is_null())
    return Status::ok();
  const Json *text = &*it;
  if (it->is_object() && it->contains("content"))
    text = &(*it)["content"];
  if (!text->is_string())
    return invalidInput(std::string("tokenizer_config.json: \"") + name +
                        "\": expected a string or an object with \"content\"");
  out.emplace_back(name, text->get<std::string>());
  return Status::ok();
}

} // namespace

struct ChatTemplate::Program {
  /// Parses `source` into one of the members below.
  Status add(std::shared_ptr<const jinja::Macro> Program::*which, std::string_view source) {
    try {
      this->*which = std::make_shared<const jinja::Macro>(jinja::parseTemplate(source));
      for (jinja::Token &token : jinja::tokenize(source))
        if (token.kind == jinja::TokenKind::Name)
          names.insert(std::move(token.text));
      return Status::ok();
    } catch (const jinja::Error &error) {
      return toStatus(error);
    }
  }

  std::set<std::string, std::less<>> names; ///< in either
  std::shared_ptr<const jinja::Macro> main;
  std::shared_ptr<const jinja::Macro> toolUse; ///< used when there are tools; null: main is
  jinja::Entries specialTokens;
};

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  auto program = std::make_shared<Program>();
  SINTER_RETURN_IF_ERROR(program->add(&Program::main, source));
  return ChatTemplate(std::move(program));
}

bool ChatTemplate::mentions(std::string_view name) const { return program_->names.count(name) > 0; }

Status ChatTemplate::checkConversation() const {
  return mentions("messages")
             ? Status::ok()
             : invalidInput("the chat template never reads \"messages\": is it one?");
}

Result<ChatTemplate> ChatTemplate::fromTokenizerConfig(std::string_view json,
                                                       std::optional<std::string_view> jinja) {
  SINTER_ASSIGN_OR_RETURN(const nlohmann::json parsed, parseJson(json, "tokenizer_config.json"));
  if (!parsed.is_object())
    return invalidInput("tokenizer_config.json: expected an object");
  const Json config = parsed;
  auto program = std::make_shared<Program>();
  for (const char *name :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"})
    SINTER_RETURN_IF_ERROR(readSpecialToken(config, name, program->specialTokens));

  const Json listed = config.value("chat_template", Json());
  if (jinja) {
    SINTER_RETURN_IF_ERROR(program->add(&Program::main, *jinja));
  } else if (listed.is_string()) {
    SINTER_RETURN_IF_ERROR(program->add(&Program::main, listed.get_ref<const std::string &>()));
  } else if (listed.is_array()) {
    for (const Json &entry : listed) {
      if (!entry.is_object() || !entry.value("name", Json()).is_string() ||
          !entry.value("template", Json()).is_string())
        return invalidInput("tokenizer_config.json: \"chat_template\": expected objects with "
                            "\"name\" and \"template\"");
      const std::string name = entry["name"];
      if (name != "default" && name != "tool_use")
        continue; // used on request only, and there is no such request
      SINTER_RETURN_IF_ERROR(program
                                 ->add(name == "default" ? &Program::main : &Program::toolUse,
                                       entry["template"].get_ref<const std::string &>())
                                 .withContext("tokenizer_config.json: template \"" + name + "\""));
    }
    if (!program->main)
      return notFound("tokenizer_config.json: \"chat_template\" has no template \"default\"");
  } else if (listed.is_null()) {
    return notFound("the model has no chat template");
  } else {
    return unexpectedValue("tokenizer_config.json", "chat_template", "a string or an array",
                           parsed["chat_template"]);
  }
  return ChatTemplate(std::move(program));
}

Result<std::string> ChatTemplate::render(const Json &messages, const Json &tools,
                                         const ChatRenderOptions &options) const {
  SINTER_RETURN_IF_ERROR(checkArguments(messages, tools, options));
  const size_t size =
      approximateSize(messages) + approximateSize(tools) + approximateSize(options.variables);
  try {
    jinja::Budget budget(options.maxWork + kWorkPerByte * size);
    jinja::Entries variables;
    const auto set = [&](const std::string &name, jinja::Value value) {
      jinja::setEntry(variables, name, std::move(value), budget);
    };
    for (const auto &[name, token] : program_->specialTokens)
      set(name, token);
    for (const auto &[name, value] : options.variables.items())
      set(name, jinja::fromJson(value, "chat template variable " + quoteForMessage(name), budget));
    if (options.enableThinking)
      set("enable_thinking", *options.enableThinking);
    set("messages", conversation(messages, budget));
    set("tools", jinja::fromJson(tools, "tools", budget));
    if (!options.variables.contains("documents"))
      set("documents", jinja::Value());
    set("add_generation_prompt", options.addGenerationPrompt);
    const std::tm now = options.now ? *options.now : localNow();
    const auto &macro = program_->toolUse && !tools.is_null() ? program_->toolUse : program_->main;
    return jinja::renderTemplate(*macro, variables, now, options.maxOutput, budget);
  } catch (const jinja::Error &error) {
    return toStatus(error);
  }
}

} // namespace sinter
