//===- Print.cpp - values as Python prints them, and as JSON --------------===//
#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/text/Unicode.h"
#include "runtime/text/jinja/PythonText.h"
#include "runtime/text/jinja/Value.h"

namespace sinter::jinja {

namespace {

void appendHex(std::string &out, const char *prefix, char32_t c, int digits) {
  out += prefix;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
    out += "0123456789abcdef"[c >> shift & 15];
}

/// repr() of a str: single quotes unless only they occur inside.
void appendQuoted(std::string &out, const std::string &text) {
  const bool single = text.find('\'') == std::string::npos || text.find('"') != std::string::npos;
  const char quote = single ? '\'' : '"';
  out += quote;
  for (size_t at = 0; at < text.size();) {
    const auto [c, bytes] = text::decodeAt(text, at);
    if (c == char32_t(quote) || c == '\\')
      out += '\\', out += char(c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (isPrintable(c))
      out.append(text, at, bytes);
    else if (c < 0x100)
      appendHex(out, "\\x", c, 2);
    else if (c < 0x10000)
      appendHex(out, "\\u", c, 4);
    else
      appendHex(out, "\\U", c, 8);
    at += bytes;
  }
  out += quote;
}

void appendJsonString(std::string &out, const std::string &text, bool ensureAscii) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const auto [c, bytes] = text::decodeAt(text, at);
    if (c == '"' || c == '\\')
      out += '\\', out += char(c);
    else if (c == '\b' || c == '\t' || c == '\n' || c == '\f' || c == '\r')
      out += '\\', out += "btn fr"[c - '\b'];
    else if (c < 0x20 || (ensureAscii && c >= 0x7F && c < 0x10000))
      appendHex(out, "\\u", c, 4);
    else if (ensureAscii && c >= 0x10000) {
      appendHex(out, "\\u", 0xD800 + ((c - 0x10000) >> 10), 4);
      appendHex(out, "\\u", 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
    } else
      out.append(text, at, bytes);
    at += bytes;
  }
  out += '"';
}

class JsonWriter {
public:
  JsonWriter(std::string &out, const JsonFormat &format, Budget &budget)
      : out_(out), format_(format), budget_(budget) {}

  void write(const Value &value) {
    const size_t before = out_.size();
    if (value.isNone())
      out_ += "null";
    else if (auto *b = value.boolean())
      out_ += *b ? "true" : "false";
    else if (auto *text = value.string())
      appendJsonString(out_, *text, format_.ensureAscii);
    else if (auto *number = value.floating())
      out_ += std::isnan(*number)   ? "NaN"
              : std::isinf(*number) ? (*number > 0 ? "Infinity" : "-Infinity")
                                    : floatText(*number);
    else if (value.isInt())
      out_ += toText(value, budget_);
    else if (auto *dict = value.dict())
      return writeDict(*dict);
    else if (auto *sequence = value.sequence();
             sequence && sequence->indexable() && sequence->kind != Sequence::Kind::Range)
      return writeList(*sequence);
    else
      failRender(std::string("tojson: a value of type ") + value.typeName() + " is not JSON");
    budget_.charge(out_.size() - before);
  }

private:
  /// What stands before an item: a separator if it is not the first, a new line if pretty.
  void next(bool first, size_t level) {
    if (!first)
      out_ += format_.itemSeparator;
    if (format_.pretty) {
      budget_.charge(1 + level * format_.indent.size());
      out_ += '\n';
      for (size_t i = 0; i < level; ++i)
        out_ += format_.indent;
    }
    budget_.charge(4 + format_.itemSeparator.size());
  }

  void writeList(const Sequence &list) {
    out_ += '[';
    ++level_;
    for (size_t i = 0; i < list.items.size(); ++i) {
      next(i == 0, level_);
      write(list.items[i]);
    }
    close(']', list.items.empty());
  }

  void writeDict(const Dict &dict) {
    std::vector<const std::pair<std::string, Value> *> order;
    for (const auto &entry : dict.entries)
      order.push_back(&entry);
    budget_.charge(8 * order.size());
    if (format_.sortKeys)
      std::sort(order.begin(), order.end(), [](auto *a, auto *b) { return a->first < b->first; });
    out_ += '{';
    ++level_;
    for (size_t i = 0; i < order.size(); ++i) {
      next(i == 0, level_);
      appendJsonString(out_, order[i]->first, format_.ensureAscii);
      out_ += format_.keySeparator;
      budget_.charge(order[i]->first.size() + format_.keySeparator.size());
      write(order[i]->second);
    }
    close('}', order.empty());
  }

  void close(char bracket, bool empty) {
    --level_;
    if (!empty && format_.pretty) {
      budget_.charge(1 + level_ * format_.indent.size());
      out_ += '\n';
      for (size_t i = 0; i < level_; ++i)
        out_ += format_.indent;
    }
    out_ += bracket;
  }

  std::string &out_;
  const JsonFormat &format_;
  Budget &budget_;
  size_t level_ = 0;
};

void appendSequenceRepr(std::string &out, const Sequence &sequence, Budget &budget) {
  if (!sequence.indexable() || sequence.kind == Sequence::Kind::Range)
    refuseRender(std::string("printing a ") +
                 Value(std::make_shared<const Sequence>(sequence)).typeName());
  const bool tuple = sequence.kind == Sequence::Kind::Tuple;
  out += tuple ? '(' : '[';
  for (size_t i = 0; i < sequence.items.size(); ++i) {
    if (i)
      out += ", ";
    appendRepr(out, sequence.items[i], budget);
  }
  if (tuple && sequence.items.size() == 1)
    out += ',';
  out += tuple ? ')' : ']';
}

} // namespace

std::string intText(Int value) {
  if (value == 0)
    return "0";
  const bool negative = value < 0;
  std::string digits;
  for (; value != 0; value /= 10) {
    const int digit = int(value % 10);
    digits += char('0' + (digit < 0 ? -digit : digit));
  }
  if (negative)
    digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string floatText(double value) {
  if (std::isnan(value))
    return "nan";
  if (std::isinf(value))
    return value > 0 ? "inf" : "-inf";
  char buffer[40];
  // The shortest digits that read back as the same number; then Python's choice of notation.
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, end.ptr);
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  std::string sign = text[0] == '-' ? "-" : "";
  std::string digits;
  for (char c : text.substr(0, e))
    if (c >= '0' && c <= '9')
      digits += c;
  if (exponent < -4 || exponent >= 16) {
    std::string mantissa = digits.substr(0, 1);
    if (digits.size() > 1)
      mantissa += "." + digits.substr(1);
    const std::string power = std::to_string(std::abs(exponent));
    return sign + mantissa + (exponent < 0 ? "e-" : "e+") + (power.size() < 2 ? "0" : "") + power;
  }
  if (exponent < 0)
    return sign + "0." + std::string(size_t(-exponent - 1), '0') + digits;
  const size_t whole = size_t(exponent) + 1;
  if (digits.size() < whole)
    digits.append(whole - digits.size(), '0');
  const std::string fraction = digits.substr(whole);
  return sign + digits.substr(0, whole) + "." + (fraction.empty() ? "0" : fraction);
}

void appendRepr(std::string &out, const Value &value, Budget &budget) {
  budget.charge(8);
  if (auto *text = value.string()) {
    budget.charge(text->size());
    return appendQuoted(out, *text);
  }
  if (auto *sequence = value.sequence())
    return appendSequenceRepr(out, *sequence, budget);
  if (auto *dict = value.dict()) {
    out += '{';
    for (size_t i = 0; i < dict->entries.size(); ++i) {
      if (i)
        out += ", ";
      budget.charge(dict->entries[i].first.size());
      appendQuoted(out, dict->entries[i].first);
      out += ": ";
      appendRepr(out, dict->entries[i].second, budget);
    }
    out += '}';
    return;
  }
  if (value.isUndefined()) {
    out += "Undefined";
    return;
  }
  out += toText(value, budget);
}

std::string toText(const Value &value, Budget &budget) {
  budget.charge(8);
  if (auto *text = value.string()) {
    budget.charge(text->size());
    return *text;
  }
  if (value.isUndefined())
    return "";
  if (value.isNone())
    return "None";
  if (auto *b = value.boolean())
    return *b ? "True" : "False";
  if (auto *number = value.floating())
    return floatText(*number);
  if (Int i; value.asInt(i))
    return intText(i);
  if (value.sequence() || value.dict()) {
    std::string out;
    appendRepr(out, value, budget);
    return out;
  }
  if (value.safeText())
    refuseRender("using the result of the filter \"safe\" other than printing it");
  refuseRender(std::string("printing a ") + value.typeName());
}

void appendJson(std::string &out, const Value &value, const JsonFormat &format, Budget &budget) {
  JsonWriter(out, format, budget).write(value);
}

} // namespace sinter::jinja
