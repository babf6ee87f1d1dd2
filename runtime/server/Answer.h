//===- Answer.h - what an engine says about one request ---------*- C++ -*-===//
//
// The engine's thread turns tokens into text and puts it here, one thread of the server takes it
// away. A descriptor tells when there is something, so that the server's thread can watch its
// client's socket at the same time.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/Request.h"
#include "runtime/server/TextStream.h"

#include <mutex>
#include <string>
#include <vector>

namespace sinter {

/// Something about one sample.
struct AnswerEvent {
  uint32_t sample = 0;
  TextDelta delta;
  FinishReason finish = FinishReason::None;  ///< None: it goes on
  bool calledTools = false, cutCall = false; ///< see TextStream; once it has ended
  Status status;                             ///< why it failed
};

class Answer : public RequestListener {
public:
  /// Whoever does not stream is woken once, at the end: a wakeup for every token costs the engine
  /// more than the token. Unavailable: no descriptors are left.
  static Result<std::shared_ptr<Answer>> create(const Tokenizer &tokenizer,
                                                const TextStreamOptions &options, uint32_t samples,
                                                bool streamed);
  ~Answer() override;

  bool onToken(const TokenEvent &event) override;
  void onFinish(uint32_t sample, FinishReason reason, const Status &status) override;
  void onDone(const Usage &usage) override;

  /// Readable when take() has something new that is to be sent.
  int descriptor() const { return descriptor_; }
  struct News {
    std::vector<AnswerEvent> events;
    bool done = false;
    Usage usage; ///< once done
  };
  News take();

private:
  Answer(const Tokenizer &tokenizer, const TextStreamOptions &options, uint32_t samples,
         bool streamed, int descriptor)
      : streams_(samples, TextStream(tokenizer, options)), streamed_(streamed),
        descriptor_(descriptor) {}
  void put(AnswerEvent event);
  void wake();

  std::vector<TextStream> streams_; ///< by sample; the engine's thread only
  const bool streamed_;
  int descriptor_;
  std::mutex mutex_;
  News news_; ///< under the mutex
};

} // namespace sinter
