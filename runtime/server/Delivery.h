//===- Delivery.h - an answer on its way to a client ------------*- C++ -*-===//
#pragma once

#include "runtime/server/AnswerFormat.h"
#include "runtime/server/Connection.h"

#include <memory>

namespace sinter {

/// Takes events of an answer to the client of this thread's connection, whole or as a stream.
/// A client that leaves, like a delivery that is destroyed, cancels the request at once.
class Delivery {
public:
  Delivery(std::shared_ptr<const ServedModel> model, std::shared_ptr<Answer> answer,
           RequestId request, std::unique_ptr<AnswerFormat> format, uint32_t samples)
      : model_(std::move(model)), answer_(std::move(answer)), request_(request),
        format_(std::move(format)), samples_(samples) {}
  ~Delivery();
  Delivery(const Delivery &) = delete;
  Delivery &operator=(const Delivery &) = delete;

  /// Waits for the whole answer.
  void whole(httplib::Response &response);
  /// Sends what there is as server-sent events, waiting for the first; ends `sink` with the answer.
  /// False: the client has left.
  bool stream(httplib::DataSink &sink, bool includeUsage);

private:
  /// Waits for news. Nothing: the client has left.
  std::optional<Answer::News> wait();

  std::shared_ptr<const ServedModel> model_;
  std::shared_ptr<Answer> answer_;
  RequestId request_;
  std::unique_ptr<AnswerFormat> format_;
  uint32_t samples_;
  bool done_ = false;
};

} // namespace sinter
