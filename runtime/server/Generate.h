//===- Generate.h - a prepared request to its answer ------------*- C++ -*-===//
#pragma once

#include "runtime/server/Delivery.h"
#include "runtime/server/Prepare.h"

namespace sinter {

/// Submits the request and makes `response` its answer, or the beginning of a stream.
void generate(const std::shared_ptr<const ServedModel> &model, PreparedRequest prepared,
              const GenerationFields &fields, std::unique_ptr<AnswerFormat> format,
              httplib::Response &response, FirstError &error);

} // namespace sinter
