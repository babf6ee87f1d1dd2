//===- Guessing.cpp -------------------------------------------------------===//
#include "Guessing.h"

#include "runtime/engine/Engine.h"

namespace sinter {
namespace {

class Collector final : public RequestListener {
public:
  Collector(const std::function<bool(int32_t)> &onToken, Generation &result)
      : onToken_(onToken), result_(result) {}

  bool onToken(const TokenEvent &event) override {
    result_.tokens.push_back(event.token);
    return onToken_(event.token);
  }
  void onFinish(uint32_t, FinishReason reason, const Status &status) override {
    // Who takes no more tokens has cancelled, as with Generator.
    result_.finish = reason == FinishReason::Stopped ? FinishReason::Cancelled : reason;
    result_.status = status;
  }
  void onDone(const Usage &) override {}

private:
  const std::function<bool(int32_t)> &onToken_;
  Generation &result_;
};

} // namespace

Result<GuessingResult> generateGuessing(Executor &executor, const GenerationRequest &generation,
                                        const GuessingOptions &options,
                                        const std::function<bool(int32_t token)> &onToken) {
  GuessingResult result;
  const std::vector<int32_t> &tokens = result.generation.tokens;
  size_t before = 0; // tokens before the step
  EngineOptions engineOptions;
  engineOptions.maxSequences = 1;
  engineOptions.tokensPerStep = options.prefillChunk;
  engineOptions.shufflePages = options.shuffleSeed;
  engineOptions.onStep = [&](const EngineStep &step) {
    const bool decode = before > 0;
    const auto taken = uint32_t(tokens.size() - before);
    result.steps.push_back(
        {step.seconds, decode ? taken : step.tokens, step.sequences, decode, step.cost});
    before = tokens.size();
  };
  SINTER_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                          Engine::create(executor, engineOptions));
  Request request;
  request.prompt = generation.prompt;
  request.maxTokens = generation.maxTokens;
  request.sampling = generation.sampling;
  request.ignoreEos = generation.ignoreEos;
  request.promptLookup = options.promptLookup;
  SINTER_RETURN_IF_ERROR(engine->validate(request));
  engine->submit(1, std::move(request), std::make_shared<Collector>(onToken, result.generation));
  while (!engine->idle()) {
    if (options.stop && *options.stop)
      engine->cancelAll();
    SINTER_RETURN_IF_ERROR(engine->step());
  }
  result.guessed = engine->figures().guessedTokens;
  result.accepted = engine->figures().acceptedGuesses;
  return result;
}

} // namespace sinter
