//===- PromptLookup.h - guesses from what was said before -------*- C++ -*-===//
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sinter {

/// Guesses that what follows the last tokens is what followed their latest earlier occurrence: the
/// last three, else the last two. Returns at most `count` tokens, a part of `tokens`; none where
/// nothing repeats. O(tokens).
std::span<const int32_t> lookupPrompt(std::span<const int32_t> tokens, size_t count);

/// Tokens of one sequence that the shortest entry points take, and one of them is not a guess.
constexpr uint32_t kMaxPromptLookup = 7;

} // namespace sinter
