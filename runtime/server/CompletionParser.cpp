//===- CompletionParser.cpp - /v1/completions, /tokenize, /detokenize -----===//
#include "runtime/server/GenerationParser.h"

namespace sinter {
namespace {

constexpr uint64_t kDefaultTokens = 16; // OpenAI's

/// Text or token ids; either alone in a list, as clients send them.
std::variant<std::string, std::vector<int32_t>> parsePrompt(JsonFields &fields, uint64_t vocab) {
  const OrderedJson *given = fields.find("prompt");
  if (!given) {
    fields.fail("prompt", "missing", "missing_required_parameter");
    return std::string();
  }
  if (given->is_array() && !given->empty() && !given->front().is_number()) {
    if (given->size() > 1)
      fields.fail("prompt", "one prompt per request, got " + std::to_string(given->size()),
                  "unsupported_value");
    given = &given->front();
  }
  if (given->is_string())
    return given->get<std::string>();
  if (!given->is_array() || given->empty()) {
    fields.expected("prompt", "a string or a list of token ids");
    return std::string();
  }
  const OrderedJson ids = {{"prompt", *given}};
  JsonFields object(ids, "", fields.error());
  return parseTokenIds(object, "prompt", vocab);
}

/// Fields of OpenAI's that may be there as long as they ask for nothing.
void checkUnsupported(JsonFields &fields, uint32_t samples) {
  if (fields.boolean("echo", false))
    fields.fail("echo", "not supported", "unsupported_value");
  if (fields.integer("best_of", samples, 1, INT32_MAX) != samples)
    fields.fail("best_of", "only equal to n", "unsupported_value");
}

} // namespace

CompletionRequest parseCompletionRequest(const OrderedJson &body, const RequestDefaults &defaults,
                                         FirstError &error) {
  JsonFields fields(body, "", error);
  CompletionRequest request;
  request.prompt = parsePrompt(fields, defaults.vocab);
  request.generation = parseGenerationFields(fields, defaults);
  const auto limit = parseTokenLimit(fields, "max_tokens");
  request.generation.maxTokens = limit.value_or(kDefaultTokens);
  request.generation.limitField = limit ? "max_tokens" : "";
  request.generation.logprobs = int32_t(fields.integer("logprobs", -1, 0, kMaxLogprobs));
  checkUnsupported(fields, request.generation.samples);
  fields.finish();
  return request;
}

TokenizeRequest parseTokenizeRequest(const OrderedJson &body, const RequestDefaults &defaults,
                                     FirstError &error) {
  JsonFields fields(body, "", error);
  checkModel(fields, defaults);
  TokenizeRequest request;
  request.text = fields.requiredText("prompt");
  request.allowSpecial = fields.boolean("allow_special", true);
  fields.finish();
  return request;
}

DetokenizeRequest parseDetokenizeRequest(const OrderedJson &body, const RequestDefaults &defaults,
                                         FirstError &error) {
  JsonFields fields(body, "", error);
  checkModel(fields, defaults);
  DetokenizeRequest request;
  if (!fields.has("tokens"))
    fields.fail("tokens", "missing", "missing_required_parameter");
  request.tokens = parseTokenIds(fields, "tokens", defaults.vocab);
  request.skipSpecial = fields.boolean("skip_special_tokens", false);
  fields.finish();
  return request;
}

} // namespace sinter
