// Every layer among 2 and 4 ranks; what does not divide is refused by name; the merges and fusions
// work on what it leaves.
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-shard=ranks=2 > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-shard=ranks=2 > %t.twice
// RUN: diff %t.once %t.twice
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-shard=ranks=4 | FileCheck %s --check-prefix=FOUR
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-shard=ranks=1 > %t.one
// RUN: sinter-opt %S/Inputs/one-layer.mlir > %t.none
// RUN: diff %t.one %t.none
// RUN: sinter-opt %t.once --xfmr-merge-qkv --xfmr-merge-gate-up | FileCheck %s --check-prefix=MERGED
// RUN: sinter-opt %S/Inputs/one-layer.mlir "--xfmr-fusion-pipeline=ranks=2 token-ranges=1 heads=argmax" | FileCheck %s --check-prefix=FUSED

// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-shard=ranks=8 2>&1 | FileCheck %s --check-prefix=KV
// KV: error: cannot shard: 4 kv heads do not divide among 8 ranks
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-shard=ranks=3 2>&1 | FileCheck %s --check-prefix=HEADS
// HEADS: error: {{.*}}cannot shard: 8 query heads do not divide among 3 ranks
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-shard=ranks=0 2>&1 | FileCheck %s --check-prefix=ZERO
// ZERO: error: cannot shard among 0 ranks
// RUN: not sinter-opt %t.once --xfmr-shard=ranks=4 2>&1 | FileCheck %s --check-prefix=AGAIN
// AGAIN: error: cannot shard among 4 ranks: it is sharded among 2 already
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-merge-qkv --xfmr-shard=ranks=2 2>&1 | FileCheck %s --check-prefix=LATE
// LATE: cannot shard: q, k and v are merged already (shard before the merges)
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-merge-gate-up --xfmr-shard=ranks=2 2>&1 | FileCheck %s --check-prefix=LATE2
// LATE2: cannot shard: gate and up are merged already (shard before the merges)
// RUN: sed -e "s/tensor<24x16xbf16>/tensor<25x16xbf16>/; s/tensor<16x24xbf16>/tensor<16x25xbf16>/; s/tensor<?x24xbf16>/tensor<?x25xbf16>/g; s/0, 24>/0, 25>/" %S/Inputs/one-layer.mlir > %t.odd
// RUN: not sinter-opt %t.odd --xfmr-shard=ranks=2 2>&1 | FileCheck %s --check-prefix=ODD
// ODD: cannot shard: 25 rows of @layers.0.mlp.gate do not divide among 2 ranks
// RUN: sed -e "s/32x16xbf16>/33x16xbf16>/; s/x32xf32/x33xf32/g; s/embed.weight., 0, 32/embed.weight\", 0, 33/" %S/Inputs/one-layer.mlir | sed -e "/attn.q /s/33x16/32x16/; /tensor<32xbf16>) -> /s/33x16/32x16/" > %t.vocab
// RUN: not sinter-opt %t.vocab --xfmr-shard=ranks=2 2>&1 | FileCheck %s --check-prefix=VOCAB
// VOCAB: cannot shard: 33 rows of @embed do not divide among 2 ranks

// CHECK: module attributes {xfmr.ranks = 2 : i64}
// CHECK: @embed : tensor<16x16xbf16> from [#xfmr.source<"embed.weight", 0, 32, rows, 2>]
// CHECK: @layers.0.attn.q : tensor<16x16xbf16> from [#xfmr.source<"q.weight", 0, 32, rows, 2>]
// CHECK: @layers.0.attn.q_bias : tensor<16xbf16> from [#xfmr.source<"q.bias", 0, 32, rows, 2>]
// CHECK: @layers.0.attn.k_norm : tensor<4xbf16> from [#xfmr.source<"k_norm.weight", 0, 4>]
// CHECK: @layers.0.attn.o : tensor<16x16xbf16> from [#xfmr.source<"o.weight", 0, 16, columns, 2>]
// CHECK: @layers.0.attn.o_bias : tensor<16xbf16> from [#xfmr.source<"o.bias", 0, 16, rank0, 2>]
// CHECK: @layers.0.mlp.down : tensor<16x12xbf16> from [#xfmr.source<"down.weight", 0, 16, columns, 2>]
// CHECK: func @step({{.*}}!xfmr.kv<2, 16, 4, bf16, token_major>) -> (tensor<?x32xf32>, !xfmr.kv<2, 16, 4, bf16, token_major>)
// CHECK: %[[E:.*]] = xfmr.embedding %arg0, %{{.*}} {vocab_parallel = 2 : i64}
// CHECK: %[[X:.*]] = xfmr.all_reduce %[[E]] {ranks = 2 : i64}
// CHECK: xfmr.split_heads {{.*}} -> tensor<?x4x4xbf16>
// CHECK: xfmr.attention {{.*}} -> tensor<?x4x4xbf16>
// CHECK: %[[O:.*]] = xfmr.linear {{.*}} {row_parallel} : {{.*}} -> tensor<?x16xbf16>
// CHECK: %[[R:.*]] = xfmr.all_reduce %[[O]] {ranks = 2 : i64}
// CHECK: xfmr.add %[[X]], %[[R]]
// CHECK: xfmr.swiglu {{.*}} -> tensor<?x12xbf16>
// CHECK: %[[D:.*]] = xfmr.linear {{.*}} {row_parallel}
// CHECK: xfmr.all_reduce %[[D]]
// CHECK: %[[W:.*]] = xfmr.get_weight @embed : tensor<16x16xbf16>
// CHECK: %[[L:.*]] = xfmr.linear %{{.*}}, %[[W]] : {{.*}} -> tensor<?x16xf32>
// CHECK: xfmr.all_gather %[[L]] {ranks = 2 : i64} : (tensor<?x16xf32>) -> tensor<?x32xf32>

// FOUR: @embed : tensor<8x16xbf16> from [#xfmr.source<"embed.weight", 0, 32, rows, 4>]
// FOUR: @layers.0.mlp.gate : tensor<6x16xbf16>
// FOUR: !xfmr.kv<1, 16, 4, bf16, token_major>) -> (tensor<?x32xf32>, !xfmr.kv<1, 16, 4, bf16, token_major>)
// FOUR: xfmr.all_gather {{.*}} {ranks = 4 : i64}

// MERGED: @layers.0.attn.qkv : tensor<32x16xbf16> from [#xfmr.source<"q.weight", 0, 32, rows, 2>, #xfmr.source<"k.weight", 0, 16, rows, 2>, #xfmr.source<"v.weight", 0, 16, rows, 2>]
// MERGED: @layers.0.attn.qkv_bias : tensor<32xbf16> from [#xfmr.source<"q.bias", 0, 32, rows, 2>, #xfmr.source<"k.bias", 0, 16, rows, 2>, #xfmr.source<"v.bias", 0, 16, rows, 2>]
// MERGED: @layers.0.mlp.gate_up : tensor<24x16xbf16> from [#xfmr.source<"gate.weight", 0, 24, rows, 2>, #xfmr.source<"up.weight", 0, 24, rows, 2>]

// FUSED: func @step_m1_argmax
// FUSED-SAME: xfmr.cover = "b"
// FUSED: xfmr.embedding
// FUSED: xfmr.all_reduce
// FUSED: xfmr.rms_norm_linear
// FUSED: xfmr.qk_norm_rope_write
// FUSED: xfmr.attention
// FUSED: xfmr.linear {{.*}} {row_parallel}
// FUSED: xfmr.all_reduce_add_rms_norm
// FUSED: xfmr.swiglu
// FUSED: xfmr.linear {{.*}} {row_parallel}
// FUSED: xfmr.all_reduce
// FUSED: xfmr.add
// FUSED: xfmr.select_rows
// FUSED: xfmr.rms_norm_linear
// FUSED: xfmr.all_gather
// FUSED: xfmr.argmax
