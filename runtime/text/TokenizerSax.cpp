//===- TokenizerSax.cpp - parser events of tokenizer.json -----------------===//

#include "runtime/text/TokenizerSax.h"

#include <algorithm>
#include <cctype>

#include "sinter/Support/Json.h"

namespace sinter::text {

using Json = nlohmann::json;

std::string keyForMessage(const std::string &key) {
  auto isPlain = [](unsigned char c) { return std::isalnum(c) || c == '_'; };
  bool plain = key.size() <= 40 && std::all_of(key.begin(), key.end(), isPlain);
  return plain ? key : describeValue(key);
}

bool TokenizerSax::fail(std::string message) {
  error_ = invalidInput(std::move(message));
  return false;
}

std::string TokenizerSax::where() const {
  switch (state_) {
  case State::Vocab:
    return "model.vocab[" + describeValue(vocabKey_) + "]";
  case State::Merges:
  case State::MergePair:
    return "model.merges[" + std::to_string(spec_.merges.size()) + "]";
  case State::Tree:
    break;
  }
  constexpr size_t kNamed = 8; // the tree may be kMaxDepth deep, a message is a line
  std::string path;
  for (size_t i = 0; i < std::min(keys_.size(), kNamed); ++i)
    path += (i && !keys_[i].empty() ? "." : "") + keyForMessage(keys_[i]);
  return path + (keys_.size() > kNamed ? "..." : "");
}

TokenizerSpec::Span TokenizerSax::store(std::string_view text) {
  TokenizerSpec::Span span{static_cast<uint32_t>(spec_.characters.size()),
                           static_cast<uint32_t>(text.size())};
  spec_.characters += text;
  return span;
}

Json *TokenizerSax::place(Json v) {
  if (open_.empty()) {
    root_ = std::move(v);
    return &root_;
  }
  Json &parent = *open_.back();
  if (parent.is_object())
    return &(parent[keys_.back()] = std::move(v));
  parent.push_back(std::move(v));
  return &parent.back();
}

bool TokenizerSax::value(Json v) {
  switch (state_) {
  case State::Vocab:
    return fail(where() + ": needs a token id up to " + std::to_string(kMaxTokenId));
  case State::Merges:
  case State::MergePair:
    return fail(where() + ": needs \"a b\" or [\"a\", \"b\"]");
  case State::Tree:
    if (atModelKey("vocab"))
      return fail("model.vocab: needs an object");
    if (atModelKey("merges"))
      return fail("model.merges: needs a list");
    place(std::move(v));
    return true;
  }
  return false;
}

bool TokenizerSax::atModelKey(const char *name) const {
  return open_.size() == 2 && open_[1]->is_object() && keys_[0] == "model" && keys_[1] == name;
}

bool TokenizerSax::open(Json container) {
  if (open_.size() == kMaxDepth)
    return fail("more than " + std::to_string(kMaxDepth) + " levels of nesting");
  open_.push_back(place(std::move(container)));
  keys_.emplace_back();
  return true;
}

bool TokenizerSax::number_unsigned(number_unsigned_t v) {
  if (state_ != State::Vocab)
    return value(v);
  if (v > static_cast<number_unsigned_t>(kMaxTokenId))
    return value(v);
  spec_.vocab.push_back({store(vocabKey_), static_cast<int32_t>(v)});
  return true;
}

bool TokenizerSax::oneStringMerge(const std::string &text) {
  if (text.rfind("#version", 0) == 0) // the head line of merges.txt, kept by old converters
    return true;
  size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    return value(text);
  std::string_view view = text;
  TokenizerSpec::Span left = store(view.substr(0, space));
  spec_.merges.push_back({left, store(view.substr(space + 1))});
  return true;
}

bool TokenizerSax::string(string_t &v) {
  if (state_ == State::Merges)
    return oneStringMerge(v);
  if (state_ != State::MergePair)
    return value(v);
  pair_.push_back(store(v));
  return pair_.size() <= 2 || value(v);
}

bool TokenizerSax::key(string_t &v) {
  (state_ == State::Vocab ? vocabKey_ : keys_.back()).swap(v);
  return true;
}

bool TokenizerSax::start_object(size_t) {
  if (state_ != State::Tree)
    return value(nullptr);
  if (!atModelKey("vocab"))
    return atModelKey("merges") ? value(nullptr) : open(Json::object());
  if (open_[1]->contains("vocab"))
    return fail("model.vocab: appears twice");
  place(nullptr);
  state_ = State::Vocab;
  return true;
}

bool TokenizerSax::end_object() {
  if (state_ == State::Vocab) {
    state_ = State::Tree;
    return true;
  }
  open_.pop_back();
  keys_.pop_back();
  return true;
}

bool TokenizerSax::start_array(size_t) {
  if (state_ == State::Merges) {
    state_ = State::MergePair;
    pair_.clear();
    return true;
  }
  if (state_ != State::Tree)
    return value(nullptr);
  if (!atModelKey("merges"))
    return atModelKey("vocab") ? value(nullptr) : open(Json::array());
  if (open_[1]->contains("merges"))
    return fail("model.merges: appears twice");
  place(nullptr);
  state_ = State::Merges;
  return true;
}

bool TokenizerSax::end_array() {
  switch (state_) {
  case State::MergePair:
    if (pair_.size() != 2)
      return value(nullptr);
    spec_.merges.push_back({pair_[0], pair_[1]});
    state_ = State::Merges;
    return true;
  case State::Merges:
    state_ = State::Tree;
    return true;
  case State::Vocab:
  case State::Tree:
    break;
  }
  open_.pop_back();
  keys_.pop_back();
  return true;
}

bool TokenizerSax::parse_error(size_t position, const std::string &, const Json::exception &) {
  std::string path = where();
  return fail("not valid JSON at byte " + std::to_string(position) +
              (path.empty() ? "" : ", near " + path));
}

} // namespace sinter::text
