//===- StopStrings.cpp ----------------------------------------------------===//
#include "runtime/server/StopStrings.h"

#include <algorithm>

namespace sinter {

size_t overlap(std::string_view text, std::string_view word) {
  for (size_t length = std::min(text.size(), word.size() - 1); length > 0; --length)
    if (text.substr(text.size() - length) == word.substr(0, length))
      return length;
  return 0;
}

size_t StopStrings::possibleStart() const {
  size_t longest = 0;
  for (const std::string &stop : stops_)
    longest = std::max(longest, overlap(held_, stop));
  return held_.size() - longest;
}

std::string StopStrings::push(std::string_view text) {
  if (found_)
    return {};
  held_ += text;
  size_t begin = std::string::npos;
  for (const std::string &stop : stops_)
    begin = std::min(begin, held_.find(stop));
  found_ = begin != std::string::npos;
  if (!found_)
    begin = possibleStart();
  std::string certain = held_.substr(0, begin);
  held_.erase(0, found_ ? held_.size() : begin);
  return certain;
}

std::string StopStrings::flush() {
  std::string rest;
  rest.swap(held_);
  return rest;
}

} // namespace sinter
