//===- ToolCallReader.cpp -------------------------------------------------===//
#include "runtime/server/ToolCallReader.h"

#include "runtime/server/StopStrings.h"
#include "sinter/Support/Json.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace sinter {
namespace {

constexpr std::string_view kCallEnd = "</tool_call>";
constexpr std::string_view kSpace = " \t\r\n";

/// Walks over text that may end anywhere.
class Cursor {
public:
  explicit Cursor(std::string_view text) : text_(text) {}

  /// Whether `word` comes next, after white space.
  bool take(std::string_view word) {
    skipSpace();
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with(word)) {
      at_ += word.size();
      return true;
    }
    ended_ = word.starts_with(rest);
    return false;
  }

  /// The string that comes next.
  std::optional<std::string> takeString() {
    const size_t begin = (skipSpace(), at_);
    if (!take("\""))
      return std::nullopt;
    for (; at_ < text_.size(); ++at_)
      if (text_[at_] == '\\')
        ++at_;
      else if (text_[at_] == '"') {
        const auto json = parseJson(text_.substr(begin, ++at_ - begin), "name");
        return json ? std::optional(json->get<std::string>()) : std::nullopt;
      }
    ended_ = true;
    return std::nullopt;
  }

  size_t at() const { return at_; }
  /// Whether the last thing was not there because the text ends before or in it.
  bool ended() const { return ended_; }

private:
  void skipSpace() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }

  std::string_view text_;
  size_t at_ = 0;
  bool ended_ = false;
};

bool mayBeObject(std::string_view text) {
  const size_t ink = text.find_first_not_of(kSpace);
  return ink == std::string_view::npos || text[ink] == '{';
}

/// A call that is whole, its keys in any order. Its arguments may be an object or a string that
/// holds one, as some models write it.
std::optional<ToolCallPart> parseCall(const std::string &text) {
  const auto checked = parseJson(text, "tool call"); // limits the nesting
  if (!checked || !checked->is_object() || !checked->contains("name") ||
      !(*checked)["name"].is_string() || !checked->contains("arguments"))
    return std::nullopt;
  const auto call = nlohmann::ordered_json::parse(text);
  const nlohmann::ordered_json &arguments = call["arguments"];
  return ToolCallPart{true, call["name"].get<std::string>(),
                      arguments.is_string() ? arguments.get<std::string>() : arguments.dump()};
}

void addWhole(ToolCallPart call, std::vector<ToolCallPart> &out) {
  std::string arguments = std::exchange(call.arguments, {});
  out.push_back(std::move(call));
  out.push_back({false, {}, std::move(arguments)});
}

} // namespace

ToolCallReader::Outcome ToolCallReader::head(std::string &text, std::vector<ToolCallPart> &out) {
  if (!mayBeObject(text))
    return Outcome::NoCall;
  Cursor cursor(text);
  std::optional<std::string> name;
  if (cursor.take("{") && cursor.take("\"name\"") && cursor.take(":"))
    name = cursor.takeString();
  if (name && cursor.take(",") && cursor.take("\"arguments\"") && cursor.take(":") &&
      cursor.take("{")) {
    out.push_back({true, *std::move(name), {}});
    text.erase(0, cursor.at() - 1);
    state_ = State::Arguments;
  } else if (!cursor.ended()) {
    state_ = State::Whole;
  }
  return Outcome::More;
}

ToolCallReader::Outcome ToolCallReader::arguments(std::string &text,
                                                  std::vector<ToolCallPart> &out) {
  size_t at = 0;
  for (; at < text.size() && state_ == State::Arguments; ++at) {
    const char c = text[at];
    if (inString_) {
      inString_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      inString_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (--depth_ == 0)
        state_ = State::Tail;
    } else if (c == '<') { // no JSON: the mark, after a call that is broken?
      const std::string_view rest = std::string_view(text).substr(at);
      if (rest.starts_with(kCallEnd))
        state_ = State::Tail;
      if (state_ == State::Tail || kCallEnd.starts_with(rest))
        break;
    }
  }
  if (at > 0)
    out.push_back({false, {}, text.substr(0, at)});
  text.erase(0, at);
  return Outcome::More;
}

ToolCallReader::Outcome ToolCallReader::tail(std::string &text) {
  const size_t end = text.find(kCallEnd);
  if (end == std::string::npos) {
    text.erase(0, text.size() - overlap(text, kCallEnd));
    return Outcome::More;
  }
  text.erase(0, end + kCallEnd.size());
  return Outcome::Called;
}

ToolCallReader::Outcome ToolCallReader::whole(std::string &text, std::vector<ToolCallPart> &out) {
  const size_t end = text.find(kCallEnd, searched_);
  if (end == std::string::npos) {
    searched_ = text.size() - std::min(text.size(), kCallEnd.size() - 1);
    return Outcome::More;
  }
  std::optional<ToolCallPart> call = parseCall(text.substr(0, end));
  if (!call)
    return Outcome::NoCall;
  addWhole(*std::move(call), out);
  text.erase(0, end + kCallEnd.size());
  return Outcome::Called;
}

ToolCallReader::Outcome ToolCallReader::read(std::string &text, std::vector<ToolCallPart> &out) {
  if (state_ == State::Head)
    if (head(text, out) == Outcome::NoCall)
      return Outcome::NoCall;
  if (state_ == State::Arguments)
    arguments(text, out);
  return state_ == State::Tail    ? tail(text)
         : state_ == State::Whole ? whole(text, out)
                                  : Outcome::More;
}

ToolCallReader::Outcome ToolCallReader::end(std::string &text, std::vector<ToolCallPart> &out) {
  if (state_ == State::Tail)
    return Outcome::Called;
  if (state_ != State::Whole)
    return Outcome::Cut;
  if (std::optional<ToolCallPart> call = parseCall(text)) {
    addWhole(*std::move(call), out);
    return Outcome::Called;
  }
  return parseJson(text, "tool call") ? Outcome::NoCall : Outcome::Cut;
}

} // namespace sinter
