// A graph as text compiles to the bytes that its model compiles to.
// REQUIRES: sinter-compile
// RUN: sinter-compile %models/qwen3/qwen3-0.6b.mlir -o %t.graph.sinter
// RUN: sinter-compile qwen3-0.6b -o %t.name.sinter
// RUN: cmp %t.graph.sinter %t.name.sinter
