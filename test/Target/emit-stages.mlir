// Every stage of one small checkpoint.
// REQUIRES: sinter-compile
// RUN: sinter-compile %S/../models/golden/gqa3_d96_bias_untied --emit=fused | FileCheck %s --check-prefix=FUSED
// RUN: sinter-compile %S/../models/golden/gqa3_d96_bias_untied --emit=lowered | FileCheck %s --check-prefix=LOWERED
// RUN: sinter-compile %S/../models/golden/gqa3_d96_bias_untied --emit=llvm | FileCheck %s --check-prefix=LLVM
// RUN: sinter-compile %S/../models/golden/gqa3_d96_bias_untied --emit=asm --target=cpu:x86-64-v4 -o %t.s
// RUN: FileCheck %s --check-prefix=ASM < %t.s
// The printed graph is a graph: it compiles to the same stage again.
// RUN: sinter-compile %S/../models/golden/gqa3_d96_bias_untied --emit=fused -o %t.mlir
// RUN: sinter-compile %t.mlir --emit=fused | diff - %t.mlir

// FUSED: module attributes {xfmr.arena_bytes = {{[0-9]+}} : i64
// FUSED: xfmr.weight @layers.0.attn.qkv : tensor<480x72xbf16> from [#xfmr.source<"model.layers.0.self_attn.q_proj.weight", 0, 288>, #xfmr.source<"model.layers.0.self_attn.k_proj.weight", 0, 96>, #xfmr.source<"model.layers.0.self_attn.v_proj.weight", 0, 96>] layout tiled16
// FUSED: xfmr.weight @lm_head {{.*}} layout tiled16
// FUSED: func.func @step_m1_logits({{.*}}!xfmr.kv<1, 16, 96, bf16, k_packed>
// FUSED: %layers.0.attn.qkv = xfmr.rms_norm_linear {{.*}}xfmr.buffers = array<i64: {{[0-9]+}}>
// FUSED: xfmr.qk_norm_rope_write
// FUSED: func.func @step_m2_{{[0-9]+}}_argmax

// LOWERED: llvm.func @sinter_embedding_bf16_331x72.v3(
// LOWERED: arith.bitcast {{.*}} : vector<16xi32> to vector<16xf32>
// LOWERED-NOT: xfmr.

// LLVM: ; x86-64-v3
// LLVM: target triple = "x86_64-unknown-linux-gnu"
// LLVM: define hidden void @sinter_embedding_bf16_331x72.v3(
// LLVM-NOT: .v4(
// LLVM: ; x86-64-v4
// LLVM: define hidden void @sinter_embedding_bf16_331x72.v4(

// ASM: # x86-64-v4
// ASM: zmm
