//===- StopStrings.h - finds stop strings in growing text -------*- C++ -*-===//
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sinter {

/// Lets text through as soon as it cannot be part of a stop string any more.
class StopStrings {
public:
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Text that is now certain. Once a stop string has come, what precedes it and then nothing.
  std::string push(std::string_view text);
  /// The end: whatever was held back.
  std::string flush();

  bool found() const { return found_; }
  size_t held() const { return held_.size(); }

private:
  size_t possibleStart() const;

  std::vector<std::string> stops_;
  std::string held_; ///< the start of what may become a stop string
  bool found_ = false;
};

/// The length of the longest end of `text` that is a proper beginning of `word`.
size_t overlap(std::string_view text, std::string_view word);

} // namespace sinter
