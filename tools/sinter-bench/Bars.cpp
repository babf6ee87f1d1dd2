//===- Bars.cpp -----------------------------------------------------------===//
#include "Bars.h"

namespace sinter {
namespace {

struct Bar {
  const char *row;
  double value;
};
/// By the end of a row's name.
constexpr Bar kAnywhere[] = {
    {"/host-gap", 3},           // % of a step
    {"/inter-token-spread", 3}, // p99 / median, Poisson arrivals
    {"/p99-rise", 1},           // chunks: one waits for a part of a long prompt, not for more
    {"throughput/shakespeare/n16/p8/o100/over-n1", 4}, // tokens a second, on a CPU
};
constexpr Bar kOneH200[] = {
    // Milliseconds.
    {"decode/0.6b/b1/c512", 0.55},
    {"decode/0.6b/b1/c32768", 1.35},
    {"decode/0.6b/b8/c512", 0.75},
    {"decode/0.6b/b32/c512", 1.05},
    {"decode/0.6b/b128/c512", 2.3},
    {"decode/8b/b1/c512", 3.8},
    {"decode/8b/b32/c512", 4.7},
    {"decode/8b/b128/c512", 6.8},
    {"prefill/0.6b/t2048", 4.2},
    {"prefill/0.6b/t8192", 25.5},
    {"prefill/8b/t2048", 45},
    // Microseconds.
    {"attention-decode/0.6b/b1/c4096", 8},
    {"fused/norm_qkv/0.6b/m1", 3.2},
    {"fused/o_proj_residual/0.6b/m1", 2.3},
    {"fused/norm_gate_up_swiglu/0.6b/m1", 4.5},
    {"fused/down_residual/0.6b/m1", 2.9},
    {"linears/0.6b/m128", 16},
    // GB/s, TFLOP/s, tokens per second.
    {"attention-decode/0.6b/b64/c4096/bandwidth", 4250},
    {"attention-prefill/0.6b/t8192", 530},
    {"attention-prefill/8b/t8192", 530},
    {"throughput/0.6b/n256", 24000},
    {"throughput/8b/n256", 9500},
    {"throughput/0.6b/n256/sampled", 24000},
    {"throughput/8b/n256/sampled", 9500},
    // GB/s from page cache, seconds from a program's start.
    {"upload/0.6b", 10},
    {"upload/8b", 10},
    {"first-token/0.6b", 1.5},
    {"first-token/8b", 4},
};

} // namespace

double tensorPeakOf(const std::string &hardware) {
  return hardware.find("H200") == std::string::npos ? 0 : 784e12;
}

std::optional<double> barOf(const std::string &row, const std::string &hardware) {
  for (const Bar &bar : kAnywhere)
    if (std::string_view(row).ends_with(bar.row))
      return bar.value;
  if (hardware.find("H200") == std::string::npos)
    return std::nullopt;
  for (const Bar &bar : kOneH200)
    if (row == bar.row)
      return bar.value;
  return std::nullopt;
}

} // namespace sinter
