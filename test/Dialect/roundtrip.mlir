// Every op, type and attribute: printed, parsed and printed again, also in generic form.
// RUN: sinter-opt %s > %t.1
// RUN: sinter-opt %t.1 > %t.2
// RUN: diff %t.1 %t.2
// RUN: sinter-opt %s --mlir-print-op-generic | sinter-opt > %t.3
// RUN: diff %t.1 %t.3
// RUN: FileCheck %s < %t.1

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>

// CHECK: xfmr.weight @w : tensor<8x16xbf16> from [#xfmr.source<"a.weight", 0, 4>, #xfmr.source<"b.weight", 2, 6>]
xfmr.weight @w : tensor<8x16xbf16> from [#xfmr.source<"a.weight", 0, 4>, #xfmr.source<"b.weight", 2, 6>]
// CHECK: xfmr.weight @rows : tensor<4x16xbf16> from [#xfmr.source<"a.weight", 0, 8, rows, 2>] layout tiled16
xfmr.weight @rows : tensor<4x16xbf16> from [#xfmr.source<"a.weight", 0, 8, rows, 2>] layout tiled16
// CHECK: xfmr.weight @columns : tensor<8x16xbf16> from [#xfmr.source<"a.weight", 0, 8, columns, 4>] layout plain
xfmr.weight @columns : tensor<8x16xbf16> from [#xfmr.source<"a.weight", 0, 8, columns, 4>] layout plain
// CHECK: xfmr.weight @bias : tensor<8xf32> from [#xfmr.source<"a.bias", 0, 8, rank0, 2>]
xfmr.weight @bias : tensor<8xf32> from [#xfmr.source<"a.bias", 0, 8, rank0, 2>]
// CHECK: xfmr.weight @replicated : tensor<8xf16> from [#xfmr.source<"a.bias", 0, 8>]
xfmr.weight @replicated : tensor<8xf16> from [#xfmr.source<"a.bias", 0, 8, replicated, 1>]
// CHECK: xfmr.weight @scale : tensor<1xf32> from #xfmr.k_scale<"k_norm.weight", 8>
xfmr.weight @scale : tensor<1xf32> from #xfmr.k_scale<"k_norm.weight", 8>
// CHECK: xfmr.weight @scale256 : tensor<1xf32> from #xfmr.k_scale<"k_norm.weight", 8, 256>
xfmr.weight @scale256 : tensor<1xf32> from #xfmr.k_scale<"k_norm.weight", 8, 256>
// CHECK: xfmr.weight @rope : tensor<64x8xf32> from #xfmr.rope_table<1.250000e+00, [1.000000e+00, 1.000000e-01, 0.00999999977, 1.000000e-03]>
xfmr.weight @rope : tensor<64x8xf32> from #xfmr.rope_table<1.25, [1.0, 0.1, 0.01, 0.001]>

// CHECK: func private @fp8(!xfmr.kv<2, 16, 8, f8E4M3FN, token_major>, !xfmr.kv<2, 16, 8, f8E5M2, token_major>)
func.func private @fp8(!xfmr.kv<2, 16, 8, f8E4M3FN, token_major>, !xfmr.kv<2, 16, 8, f8E5M2, token_major>)

// CHECK-LABEL: func @unfused
// CHECK-SAME: xfmr.cover = "a", xfmr.entry, xfmr.head = "logits", xfmr.tokens = array<i64: 1, 32>
func.func @unfused(%tokens: tensor<?xi32>, %rows: tensor<?xi32>, %batch: !xfmr.batch, %kv: !kv,
                   %packed: !xfmr.kv<1, 8, 4, f16, k_packed>)
    -> (tensor<?x8xf32>, tensor<?xf32>, tensor<?xi32>, !kv, !xfmr.kv<1, 8, 4, f16, k_packed>)
    attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 32>, xfmr.head = "logits", xfmr.cover = "a"} {
  // CHECK: xfmr.get_weight @w : tensor<8x16xbf16>
  %w = xfmr.get_weight @w : tensor<8x16xbf16>
  %b = xfmr.get_weight @bias : tensor<8xf32>
  %s = xfmr.get_weight @scale : tensor<1xf32>
  %t = xfmr.get_weight @rope : tensor<64x8xf32>
  // CHECK: xfmr.embedding %{{.*}}, %{{.*}} : (tensor<?xi32>, tensor<8x16xbf16>) -> tensor<?x16xbf16>
  %x = xfmr.embedding %tokens, %w : (tensor<?xi32>, tensor<8x16xbf16>) -> tensor<?x16xbf16>
  // CHECK: xfmr.embedding {{.*}} {vocab_parallel = 2 : i64}
  %x2 = xfmr.embedding %tokens, %w {vocab_parallel = 2 : i64} : (tensor<?xi32>, tensor<8x16xbf16>) -> tensor<?x16xbf16>
  // CHECK: xfmr.all_reduce %{{.*}} {ranks = 2 : i64} : tensor<?x16xbf16>
  %x3 = xfmr.all_reduce %x2 {ranks = 2 : i64} : tensor<?x16xbf16>
  // CHECK: xfmr.add %{{.*}}, %{{.*}} : tensor<?x16xbf16>
  %y = xfmr.add %x, %x3 : tensor<?x16xbf16>
  // CHECK: xfmr.split_heads %{{.*}} : (tensor<?x16xbf16>) -> tensor<?x2x8xbf16>
  %h = xfmr.split_heads %y : (tensor<?x16xbf16>) -> tensor<?x2x8xbf16>
  // CHECK: xfmr.split_heads %{{.*}} {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x8xbf16>
  %h1 = xfmr.split_heads %y {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x8xbf16>
  // CHECK: xfmr.rms_norm %{{.*}} {eps = 9.99999997E-7 : f32} : (tensor<?x2x8xbf16>, tensor<8xf32>) -> tensor<?x2x8xbf16>
  %n = xfmr.rms_norm %h, %b {eps = 1.0e-6 : f32} : (tensor<?x2x8xbf16>, tensor<8xf32>) -> tensor<?x2x8xbf16>
  // CHECK: xfmr.rope %{{.*}} : (tensor<?x2x8xbf16>, tensor<64x8xf32>, !xfmr.batch) -> tensor<?x2x8xbf16>
  %r = xfmr.rope %n, %t, %batch : (tensor<?x2x8xbf16>, tensor<64x8xf32>, !xfmr.batch) -> tensor<?x2x8xbf16>
  // CHECK: xfmr.kv_write {{.*}} k_scale %{{.*}} : (!xfmr.kv<2, 16, 8, bf16, token_major>,
  %kv1 = xfmr.kv_write %kv, %r, %h, %batch k_scale %s
      : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch, tensor<1xf32>) -> !kv
  // CHECK: xfmr.attention {{.*}} k_scale %{{.*}} {scale = 5.000000e-01 : f32}
  %a = xfmr.attention %r, %kv1, %batch k_scale %s {scale = 0.5 : f32}
      : (tensor<?x2x8xbf16>, !kv, !xfmr.batch, tensor<1xf32>) -> tensor<?x2x8xbf16>
  // CHECK: xfmr.attention %{{[0-9]+}}, %{{[0-9]+}}, %arg2 {scale
  %a1 = xfmr.attention %r, %kv1, %batch {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  // CHECK: xfmr.attention {{.*}} {scale = 5.000000e-01 : f32, window = 1 : i32}
  %a2 = xfmr.attention %r, %kv1, %batch {scale = 0.5 : f32, window = 1 : i32}
      : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  // CHECK: xfmr.kv_write %{{[a-z0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}}, %arg2 : (!xfmr.kv<2
  %kv2 = xfmr.kv_write %kv1, %h, %h, %batch : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  // CHECK: xfmr.merge_heads %{{.*}} : (tensor<?x2x8xbf16>) -> tensor<?x16xbf16>
  %m = xfmr.merge_heads %a : (tensor<?x2x8xbf16>) -> tensor<?x16xbf16>
  // CHECK: xfmr.select_rows %{{.*}}, %arg1 : (tensor<?x16xbf16>, tensor<?xi32>) -> tensor<?x16xbf16>
  %sel = xfmr.select_rows %m, %rows : (tensor<?x16xbf16>, tensor<?xi32>) -> tensor<?x16xbf16>
  // CHECK: xfmr.linear %{{.*}} bias %{{.*}} : {{.*}} -> tensor<?x8xf32>
  %l = xfmr.linear %sel, %w bias %b : (tensor<?x16xbf16>, tensor<8x16xbf16>, tensor<8xf32>) -> tensor<?x8xf32>
  // CHECK: xfmr.linear %{{.*}} {row_parallel} :
  %p = xfmr.linear %sel, %w {row_parallel} : (tensor<?x16xbf16>, tensor<8x16xbf16>) -> tensor<?x8xf32>
  // CHECK: xfmr.swiglu %{{.*}}, %{{.*}} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %g = xfmr.swiglu %l, %p : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  // CHECK: xfmr.swiglu %{{.*}} : (tensor<?x8xf32>) -> tensor<?x4xf32>
  %g1 = xfmr.swiglu %g : (tensor<?x8xf32>) -> tensor<?x4xf32>
  // CHECK: xfmr.all_gather %{{.*}} {ranks = 2 : i64} : (tensor<?x4xf32>) -> tensor<?x8xf32>
  %all = xfmr.all_gather %g1 {ranks = 2 : i64} : (tensor<?x4xf32>) -> tensor<?x8xf32>
  // CHECK: %value, %index = xfmr.argmax %{{.*}} : (tensor<?x8xf32>) -> (tensor<?xf32>, tensor<?xi32>)
  %v, %i = xfmr.argmax %all : (tensor<?x8xf32>) -> (tensor<?xf32>, tensor<?xi32>)
  return %all, %v, %i, %kv2, %packed
      : tensor<?x8xf32>, tensor<?xf32>, tensor<?xi32>, !kv, !xfmr.kv<1, 8, 4, f16, k_packed>
}

// CHECK-LABEL: func @fused
func.func @fused(%x: tensor<3x16xbf16>, %g: tensor<16xbf16>, %w: tensor<16x16xbf16>, %b: tensor<16xbf16>,
                 %qkv: tensor<3x64xbf16>, %t: tensor<64x8xf32>, %n: tensor<8xbf16>, %s: tensor<1xf32>,
                 %batch: !xfmr.batch, %kv: !kv) -> !kv {
  // CHECK: xfmr.rms_norm_linear %{{.*}} bias %{{.*}} {eps = 9.99999974E-6 : f32}
  %0 = xfmr.rms_norm_linear %x, %g, %w bias %b {eps = 1.0e-5 : f32}
      : (tensor<3x16xbf16>, tensor<16xbf16>, tensor<16x16xbf16>, tensor<16xbf16>) -> tensor<3x16xbf16>
  // CHECK: xfmr.rms_norm_swiglu %{{.*}} bias %{{.*}} {eps = 9.99999974E-6 : f32}
  %1 = xfmr.rms_norm_swiglu %x, %g, %w bias %b {eps = 1.0e-5 : f32}
      : (tensor<3x16xbf16>, tensor<16xbf16>, tensor<16x16xbf16>, tensor<16xbf16>) -> tensor<3x8xbf16>
  // CHECK: xfmr.linear_add %{{.*}} bias %{{.*}} :
  %2 = xfmr.linear_add %x, %w, %0 bias %b
      : (tensor<3x16xbf16>, tensor<16x16xbf16>, tensor<3x16xbf16>, tensor<16xbf16>) -> tensor<3x16xbf16>
  // CHECK: %sum, %result = xfmr.add_rms_norm
  %sum, %y = xfmr.add_rms_norm %2, %x, %g {eps = 1.0e-5 : f32}
      : (tensor<3x16xbf16>, tensor<3x16xbf16>, tensor<16xbf16>) -> (tensor<3x16xbf16>, tensor<3x16xbf16>)
  // CHECK: xfmr.all_reduce_add_rms_norm {{.*}} {eps = 9.99999974E-6 : f32, ranks = 2 : i64}
  %sum2, %y2 = xfmr.all_reduce_add_rms_norm %2, %x, %g {eps = 1.0e-5 : f32, ranks = 2 : i64}
      : (tensor<3x16xbf16>, tensor<3x16xbf16>, tensor<16xbf16>) -> (tensor<3x16xbf16>, tensor<3x16xbf16>)
  // CHECK: xfmr.qk_norm_rope_write {{.*}} norm %{{.*}}, %{{.*}} k_scale %{{.*}} {eps
  %q, %kv1 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %batch norm %n, %n k_scale %s {eps = 1.0e-5 : f32}
      : (tensor<3x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch, tensor<8xbf16>, tensor<8xbf16>,
         tensor<1xf32>) -> (tensor<3x4x8xbf16>, !kv)
  // CHECK: xfmr.qk_norm_rope_write %arg4, %{{[a-z0-9_]+}}, %arg5, %arg8 : (
  %q1, %kv2 = xfmr.qk_norm_rope_write %qkv, %kv1, %t, %batch
      : (tensor<3x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<3x4x8xbf16>, !kv)
  // CHECK: xfmr.linear_argmax %{{.*}} bias %{{.*}} norm %{{.*}} {eps
  %v, %i = xfmr.linear_argmax %x, %w bias %b norm %g {eps = 1.0e-5 : f32}
      : (tensor<3x16xbf16>, tensor<16x16xbf16>, tensor<16xbf16>, tensor<16xbf16>) -> (tensor<3xf32>, tensor<3xi32>)
  // CHECK: xfmr.linear_argmax %arg0, %arg2 :
  %v1, %i1 = xfmr.linear_argmax %x, %w : (tensor<3x16xbf16>, tensor<16x16xbf16>) -> (tensor<3xf32>, tensor<3xi32>)
  return %kv2 : !kv
}
