//===- AnswerFormat.h - answers as OpenAI's objects -------------*- C++ -*-===//
#pragma once

#include "runtime/server/Answer.h"
#include "runtime/server/JsonFields.h"
#include "runtime/server/ServedModel.h"

#include <string>
#include <vector>

namespace sinter {

/// All that one sample has said.
struct CollectedSample {
  AnswerParts parts; ///< each tool call as one
  std::vector<TokenDetail> tokens;
  std::string finish; ///< empty: it has not ended
};

/// "stop", "length", "tool_calls" or "cancelled".
std::string finishName(const AnswerEvent &event);

OrderedJson usageObject(const Usage &usage);

/// The objects of one endpoint for one request.
class AnswerFormat {
public:
  AnswerFormat(const ServedModel &model, const char *idPrefix, bool logprobs);
  virtual ~AnswerFormat() = default;

  /// The whole answer.
  std::string whole(const std::vector<CollectedSample> &samples, const Usage &usage) const;
  /// The objects of one event; none when a client learns nothing from it. Clients put a tool call
  /// together from parts that come in objects of their own.
  std::vector<std::string> chunks(AnswerEvent event, bool withUsage);
  /// The last object of a stream that asked for usage.
  std::string usageChunk(const Usage &usage) const;

protected:
  virtual const char *objectName(bool streamed) const = 0;
  /// An element of `choices`, but for its index and finish reason.
  virtual OrderedJson wholeChoice(const CollectedSample &sample) const = 0;
  virtual OrderedJson deltaChoice(const AnswerEvent &event) = 0;

  std::string textOf(int32_t token) const;
  bool logprobs() const { return logprobs_; }

private:
  OrderedJson envelope(bool streamed) const;
  std::string chunk(const AnswerEvent &event, bool withUsage);

  const ServedModel &model_;
  std::string id_;
  int64_t created_;
  bool logprobs_;
  std::string chunkHead_; ///< what all objects of a stream begin with, once there is one
};

class ChatFormat : public AnswerFormat {
public:
  ChatFormat(const ServedModel &model, bool logprobs, uint32_t samples)
      : AnswerFormat(model, "chatcmpl-", logprobs), begun_(samples), calls_(samples) {}

private:
  const char *objectName(bool streamed) const override;
  OrderedJson wholeChoice(const CollectedSample &sample) const override;
  OrderedJson deltaChoice(const AnswerEvent &event) override;
  OrderedJson logprobsOf(const std::vector<TokenDetail> &tokens) const;

  std::vector<bool> begun_;     ///< by sample: whether its role was sent
  std::vector<uint32_t> calls_; ///< by sample: tool calls begun so far
};

class CompletionFormat : public AnswerFormat {
public:
  CompletionFormat(const ServedModel &model, bool logprobs)
      : AnswerFormat(model, "cmpl-", logprobs) {}

private:
  const char *objectName(bool streamed) const override;
  OrderedJson wholeChoice(const CollectedSample &sample) const override;
  OrderedJson deltaChoice(const AnswerEvent &event) override;
  OrderedJson logprobsOf(const std::vector<TokenDetail> &tokens) const;
};

} // namespace sinter
