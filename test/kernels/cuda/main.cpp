//===- main.cpp - the hand-written CUDA kernels against their references ----===//
//
//   gpu-kernels-test FOLDER [test|time|quick][:KERNEL]...
//
// FOLDER holds the kernels as .cubin files (run.sh builds them). Exit status 1 when a check fails.
//
//===----------------------------------------------------------------------===//
#include "Tests.h"

#include <string>

using namespace sinter::test;

namespace {

struct Part {
  const char *kernel;
  void (*test)(const Kernels &, Report &);
  void (*time)(const Kernels &);
  void (*quick)(const Kernels &, Report &);
};
constexpr Part kParts[] = {{"decode", testDecode, timeDecode, quickDecode},
                           {"qkv", testQkv, timeQkv, quickQkv},
                           {"prefill", testPrefill, timePrefill, quickPrefill},
                           {"argmax", testArgmax, timeArgmax, nullptr},
                           {"sampling", testSampling, timeSampling, quickSampling}};

} // namespace

int main(int argc, char **argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s FOLDER [test|time|quick][:KERNEL] ...\n", argv[0]);
    return 2;
  }
  const Kernels kernels(argv[1]);
  Report report;
  bool checks = false;
  for (int i = 2; i < argc; ++i) {
    const std::string part = argv[i];
    bool known = false;
    for (const Part &p : kParts) {
      const std::string suffix = std::string(":") + p.kernel;
      const auto run = [&](const char *what, const auto &call) {
        if (part == what || part == what + suffix) {
          known = true;
          checks |= part.rfind("time", 0) != 0;
          call();
        }
      };
      run("test", [&] { p.test(kernels, report); });
      run("time", [&] { p.time(kernels); });
      if (p.quick)
        run("quick", [&] { p.quick(kernels, report); });
    }
    if (!known) {
      std::fprintf(stderr, "error: unknown part '%s'\n", argv[i]);
      return 2;
    }
  }
  std::printf("%d checks, %d failed\n", report.checks(), report.failures());
  return report.failures() || (checks && report.checks() == 0) ? 1 : 0;
}
