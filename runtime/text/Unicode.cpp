//===- Unicode.cpp - code points as Hugging Face tokenizers sees them -----===//

#include "runtime/text/Unicode.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <vector>

#include <utf8proc.h>

#include "runtime/text/UnicodeRanges.inc"

namespace sinter::text {
namespace {

constexpr size_t kPoints = 0x110000;
constexpr size_t kBlock = 256;

/// Two-stage table; equal blocks are stored once, so it stays within the caches.
struct ClassTable {
  std::array<uint16_t, kPoints / kBlock> blockOf{};
  std::vector<CharClass> cells;

  ClassTable() {
    std::vector<uint8_t> flat(kPoints);
    for (size_t i = 0; i < std::size(kCategoryStarts); ++i) {
      size_t end = i + 1 < std::size(kCategoryStarts) ? kCategoryStarts[i + 1] >> 5 : kPoints;
      std::memset(&flat[kCategoryStarts[i] >> 5], static_cast<int>(kCategoryStarts[i] & 31),
                  end - (kCategoryStarts[i] >> 5));
    }
    mark(flat, kWhiteSpace, std::size(kWhiteSpace), CharClass::kSpace);
    mark(flat, kNfcActive, std::size(kNfcActive), CharClass::kNfcActive);
    std::vector<const uint8_t *> blocks;
    for (size_t b = 0; b < blockOf.size(); ++b) {
      const uint8_t *block = &flat[b * kBlock];
      auto same = std::find_if(blocks.begin(), blocks.end(), [&](const uint8_t *other) {
        return std::memcmp(block, other, kBlock) == 0;
      });
      blockOf[b] = static_cast<uint16_t>(same - blocks.begin());
      if (same == blocks.end()) {
        blocks.push_back(block);
        for (size_t i = 0; i < kBlock; ++i)
          cells.emplace_back(block[i]);
      }
    }
  }

  static void mark(std::vector<uint8_t> &flat, const uint32_t *pairs, size_t count, uint8_t bit) {
    for (size_t i = 0; i < count; i += 2)
      for (uint32_t c = pairs[i]; c <= pairs[i + 1]; ++c)
        flat[c] |= bit;
  }
};

const ClassTable &table() {
  static const ClassTable instance;
  return instance;
}

void appendRange(std::string &out, uint32_t first, uint32_t last) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "\\x{%x}-\\x{%x}", first, last);
  out += buffer;
}

/// Normalises one starter and the marks after it, or a run of marks alone. The marks are sorted
/// here: utf8proc's own ordering takes quadratic time on long runs.
void appendComposed(std::string &out, std::string_view piece) {
  std::vector<utf8proc_int32_t> points;
  int lastBoundClass = 0;
  for (size_t i = 0; i < piece.size();) {
    CodePoint point = decodeAt(piece, i);
    i += point.bytes;
    utf8proc_int32_t parts[8]; // the longest canonical decomposition has four
    auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(point.value), parts, 8,
                                         UTF8PROC_DECOMPOSE, &lastBoundClass);
    points.insert(points.end(), parts, parts + count);
  }
  // Class, then position, then the mark itself in one word: sorting these is a stable sort.
  std::vector<uint64_t> marks;
  for (size_t begin = 0; begin < points.size();) {
    marks.clear();
    size_t end = begin;
    for (; end < points.size(); ++end) {
      uint64_t rank = utf8proc_get_property(points[end])->combining_class;
      if (rank == 0)
        break;
      marks.push_back(rank << 56 | (end - begin) << 21 | static_cast<uint64_t>(points[end]));
    }
    std::sort(marks.begin(), marks.end());
    for (size_t i = 0; i < marks.size(); ++i)
      points[begin + i] = static_cast<utf8proc_int32_t>(marks[i] & 0x1FFFFF);
    begin = end + 1;
  }
  auto size =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  for (utf8proc_ssize_t i = 0; i < size; ++i)
    appendUtf8(out, static_cast<char32_t>(points[static_cast<size_t>(i)]));
}

} // namespace

CharClass classOf(char32_t codePoint) {
  const ClassTable &t = table();
  return t.cells[t.blockOf[codePoint / kBlock] * kBlock + codePoint % kBlock];
}

void appendUtf8(std::string &out, char32_t c) {
  auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
  if (c < 0x80)
    return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

Utf8Step stepUtf8(std::string_view bytes) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  unsigned lead = byte(0);
  if (lead < 0x80)
    return {Utf8Step::Valid, 1};
  if (lead < 0xC2 || lead > 0xF4)
    return {Utf8Step::Invalid, 1};
  uint32_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte excludes overlong forms, surrogates and what lies above U+10FFFF.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (uint32_t i = 1; i < length; ++i) {
    if (i == bytes.size())
      return {Utf8Step::Truncated, i};
    if (byte(i) < low || byte(i) > high)
      return {Utf8Step::Invalid, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Utf8Step::Valid, length};
}

std::optional<size_t> findInvalidUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t word;
    if (i + 8 <= text.size() &&
        (std::memcpy(&word, text.data() + i, 8), (word & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    Utf8Step step = stepUtf8(text.substr(i, 4));
    if (step.kind != Utf8Step::Valid)
      return i;
    i += step.bytes;
  }
  return std::nullopt;
}

size_t appendLossy(std::string &out, std::string_view bytes, bool final) {
  size_t i = 0;
  while (i < bytes.size()) {
    Utf8Step step = stepUtf8(bytes.substr(i, 4));
    if (step.kind == Utf8Step::Truncated && !final)
      break;
    if (step.kind == Utf8Step::Valid)
      out.append(bytes, i, step.bytes);
    else
      out += "\xEF\xBF\xBD";
    i += step.bytes;
  }
  return i;
}

std::optional<std::string> nfc(std::string_view text) {
  std::string out;
  size_t copied = 0;   // text[0, copied) is in `out`
  size_t previous = 0; // start of the last code point that stays as it is
  bool changed = false;
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0xCC) { // below U+0300: never active
      previous = i;
      i += static_cast<unsigned char>(text[i]) < 0x80 ? 1 : 2;
      continue;
    }
    CodePoint point = decodeAt(text, i);
    if (!classOf(point.value).isNfcActive()) {
      previous = i;
      i += point.bytes;
      continue;
    }
    // A starter with its active tail. A mark that only utf8proc's newer Unicode knows is no part
    // of the piece: here it is an unassigned character, which neither moves nor composes.
    size_t begin = previous;
    if (begin < i &&
        utf8proc_get_property(static_cast<utf8proc_int32_t>(decodeAt(text, begin).value))
                ->combining_class != 0)
      begin = i;
    size_t end = i;
    while (end < text.size()) {
      CodePoint next = decodeAt(text, end);
      if (!classOf(next.value).isNfcActive())
        break;
      end += next.bytes;
    }
    begin = std::max(begin, copied);
    out.append(text, copied, begin - copied);
    size_t before = out.size();
    appendComposed(out, text.substr(begin, end - begin));
    changed |= std::string_view(out).substr(before) != text.substr(begin, end - begin);
    copied = previous = i = end;
  }
  if (!changed)
    return std::nullopt;
  out.append(text, copied);
  return out;
}

std::string rangesAsRegexClass(uint32_t mask) {
  std::string out;
  for (size_t i = 0; i < std::size(kCategoryStarts);) {
    auto wanted = [&](size_t run) { return mask >> (kCategoryStarts[run] & 31) & 1; };
    if (!wanted(i)) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < std::size(kCategoryStarts) && wanted(end))
      ++end;
    uint32_t last = end < std::size(kCategoryStarts) ? (kCategoryStarts[end] >> 5) - 1 : 0x10FFFF;
    appendRange(out, kCategoryStarts[i] >> 5, last);
    i = end;
  }
  return out;
}

std::string spaceAsRegexClass() {
  std::string out;
  for (size_t i = 0; i < std::size(kWhiteSpace); i += 2)
    appendRange(out, kWhiteSpace[i], kWhiteSpace[i + 1]);
  return out;
}

} // namespace sinter::text
