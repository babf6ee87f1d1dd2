//===- Answer.cpp ---------------------------------------------------------===//
#include "runtime/server/Answer.h"

#include <cerrno>
#include <cstring>
#include <sys/eventfd.h>
#include <unistd.h>

namespace sinter {

Result<std::shared_ptr<Answer>> Answer::create(const Tokenizer &tokenizer,
                                               const TextStreamOptions &options, uint32_t samples,
                                               bool streamed) {
  const int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor < 0)
    return unavailable(std::string("no descriptor for an answer: ") + std::strerror(errno));
  return std::shared_ptr<Answer>(new Answer(tokenizer, options, samples, streamed, descriptor));
}

Answer::~Answer() { close(descriptor_); }

void Answer::wake() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the reader has been woken.
  (void)!write(descriptor_, &one, sizeof one);
}

void Answer::put(AnswerEvent event) {
  bool isFirst = false;
  {
    const std::lock_guard lock(mutex_);
    isFirst = news_.events.empty();
    news_.events.push_back(std::move(event));
  }
  if (streamed_ && isFirst)
    wake();
}

bool Answer::onToken(const TokenEvent &event) {
  AnswerEvent out;
  out.sample = event.sample;
  const bool more = streams_[event.sample].push(event, out.delta);
  if (!out.delta.parts.empty() || !out.delta.tokens.empty())
    put(std::move(out));
  return more;
}

void Answer::onFinish(uint32_t sample, FinishReason reason, const Status &status) {
  AnswerEvent out;
  out.sample = sample;
  streams_[sample].finish(out.delta);
  out.finish = reason;
  out.calledTools = streams_[sample].calledTools();
  out.cutCall = streams_[sample].cutCall();
  out.status = status;
  put(std::move(out));
}

void Answer::onDone(const Usage &usage) {
  {
    const std::lock_guard lock(mutex_);
    news_.done = true;
    news_.usage = usage;
  }
  wake();
}

Answer::News Answer::take() {
  const std::lock_guard lock(mutex_);
  uint64_t count = 0;
  (void)!read(descriptor_, &count, sizeof count); // empty: nothing new, which is fine
  News news;
  news.done = news_.done;
  news.usage = news_.usage;
  news.events.swap(news_.events);
  return news;
}

} // namespace sinter
