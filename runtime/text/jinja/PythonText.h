//===- PythonText.h - Python's str operations on UTF-8 ----------*- C++ -*-===//
//
// Positions and counts that templates see are code points; text is valid UTF-8.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::jinja {

/// str.isspace() of one code point.
bool isSpace(char32_t c);
/// str.isprintable() of one code point: what repr() leaves as it is.
bool isPrintable(char32_t c);

size_t countCodePoints(std::string_view text);
/// Byte offset of the code point with this index; the size of the text when there are fewer.
size_t byteOffset(std::string_view text, size_t index);

/// std::string::find in linear time whatever the two texts are.
size_t findText(std::string_view text, std::string_view part, size_t from);

enum class Side { Left, Right, Both };
/// str.strip, lstrip, rstrip; without `chars` it strips white space.
std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side);

/// str.split; without a separator at runs of white space. A negative limit is none.
std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, long limit);
/// str.rsplit, with a separator.
std::vector<std::string_view> rsplit(std::string_view text, std::string_view separator, long limit);
/// str.splitlines().
std::vector<std::string_view> splitLines(std::string_view text);
/// Parts that a replacement with this limit leaves, that is, split() for any `old`; with an empty
/// `old` every code point is a part and so are both ends.
std::vector<std::string_view> partsBetween(std::string_view text, std::string_view old, long limit);

enum class Case { Upper, Lower, Title };
/// str.upper, str.lower; Title upper-cases every letter to its title case. Nothing when a character
/// needs Unicode's special casing rules, which are not implemented: `bad` is that character.
std::optional<std::string> changeCase(std::string_view text, Case to, char32_t &bad);

/// U+00DF, for messages.
std::string hexName(char32_t c);

} // namespace sinter::jinja
