//===- Tests.cpp - `value is test`, and the global functions --------------===//
#include "runtime/text/jinja/Builtins.h"
#include "sinter/Support/Json.h"

namespace sinter::jinja {

namespace {

bool isSequence(const Value &v) {
  return v.string() || v.safeText() || v.dict() || v.isUndefined() ||
         (v.sequence() && v.sequence()->indexable());
}

Int remainder(const Value &subject, const Value &by, Budget &budget) {
  Int out = 0;
  const Value value = applyOperator(ExprKind::Modulo, subject, by, budget);
  if (!value.asInt(out) && value.floating())
    out = *value.floating() == 0 ? 0 : *value.floating() == 1 ? 1 : 2;
  return out;
}

using Ctx = CallContext;

const std::vector<Builtin> &tests() {
  static const std::vector<Builtin> kTests = {
      {"boolean",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.boolean() != nullptr); }},
      {"defined",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(!s.isUndefined()); }},
      {"divisibleby",
       1,
       {"num"},
       false,
       [](const Value &s, const Args &a, Ctx &c) {
         return Value(remainder(s, *a[0], c.budget) == 0);
       }},
      {"even",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) {
         return Value(remainder(s, Int(2), c.budget) == 0);
       }},
      {"false",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.boolean() && !*s.boolean()); }},
      {"float",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.floating() != nullptr); }},
      {"in",
       1,
       {"seq"},
       false,
       [](const Value &s, const Args &a, Ctx &c) { return Value(contains(*a[0], s, c.budget)); }},
      {"integer",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.isInt()); }},
      {"iterable",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) {
         return Value(s.string() || s.safeText() || s.dict() || s.sequence() || s.isUndefined() ||
                      s.loop());
       }},
      {"mapping",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.dict() != nullptr); }},
      {"none", 0, {}, false, [](const Value &s, const Args &, Ctx &) { return Value(s.isNone()); }},
      {"number",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.isNumber()); }},
      {"odd",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &c) {
         return Value(remainder(s, Int(2), c.budget) == 1);
       }},
      {"sequence",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(isSequence(s)); }},
      {"string",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.string() || s.safeText()); }},
      {"true",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.boolean() && *s.boolean()); }},
      {"undefined",
       0,
       {},
       false,
       [](const Value &s, const Args &, Ctx &) { return Value(s.isUndefined()); }},
  };
  return kTests;
}

Value compareBy(const Value &s, const Args &a, Ctx &c, Comparison comparison) {
  return compareValues(comparison, s, *a[0], c.budget);
}

/// The comparison operators as tests, each under its names.
const std::vector<Builtin> &comparisonTests() {
  static const std::vector<Builtin> kTests = [] {
    const auto all = [](std::vector<Builtin> &out, std::initializer_list<const char *> names,
                        decltype(Builtin::call) call) {
      for (const char *name : names)
        out.push_back({name, 1, {"/other"}, false, call});
    };
    std::vector<Builtin> out;
    all(out, {"eq", "equalto", "=="}, [](const Value &s, const Args &a, Ctx &c) {
      return compareBy(s, a, c, Comparison::Equal);
    });
    all(out, {"ne", "!="}, [](const Value &s, const Args &a, Ctx &c) {
      return compareBy(s, a, c, Comparison::NotEqual);
    });
    all(out, {"lt", "lessthan", "<"},
        [](const Value &s, const Args &a, Ctx &c) { return compareBy(s, a, c, Comparison::Less); });
    all(out, {"le", "<="}, [](const Value &s, const Args &a, Ctx &c) {
      return compareBy(s, a, c, Comparison::LessEqual);
    });
    all(out, {"gt", "greaterthan", ">"}, [](const Value &s, const Args &a, Ctx &c) {
      return compareBy(s, a, c, Comparison::Greater);
    });
    all(out, {"ge", ">="}, [](const Value &s, const Args &a, Ctx &c) {
      return compareBy(s, a, c, Comparison::GreaterEqual);
    });
    return out;
  }();
  return kTests;
}

Value raiseException(const Value &, const Args &args, Ctx &context) {
  failRender("the template refuses the conversation: " +
             quoteForMessage(toText(*args[0], context.budget)));
}

Value range(const Value &, const Args &args, Ctx &context) {
  constexpr Int kMaxRange = 100000; // jinja2's sandbox has the same
  const Int start = args[1] ? needInt(*args[0], "range") : 0;
  const Int stop = needInt(args[1] ? *args[1] : *args[0], "range");
  const Int step = args[2] ? needInt(*args[2], "range") : 1;
  if (step == 0)
    failRender("range: the step is zero");
  // Bounds are small enough that their difference cannot overflow.
  const Int limit = Int(1) << 100;
  if (start > limit || start < -limit || stop > limit || stop < -limit)
    failRender("range: more than 100000 numbers");
  const Int span = step > 0 ? stop - start : start - stop;
  const Int width = step > 0 ? step : -step;
  const Int count = span <= 0 ? 0 : (span - 1) / width + 1;
  if (count > kMaxRange)
    failRender("range: more than 100000 numbers");
  context.budget.charge(32 * size_t(count));
  Values numbers;
  for (Int i = 0; i < count; ++i)
    numbers.emplace_back(start + i * step);
  return makeSequence(Sequence::Kind::Range, std::move(numbers), context.budget);
}

std::string twoDigits(int value, char pad = '0') {
  return std::string(value < 10 ? 1 : 0, pad) + std::to_string(value);
}

/// One directive of strftime in the C locale, or nothing.
std::string timeField(char directive, const std::tm &t) {
  static constexpr const char *kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};
  static constexpr const char *kMonths[] = {"January",   "February", "March",    "April",
                                            "May",       "June",     "July",     "August",
                                            "September", "October",  "November", "December"};
  const std::string day = kDays[((t.tm_wday % 7) + 7) % 7];
  const std::string month = kMonths[((t.tm_mon % 12) + 12) % 12];
  const int hour12 = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
  switch (directive) {
  case 'Y':
    return std::to_string(t.tm_year + 1900);
  case 'y':
    return twoDigits(t.tm_year % 100);
  case 'm':
    return twoDigits(t.tm_mon + 1);
  case 'd':
    return twoDigits(t.tm_mday);
  case 'e':
    return twoDigits(t.tm_mday, ' ');
  case 'B':
    return month;
  case 'b':
    return month.substr(0, 3);
  case 'A':
    return day;
  case 'a':
    return day.substr(0, 3);
  case 'H':
    return twoDigits(t.tm_hour);
  case 'I':
    return twoDigits(hour12);
  case 'M':
    return twoDigits(t.tm_min);
  case 'S':
    return twoDigits(t.tm_sec);
  case 'p':
    return t.tm_hour < 12 ? "AM" : "PM";
  case 'F':
    return timeField('Y', t) + "-" + timeField('m', t) + "-" + timeField('d', t);
  case 'T':
    return timeField('H', t) + ":" + timeField('M', t) + ":" + timeField('S', t);
  case '%':
    return "%";
  default:
    return "";
  }
}

Value strftimeNow(const Value &, const Args &args, Ctx &context) {
  const std::string &format = needString(*args[0], "strftime_now");
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const std::string directive = format.substr(i, 2);
    const std::string field = directive.size() < 2 ? "" : timeField(directive[1], context.now);
    if (field.empty())
      refuseRender("strftime_now: the directive " + quoteForMessage(directive));
    out += field;
    ++i;
  }
  context.budget.charge(out.size());
  return out;
}

const std::vector<Builtin> &functions() {
  static const std::vector<Builtin> kFunctions = {
      {"dict", 0, {}, true, nullptr},      // built by the evaluator, from its keywords
      {"namespace", 0, {}, true, nullptr}, // likewise
      {"raise_exception", 1, {"message"}, false, raiseException},
      {"range", 1, {"/start", "/stop", "/step"}, false, range},
      {"strftime_now", 1, {"format"}, false, strftimeNow},
  };
  return kFunctions;
}

const Builtin *find(const std::vector<Builtin> &table, std::string_view name) {
  for (const Builtin &entry : table)
    if (name == entry.name)
      return &entry;
  return nullptr;
}

} // namespace

const Builtin *findTest(std::string_view name) {
  const Builtin *test = find(tests(), name);
  return test ? test : find(comparisonTests(), name);
}

const Builtin *findFunction(std::string_view name) { return find(functions(), name); }

} // namespace sinter::jinja
