//===- TokenizerSax.h - parser events of tokenizer.json ---------*- C++ -*-===//
//
// nlohmann's event interface: `model.vocab` and `model.merges` go to TokenizerSpec, everything else
// to a JSON tree in which those two keys hold null.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/text/TokenizerJson.h"

namespace sinter::text {

/// A key as a path shows it: as it is if it reads like a name, else as cut and escaped JSON.
std::string keyForMessage(const std::string &key);

class TokenizerSax : public nlohmann::json_sax<nlohmann::json> {
public:
  TokenizerSax(TokenizerSpec &spec, nlohmann::json &root) : spec_(spec), root_(root) {}
  const Status &error() const { return error_; }

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return value(v); }
  bool number_unsigned(number_unsigned_t v) override;
  bool number_float(number_float_t v, const string_t &) override { return value(v); }
  bool string(string_t &v) override;
  bool binary(binary_t &) override { return fail("binary values are not JSON"); }
  bool key(string_t &v) override;
  bool start_object(size_t) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string &,
                   const nlohmann::json::exception &) override;

private:
  /// Where the next value belongs.
  enum class State { Tree, Vocab, Merges, MergePair };
  static constexpr size_t kMaxDepth = 64;

  bool fail(std::string message);
  bool value(nlohmann::json v);
  bool open(nlohmann::json container);
  nlohmann::json *place(nlohmann::json v);
  /// Whether the value that starts now is `model.<key>`.
  bool atModelKey(const char *name) const;
  bool oneStringMerge(const std::string &text);
  TokenizerSpec::Span store(std::string_view text);
  std::string where() const;

  TokenizerSpec &spec_;
  nlohmann::json &root_;
  std::vector<nlohmann::json *> open_; ///< containers of the tree, outermost first
  std::vector<std::string> keys_;      ///< the current key of each of them
  State state_ = State::Tree;
  std::string vocabKey_;
  std::vector<TokenizerSpec::Span> pair_;
  Status error_;
};

} // namespace sinter::text
