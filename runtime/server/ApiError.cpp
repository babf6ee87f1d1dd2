//===- ApiError.cpp -------------------------------------------------------===//
#include "runtime/server/ApiError.h"

#include <nlohmann/json.hpp>

namespace sinter {
namespace {

using Json = nlohmann::ordered_json;

const char *typeOf(int status) {
  switch (status) {
  case 401:
    return "authentication_error";
  case 404:
    return "not_found_error";
  case 429:
    return "rate_limit_error";
  default:
    return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

Json orNull(const std::string &text) { return text.empty() ? Json(nullptr) : Json(text); }

} // namespace

std::string ApiError::body() const {
  const Json error = {{"message", message},
                      {"type", typeOf(status)},
                      {"param", orNull(param)},
                      {"code", orNull(code)}};
  return Json{{"error", error}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ApiError toApiError(const Status &status, const std::string &param) {
  switch (status.code()) {
  case StatusCode::InvalidArgument:
  case StatusCode::InvalidInput:
  case StatusCode::NotFound:
  case StatusCode::Unsupported:
    return {400, status.message(), param, "invalid_value"};
  case StatusCode::ResourceExhausted:
    return {429, status.message(), {}, "queue_full"};
  case StatusCode::Unavailable:
    return {503, status.message(), {}, "unavailable"};
  case StatusCode::Ok:
  case StatusCode::Internal:
    break;
  }
  return {500, status.message(), {}, "internal_error"};
}

} // namespace sinter
