// CSE and canonicalisation keep the order and number of cache accesses and collectives.
// RUN: sinter-opt %s --cse --canonicalize --cse | FileCheck %s

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>

// Equal writes, one after the other, are two writes, in this order; so are writes nobody reads.
// CHECK-LABEL: func @two_writes
// CHECK-NEXT:    %[[A:.*]] = xfmr.kv_write %arg0, %arg1, %arg1
// CHECK-NEXT:    %[[B:.*]] = xfmr.kv_write %[[A]], %arg1, %arg1
// CHECK-NEXT:    xfmr.kv_write %arg3, %arg1, %arg1
// CHECK-NEXT:    return %[[B]]
func.func @two_writes(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %other: !kv) -> !kv {
  %0 = xfmr.kv_write %kv, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  %1 = xfmr.kv_write %0, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  %2 = xfmr.kv_write %other, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  return %1 : !kv
}

// The same for the fused write, whose q nobody reads.
// CHECK-LABEL: func @two_fused_writes
// CHECK-NEXT:    %{{.*}}, %[[A:.*]] = xfmr.qk_norm_rope_write %arg1, %arg0
// CHECK-NEXT:    %{{.*}}, %[[B:.*]] = xfmr.qk_norm_rope_write %arg1, %[[A]]
// CHECK-NEXT:    return %[[B]]
func.func @two_fused_writes(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch) -> !kv {
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x4x8xbf16>, !kv)
  %r, %1 = xfmr.qk_norm_rope_write %qkv, %0, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x4x8xbf16>, !kv)
  return %1 : !kv
}

// Two equal reads of one handle are one value...
// CHECK-LABEL: func @two_reads
// CHECK-NEXT:    %[[A:.*]] = xfmr.attention
// CHECK-NEXT:    return %[[A]], %[[A]]
func.func @two_reads(%kv: !kv, %q: tensor<?x2x8xbf16>, %b: !xfmr.batch) -> (tensor<?x2x8xbf16>, tensor<?x2x8xbf16>) {
  %0 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  %1 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  return %0, %1 : tensor<?x2x8xbf16>, tensor<?x2x8xbf16>
}

// ...but not with a write between them, of the same cache or of another one.
// CHECK-LABEL: func @two_reads_around_a_write
// CHECK-NEXT:    %[[A:.*]] = xfmr.attention %arg1, %arg0
// CHECK-NEXT:    %[[W:.*]] = xfmr.kv_write %arg0
// CHECK-NEXT:    %[[B:.*]] = xfmr.attention %arg1, %[[W]]
// CHECK-NEXT:    return %[[A]], %[[B]], %[[W]]
func.func @two_reads_around_a_write(%kv: !kv, %q: tensor<?x2x8xbf16>, %b: !xfmr.batch)
    -> (tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !kv) {
  %0 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  %w = xfmr.kv_write %kv, %q, %q, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  %1 = xfmr.attention %q, %w, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  return %0, %1, %w : tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !kv
}
// CHECK-LABEL: func @two_reads_around_another_write
// CHECK-NEXT:    %[[A:.*]] = xfmr.attention %arg1, %arg0
// CHECK-NEXT:    %[[W:.*]] = xfmr.kv_write %arg3
// CHECK-NEXT:    %[[B:.*]] = xfmr.attention %arg1, %arg0
// CHECK-NEXT:    return %[[A]], %[[B]], %[[W]]
func.func @two_reads_around_another_write(%kv: !kv, %q: tensor<?x2x8xbf16>, %b: !xfmr.batch, %other: !kv)
    -> (tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !kv) {
  %0 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  %w = xfmr.kv_write %other, %q, %q, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  %1 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  return %0, %1, %w : tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !kv
}

// An attention nobody reads goes; what is pure goes and merges.
// CHECK-LABEL: func @dead_and_equal
// CHECK-NEXT:    %[[A:.*]] = xfmr.add %arg1, %arg1
// CHECK-NEXT:    return %[[A]], %[[A]]
func.func @dead_and_equal(%kv: !kv, %q: tensor<?x2x8xbf16>, %b: !xfmr.batch) -> (tensor<?x2x8xbf16>, tensor<?x2x8xbf16>) {
  %0 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  %1 = xfmr.add %q, %q : tensor<?x2x8xbf16>
  %2 = xfmr.add %q, %q : tensor<?x2x8xbf16>
  return %1, %2 : tensor<?x2x8xbf16>, tensor<?x2x8xbf16>
}

// Every rank must issue the same collectives in the same order, whoever reads them.
// CHECK-LABEL: func @collectives
// CHECK-NEXT:    xfmr.all_reduce %arg0
// CHECK-NEXT:    xfmr.all_reduce %arg1
// CHECK-NEXT:    xfmr.all_reduce %arg0
// CHECK-NEXT:    xfmr.all_gather %arg0
// CHECK-NEXT:    xfmr.all_gather %arg0
// CHECK-NEXT:    xfmr.all_reduce_add_rms_norm
// CHECK-NEXT:    return
func.func @collectives(%x: tensor<?x8xbf16>, %y: tensor<?x8xbf16>, %g: tensor<8xbf16>) {
  %0 = xfmr.all_reduce %x {ranks = 2 : i64} : tensor<?x8xbf16>
  %1 = xfmr.all_reduce %y {ranks = 2 : i64} : tensor<?x8xbf16>
  %2 = xfmr.all_reduce %x {ranks = 2 : i64} : tensor<?x8xbf16>
  %3 = xfmr.all_gather %x {ranks = 2 : i64} : (tensor<?x8xbf16>) -> tensor<?x16xbf16>
  %4 = xfmr.all_gather %x {ranks = 2 : i64} : (tensor<?x8xbf16>) -> tensor<?x16xbf16>
  %5, %6 = xfmr.all_reduce_add_rms_norm %x, %y, %g {eps = 1.0e-5 : f32, ranks = 2 : i64}
      : (tensor<?x8xbf16>, tensor<?x8xbf16>, tensor<8xbf16>) -> (tensor<?x8xbf16>, tensor<?x8xbf16>)
  return
}
