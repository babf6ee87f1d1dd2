//===- Report.h - counting checks ---------------------------------*- C++ -*-===//
#pragma once

#include "Values.h"

#include <cstdio>
#include <string>

namespace sinter::test {

/// Counts checks, prints what fails, remembers the worst error per group of checks.
class Report {
public:
  void expect(bool ok, const std::string &what) {
    ++checks_;
    ++groupChecks_;
    if (ok)
      return;
    ++failures_;
    ++groupFailures_;
    if (groupFailures_ <= 12 && !quiet_)
      std::printf("FAIL %s\n", what.c_str());
  }
  /// All within `bound`, each row within four times that.
  void expectError(const Error &e, double bound, const std::string &what) {
    worst_ = std::max(worst_, e.all / bound);
    char text[96];
    std::snprintf(text, sizeof text, ": error %.3e, worst row %.3e, bound %.1e", e.all, e.worst,
                  bound);
    expect(e.all <= bound && e.worst <= 4 * bound, what + text);
  }
  void group(const char *name) {
    std::printf("%-28s %5d checks %4d failed, worst error / bound %.2f\n", name, groupChecks_,
                groupFailures_, worst_);
    std::fflush(stdout);
    groupChecks_ = groupFailures_ = 0;
    worst_ = 0;
  }
  /// Counts only: for inputs that are wrong on purpose.
  void quiet() { quiet_ = true; }
  int checks() const { return checks_; }
  int failures() const { return failures_; }

private:
  int checks_ = 0, failures_ = 0, groupChecks_ = 0, groupFailures_ = 0;
  double worst_ = 0;
  bool quiet_ = false;
};

} // namespace sinter::test
