//===- Prepare.cpp --------------------------------------------------------===//
#include "runtime/server/Prepare.h"

#include "runtime/server/AnswerGrammar.h"
#include "runtime/server/GrammarConstraint.h"

#include <algorithm>
#include <ctime>

namespace sinter {
namespace {

void fail(FirstError &error, ApiError what) {
  if (!error)
    error = std::move(what);
}

/// Prompt and continuation fit the context, and the continuation has a length.
void chooseLength(const GenerationFields &fields, uint64_t context, const std::string &promptField,
                  Request &request, FirstError &error) {
  const std::optional<uint64_t> &wanted = fields.maxTokens;
  const uint64_t prompt = request.prompt.size();
  const std::string most = "this server's context has " + std::to_string(context) +
                           " tokens, the prompt has " + std::to_string(prompt);
  if (prompt == 0)
    return fail(error,
                {400, promptField + ": the prompt has no tokens", promptField, "invalid_value"});
  if (prompt >= context)
    return fail(error, {400, most, promptField, "context_length_exceeded"});
  const uint64_t room = context - prompt;
  if (wanted && *wanted > room)
    return fail(
        error,
        {400,
         most + " and " + std::to_string(*wanted) +
             (fields.limitField.empty() ? " more are computed by default" : " more were asked for"),
         fields.limitField.empty() ? promptField : fields.limitField, "context_length_exceeded"});
  request.maxTokens = uint32_t(std::min<uint64_t>(wanted.value_or(room), UINT32_MAX));
}

PreparedRequest fromFields(const GenerationFields &fields, const RequestDefaults &defaults,
                           FirstError &error) {
  PreparedRequest prepared;
  prepared.request.sampling = fields.sampling;
  prepared.request.samples = fields.samples;
  prepared.request.ignoreEos = fields.ignoreEos;
  prepared.request.stopIds = fields.stopIds;
  prepared.request.logprobs = fields.logprobs;
  prepared.request.priority = -fields.priority; // the engine's: higher goes first
  prepared.request.cacheSalt = fields.cacheSalt;
  prepared.request.promptLookup = defaults.promptLookup;
  prepared.text.stops = fields.stops;
  prepared.text.logprobs = fields.logprobs >= 0;
  if (const Status status = fields.sampling.check(); !status)
    fail(error, toApiError(status));
  return prepared;
}

std::vector<int32_t> encode(const Tokenizer &tokenizer, const std::string &text, bool allowSpecial,
                            const std::string &field, FirstError &error) {
  auto ids = tokenizer.encode(text, {allowSpecial});
  if (ids)
    return *std::move(ids);
  fail(error, toApiError(ids.status().withContext(field), field));
  return {};
}

/// What the template would drop is refused: the client would wait for an effect.
void checkVariables(const ChatRequest &chat, const ChatTemplate &chatTemplate, FirstError &error) {
  const auto check = [&](const std::string &name) {
    if (!chatTemplate.mentions(name))
      fail(error,
           {400,
            "chat_template_kwargs." + name + ": the model's chat template has no such variable",
            "chat_template_kwargs." + name, "unsupported_parameter"});
  };
  if (chat.enableThinking)
    check("enable_thinking");
  for (const auto &[name, value] : chat.templateVariables.items())
    check(name);
}

std::string render(const ChatRequest &chat, const ServedModel &model, FirstError &error) {
  if (!model.chatTemplate) {
    fail(error, {400,
                 "the model has no chat template: use /v1/completions or start the server "
                 "with --chat-template",
                 "messages", "no_chat_template"});
    return {};
  }
  if (const Status status = model.chatTemplate->checkConversation(); !status) {
    fail(error, {400, status.message(), "messages", "no_chat_template"});
    return {};
  }
  ChatRenderOptions options;
  options.addGenerationPrompt = true;
  options.enableThinking = chat.enableThinking;
  options.variables = chat.templateVariables;
  const std::time_t now = std::time(nullptr);
  localtime_r(&now, &options.now.emplace());
  checkVariables(chat, *model.chatTemplate, error);
  const auto renderWith = [&](const OrderedJson &tools) {
    return model.chatTemplate->render(chat.messages, tools, options);
  };
  auto prompt = renderWith(chat.usesTools() ? chat.tools : OrderedJson(nullptr));
  if (prompt && chat.usesTools())
    if (const auto without = renderWith(nullptr); without && *without == *prompt)
      fail(error, {400, "tools: the model's chat template does not print them", "tools",
                   "unsupported_parameter"});
  if (prompt)
    return *std::move(prompt);
  const std::string &why = prompt.status().message();
  std::string field = "messages";
  if (why.find("variable") != std::string::npos)
    field = "chat_template_kwargs";
  for (const auto &[name, value] : chat.templateVariables.items())
    if (field != "messages" && why.find('"' + name + '"') != std::string::npos)
      field = "chat_template_kwargs." + name;
  fail(error, toApiError(prompt.status(), field));
  return {};
}

/// Whether a prompt ends within reasoning that the template has opened.
bool opensReasoning(const std::string &prompt) {
  const size_t open = prompt.rfind("<think>");
  return open != std::string::npos &&
         prompt.find_first_not_of(" \t\r\n", open + 7) == std::string::npos;
}

void addGrammar(const ChatRequest &chat, const ServedModel &model, Reasoning reasoning,
                Request &request, FirstError &error) {
  const auto grammar = answerGrammar(chat, reasoning, error);
  if (!grammar || error)
    return;
  if (model.endIds.empty())
    return fail(error,
                {400, "the model has no end token, which output that follows a grammar needs",
                 "response_format", "unsupported_value"});
  const size_t words = (model.defaults.vocab + 31) / 32;
  request.constraint = std::make_unique<GrammarConstraint>(
      std::make_shared<GrammarMatcher>(grammar, model.trie, words), model.tokenizer, model.endIds);
}

} // namespace

PreparedRequest prepareChat(const ChatRequest &chat, const ServedModel &model, FirstError &error) {
  PreparedRequest prepared = fromFields(chat.generation, model.defaults, error);
  const std::string prompt = render(chat, model, error);
  if (error)
    return prepared;
  prepared.request.prompt = encode(model.tokenizer, prompt, true, "messages", error);
  chooseLength(chat.generation, model.context(), "messages", prepared.request, error);
  const bool begun = opensReasoning(prompt);
  prepared.text.split = {model.thinks(), begun, chat.usesTools(), !chat.parallelToolCalls};
  const bool mayThink = model.thinks() && chat.enableThinking.value_or(true);
  addGrammar(chat, model,
             begun      ? Reasoning::Begun
             : mayThink ? Reasoning::Allowed
                        : Reasoning::None,
             prepared.request, error);
  return prepared;
}

PreparedRequest prepareCompletion(const CompletionRequest &completion, const ServedModel &model,
                                  FirstError &error) {
  PreparedRequest prepared = fromFields(completion.generation, model.defaults, error);
  if (const auto *text = std::get_if<std::string>(&completion.prompt))
    prepared.request.prompt = encode(model.tokenizer, *text, true, "prompt", error);
  else
    prepared.request.prompt = std::get<std::vector<int32_t>>(completion.prompt);
  if (!error)
    chooseLength(completion.generation, model.context(), "prompt", prepared.request, error);
  return prepared;
}

} // namespace sinter
