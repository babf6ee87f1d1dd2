//===- RequestHead.cpp ----------------------------------------------------===//
#include "runtime/server/RequestHead.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>

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

/// The next piece of `text` up to `end`, which goes with it.
std::string_view cut(std::string_view &text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const std::string_view piece = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return piece;
}

/// "application/json", with a charset, if any, of UTF-8 or less.
bool isJson(std::string_view type) {
  if (lower(trimmed(cut(type, ';'))) != "application/json")
    return false;
  constexpr std::string_view kCharset = "charset=";
  while (!type.empty()) {
    std::string parameter = lower(trimmed(cut(type, ';')));
    std::erase(parameter, '"');
    if (parameter.starts_with(kCharset) && parameter != "charset=utf-8" &&
        parameter != "charset=utf8" && parameter != "charset=us-ascii")
      return false;
  }
  return true;
}

bool isToken(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](unsigned char c) {
    return std::isalnum(c) || kMarks.find(char(c)) != kMarks.npos;
  });
}

/// No line that two readers of a head may take for different ones.
bool linesAreClear(std::string_view head) {
  for (bool first = true; !head.empty(); first = false) {
    std::string_view line = cut(head, '\n');
    if (line.empty() || line.back() != '\r')
      return false;
    line.remove_suffix(1);
    if (line.empty())
      break;
    const size_t colon = line.find(':');
    if (!first && (colon == line.npos || !isToken(line.substr(0, colon))))
      return false;
  }
  return true;
}

} // namespace

bool announcesBody(const httplib::Request &request) {
  return request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
}

std::string rawHeader(std::string_view head, std::string_view name) {
  cut(head, '\n'); // the request line
  while (!head.empty()) {
    std::string_view line = cut(head, '\n');
    if (lower(cut(line, ':')) == lower(name))
      return std::string(trimmed(line.substr(0, std::min(line.find('\r'), line.size()))));
  }
  return {};
}

std::optional<ApiError> checkFraming(const httplib::Request &request, std::string_view head) {
  const auto malformed = [](const char *what) {
    return ApiError{400, what, {}, "invalid_request"};
  };
  if (!linesAreClear(head))
    return malformed("a line of the head is no header that ends with CR LF");
  for (const char *name : {"Content-Length", "Transfer-Encoding"})
    if (rawHeader(head, name).find('%') != std::string::npos) // httplib would decode it
      return malformed("Content-Length or Transfer-Encoding is malformed");
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
  const std::string encoding = request.get_header_value("Content-Encoding");
  for (const char *known : {"", "identity", "gzip", "deflate", "br"})
    if (encoding == known)
      return std::nullopt;
  return unsupported("Content-Encoding must be gzip, deflate, br or absent");
}

bool isLocalName(const std::string &host, const std::string &own) {
  std::string name = lower(host), port;
  if (!name.empty() && name.front() == '[') {
    const size_t end = name.find(']');
    if (end == name.npos)
      return false;
    port = name.substr(end + 1);
    name = name.substr(1, end - 1);
  } else if (const size_t colon = name.find(':'); colon != name.npos) {
    port = name.substr(colon);
    name.resize(colon);
  }
  const bool clear = name.find_first_of(std::string_view("%\0", 2)) == name.npos;
  if (!clear || (!port.empty() &&
                 (port.front() != ':' || port.find_first_not_of("0123456789", 1) != port.npos)))
    return false;
  if (!name.empty() && name.back() == '.')
    name.pop_back();
  unsigned char address[sizeof(in6_addr)];
  constexpr std::string_view kLocal = "localhost", kBelow = ".localhost";
  return name.empty() || name == kLocal || name.ends_with(kBelow) || name == lower(own) ||
         inet_pton(AF_INET, name.c_str(), address) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address) == 1;
}

} // namespace sinter
