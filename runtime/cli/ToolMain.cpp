//===- ToolMain.cpp -------------------------------------------------------===//
#include "runtime/cli/ToolMain.h"

#include "sinter/Abi/sinter_abi.h"

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

} // namespace

void addVersionFlag(CLI::App &app) {
  app.set_version_flag("--version", app.get_name() + " " SINTER_VERSION " (artefact ABI " +
                                        std::to_string(SINTER_ABI_VERSION) + ")");
}

int toolMain(CLI::App &app, int argc, char **argv, const std::function<Result<int>()> &body) {
  const std::string tool = app.get_name();
  try {
    app.parse(argc, argv);
    const Result<int> result = body();
    return result ? *result : report(tool, result.status().message());
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == 0)
      return app.exit(error);
    return report(tool, std::string(error.what()) + " (see " + tool + " --help)");
  } catch (const std::bad_alloc &) {
    return report(tool, "out of memory");
  } catch (const std::exception &error) {
    return report(tool, std::string("internal error: ") + error.what());
  }
}

} // namespace sinter
