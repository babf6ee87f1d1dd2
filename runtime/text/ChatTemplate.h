//===- ChatTemplate.h - conversations to prompts ----------------*- C++ -*-===//
//
// The Jinja chat template of a model, rendered as transformers' apply_chat_template renders it,
// byte for byte. Templates come with models and are not trusted: the language has no access to
// anything but its arguments, what is not supported is refused when the template is parsed, and
// work, output and recursion are bounded. Immutable after loading: all calls may run on any thread.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "sinter/Support/Status.h"

namespace sinter {

struct ChatRenderOptions {
  /// Whether the prompt ends where the assistant's answer begins.
  bool addGenerationPrompt = false;
  /// Qwen3's switch; the template's own default where it is not given.
  std::optional<bool> enableThinking;
  /// Further variables of the template, an object: `chat_template_kwargs` of a request.
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();
  /// The clock of `strftime_now`; the local time where it is not given.
  std::optional<std::tm> now;
  /// The longest prompt, in bytes.
  size_t maxOutput = size_t(64) << 20;
  /// Work allowed besides what the size of the conversation allows; a unit is about a byte moved.
  size_t maxWork = size_t(32) << 20;
};

class ChatTemplate {
public:
  /// Parses template text, such as the content of chat_template.jinja. InvalidInput: malformed.
  /// Unsupported: a construct that is not implemented. Both name the line.
  static Result<ChatTemplate> parse(std::string_view source);

  /// Loads `chat_template` of a tokenizer_config.json, a text or a list of named ones of which
  /// "default" and "tool_use" are used, and the special tokens that templates print. A
  /// chat_template.jinja beside the file takes precedence: pass its text as `jinja`. NotFound: no
  /// template in either.
  static Result<ChatTemplate> fromTokenizerConfig(std::string_view json,
                                                  std::optional<std::string_view> jinja = {});

  /// The prompt for a conversation. `messages`: an array of objects. `tools`: an array of objects,
  /// or null. InvalidArgument: the template and the conversation do not go together, for instance
  /// because it raises an exception. Unsupported, ResourceExhausted: as they say.
  Result<std::string> render(const nlohmann::ordered_json &messages,
                             const nlohmann::ordered_json &tools = nullptr,
                             const ChatRenderOptions &options = {}) const;

  /// Whether the name occurs in the template, as that of every variable that it reads does.
  bool mentions(std::string_view name) const;

  /// InvalidInput where it never reads `messages`: the conversation would vanish.
  Status checkConversation() const;

private:
  struct Program;
  explicit ChatTemplate(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

} // namespace sinter
