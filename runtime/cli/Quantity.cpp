//===- Quantity.cpp -------------------------------------------------------===//
#include "runtime/cli/Quantity.h"

#include "sinter/Support/Json.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace sinter {

std::string formatBytes(double bytes) {
  static const char *const kUnits[] = {"B", "KB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  char text[32];
  const int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f %s", decimals, bytes, kUnits[unit]);
  return text;
}

Result<uint64_t> parseBytes(const std::string &text, const std::string &flag) {
  const Status malformed =
      invalidArgument(flag + " " + text + ": expected a size such as 512MB or 2GiB");
  double value = 0;
  const char *end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc())
    return malformed;
  std::string unit;
  for (const char *p = parsed.ptr; p != end; ++p)
    if (*p != ' ')
      unit += char(std::tolower(static_cast<unsigned char>(*p)));
  double factor = 1;
  if (!unit.empty() && unit != "b") {
    const size_t power = std::string("kmgt").find(unit[0]);
    const std::string rest = unit.substr(1);
    if (power == std::string::npos || (rest != "" && rest != "b" && rest != "ib"))
      return malformed;
    factor = std::pow(rest == "ib" ? 1024.0 : 1000.0, double(power + 1));
  }
  const double bytes = value * factor;
  if (!(bytes >= 0 && bytes < 1e18))
    return malformed;
  return uint64_t(bytes);
}

std::string checkUnsigned64(const std::string &text) {
  uint64_t number = 0;
  const char *end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end)
    return "";
  return "expected a whole number, not negative and not too large, got " + quoteForMessage(text);
}

} // namespace sinter
