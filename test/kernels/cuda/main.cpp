//===- main.cpp - the hand-written CUDA kernels against their references ----===//
//
//   gpu-kernels-test FOLDER [test|time|quick:KERNEL]...
//
// FOLDER holds the kernels as .cubin files (run.sh builds them). Exit status 1 when a check fails.
//
//===----------------------------------------------------------------------===//
#include "Tests.h"

#include <cstring>

using namespace sinter::test;

int main(int argc, char **argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s FOLDER test|time|quick:KERNEL ...\n", argv[0]);
    return 2;
  }
  const Kernels kernels(argv[1]);
  Report report;
  for (int i = 2; i < argc; ++i) {
    const auto is = [&](const char *part) { return !std::strcmp(argv[i], part); };
    if (is("test")) {
      testDecode(kernels, report);
      testQkv(kernels, report);
      testPrefill(kernels, report);
      testArgmax(kernels, report);
    } else if (is("time")) {
      timeDecode(kernels);
      timeQkv(kernels);
      timePrefill(kernels);
      timeArgmax(kernels);
    } else if (is("quick:decode")) {
      quickDecode(kernels, report);
    } else if (is("quick:qkv")) {
      quickQkv(kernels, report);
    } else if (is("quick:prefill")) {
      quickPrefill(kernels, report);
    } else {
      std::fprintf(stderr, "error: unknown part '%s'\n", argv[i]);
      return 2;
    }
  }
  std::printf("%d checks, %d failed\n", report.checks(), report.failures());
  return report.failures() ? 1 : 0;
}
