//===- Generate.cpp -------------------------------------------------------===//
#include "runtime/server/Generate.h"

namespace sinter {

void generate(const std::shared_ptr<const ServedModel> &model, PreparedRequest prepared,
              const GenerationFields &fields, std::unique_ptr<AnswerFormat> format,
              httplib::Response &response, FirstError &error) {
  if (error)
    return;
  auto answer = Answer::create(model->tokenizer, prepared.text, fields.samples, fields.stream);
  if (!answer) {
    error = toApiError(answer.status());
    return;
  }
  const auto id = model->service->submit(std::move(prepared.request), *answer);
  if (!id) {
    error = toApiError(id.status());
    return;
  }
  const auto delivery =
      std::make_shared<Delivery>(model, *answer, *id, std::move(format), fields.samples);
  if (!fields.stream)
    return delivery->whole(response);
  response.set_header("Cache-Control", "no-cache");
  response.set_header("X-Accel-Buffering", "no"); // proxies pass events on at once
  response.set_chunked_content_provider(
      "text/event-stream",
      [delivery, usage = fields.includeUsage](size_t, httplib::DataSink &sink) {
        return delivery->stream(sink, usage);
      });
}

} // namespace sinter
