//===- Lookup.cpp ---------------------------------------------------------===//
#include "Lookup.h"

#include "Load.h"

#include "runtime/cli/ModelText.h"
#include "sinter/Support/MappedFile.h"

#include <algorithm>
#include <cstdio>

namespace sinter {
namespace {

/// Keeps an answer's tokens.
class TokenList final : public RequestListener {
public:
  bool onToken(const TokenEvent &event) override {
    ids_.push_back(event.token);
    return true;
  }
  void onFinish(uint32_t, FinishReason, const Status &status) override { status_ = status; }
  void onDone(const Usage &) override {}

  // Once the engine has drained.
  const std::vector<int32_t> &ids() const { return ids_; }
  const Status &status() const { return status_; }

private:
  std::vector<int32_t> ids_;
  Status status_;
};

using Prompts = std::vector<std::vector<int32_t>>;

/// Pieces of a text, spread evenly over it.
Result<Prompts> promptsOfText(const BenchOptions &options, const Session &session, uint32_t count) {
  constexpr uint64_t kMaxTextBytes = 64ull << 20;
  SINTER_ASSIGN_OR_RETURN(const std::string text, readTextFile(options.promptFile, kMaxTextBytes));
  SINTER_ASSIGN_OR_RETURN(const std::optional<Tokenizer> tokenizer,
                          openTokenizer(session.artifact->file()));
  if (!tokenizer)
    return invalidArgument("--prompt-file: " + options.model + " has no tokenizer");
  SINTER_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->encode(text));
  const uint32_t length = options.minLength;
  if (ids.size() < length)
    return invalidArgument(options.promptFile + ": " + std::to_string(ids.size()) +
                           " tokens are fewer than one prompt has (--min-length)");
  Prompts prompts;
  for (uint32_t i = 0; i < count; ++i) {
    const auto begin = ids.begin() + ptrdiff_t((ids.size() - length) * i / count);
    prompts.emplace_back(begin, begin + length);
  }
  return prompts;
}

/// Random tokens that repeat, so that there is something to look up.
Prompts repetitivePrompts(const BenchOptions &options, const Manifest &manifest, uint32_t count) {
  constexpr uint32_t kPeriod = 32;
  Prompts prompts;
  for (uint32_t i = 0; i < count; ++i) {
    std::vector<int32_t> ids =
        makeLoadRequest(options, manifest, {std::min(kPeriod, options.minLength), 1}, i).prompt;
    const size_t period = ids.size();
    while (ids.size() < options.minLength)
      ids.push_back(ids[ids.size() - period]);
    prompts.push_back(std::move(ids));
  }
  return prompts;
}

struct Outcome {
  std::vector<std::vector<int32_t>> answers;
  double tokensPerSecond = 0;
  EngineFigures figures;
};

Result<Outcome> runOnce(const BenchOptions &options, Session &session, const Prompts &prompts,
                        uint32_t guesses) {
  EngineOptions engine = loadEngineOptions(options, uint32_t(prompts.size()));
  engine.prefixCache = false; // both runs compute all of it
  SINTER_ASSIGN_OR_RETURN(const std::unique_ptr<EngineService> service,
                          EngineService::create(*session.executor, engine));
  std::vector<std::shared_ptr<TokenList>> lists;
  const auto start = LoadClock::now();
  for (const std::vector<int32_t> &prompt : prompts) {
    Request request;
    request.prompt = prompt;
    request.maxTokens = options.tokens;
    request.sampling.temperature = 0;
    request.ignoreEos = true;
    request.promptLookup = guesses;
    lists.push_back(std::make_shared<TokenList>());
    SINTER_RETURN_IF_ERROR(service->submit(std::move(request), lists.back()).status());
  }
  service->drain(LoadClock::time_point::max());
  const double seconds = std::chrono::duration<double>(LoadClock::now() - start).count();
  Outcome outcome;
  for (const auto &list : lists) {
    SINTER_RETURN_IF_ERROR(list->status());
    outcome.answers.push_back(list->ids());
  }
  outcome.tokensPerSecond = double(prompts.size()) * options.tokens / seconds;
  outcome.figures = service->figures();
  return outcome;
}

/// Where answers part, which is where rounding decided between two tokens that were as good as
/// equal. What follows is another text and says nothing.
struct Divergence {
  size_t answers = 0; ///< that differ
  size_t tokens = 0;  ///< up to the first that differs, or all

  double perThousand() const { return 1000 * double(answers) / double(tokens); }
};

Divergence compare(const Outcome &plain, const Outcome &guessed) {
  Divergence divergence;
  for (size_t i = 0; i < plain.answers.size(); ++i) {
    const std::vector<int32_t> &a = plain.answers[i], &b = guessed.answers[i];
    const auto first = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
    divergence.answers += first != a.end();
    divergence.tokens += size_t(first - a.begin()) + (first != a.end());
  }
  return divergence;
}

} // namespace

Result<int> benchLookup(const BenchOptions &options) {
  const uint32_t count = *std::max_element(options.sequences.begin(), options.sequences.end());
  SINTER_ASSIGN_OR_RETURN(Session session,
                          openBench(options, uint64_t(options.minLength) + options.tokens,
                                    std::min(count, options.maxSequences)));
  const Manifest &manifest = session.manifest();
  std::vector<BenchRecord> records;
  for (const uint32_t n : options.sequences) {
    Prompts prompts;
    if (options.promptFile.empty())
      prompts = repetitivePrompts(options, manifest, n);
    else {
      SINTER_ASSIGN_OR_RETURN(prompts, promptsOfText(options, session, n));
    }
    SINTER_RETURN_IF_ERROR(
        runOnce(options, session, {prompts.front()}, options.promptLookup).status()); // warms up
    SINTER_ASSIGN_OR_RETURN(const Outcome plain, runOnce(options, session, prompts, 0));
    SINTER_ASSIGN_OR_RETURN(const Outcome guessed,
                            runOnce(options, session, prompts, options.promptLookup));
    if (guessed.figures.guessedTokens == 0)
      return unavailable(
          "prompt lookup found nothing to guess in these answers: there is nothing to "
          "compare");
    const Divergence divergence = compare(plain, guessed);
    const std::string name = rowName("prompt-lookup", manifest) + "/n" + std::to_string(n) +
                             (options.promptFile.empty() ? "" : "/text");
    std::printf("%s: %.1f tok/s with guesses, %.1f without; %llu of %llu guesses right\n",
                name.c_str(), guessed.tokensPerSecond, plain.tokensPerSecond,
                static_cast<unsigned long long>(guessed.figures.acceptedGuesses),
                static_cast<unsigned long long>(guessed.figures.guessedTokens));
    std::printf("  other answers      %zu of %u, %.3f in 1000 tokens\n", divergence.answers, n,
                divergence.perThousand());
    const std::string hardware = session.device->name(), commit = manifest.compilerBuild;
    records.push_back({name,
                       guessed.tokensPerSecond,
                       "tok/s",
                       {},
                       {},
                       hardware,
                       commit,
                       "without guesses",
                       plain.tokensPerSecond});
    records.push_back({name + "/divergence",
                       divergence.perThousand(),
                       "per 1000 tokens",
                       {},
                       {},
                       hardware,
                       commit});
  }
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(mergeRecords(options.json, records));
  return 0;
}

} // namespace sinter
