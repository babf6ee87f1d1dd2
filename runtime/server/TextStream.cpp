//===- TextStream.cpp -----------------------------------------------------===//
#include "runtime/server/TextStream.h"

namespace sinter {

TextStream::TextStream(const Tokenizer &tokenizer, const TextStreamOptions &options)
    : decoder_(tokenizer, /*skipSpecial=*/true), stops_(options.stops), splitter_(options.split),
      logprobs_(options.logprobs) {}

void TextStream::release(const std::string &certain, TextDelta &out) {
  released_ += certain.size();
  out.parts.append(splitter_.push(certain));
}

/// Tokens whose text begins in what is released. Of a stopped sample the rest is discarded.
void TextStream::releaseTokens(TextDelta &out, bool all) {
  while (!details_.empty() && (all || details_.front().offset < released_)) {
    out.tokens.push_back(std::move(details_.front()));
    details_.pop_front();
  }
}

bool TextStream::push(const TokenEvent &event, TextDelta &out) {
  if (logprobs_)
    details_.push_back(
        {event.token, event.logprob, {event.likely.begin(), event.likely.end()}, produced_});
  const std::string text = decoder_.push(event.token);
  produced_ += text.size();
  release(stops_.push(text), out);
  releaseTokens(out, !stops_.found() && stops_.held() == 0);
  return !stops_.found() && !splitter_.ended();
}

void TextStream::finish(TextDelta &out) {
  if (!stops_.found()) {
    const std::string rest = decoder_.flush();
    produced_ += rest.size();
    release(stops_.push(rest), out);
    const bool stopped = stops_.found();
    release(stops_.flush(), out);
    releaseTokens(out, !stopped);
  }
  out.parts.append(splitter_.flush());
}

} // namespace sinter
