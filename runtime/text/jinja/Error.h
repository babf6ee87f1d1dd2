//===- Error.h - how the template interpreter reports errors ----*- C++ -*-===//
//
// Inside runtime/text/jinja an error is thrown, because it ends a deep recursion; ChatTemplate
// catches it and returns a Status. Nothing throws past that.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "sinter/Support/Status.h"

namespace sinter::jinja {

/// A template error; `line` is 0 until somebody knows it.
struct Error {
  StatusCode code;
  std::string message;
  int line = 0;
};

[[noreturn]] inline void failParse(int line, std::string message) {
  throw Error{StatusCode::InvalidInput, std::move(message), line};
}
[[noreturn]] inline void refuse(int line, std::string construct) {
  throw Error{StatusCode::Unsupported, std::move(construct) + " is not supported", line};
}
/// A failure while rendering: the template and these messages do not go together.
[[noreturn]] inline void failRender(std::string message) {
  throw Error{StatusCode::InvalidArgument, std::move(message)};
}
[[noreturn]] inline void refuseRender(std::string construct) {
  throw Error{StatusCode::Unsupported, std::move(construct) + " is not supported"};
}

/// Bounds time and memory: every node evaluated and every byte produced is charged, so an untrusted
/// template can neither run for long nor hold more than the budget.
class Budget {
public:
  explicit Budget(size_t units) : left_(units) {}
  void charge(size_t units) {
    if (units > left_)
      throw Error{StatusCode::ResourceExhausted, "the template does more work than is allowed"};
    left_ -= units;
  }

private:
  size_t left_;
};

} // namespace sinter::jinja
