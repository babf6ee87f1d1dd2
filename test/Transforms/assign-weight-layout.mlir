// RUN: sinter-opt %s --xfmr-assign-weight-layout --split-input-file --verify-diagnostics | FileCheck %s
// RUN: sinter-opt %s --xfmr-assign-weight-layout=target=cuda --split-input-file --verify-diagnostics | FileCheck %s --check-prefix=CUDA
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-assign-weight-layout=target=tpu 2>&1 | FileCheck %s --check-prefix=TPU
// TPU: target 'tpu' is not cpu or cuda
// Idempotent.
// RUN: sinter-opt %s --xfmr-assign-weight-layout --xfmr-assign-weight-layout --split-input-file --verify-diagnostics | FileCheck %s

!kv = !xfmr.kv<1, 16, 4, bf16, token_major>

// CUDA: xfmr.weight @embed {{.*}} layout row_major
// CUDA: xfmr.weight @norm {{.*}} layout plain
// CUDA: func.func @step({{.*}}token_major

// A matrix is packed whether a linear or an embedding reads it; vectors and tables are plain; what
// nobody reads is not loaded.
// CHECK: xfmr.weight @embed {{.*}} layout tiled16
// CHECK: xfmr.weight @norm {{.*}} layout plain
// CHECK: xfmr.weight @rope {{.*}} layout plain
// CHECK-NOT: @unused
xfmr.weight @embed : tensor<8x4xbf16> from [#xfmr.source<"e", 0, 8>]
xfmr.weight @norm : tensor<4xbf16> from [#xfmr.source<"n", 0, 4>]
xfmr.weight @rope : tensor<32x4xf32> from #xfmr.rope_table<1.0, [1.0, 0.5]>
xfmr.weight @unused : tensor<8x4xbf16> from [#xfmr.source<"u", 0, 8>]

// CHECK: func.func @step({{.*}}!xfmr.kv<1, 16, 4, bf16, k_packed>) -> (tensor<?x8xf32>, !xfmr.kv<1, 16, 4, bf16, k_packed>)
// CHECK: xfmr.kv_write {{.*}} -> !xfmr.kv<1, 16, 4, bf16, k_packed>
// CHECK: xfmr.attention {{.*}}k_packed
func.func @step(%ids: tensor<?xi32>, %b: !xfmr.batch, %kv: !kv) -> (tensor<?x8xf32>, !kv)
    attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 4>} {
  %w = xfmr.get_weight @embed : tensor<8x4xbf16>
  %g = xfmr.get_weight @norm : tensor<4xbf16>
  %r = xfmr.get_weight @rope : tensor<32x4xf32>
  %x = xfmr.embedding %ids, %w : (tensor<?xi32>, tensor<8x4xbf16>) -> tensor<?x4xbf16>
  %n = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>) -> tensor<?x4xbf16>
  %q = xfmr.split_heads %n : (tensor<?x4xbf16>) -> tensor<?x1x4xbf16>
  %k = xfmr.rope %q, %r, %b : (tensor<?x1x4xbf16>, tensor<32x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %q, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %a = xfmr.attention %k, %kv1, %b {scale = 0.5 : f32} : (tensor<?x1x4xbf16>, !kv, !xfmr.batch) -> tensor<?x1x4xbf16>
  %m = xfmr.merge_heads %a : (tensor<?x1x4xbf16>) -> tensor<?x4xbf16>
  %y = xfmr.linear %m, %w : (tensor<?x4xbf16>, tensor<8x4xbf16>) -> tensor<?x8xf32>
  return %y, %kv1 : tensor<?x8xf32>, !kv
}

// -----

// A page that does not hold whole vectors stays as it is.
// CHECK: func.func @small_page({{.*}}!xfmr.kv<1, 8, 4, bf16, token_major>)
func.func @small_page(%kv: !xfmr.kv<1, 8, 4, bf16, token_major>) -> !xfmr.kv<1, 8, 4, bf16, token_major>
    attributes {xfmr.entry} {
  return %kv : !xfmr.kv<1, 8, 4, bf16, token_major>
}

// -----

// Only steps are changed.
// CHECK: func.func @helper({{.*}}!xfmr.kv<1, 16, 4, bf16, token_major>)
func.func @helper(%kv: !xfmr.kv<1, 16, 4, bf16, token_major>) {
  return
}

// -----

// expected-error@+1 {{no layout suits both xfmr.linear at}}
xfmr.weight @both : tensor<4x4xbf16> from [#xfmr.source<"b", 0, 4>]
func.func @both_ways(%x: tensor<4x4xbf16>) -> (tensor<4x4xbf16>, tensor<4x4xbf16>) {
  %w = xfmr.get_weight @both : tensor<4x4xbf16>
  %y = xfmr.linear %x, %w : (tensor<4x4xbf16>, tensor<4x4xbf16>) -> tensor<4x4xbf16>
  %z = xfmr.add %x, %w : tensor<4x4xbf16>
  return %y, %z : tensor<4x4xbf16>, tensor<4x4xbf16>
}
