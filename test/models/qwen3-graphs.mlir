// The committed graphs are what the importer makes of the committed configurations. To renew one:
//   sinter-compile qwen3-8b --emit=xfmr > models/qwen3/qwen3-8b.mlir
// REQUIRES: sinter-compile
// RUN: sinter-compile qwen3-0.6b --emit=xfmr | diff - %models/qwen3/qwen3-0.6b.mlir
// RUN: sinter-compile qwen3-8b --emit=xfmr | diff - %models/qwen3/qwen3-8b.mlir
// A graph as text comes back as it was, and passes work on it.
// RUN: sinter-compile %models/qwen3/qwen3-0.6b.mlir --emit=xfmr | diff - %models/qwen3/qwen3-0.6b.mlir
// RUN: sinter-opt %models/qwen3/qwen3-8b.mlir --canonicalize --cse | FileCheck %s

// CHECK: func.func @step
// CHECK-COUNT-36: xfmr.attention
// CHECK-NOT: xfmr.attention
