//===- GrammarConstraint.h - answers that follow a grammar ------*- C++ -*-===//
#pragma once

#include "runtime/engine/Request.h"
#include "runtime/server/GrammarMatcher.h"

#include <memory>
#include <vector>

namespace sinter {

/// Lets through tokens that continue a text of the grammar, and end tokens where it may end. The
/// samples of a request share what they learn of the grammar: they run on one thread.
class GrammarConstraint : public TokenConstraint {
public:
  GrammarConstraint(std::shared_ptr<GrammarMatcher> matcher, Tokenizer tokenizer,
                    std::vector<int32_t> endIds)
      : matcher_(std::move(matcher)), tokenizer_(std::move(tokenizer)), endIds_(std::move(endIds)),
        state_(matcher_->start()) {}

  Status allowed(std::span<uint32_t> mask) override;
  void accept(int32_t token) override;
  std::unique_ptr<TokenConstraint> clone() const override {
    return std::make_unique<GrammarConstraint>(*this);
  }

private:
  bool isEnd(int32_t token) const;

  std::shared_ptr<GrammarMatcher> matcher_;
  Tokenizer tokenizer_;
  std::vector<int32_t> endIds_;
  GrammarMatcher::StateId state_;
  bool ended_ = false;
};

} // namespace sinter
