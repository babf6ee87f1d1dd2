// RUN: sinter-opt %s --xfmr-plan --split-input-file | FileCheck %s
// RUN: sinter-opt %s --xfmr-plan=reuse=false --split-input-file | FileCheck %s --check-prefix=ALONE
// Idempotent.
// RUN: sinter-opt %s --xfmr-plan --xfmr-plan --split-input-file | FileCheck %s

// Residual add overwrites its first operand at that operand's last use; a view carries its source's
// offset; the result of the step is the caller's. 16 tokens x 32 x 2 bytes = 1024 bytes each.
// CHECK: module attributes {xfmr.arena_bytes = 2048 : i64}
// ALONE: module attributes {xfmr.arena_bytes = 6144 : i64}
xfmr.weight @w : tensor<32x32xbf16> from [#xfmr.source<"w", 0, 32>]
// CHECK-LABEL: @residual
// ALONE-LABEL: @residual
func.func @residual(%ids: tensor<?xi32>) -> tensor<?x32xbf16>
    attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 16>} {
  // CHECK: get_weight {{.*}}xfmr.buffers = array<i64: -1>
  %w = xfmr.get_weight @w : tensor<32x32xbf16>
  // CHECK: embedding {{.*}}xfmr.buffers = array<i64: 0>
  // ALONE: embedding {{.*}}xfmr.buffers = array<i64: 0>
  %x = xfmr.embedding %ids, %w : (tensor<?xi32>, tensor<32x32xbf16>) -> tensor<?x32xbf16>
  // CHECK: linear {{.*}}xfmr.buffers = array<i64: 1024>
  // ALONE: linear {{.*}}xfmr.buffers = array<i64: 1024>
  %y = xfmr.linear %x, %w : (tensor<?x32xbf16>, tensor<32x32xbf16>) -> tensor<?x32xbf16>
  // CHECK: split_heads {{.*}}xfmr.buffers = array<i64: 1024>
  // ALONE: split_heads {{.*}}xfmr.buffers = array<i64: 1024>
  %h = xfmr.split_heads %y : (tensor<?x32xbf16>) -> tensor<?x4x8xbf16>
  // CHECK: merge_heads {{.*}}xfmr.buffers = array<i64: 1024>
  %m = xfmr.merge_heads %h : (tensor<?x4x8xbf16>) -> tensor<?x32xbf16>
  // CHECK: add {{.*}}xfmr.buffers = array<i64: 0>
  // ALONE: add {{.*}}xfmr.buffers = array<i64: 2048>
  %z = xfmr.add %x, %m : tensor<?x32xbf16>
  // The view kept the buffer alive until here; now it is free.
  // CHECK: linear {{.*}}xfmr.buffers = array<i64: 1024>
  // ALONE: linear {{.*}}xfmr.buffers = array<i64: 3072>
  %u = xfmr.linear %z, %w : (tensor<?x32xbf16>, tensor<32x32xbf16>) -> tensor<?x32xbf16>
  // CHECK: linear {{.*}}xfmr.buffers = array<i64: 0>
  %v = xfmr.linear %u, %w : (tensor<?x32xbf16>, tensor<32x32xbf16>) -> tensor<?x32xbf16>
  // CHECK: linear {{.*}}xfmr.buffers = array<i64: 1024>
  // ALONE: linear {{.*}}xfmr.buffers = array<i64: 5120>
  %s = xfmr.linear %v, %w : (tensor<?x32xbf16>, tensor<32x32xbf16>) -> tensor<?x32xbf16>
  // CHECK: linear {{.*}}xfmr.buffers = array<i64: -2>
  // ALONE: linear {{.*}}xfmr.buffers = array<i64: -2>
  %r = xfmr.linear %s, %w : (tensor<?x32xbf16>, tensor<32x32xbf16>) -> tensor<?x32xbf16>
  return %r : tensor<?x32xbf16>
}

// -----

// Not in place: %x is read again, and %y is both residual and input of its linear.
xfmr.weight @w : tensor<32x32xbf16> from [#xfmr.source<"w", 0, 32>]
// CHECK-LABEL: @not_in_place
func.func @not_in_place(%ids: tensor<?xi32>) -> tensor<?x32xbf16>
    attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 16>} {
  %w = xfmr.get_weight @w : tensor<32x32xbf16>
  // CHECK: embedding {{.*}}xfmr.buffers = array<i64: [[X:[0-9]+]]>
  %x = xfmr.embedding %ids, %w : (tensor<?xi32>, tensor<32x32xbf16>) -> tensor<?x32xbf16>
  // CHECK-NOT: linear_add {{.*}}xfmr.buffers = array<i64: [[X]]>
  // CHECK: linear_add {{.*}}xfmr.buffers = array<i64: [[Y:[0-9]+]]>
  %y = xfmr.linear_add %x, %w, %x : (tensor<?x32xbf16>, tensor<32x32xbf16>, tensor<?x32xbf16>) -> tensor<?x32xbf16>
  // CHECK-NOT: linear_add {{.*}}xfmr.buffers = array<i64: [[Y]]>
  // CHECK: linear_add {{.*}}xfmr.buffers = array<i64: [[X]]>
  %z = xfmr.linear_add %y, %w, %y : (tensor<?x32xbf16>, tensor<32x32xbf16>, tensor<?x32xbf16>) -> tensor<?x32xbf16>
  // CHECK: linear_add {{.*}}xfmr.buffers = array<i64: -2>
  %r = xfmr.linear_add %z, %w, %z : (tensor<?x32xbf16>, tensor<32x32xbf16>, tensor<?x32xbf16>) -> tensor<?x32xbf16>
  return %r : tensor<?x32xbf16>
}

// -----

// Two steps share one arena of the larger size, rounded to 64 bytes; a step of its own starts at 0.
// CHECK: module attributes {xfmr.arena_bytes = 128 : i64}
xfmr.weight @w : tensor<33x33xbf16> from [#xfmr.source<"w", 0, 33>]
// CHECK-LABEL: @one
func.func @one(%ids: tensor<1xi32>) -> (tensor<1xf32>, tensor<1xi32>) attributes {xfmr.entry} {
  %w = xfmr.get_weight @w : tensor<33x33xbf16>
  // CHECK: embedding {{.*}}xfmr.buffers = array<i64: 0>
  %x = xfmr.embedding %ids, %w : (tensor<1xi32>, tensor<33x33xbf16>) -> tensor<1x33xbf16>
  // CHECK: linear_argmax {{.*}}xfmr.buffers = array<i64: -2, -2>
  %v, %i = xfmr.linear_argmax %x, %w : (tensor<1x33xbf16>, tensor<33x33xbf16>) -> (tensor<1xf32>, tensor<1xi32>)
  return %v, %i : tensor<1xf32>, tensor<1xi32>
}
// CHECK-LABEL: @not_a_step
// CHECK-NOT: xfmr.buffers
func.func @not_a_step(%x: tensor<1x33xbf16>) -> tensor<1x33xbf16> {
  %y = xfmr.add %x, %x : tensor<1x33xbf16>
  return %y : tensor<1x33xbf16>
}
