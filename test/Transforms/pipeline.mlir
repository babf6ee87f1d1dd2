// From the imported graph to a planned one, all stages at once.
// RUN: sinter-opt %models/qwen3/qwen3-0.6b.mlir --xfmr-pipeline=token-ranges=1,2-max --verify-roundtrip | FileCheck %s
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-pipeline=ranks=2 -o /dev/null

// CHECK:       xfmr.arena_bytes
// CHECK:       xfmr.weight @layers.27.attn.qkv : tensor<4096x1024xbf16> from {{.*}} layout tiled16
// CHECK-LABEL: func @step_m1_logits
// CHECK:       xfmr.embedding
// CHECK:       xfmr.rms_norm_linear {{.*}}xfmr.buffers
// CHECK:       xfmr.qk_norm_rope_write
// CHECK:       xfmr.attention
// CHECK:       xfmr.linear_add
// CHECK:       xfmr.rms_norm_swiglu
// CHECK:       xfmr.linear_add
// CHECK:       xfmr.rms_norm_linear
