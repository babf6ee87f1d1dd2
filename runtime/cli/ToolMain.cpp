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

/// A value that is empty, as of a script's unset variable, would read like an option not given.
Status checkValues(const CLI::App &app) {
  for (const CLI::Option *option : app.get_options())
    for (const std::string &value : option->results())
      if (value.empty())
        return invalidArgument(option->get_name() + ": the value is empty");
  for (const CLI::App *command : app.get_subcommands())
    SINTER_RETURN_IF_ERROR(checkValues(*command));
  return Status::ok();
}

Result<int> parseAndRun(CLI::App &app, int argc, char **argv,
                        const std::function<Result<int>()> &body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == 0)
      return app.exit(error);
    return invalidArgument(std::string(error.what()) + " (see " + app.get_name() + " --help)");
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
