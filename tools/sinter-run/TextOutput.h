//===- TextOutput.h - text to standard output as it comes -------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdio_ext.h>
#include <string>

namespace sinter {

/// Standard output, one piece of text at a time.
class TextOutput {
public:
  explicit TextOutput(bool enabled) : enabled_(enabled) {}

  /// False once the reader has gone or the text cannot be written.
  bool write(const std::string &text) {
    if (!enabled_ || text.empty() || !open_)
      return open_;
    open_ =
        std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    if (!open_)
      close(errno);
    endsLine_ = text.back() == '\n';
    return open_;
  }
  void endLine() {
    if (!endsLine_)
      write("\n");
  }
  bool isOpen() const { return open_; }
  /// Whoever closed a pipe has what they wanted: that is no error.
  const Status &status() const { return status_; }

private:
  void close(int error) {
    if (error != EPIPE)
      status_ = unavailable(std::string("standard output: cannot write: ") + std::strerror(error));
    __fpurge(stdout);
    std::clearerr(stdout);
  }

  Status status_;
  bool enabled_;
  bool open_ = true;
  bool endsLine_ = true;
};

} // namespace sinter
