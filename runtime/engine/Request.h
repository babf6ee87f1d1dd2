//===- Request.h - what one caller asks of an engine ------------*- C++ -*-===//
//
// An engine knows token ids and no text: stop strings, chat templates and grammars live above it,
// behind RequestListener and TokenConstraint.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/Logprobs.h"
#include "runtime/engine/SamplingParams.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sinter {

enum class FinishReason {
  None,      ///< still running
  Eos,       ///< an end token, which is not part of the tokens
  Length,    ///< maxTokens reached
  Stopped,   ///< the listener said that this was enough
  Cancelled, ///< somebody called cancel()
  Failed,    ///< see the status beside it
};

/// Which tokens may come next in one sequence, for output that must follow a grammar. Called on the
/// engine's thread.
class TokenConstraint {
public:
  virtual ~TokenConstraint() = default;
  /// Sets bit `id % 32` of word `id / 32` for every id that may come next and clears the others;
  /// `mask` has ceil(vocab / 32) words. End tokens are ids like others.
  virtual Status allowed(std::span<uint32_t> mask) = 0;
  /// `token` was taken.
  virtual void accept(int32_t token) = 0;
  /// The same state again, for the other samples of a request.
  virtual std::unique_ptr<TokenConstraint> clone() const = 0;
};

struct Request {
  std::vector<int32_t> prompt; ///< at least one token
  uint32_t maxTokens = 0;      ///< at least 1
  uint32_t samples = 1;        ///< how many continuations; they share the prompt's pages
  SamplingParams sampling;     ///< sample i draws with seed + i
  bool ignoreEos = false;
  std::vector<int32_t> stopIds; ///< end tokens beside the model's, not part of the tokens either
  /// Log-probabilities of the taken token and of this many most likely ones; -1: none.
  int32_t logprobs = -1;
  int32_t priority = 0; ///< higher goes first
  /// Most tokens guessed at a time from repetitions in prompt and output and verified in one step,
  /// at most 7; 0: none. The tokens are the same with a batch-invariant artefact.
  uint32_t promptLookup = 0;
  std::string cacheSalt; ///< prefixes are shared between requests with equal salts only
  std::unique_ptr<TokenConstraint> constraint; ///< may be null
};

using RequestId = uint64_t;

struct TokenEvent {
  uint32_t sample = 0;
  int32_t token = 0;
  float logprob = 0;                    ///< only where asked for
  std::span<const TokenLogprob> likely; ///< most likely first; only where asked for
};

struct Usage {
  uint64_t promptTokens = 0;
  uint64_t cachedTokens = 0;     ///< of the prompt, found in the prefix cache
  uint64_t completionTokens = 0; ///< over all samples; without end tokens and discarded ones
};

/// Hears about one request, on the engine's thread: it must neither block nor call the engine.
class RequestListener {
public:
  virtual ~RequestListener() = default;
  /// Another token of a sample. False: the sample ends here, with this token and FinishReason::
  /// Stopped.
  virtual bool onToken(const TokenEvent &event) = 0;
  /// A sample has ended; `status` is not ok for Failed only. Called once for every sample.
  virtual void onFinish(uint32_t sample, FinishReason reason, const Status &status) = 0;
  /// Every sample has ended and the request's pages are free. The last call.
  virtual void onDone(const Usage &usage) = 0;
};

} // namespace sinter
