//===- GenerationParser.cpp -----------------------------------------------===//
#include "runtime/server/GenerationParser.h"

#include "sinter/Support/Json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>

namespace sinter {
namespace {

constexpr size_t kMaxStops = 16;
constexpr size_t kMaxStopBytes = 1024;
constexpr size_t kMaxStopIds = 256;
constexpr int32_t kMaxPriority = 100;
constexpr size_t kMaxSalt = 256;

uint64_t freshSeed() {
  std::random_device device;
  return uint64_t(device()) << 32 | device();
}

/// Any 64 bits: sinter-run prints its seeds without a sign.
uint64_t parseSeed(JsonFields &fields) {
  const OrderedJson *given = fields.find("seed");
  if (!given)
    return freshSeed();
  if (given->is_number_unsigned())
    return given->get<uint64_t>();
  return uint64_t(fields.integer("seed", 0, INT64_MIN, INT64_MAX));
}

/// Token ids are object keys here: {"50256": -100}.
std::vector<std::pair<int32_t, float>> parseLogitBias(JsonFields &fields, uint64_t vocab) {
  std::vector<std::pair<int32_t, float>> bias;
  const OrderedJson *given = fields.find("logit_bias");
  if (!given)
    return bias;
  if (!given->is_object()) {
    fields.expected("logit_bias", "an object of token ids and numbers");
    return bias;
  }
  for (const auto &[key, value] : given->items()) {
    uint32_t id = 0;
    const char *end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, id);
    const double amount = value.is_number() ? value.get<double>() : NAN;
    if (parsed.ec != std::errc() || parsed.ptr != end || id >= vocab)
      fields.fail("logit_bias", quoteForMessage(key.substr(0, 20)) + " is not a token id below " +
                                    std::to_string(vocab));
    else if (!(amount >= -100 && amount <= 100))
      fields.fail("logit_bias", "token " + key + ": expected a number from -100 to 100, got " +
                                    describeForClient(value));
    else if (std::any_of(bias.begin(), bias.end(),
                         [&](const auto &other) { return other.first == int32_t(id); }))
      fields.fail("logit_bias", "token " + key + " stands there twice");
    else
      bias.emplace_back(int32_t(id), float(amount));
  }
  return bias;
}

std::vector<std::string> parseStops(JsonFields &fields) {
  std::vector<std::string> stops;
  const OrderedJson *given = fields.find("stop");
  if (!given)
    return stops;
  const auto add = [&](const OrderedJson &value) {
    if (!value.is_string() || value.get_ref<const std::string &>().empty() ||
        value.get_ref<const std::string &>().size() > kMaxStopBytes)
      fields.fail("stop", "expected strings of 1 to " + std::to_string(kMaxStopBytes) +
                              " bytes, got " + describeForClient(value));
    else
      stops.push_back(value.get<std::string>());
  };
  if (given->is_array() && given->size() <= kMaxStops)
    for (const OrderedJson &value : *given)
      add(value);
  else if (given->is_string())
    add(*given);
  else
    fields.expected("stop",
                    "a string or a list of at most " + std::to_string(kMaxStops) + " strings");
  return stops;
}

SamplingParams parseSampling(JsonFields &fields, const RequestDefaults &defaults) {
  SamplingParams params = defaults.sampling;
  const bool asked = fields.has("temperature") || fields.has("top_p") || fields.has("top_k") ||
                     fields.has("min_p");
  if (defaults.greedy && !asked)
    params.temperature = 0;
  constexpr double kMaxPenalty = 2, kMaxRepetition = 10;
  params.temperature = fields.number("temperature", params.temperature, 0, 2);
  params.topP = fields.number("top_p", params.topP, 0, 1);
  if (params.topP == 0)
    fields.expected("top_p", "a number above 0 and at most 1");
  // -1 is how others write "off".
  params.topK = std::max<int64_t>(0, fields.integer("top_k", params.topK, -1, INT32_MAX));
  params.minP = fields.number("min_p", params.minP, 0, 1);
  params.repetitionPenalty =
      fields.number("repetition_penalty", params.repetitionPenalty, 0.01, kMaxRepetition);
  params.presencePenalty =
      fields.number("presence_penalty", params.presencePenalty, -kMaxPenalty, kMaxPenalty);
  params.frequencyPenalty =
      fields.number("frequency_penalty", params.frequencyPenalty, -kMaxPenalty, kMaxPenalty);
  params.logitBias = parseLogitBias(fields, defaults.vocab);
  params.seed = parseSeed(fields);
  return params;
}

void parseStreaming(JsonFields &fields, GenerationFields &out) {
  out.stream = fields.boolean("stream", false);
  const OrderedJson *given = fields.find("stream_options");
  if (!given)
    return;
  if (!out.stream)
    fields.fail("stream_options", "only with \"stream\": true");
  JsonFields options(*given, fields.pathOf("stream_options"), fields.error());
  out.includeUsage = options.boolean("include_usage", false);
  options.finish();
}

} // namespace

void checkModel(JsonFields &fields, const RequestDefaults &defaults) {
  const std::string model = fields.text("model", defaults.model);
  if (model != defaults.model)
    fields.failWith({404,
                     "model " + quoteForMessage(model) + " does not exist, " +
                         quoteForMessage(defaults.model) + " is served",
                     "model", "model_not_found"});
}

std::optional<uint64_t> parseTokenLimit(JsonFields &fields, const char *name) {
  if (!fields.has(name))
    return std::nullopt;
  return uint64_t(fields.integer(name, 1, 1, INT32_MAX));
}

std::vector<int32_t> parseTokenIds(JsonFields &fields, const char *name, uint64_t vocab) {
  std::vector<int32_t> ids;
  const OrderedJson *given = fields.find(name);
  if (!given)
    return ids;
  const std::string what = "a list of token ids below " + std::to_string(vocab);
  if (!given->is_array()) {
    fields.expected(name, what);
    return ids;
  }
  for (const OrderedJson &value : *given)
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= vocab) {
      fields.fail(name, "expected " + what + ", got " + describeForClient(value));
      return {};
    } else {
      ids.push_back(int32_t(value.get<uint64_t>()));
    }
  return ids;
}

GenerationFields parseGenerationFields(JsonFields &fields, const RequestDefaults &defaults) {
  checkModel(fields, defaults);
  for (const char *name : {"user", "metadata", "store", "service_tier"})
    fields.harmless(name);
  GenerationFields out;
  out.sampling = parseSampling(fields, defaults);
  out.stops = parseStops(fields);
  out.stopIds = parseTokenIds(fields, "stop_token_ids", defaults.vocab);
  if (out.stopIds.size() > kMaxStopIds)
    fields.fail("stop_token_ids", "expected at most " + std::to_string(kMaxStopIds) + " ids");
  out.ignoreEos = fields.boolean("ignore_eos", false);
  out.samples = uint32_t(fields.integer("n", 1, 1, defaults.maxSamples));
  out.priority = int32_t(fields.integer("priority", 0, -kMaxPriority, kMaxPriority));
  out.cacheSalt = fields.text("cache_salt", "");
  if (out.cacheSalt.size() > kMaxSalt || (fields.has("cache_salt") && out.cacheSalt.empty()))
    fields.expected("cache_salt", "a string of 1 to " + std::to_string(kMaxSalt) + " bytes");
  parseStreaming(fields, out);
  return out;
}

} // namespace sinter
