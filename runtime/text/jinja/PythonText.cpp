//===- PythonText.cpp - Python's str operations on UTF-8 ------------------===//
#include "runtime/text/jinja/PythonText.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <utf8proc.h>

#include "runtime/text/Unicode.h"

namespace sinter::jinja {

namespace {

constexpr size_t npos = std::string_view::npos;

/// Characters whose case mapping is several characters, or depends on their neighbours.
bool hasSpecialCasing(char32_t c) {
  static constexpr char32_t kSingle[] = {0xDF, 0x130, 0x149, 0x1F0, 0x390, 0x3A3, 0x3B0, 0x587};
  return std::find(std::begin(kSingle), std::end(kSingle), c) != std::end(kSingle) ||
         (c >= 0x1E96 && c <= 0x1E9E) || (c >= 0x1F50 && c <= 0x1FFF) ||
         (c >= 0xFB00 && c <= 0xFB17);
}

size_t skipSpace(std::string_view text, size_t at, bool wanted) {
  while (at < text.size()) {
    const auto [c, bytes] = text::decodeAt(text, at);
    if (isSpace(c) != wanted)
      break;
    at += bytes;
  }
  return at;
}

std::vector<std::string_view> splitAtSpace(std::string_view text, long limit) {
  std::vector<std::string_view> parts;
  size_t at = skipSpace(text, 0, true);
  while (at < text.size()) {
    if (limit >= 0 && long(parts.size()) == limit) {
      parts.push_back(text.substr(at));
      break;
    }
    const size_t end = skipSpace(text, at, false);
    parts.push_back(text.substr(at, end - at));
    at = skipSpace(text, end, true);
  }
  return parts;
}

} // namespace

bool isSpace(char32_t c) { return text::classOf(c).isSpace() || (c >= 0x1C && c <= 0x1F); }

bool isPrintable(char32_t c) {
  using text::Category;
  switch (text::classOf(c).category()) {
  case Category::Cn:
  case Category::Cc:
  case Category::Cf:
  case Category::Co:
  case Category::Cs:
  case Category::Zl:
  case Category::Zp:
    return false;
  case Category::Zs:
    return c == ' ';
  default:
    return true;
  }
}

size_t countCodePoints(std::string_view text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t byteOffset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index)
    at += text::decodeAt(text, at).bytes;
  return at;
}

size_t findText(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size())
    return npos;
  if (part.empty())
    return from;
  const void *hit = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return hit ? size_t(static_cast<const char *>(hit) - text.data()) : npos;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> chars, Side side) {
  const auto drops = [&](size_t at) {
    const auto [c, bytes] = text::decodeAt(text, at);
    return chars ? chars->find(text.substr(at, bytes)) != npos : isSpace(c);
  };
  if (side != Side::Right) {
    size_t at = 0;
    while (at < text.size() && drops(at))
      at += text::decodeAt(text, at).bytes;
    text.remove_prefix(at);
  }
  while (side != Side::Left && !text.empty()) {
    const size_t last = text::previousStart(text, text.size());
    if (!drops(last))
      break;
    text = text.substr(0, last);
  }
  return text;
}

std::vector<std::string_view> split(std::string_view text,
                                    std::optional<std::string_view> separator, long limit) {
  return separator ? partsBetween(text, *separator, limit) : splitAtSpace(text, limit);
}

std::vector<std::string_view> rsplit(std::string_view text, std::string_view separator,
                                     long limit) {
  std::vector<std::string_view> parts;
  while (limit < 0 || long(parts.size()) < limit) {
    const size_t hit = text.size() < separator.size() ? npos : text.rfind(separator);
    if (hit == npos)
      break;
    parts.push_back(text.substr(hit + separator.size()));
    text = text.substr(0, hit);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> splitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t start = 0, at = 0; at < text.size();) {
    const auto [c, bytes] = text::decodeAt(text, at);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    size_t next = at + bytes;
    if (ends)
      lines.push_back(text.substr(start, at - start));
    if (c == '\r' && next < text.size() && text[next] == '\n')
      ++next;
    if (ends)
      start = next;
    else if (next >= text.size())
      lines.push_back(text.substr(start));
    at = next;
  }
  return lines;
}

std::vector<std::string_view> partsBetween(std::string_view text, std::string_view old,
                                           long limit) {
  std::vector<std::string_view> parts;
  size_t start = 0;
  while (limit < 0 || long(parts.size()) < limit) {
    size_t hit;
    if (!old.empty()) {
      hit = findText(text, old, start);
    } else if (parts.empty()) {
      hit = 0;
    } else {
      hit = start < text.size() ? start + text::decodeAt(text, start).bytes : npos;
    }
    if (hit == npos)
      break;
    parts.push_back(text.substr(start, hit - start));
    start = hit + old.size();
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::optional<std::string> changeCase(std::string_view text, Case to, char32_t &bad) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto [c, bytes] = text::decodeAt(text, at);
    at += bytes;
    if (hasSpecialCasing(c)) {
      bad = c;
      return std::nullopt;
    }
    const auto point = static_cast<utf8proc_int32_t>(c);
    text::appendUtf8(out, static_cast<char32_t>(to == Case::Upper   ? utf8proc_toupper(point)
                                                : to == Case::Lower ? utf8proc_tolower(point)
                                                                    : utf8proc_totitle(point)));
  }
  return out;
}

std::string hexName(char32_t c) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "U+%04X", static_cast<unsigned>(c));
  return buffer;
}

} // namespace sinter::jinja
