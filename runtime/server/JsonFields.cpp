//===- JsonFields.cpp -----------------------------------------------------===//
#include "runtime/server/JsonFields.h"

#include "sinter/Support/Json.h"

#include <cmath>
#include <sstream>

namespace sinter {
namespace {

/// An ordered object looks a key up one by one: without a limit a body could take minutes.
constexpr size_t kMaxKeys = 2048;

/// Thrown by the parser's callback and caught in parseBody.
struct Refused {
  std::string message;
};

class Limits {
public:
  bool operator()(int depth, OrderedJson::parse_event_t event, OrderedJson &parsed) {
    using Event = OrderedJson::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth >= kMaxJsonDepth)
      throw Refused{"nested more than " + std::to_string(kMaxJsonDepth) + " levels deep"};
    if (event == Event::object_start) {
      keys_.emplace_back();
    } else if (event == Event::object_end) {
      keys_.pop_back();
    } else if (event == Event::key) {
      const auto &key = parsed.get_ref<const std::string &>();
      if (!keys_.back().insert(key).second)
        throw Refused{"key " + quoteForMessage(key) + " appears twice"};
      if (keys_.back().size() > kMaxKeys)
        throw Refused{"an object has more than " + std::to_string(kMaxKeys) + " keys"};
    }
    return true;
  }

private:
  std::vector<std::set<std::string>> keys_; ///< of every open object
};

/// nlohmann's text without its prefix, the quoted input and anything unprintable.
std::string reasonOf(const std::string &what) {
  std::string text = what.substr(what.rfind("] ") == std::string::npos ? 0 : what.find("] ") + 2);
  if (const size_t read = text.find("; last read"); read != std::string::npos)
    text.resize(read);
  constexpr size_t kLimit = 120;
  const std::string quoted = quoteForMessage(text.substr(0, kLimit));
  return quoted.substr(1, quoted.size() - 2);
}

std::string format(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

} // namespace

OrderedJson parseBody(std::string_view text, FirstError &error) {
  const auto refuse = [&](const std::string &why) {
    if (!error)
      error = ApiError{400, "the body is not valid: " + why, {}, "invalid_json"};
    return OrderedJson::object();
  };
  try {
    OrderedJson body = OrderedJson::parse(text.begin(), text.end(), Limits());
    return body.is_object() ? body : refuse("expected a JSON object");
  } catch (const OrderedJson::exception &bad) {
    return refuse(reasonOf(bad.what()));
  } catch (const Refused &refused) {
    return refuse(refused.message);
  }
}

std::string describeForClient(const OrderedJson &value) {
  std::string text = value.dump(-1, ' ', true, OrderedJson::error_handler_t::replace);
  constexpr size_t kLimit = 60;
  return text.size() <= kLimit ? text : text.substr(0, kLimit) + "...";
}

JsonFields::JsonFields(const OrderedJson &object, std::string path, FirstError &error)
    : object_(object), path_(std::move(path)), error_(error) {
  if (!object.is_object())
    failWith({400, path_ + ": expected an object, got " + describeForClient(object), path_,
              "invalid_value"});
}

std::string JsonFields::pathOf(const std::string &name) const {
  return path_.empty() ? name : path_ + "." + name;
}

const OrderedJson *JsonFields::find(const char *name) {
  known_.insert(name);
  if (!object_.is_object())
    return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::fail(const std::string &name, const std::string &message,
                      const std::string &code) {
  failWith({400, pathOf(name) + ": " + message, pathOf(name), code});
}

void JsonFields::expected(const char *name, const std::string &what) {
  const OrderedJson *value = find(name);
  fail(name, "expected " + what + (value ? ", got " + describeForClient(*value) : ""));
}

bool JsonFields::boolean(const char *name, bool fallback) {
  const OrderedJson *value = find(name);
  if (!value)
    return fallback;
  if (value->is_boolean())
    return value->get<bool>();
  expected(name, "true or false");
  return fallback;
}

double JsonFields::number(const char *name, double fallback, double min, double max) {
  const OrderedJson *value = find(name);
  if (!value)
    return fallback;
  if (value->is_number()) {
    const double number = value->get<double>();
    if (std::isfinite(number) && number >= min && number <= max)
      return number;
  }
  expected(name, "a number from " + format(min) + " to " + format(max));
  return fallback;
}

int64_t JsonFields::integer(const char *name, int64_t fallback, int64_t min, int64_t max) {
  const OrderedJson *value = find(name);
  if (!value)
    return fallback;
  const bool fits = value->is_number_integer() &&
                    !(value->is_number_unsigned() && value->get<uint64_t>() > uint64_t(INT64_MAX));
  if (fits && value->get<int64_t>() >= min && value->get<int64_t>() <= max)
    return value->get<int64_t>();
  expected(name, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  return fallback;
}

std::string JsonFields::text(const char *name, const std::string &fallback) {
  const OrderedJson *value = find(name);
  if (!value)
    return fallback;
  if (value->is_string())
    return value->get<std::string>();
  expected(name, "a string");
  return fallback;
}

std::string JsonFields::requiredText(const char *name) {
  if (!find(name))
    fail(name, "missing", "missing_required_parameter");
  return text(name, {});
}

void JsonFields::finish() {
  if (!object_.is_object())
    return;
  for (const auto &[name, value] : object_.items())
    if (!value.is_null() && !known_.contains(name)) {
      const std::string shown = quoteForMessage(name.substr(0, 64));
      fail(shown.substr(1, shown.size() - 2), "not supported", "unsupported_parameter");
    }
}

} // namespace sinter
