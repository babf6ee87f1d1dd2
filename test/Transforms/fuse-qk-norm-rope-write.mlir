// From the merged q, k, v to the rotated q and the cache write, with and without norms.
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-merge-qkv --xfmr-fuse-qk-norm-rope-write > %t.once
// RUN: FileCheck %s --check-prefix=LAYER < %t.once
// RUN: sinter-opt %t.once --xfmr-fuse-qk-norm-rope-write > %t.twice
// RUN: diff %t.once %t.twice
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-fuse-qk-norm-rope-write | FileCheck %s --check-prefix=UNMERGED
// RUN: sinter-opt %s --split-input-file --xfmr-fuse-qk-norm-rope-write | FileCheck %s

// q's norm weight, read after the write in the text, moves up; the K scale stays with the write.
// LAYER:      "fuse-qk-norm-rope-write" = {candidates = 1 : i64, fused = 1 : i64, missed = {}, saved = 256 : i64}
// LAYER:      %[[QKV:.*]] = xfmr.linear
// LAYER-DAG:  %[[QG:.*]] = xfmr.get_weight @layers.0.attn.q_norm
// LAYER-DAG:  %[[KG:.*]] = xfmr.get_weight @layers.0.attn.k_norm
// LAYER-DAG:  %[[T:.*]] = xfmr.get_weight @rope
// LAYER-DAG:  %[[S:.*]] = xfmr.get_weight @layers.0.attn.k_scale
// LAYER-NOT:  xfmr.split_heads
// LAYER:      %[[Q:.*]], %[[KV:.*]] = xfmr.qk_norm_rope_write %[[QKV]], %arg3, %[[T]], %arg2 norm %[[QG]], %[[KG]] k_scale %[[S]] {eps = 9.99999997E-7 : f32}
// LAYER-NEXT: xfmr.attention %[[Q]], %[[KV]], %arg2 k_scale %[[S]]

// UNMERGED: missed = {"q, k and v are not columns of one tensor (xfmr-merge-qkv makes them so)" = 1 : i64}
// UNMERGED-NOT: qk_norm_rope_write %

!kv = !xfmr.kv<1, 16, 4, bf16, token_major>
// CHECK-LABEL: func @without_norm
// CHECK-NEXT:    %[[Q:.*]], %[[KV:.*]] = xfmr.qk_norm_rope_write %arg0, %arg3, %arg1, %arg2 :
// CHECK-NEXT:    %[[A:.*]] = xfmr.attention %[[Q]], %[[KV]], %arg2
// CHECK-NEXT:    return %[[A]], %[[KV]]
func.func @without_norm(%qkv: tensor<?x16xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch, %kv: !kv)
    -> (tensor<?x2x4xbf16>, !kv) {
  %q0 = xfmr.split_heads %qkv : (tensor<?x16xbf16>) -> tensor<?x2x4xbf16>
  %k0 = xfmr.split_heads %qkv {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %v0 = xfmr.split_heads %qkv {offset = 12 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %k = xfmr.rope %k0, %t, %b : (tensor<?x1x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %v0, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %q = xfmr.rope %q0, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  %a = xfmr.attention %q, %kv1, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %kv1 : tensor<?x2x4xbf16>, !kv
}

// -----

!kv = !xfmr.kv<1, 16, 4, bf16, token_major>
// CHECK-LABEL: func @different_eps
// CHECK-SAME:    missed = {"the norms of q and k have different eps" = 1 : i64}
// CHECK:         xfmr.kv_write
func.func @different_eps(%qkv: tensor<?x16xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch, %kv: !kv,
                         %g: tensor<4xbf16>) -> (tensor<?x2x4xbf16>, !kv) {
  %q0 = xfmr.split_heads %qkv : (tensor<?x16xbf16>) -> tensor<?x2x4xbf16>
  %q1 = xfmr.rms_norm %q0, %g {eps = 1.0e-5 : f32} : (tensor<?x2x4xbf16>, tensor<4xbf16>) -> tensor<?x2x4xbf16>
  %q = xfmr.rope %q1, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  %k0 = xfmr.split_heads %qkv {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %k1 = xfmr.rms_norm %k0, %g {eps = 1.0e-6 : f32} : (tensor<?x1x4xbf16>, tensor<4xbf16>) -> tensor<?x1x4xbf16>
  %k = xfmr.rope %k1, %t, %b : (tensor<?x1x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %v0 = xfmr.split_heads %qkv {offset = 12 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %v0, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %a = xfmr.attention %q, %kv1, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %kv1 : tensor<?x2x4xbf16>, !kv
}

// -----

!kv = !xfmr.kv<1, 16, 4, bf16, token_major>
// CHECK-LABEL: func @different_gamma_dtype
// CHECK-SAME:    missed = {"the norm weights of q and k have different types" = 1 : i64}
// CHECK:         xfmr.kv_write
func.func @different_gamma_dtype(%qkv: tensor<?x16xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch,
                                 %kv: !kv, %g: tensor<4xbf16>, %h: tensor<4xf32>)
    -> (tensor<?x2x4xbf16>, !kv) {
  %q0 = xfmr.split_heads %qkv : (tensor<?x16xbf16>) -> tensor<?x2x4xbf16>
  %q1 = xfmr.rms_norm %q0, %h {eps = 1.0e-6 : f32} : (tensor<?x2x4xbf16>, tensor<4xf32>) -> tensor<?x2x4xbf16>
  %q = xfmr.rope %q1, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  %k0 = xfmr.split_heads %qkv {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %k1 = xfmr.rms_norm %k0, %g {eps = 1.0e-6 : f32} : (tensor<?x1x4xbf16>, tensor<4xbf16>) -> tensor<?x1x4xbf16>
  %k = xfmr.rope %k1, %t, %b : (tensor<?x1x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %v0 = xfmr.split_heads %qkv {offset = 12 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %v0, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %a = xfmr.attention %q, %kv1, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %kv1 : tensor<?x2x4xbf16>, !kv
}

// -----

!kv = !xfmr.kv<1, 16, 4, bf16, token_major>
// CHECK-LABEL: func @only_k_normalised
// CHECK-SAME:    missed = {"only one of q and k is normalised" = 1 : i64}
func.func @only_k_normalised(%qkv: tensor<?x16xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch, %kv: !kv,
                             %g: tensor<4xbf16>) -> (tensor<?x2x4xbf16>, !kv) {
  %q0 = xfmr.split_heads %qkv : (tensor<?x16xbf16>) -> tensor<?x2x4xbf16>
  %q = xfmr.rope %q0, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  %k0 = xfmr.split_heads %qkv {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %k1 = xfmr.rms_norm %k0, %g {eps = 1.0e-6 : f32} : (tensor<?x1x4xbf16>, tensor<4xbf16>) -> tensor<?x1x4xbf16>
  %k = xfmr.rope %k1, %t, %b : (tensor<?x1x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %v0 = xfmr.split_heads %qkv {offset = 12 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %v0, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %a = xfmr.attention %q, %kv1, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %kv1 : tensor<?x2x4xbf16>, !kv
}

// -----

// K's and V's columns swapped: not what the fused op reads.
!kv = !xfmr.kv<1, 16, 4, bf16, token_major>
// CHECK-LABEL: func @k_and_v_swapped
// CHECK-SAME:    missed = {"q, k and v do not lie side by side" = 1 : i64}
func.func @k_and_v_swapped(%qkv: tensor<?x16xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch, %kv: !kv)
    -> (tensor<?x2x4xbf16>, !kv) {
  %q0 = xfmr.split_heads %qkv : (tensor<?x16xbf16>) -> tensor<?x2x4xbf16>
  %k0 = xfmr.split_heads %qkv {offset = 12 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %v0 = xfmr.split_heads %qkv {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %q = xfmr.rope %q0, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  %k = xfmr.rope %k0, %t, %b : (tensor<?x1x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %v0, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %a = xfmr.attention %q, %kv1, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %kv1 : tensor<?x2x4xbf16>, !kv
}

// -----

// k is read by somebody else: it must still exist as a tensor.
!kv = !xfmr.kv<1, 16, 4, bf16, token_major>
// CHECK-LABEL: func @k_with_two_users
// CHECK-SAME:    missed = {"k or v has another user than the write" = 1 : i64}
func.func @k_with_two_users(%qkv: tensor<?x16xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch, %kv: !kv)
    -> (tensor<?x2x4xbf16>, tensor<?x1x4xbf16>, !kv) {
  %q0 = xfmr.split_heads %qkv : (tensor<?x16xbf16>) -> tensor<?x2x4xbf16>
  %k0 = xfmr.split_heads %qkv {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %v0 = xfmr.split_heads %qkv {offset = 12 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %q = xfmr.rope %q0, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  %k = xfmr.rope %k0, %t, %b : (tensor<?x1x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %v0, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %a = xfmr.attention %q, %kv1, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %k, %kv1 : tensor<?x2x4xbf16>, tensor<?x1x4xbf16>, !kv
}

// -----

// q is used before the write: there is no place for one op.
!kv = !xfmr.kv<1, 16, 4, bf16, token_major>
// CHECK-LABEL: func @q_read_before_the_write
// CHECK-SAME:    missed = {"q is read before k and v are written" = 1 : i64}
func.func @q_read_before_the_write(%qkv: tensor<?x16xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch,
                                   %kv: !kv) -> (tensor<?x2x4xbf16>, tensor<?x2x4xbf16>, !kv) {
  %q0 = xfmr.split_heads %qkv : (tensor<?x16xbf16>) -> tensor<?x2x4xbf16>
  %q = xfmr.rope %q0, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  %s = xfmr.add %q, %q : tensor<?x2x4xbf16>
  %k0 = xfmr.split_heads %qkv {offset = 8 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %v0 = xfmr.split_heads %qkv {offset = 12 : i64} : (tensor<?x16xbf16>) -> tensor<?x1x4xbf16>
  %k = xfmr.rope %k0, %t, %b : (tensor<?x1x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x1x4xbf16>
  %kv1 = xfmr.kv_write %kv, %k, %v0, %b : (!kv, tensor<?x1x4xbf16>, tensor<?x1x4xbf16>, !xfmr.batch) -> !kv
  %a = xfmr.attention %q, %kv1, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %s, %kv1 : tensor<?x2x4xbf16>, tensor<?x2x4xbf16>, !kv
}
