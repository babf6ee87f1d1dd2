//===- ToolMain.cpp -------------------------------------------------------===//
#include "runtime/cli/ToolMain.h"

#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/StandardStreams.h"

#include <algorithm>
#include <cstdio>
#include <exception>

namespace sinter {
namespace {

int report(const std::string &tool, std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fflush(stdout);
  std::fprintf(stderr, "%s: error: %s\n", tool.c_str(), message.c_str());
  return 1;
}

constexpr const char *kUnsigned = "a whole number, not negative and not too large";

/// Whether CLI11 would read digits in another base than ten: 010 as 8.
bool hasOtherBase(const CLI::Option &option, std::string_view value) {
  const std::string type = option.get_type_name();
  if (type.rfind("UINT", 0) != 0 && type.rfind("INT", 0) != 0)
    return false;
  value.remove_prefix(value[0] == '-' || value[0] == '+');
  return value.size() > 1 && value[0] == '0';
}

/// A value that is empty, as of a script's unset variable, would read like an option not given, and
/// CLI11 takes -1 for the largest number.
Status checkValues(const CLI::App &app) {
  for (const CLI::Option *option : app.get_options())
    for (const std::string &value : option->results())
      if (value.empty())
        return invalidArgument(option->get_name() + ": the value is empty");
      else if (value[0] == '-' && option->get_type_name() == "UINT")
        return invalidArgument(option->get_name() + ": expected " + kUnsigned + ", got \"" + value +
                               '"');
      else if (hasOtherBase(*option, value))
        return invalidArgument(option->get_name() +
                               ": expected a decimal number without leading zeros, got \"" + value +
                               '"');
  for (const CLI::App *command : app.get_subcommands())
    SINTER_RETURN_IF_ERROR(checkValues(*command));
  return Status::ok();
}

/// A flag given a value (--greedy=no) would be on or off in ways nobody expects.
void refuseValuesOfFlags(CLI::App &app) {
  for (CLI::Option *option : app.get_options())
    if (option->get_items_expected_max() == 0)
      option->disable_flag_override();
  for (CLI::App *command : app.get_subcommands([](CLI::App *) { return true; }))
    refuseValuesOfFlags(*command);
}

std::string expectedBy(const CLI::Option *option) {
  const std::string type = option ? option->get_type_name() : "";
  return type == "UINT"    ? kUnsigned
         : type == "INT"   ? "a whole number, not too large"
         : type == "FLOAT" ? "a number"
                           : "another value";
}

std::string commandsOf(const CLI::App &app) {
  std::string names;
  for (const CLI::App *command : app.get_subcommands([](const CLI::App *) { return true; }))
    names += (names.empty() ? "" : ", ") + command->get_name();
  return names;
}

/// CLI11's message, reworded where it does not say what was given or what was expected.
std::string explain(const CLI::App &app, const CLI::ParseError &error) {
  const std::string text = error.what(), kind = error.get_name();
  const std::vector<std::string> unknown = app.remaining(true);
  const std::string first = unknown.empty() ? "" : '"' + unknown.front() + '"';
  constexpr std::string_view kConversion = "Could not convert: ", kExtra = "The following argument",
                             kFlag = " was given a disallowed";
  if (text.find("subcommand is required") != std::string::npos)
    return "expected " + commandsOf(app) + (first.empty() ? "" : ", got " + first);
  if (text.compare(0, kExtra.size(), kExtra) == 0 && !first.empty())
    return "not expected: " + first;
  if (const size_t name = text.find(kFlag); name != std::string::npos)
    return "--" + text.substr(0, name) + " takes no value";
  const size_t equals = text.find(" = ");
  if (text.compare(0, kConversion.size(), kConversion) == 0 && equals != std::string::npos) {
    const std::string name = text.substr(kConversion.size(), equals - kConversion.size());
    const CLI::Option *option = nullptr;
    for (const CLI::App *command : app.get_subcommands())
      option = command->get_option_no_throw(name);
    option = option ? option : app.get_option_no_throw(name);
    return name + ": expected " + expectedBy(option) + ", got \"" + text.substr(equals + 3) + '"';
  }
  if (const size_t colon = text.find(": ");
      kind == "ArgumentMismatch" && colon != std::string::npos)
    return text.substr(0, colon) + (text.find("missing") != std::string::npos
                                        ? ": the value is missing"
                                        : ": given more than once");
  return text;
}

Result<int> parseAndRun(CLI::App &app, int argc, char **argv,
                        const std::function<Result<int>()> &body) {
  refuseValuesOfFlags(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == 0)
      return app.exit(error);
    return invalidArgument(explain(app, error) + " (see " + app.get_name() + " --help)");
  }
  SINTER_RETURN_IF_ERROR(checkValues(app));
  return body();
}

} // namespace

void addVersionFlag(CLI::App &app) {
  app.set_version_flag("--version", app.get_name() + " " SINTER_VERSION " (artefact ABI " +
                                        std::to_string(SINTER_ABI_VERSION) + ")");
}

int toolMain(CLI::App &app, int argc, char **argv, const std::function<Result<int>()> &body) {
  const std::string tool = app.get_name();
  reserveStandardStreams();
  try {
    const Result<int> result = parseAndRun(app, argc, argv, body);
    if (!result)
      return report(tool, result.status().message());
    const Status finished = finishStandardOutput();
    return finished ? *result : report(tool, finished.message());
  } catch (const std::bad_alloc &) {
    return report(tool, "out of memory");
  } catch (const std::exception &error) {
    return report(tool, std::string("internal error: ") + error.what());
  }
}

} // namespace sinter
