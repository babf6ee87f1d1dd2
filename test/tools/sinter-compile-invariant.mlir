// --batch-invariant on the CUDA target: every entry point sums in one order, which the kernels' names tell. Without the
// numbers of tokens, each op is one line; the logits of a step and its argmax are the same sums.
// REQUIRES: sinter-compile
// DEFINE: %{compile} = sinter-compile %models/shakespeare --batch-invariant --max-tokens-per-step 1024 --emit=lowered
// DEFINE: %{names} = grep -o 'llvm.func @[a-z0-9_]*' | grep -v '@sinter_' | sed -E 's/_m[0-9]+(_q8)?//; s/_v[0-9]+$//; s/.*@//' | sort -u
// RUN: %{compile} --target=cuda | %{names} | FileCheck %s --check-prefix=SM90A --implicit-check-not={{.}}
// SM90A:      argmax_merge_f32_24_rows
// SM90A-NEXT: attention_prefill_bf16_4_2x128_page16_bf16_scaled_wgmma128
// SM90A-NEXT: embedding_bf16_256
// SM90A-NEXT: linear_add_bf16_256x512_wgmma8
// SM90A-NEXT: linear_add_bf16_256x768_wgmma4
// SM90A-NEXT: linear_argmax_bf16_wbf16_f32_1536x256_rows_wgmma2
// SM90A-NEXT: prefill_plan_bf16_4_2x128_page16_bf16_scaled
// SM90A-NEXT: qk_norm_rope_write_bf16_4_2x128_page16_bf16_scaled
// SM90A-NEXT: rms_norm_bf16_256
// SM90A-NEXT: rms_norm_bf16_256_rows
// SM90A-NEXT: rms_norm_linear_bf16_1024x256_wgmma4
// SM90A-NEXT: rms_norm_linear_bf16_wbf16_f32_1536x256_rows_wgmma2
// SM90A-NEXT: rms_norm_swiglu_bf16_1536x256_wgmma2
// SM90A-NEXT: sample_draw_1536
// SM90A-NEXT: sample_top_1536
// SM90A-NEXT: select_rows_bf16_256_rows

// Other chips: mma.sync for every number of tokens, one token included.
// RUN: %{compile} --target=cuda:sm_80 | %{names} | FileCheck %s --check-prefix=SM80
// SM80:      attention_prefill_bf16_4_2x128_page16_bf16_scaled_mma48
// SM80-NOT:  decode
// SM80:      linear_add_bf16_256x512_mma
// SM80-NEXT: linear_add_bf16_256x768_mma
// SM80-NEXT: linear_argmax_bf16_wbf16_f32_1536x256_rows_mma
// SM80:      rms_norm_linear_bf16_1024x256_mma
// SM80-NEXT: rms_norm_linear_bf16_wbf16_f32_1536x256_rows_mma
// SM80-NEXT: rms_norm_swiglu_bf16_1536x256_mma

// Types of neither: FMA, and decode attention that splits nothing.
// RUN: %{compile} --target=cuda --dtype f32 | %{names} | FileCheck %s --check-prefix=F32
// F32:      attention_decode_f32_4_2x128_page16_f32_scaled_decode2_whole
// F32:      linear_add_f32_wbf16_f32_256x512_gemv
// F32-NEXT: linear_add_f32_wbf16_f32_256x768_gemv
// F32-NEXT: linear_argmax_f32_wbf16_f32_1536x256_rows_gemv
// F32-NOT:  prefill
// F32:      rms_norm_linear_f32_wbf16_f32_1024x256_gemv

// A graph whose entries differ cannot be batch-invariant: here one has norms of their own.
// RUN: sinter-compile %models/shakespeare --emit=xfmr -o %t.mlir
// RUN: sinter-opt %t.mlir --mlir-print-debuginfo --xfmr-merge-qkv --xfmr-merge-gate-up "--xfmr-specialise=token-ranges=1,2-8" -o %t.ranges.mlir
// RUN: sinter-compile %t.ranges.mlir --target=cuda --batch-invariant --emit=lowered -o %t.lowered
// RUN: sed '0,/xfmr.cover = "a"/s//xfmr.cover = "c"/' %t.ranges.mlir > %t.covers.mlir
// RUN: sinter-compile %t.covers.mlir --target=cuda --emit=lowered -o %t.lowered
// RUN: not sinter-compile %t.covers.mlir --target=cuda --batch-invariant 2>&1 | FileCheck %s --check-prefix=DIFFERS
// DIFFERS: error: module: --batch-invariant: entry step_m{{.*}} computes layers.0.{{.*}} as '{{.*}}', another one as '{{.*}}'
// What was measured of fusions at some numbers of tokens only does not make entry points differ.
// RUN: sinter-compile qwen3-0.6b --target=cuda --batch-invariant --emit=lowered | FileCheck %s --check-prefix=TUNED
// TUNED: gpu.module @linear_argmax_bf16_wbf16_f32_151936x1024_rows_m1_wgmma
