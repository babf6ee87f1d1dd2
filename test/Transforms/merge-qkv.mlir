// linear(x, Wq), linear(x, Wk), linear(x, Wv) -> linear(x, [Wq; Wk; Wv]).
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-merge-qkv --mlir-print-debuginfo --mlir-print-local-scope > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-merge-qkv --mlir-print-debuginfo --mlir-print-local-scope > %t.twice
// RUN: diff %t.once %t.twice
// RUN: sinter-opt %s --xfmr-merge-qkv | FileCheck %s --check-prefix=KEPT

// The old weights are gone, the new ones list their sources in order; names are kept as locations.
// CHECK-NOT:  @layers.0.attn.q :
// CHECK:      xfmr.weight @layers.0.attn.qkv : tensor<64x16xbf16> from [#xfmr.source<"q.weight", 0, 32>, #xfmr.source<"k.weight", 0, 16>, #xfmr.source<"v.weight", 0, 16>]
// CHECK-NOT:  @layers.0.attn.q_bias :
// CHECK:      xfmr.weight @layers.0.attn.qkv_bias : tensor<64xbf16> from [#xfmr.source<"q.bias", 0, 32>, #xfmr.source<"k.bias", 0, 16>, #xfmr.source<"v.bias", 0, 16>]
// CHECK-NOT:  @layers.0.attn.k :
// CHECK-NOT:  @layers.0.attn.v :
// CHECK:      "merge-qkv" = {candidates = 1 : i64, fused = 1 : i64, missed = {}}
// CHECK:      %[[N:.*]] = xfmr.rms_norm
// CHECK:      %[[W:.*]] = xfmr.get_weight @layers.0.attn.qkv :
// CHECK:      %[[B:.*]] = xfmr.get_weight @layers.0.attn.qkv_bias :
// CHECK:      %[[Y:.*]] = xfmr.linear %[[N]], %[[W]] bias %[[B]] : {{.*}} -> tensor<?x64xbf16> loc("layers.0.attn.qkv"(fused["layers.0.attn.q", "layers.0.attn.k", "layers.0.attn.v"]))
// CHECK:      xfmr.split_heads %[[Y]] : {{.*}} -> tensor<?x8x4xbf16>
// CHECK:      xfmr.split_heads %[[Y]] {offset = 32 : i64} : {{.*}} -> tensor<?x4x4xbf16>
// CHECK:      xfmr.split_heads %[[Y]] {offset = 48 : i64} : {{.*}} -> tensor<?x4x4xbf16>

xfmr.weight @q : tensor<8x8xbf16> from [#xfmr.source<"q.weight", 0, 8>]
xfmr.weight @k : tensor<8x8xbf16> from [#xfmr.source<"k.weight", 0, 8>]
xfmr.weight @v : tensor<8x8xbf16> from [#xfmr.source<"v.weight", 0, 8>]
xfmr.weight @q2 : tensor<8x8xbf16> from [#xfmr.source<"q2.weight", 0, 8>]
xfmr.weight @k2 : tensor<8x8xbf16> from [#xfmr.source<"k2.weight", 0, 8>]
xfmr.weight @v2 : tensor<8x8xbf16> from [#xfmr.source<"v2.weight", 0, 8>]
xfmr.weight @bias : tensor<8xbf16> from [#xfmr.source<"q2.bias", 0, 8>]

// KEPT-LABEL: func @weight_with_another_user
// KEPT-SAME:    missed = {"a weight has another user" = 1 : i64}
// KEPT-COUNT-4: xfmr.linear %
func.func @weight_with_another_user(%x: tensor<?x8xbf16>, %batch: !xfmr.batch,
                                    %kv: !xfmr.kv<2, 16, 4, bf16, token_major>)
    -> (tensor<?x2x4xbf16>, tensor<?x8xbf16>) {
  %wq = xfmr.get_weight @q : tensor<8x8xbf16>
  %wk = xfmr.get_weight @k : tensor<8x8xbf16>
  %wv = xfmr.get_weight @v : tensor<8x8xbf16>
  %q = xfmr.linear %x, %wq : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %k = xfmr.linear %x, %wk : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %v = xfmr.linear %x, %wv : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %again = xfmr.linear %v, %wk : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %qh = xfmr.split_heads %q : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  %kh = xfmr.split_heads %k : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  %vh = xfmr.split_heads %again : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  %kv1 = xfmr.kv_write %kv, %kh, %vh, %batch
      : (!xfmr.kv<2, 16, 4, bf16, token_major>, tensor<?x2x4xbf16>, tensor<?x2x4xbf16>, !xfmr.batch)
      -> !xfmr.kv<2, 16, 4, bf16, token_major>
  %a = xfmr.attention %qh, %kv1, %batch {scale = 0.5 : f32}
      : (tensor<?x2x4xbf16>, !xfmr.kv<2, 16, 4, bf16, token_major>, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a, %v : tensor<?x2x4xbf16>, tensor<?x8xbf16>
}

// KEPT-LABEL: func @mixed_biases
// KEPT-SAME:    missed = {"some of the linears have a bias and some have none" = 1 : i64}
// KEPT-COUNT-3: xfmr.linear %
func.func @mixed_biases(%x: tensor<?x8xbf16>, %batch: !xfmr.batch,
                        %kv: !xfmr.kv<2, 16, 4, bf16, token_major>) -> tensor<?x2x4xbf16> {
  %wq = xfmr.get_weight @q2 : tensor<8x8xbf16>
  %wk = xfmr.get_weight @k2 : tensor<8x8xbf16>
  %wv = xfmr.get_weight @v2 : tensor<8x8xbf16>
  %b = xfmr.get_weight @bias : tensor<8xbf16>
  %q = xfmr.linear %x, %wq bias %b : (tensor<?x8xbf16>, tensor<8x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %k = xfmr.linear %x, %wk : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %v = xfmr.linear %x, %wv : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %qh = xfmr.split_heads %q : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  %kh = xfmr.split_heads %k : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  %vh = xfmr.split_heads %v : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  %kv1 = xfmr.kv_write %kv, %kh, %vh, %batch
      : (!xfmr.kv<2, 16, 4, bf16, token_major>, tensor<?x2x4xbf16>, tensor<?x2x4xbf16>, !xfmr.batch)
      -> !xfmr.kv<2, 16, 4, bf16, token_major>
  %a = xfmr.attention %qh, %kv1, %batch {scale = 0.5 : f32}
      : (tensor<?x2x4xbf16>, !xfmr.kv<2, 16, 4, bf16, token_major>, !xfmr.batch) -> tensor<?x2x4xbf16>
  return %a : tensor<?x2x4xbf16>
}
