//===- RequestHead.cpp ----------------------------------------------------===//
#include "runtime/server/RequestHead.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>
#include <string_view>

namespace sinter {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == text.npos ? std::string_view() : text.substr(first, last - first + 1);
}

bool sameEverywhere(const httplib::Request &request, const char *name) {
  for (size_t i = 1; i < request.get_header_value_count(name); ++i)
    if (request.get_header_value(name, i) != request.get_header_value(name))
      return false;
  return true;
}

/// "application/json", alone or with a charset of utf-8.
bool isJson(const std::string &type) {
  const size_t end = std::min(type.find(';'), type.size());
  if (lower(trimmed(std::string_view(type).substr(0, end))) != "application/json")
    return false;
  if (end == type.size())
    return true;
  const std::string parameter = lower(trimmed(std::string_view(type).substr(end + 1)));
  return parameter.empty() || parameter == "charset=utf-8" || parameter == "charset=\"utf-8\"";
}

} // namespace

bool announcesBody(const httplib::Request &request) {
  return request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
}

std::optional<ApiError> checkFraming(const httplib::Request &request) {
  const auto malformed = [](const char *what) {
    return ApiError{400, what, {}, "invalid_request"};
  };
  const std::string length = request.get_header_value("Content-Length");
  if (length.find_first_not_of("0123456789") != std::string::npos)
    return malformed("Content-Length is not a number of bytes");
  if (!sameEverywhere(request, "Content-Length"))
    return malformed("Content-Length is given twice and differs");
  if (!request.has_header("Transfer-Encoding"))
    return std::nullopt;
  if (request.has_header("Content-Length"))
    return malformed("Content-Length and Transfer-Encoding exclude each other");
  if (request.get_header_value_count("Transfer-Encoding") > 1 ||
      lower(request.get_header_value("Transfer-Encoding")) != "chunked")
    return malformed("Transfer-Encoding: only chunked is understood");
  return std::nullopt;
}

std::optional<ApiError> checkBodyType(const httplib::Request &request) {
  const auto unsupported = [](const char *what) {
    return ApiError{415, what, {}, "unsupported_media_type"};
  };
  if (!isJson(request.get_header_value("Content-Type")))
    return unsupported("Content-Type must be application/json (in UTF-8)");
  const std::string encoding = lower(request.get_header_value("Content-Encoding"));
  for (const char *known : {"", "identity", "gzip", "deflate", "br"})
    if (encoding == known)
      return std::nullopt;
  return unsupported("Content-Encoding must be gzip, deflate, br or absent");
}

bool isLocalName(const std::string &host, const std::string &own) {
  std::string name = lower(host);
  if (!name.empty() && name.front() == '[') {
    name = name.substr(1, name.find(']') - 1);
  } else if (const size_t colon = name.find(':'); colon != name.npos) {
    name.resize(colon);
  }
  unsigned char address[sizeof(in6_addr)];
  constexpr std::string_view kLocal = "localhost", kBelow = ".localhost";
  return name.empty() || name == kLocal || name.ends_with(kBelow) || name == lower(own) ||
         inet_pton(AF_INET, name.c_str(), address) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address) == 1;
}

} // namespace sinter
