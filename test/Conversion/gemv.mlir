// One token: 64-byte loads of weights, two accumulators per output vector, FMAs, no calls.
// REQUIRES: sinter-compile
// RUN: sinter-compile %s --target cpu:x86-64-v4 --emit=llvm | FileCheck %s --check-prefix=LLVM
// RUN: sinter-compile %s --target cpu:x86-64-v4 --emit=asm | FileCheck %s --check-prefix=V4
// RUN: sinter-compile %s --target cpu:x86-64-v3 --emit=asm | FileCheck %s --check-prefix=V3
// With AVX512-BF16: pairs as they lie in memory, one accumulator per output vector.
// RUN: sinter-compile %s --target cpu:x86-64-v4-bf16 --emit=asm | FileCheck %s --check-prefix=PAIRS

// LLVM-LABEL: define {{.*}}@sinter_rms_norm_linear_bf16_wbf16_f32_128x256_rows_m1.v4
// The four tiles of a task, columns k and k + 1 of each:
// LLVM: load <16 x i32>, ptr
// LLVM: shl <16 x i32> {{.*}}, splat (i32 16)
// LLVM: and <16 x i32> {{.*}}, splat (i32 -65536)
// LLVM: load <16 x i32>, ptr
// LLVM: load <16 x i32>, ptr
// LLVM: load <16 x i32>, ptr
// LLVM-COUNT-8: call <16 x float> @llvm.fma.v16f32
// LLVM-NOT: fmuladd
// LLVM: "prefer-vector-width"="512"
// LLVM-SAME: "target-cpu"="x86-64-v4"

// V4-LABEL: sinter_rms_norm_linear_bf16_wbf16_f32_128x256_rows_m1.v4:
// V4-NOT: call
// V4: vmovdqu64 {{.*}}(%r{{.*}}), %zmm
// V4: vpslld $16, %zmm
// V4-COUNT-8: vfmadd{{[0-9]+}}ps {{.*}}%zmm
// V4-NOT: call
// V4: ret

// V3-LABEL: sinter_rms_norm_linear_bf16_wbf16_f32_128x256_rows_m1.v3:
// V3-NOT: zmm
// V3: vpslld $16, {{.*}}, %ymm
// V3-COUNT-8: vfmadd{{[0-9]+}}ps {{.*}}%ymm
// V3-NOT: {{call|zmm}}
// V3: ret

// Everything but linears of bf16 by bf16 is v4's.
// PAIRS: # x86-64-v4
// PAIRS-NOT: vdpbf16ps
// PAIRS: # x86-64-v4-bf16
// PAIRS-NOT: sinter_embedding
// PAIRS-LABEL: sinter_rms_norm_linear_bf16_wbf16_f32_128x256_rows_m1.v4_bf16:
// PAIRS: vcvtneps2bf16 {{.*}}%ymm
// PAIRS: {{vpbroadcastd|vbroadcastss}} {{.*}}, %zmm
// PAIRS-COUNT-4: vdpbf16ps {{-?[0-9]*}}(%r{{.*}}), %zmm{{[0-9]+}}, %zmm
// PAIRS-NOT: call
// PAIRS: ret

xfmr.weight @e : tensor<64x256xbf16> from [#xfmr.source<"e", 0, 64>]
xfmr.weight @w : tensor<128x256xbf16> from [#xfmr.source<"w", 0, 128>]
xfmr.weight @g : tensor<256xf32> from [#xfmr.source<"g", 0, 256>]
func.func @step(%tokens: tensor<?xi32>, %rows: tensor<?xi32>) -> tensor<?x128xf32>
    attributes {xfmr.entry, xfmr.head = "logits", xfmr.tokens = array<i64: 1, 1>} {
  %e = xfmr.get_weight @e : tensor<64x256xbf16>
  %w = xfmr.get_weight @w : tensor<128x256xbf16>
  %g = xfmr.get_weight @g : tensor<256xf32>
  %x = xfmr.embedding %tokens, %e : (tensor<?xi32>, tensor<64x256xbf16>) -> tensor<?x256xbf16>
  %s = xfmr.select_rows %x, %rows : (tensor<?x256xbf16>, tensor<?xi32>) -> tensor<?x256xbf16>
  %y = xfmr.rms_norm_linear %s, %g, %w {eps = 1.0e-6 : f32}
      : (tensor<?x256xbf16>, tensor<256xf32>, tensor<128x256xbf16>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}
