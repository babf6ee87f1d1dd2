// q, k and v of many tokens are normed, turned and written by the linear that computes them, where the wgmma GEMM does.
// REQUIRES: sinter-compile, sinter-inspect
// DEFINE: %{compile} = env SINTER_CUDA=none sinter-compile %models/shakespeare --max-tokens-per-step 1024
// RUN: %{compile} --target=cuda:sm_90a -o %t.sinter > %t.out
// RUN: sinter-inspect %t.sinter --schedule | FileCheck %s --check-prefix=FUSED
// RUN: %{compile} --target=cuda:sm_90a --disable-pass fuse-linear-write -o %t.apart.sinter > %t.out
// RUN: sinter-inspect %t.apart.sinter --schedule | FileCheck %s --check-prefix=APART

// q goes where attention reads it, K and V to their streams; few tokens have another template.
// FUSED:      step_m129_512_argmax
// FUSED:      layers.1.attn.qkv rms_norm_linear_bf16_1024x256_m512
// FUSED:      layers.1.attn.kv_write qk_norm_rope_write_bf16_4_2x128_page16_bf16_scaled_m512
// FUSED:      step_m513_1024_argmax
// FUSED-NOT:  qk_norm_rope_write
// FUSED:      layers.1.attn.qkv rms_norm_linear_bf16_1024x256_m1024_write
// FUSED-NEXT: args arena+{{[0-9]+}} w{{[0-9]+}} arena+{{[0-9]+}} arena+[[#Q:]] kv+[[#K:]] kv+[[#V:]] w{{[0-9]+}} w{{[0-9]+}} w{{[0-9]+}} w[[#SCALE:]]{{$}}
// FUSED-NEXT: layers.1.attn.attention.prefill attention_prefill
// FUSED-NEXT: args arena+[[#Q]] arena+{{[0-9]+}} kv+[[#K]] kv+[[#V]] w[[#SCALE]]
// FUSED-NEXT: layers.1.attn.attention attention_decode
// FUSED-NEXT: args arena+[[#Q]] arena+

// APART:      step_m513_1024_argmax
// APART:      layers.1.attn.qkv rms_norm_linear_bf16_1024x256_m1024
// APART-NEXT: args
// APART-NEXT: layers.1.attn.kv_write qk_norm_rope_write_bf16_4_2x128_page16_bf16_scaled_m1024

// What does not: other chips, one order of sums, another type of cache, a measurement that says it is slower.
// DEFINE: %{names} = grep -o 'llvm.func @[a-z0-9_]*' | grep -E '_write' | sed 's/.*@//' | sort -u
// RUN: %{compile} --target=cuda:sm_90 --emit=lowered | %{names} | FileCheck %s --check-prefix=NONE --implicit-check-not=linear
// RUN: %{compile} --target=cuda:sm_90a --emit=lowered --batch-invariant | %{names} | FileCheck %s --check-prefix=NONE --implicit-check-not=linear
// RUN: %{compile} --target=cuda:sm_90a --emit=lowered --kv-cache-dtype f32 | %{names} | FileCheck %s --check-prefix=NONE --implicit-check-not=linear
// RUN: echo '{"format": "sinter-tuned", "version": 1, "chip": "sm_90a", "hardware": "h", "commit": "c", "date": "2026-12-01", "linears": [], "fusions": [{"pass": "fuse-linear-write", "name": "qkv_write", "shape": "1024x256", "tokens": 1024, "us": 2.0, "apart_us": 1.0, "cublas_us": 1.0}]}' > %t.json
// RUN: %{compile} --target=cuda:sm_90a --emit=lowered --tuned %t.json | %{names} | FileCheck %s --check-prefix=NONE --implicit-check-not=linear
// NONE: qk_norm_rope_write

// Nor does anything with --no-fusion, not even in a graph that was fused before.
// RUN: %{compile} --target=cuda:sm_90a --emit=fused -o %t.fused.mlir
// RUN: env SINTER_CUDA=none sinter-compile %t.fused.mlir --target=cuda:sm_90a --emit=lowered --no-fusion | %{names} | FileCheck %s --check-prefix=NONE --implicit-check-not=linear
// RUN: %{compile} --target=cuda:sm_90a --emit=lowered --disable-pass xfmr-fuse-linear-write | %{names} | FileCheck %s --check-prefix=NONE --implicit-check-not=linear
// RUN: not %{compile} --target=cpu --disable-pass fuse-linear-write -o %t.cpu.sinter 2>&1 | FileCheck %s --check-prefix=CPU
// CPU: sinter-compile: error: --disable-pass: fuse-linear-write is a fusion of the cuda target{{$}}

// An fp8 cache is written, too.
// RUN: %{compile} --target=cuda:sm_90a --emit=lowered --kv-cache-dtype fp8_e4m3 | %{names} | FileCheck %s --check-prefix=FP8
// FP8: rms_norm_linear_bf16_1024x256_m1024_write

// --explain-fusion names it.
// RUN: %{compile} --target=cuda:sm_90a --emit=lowered --explain-fusion -o /dev/null | FileCheck %s --check-prefix=EXPLAIN
// EXPLAIN: step_m513_1024_argmax
// EXPLAIN: rms_norm_linear 1024x256: wgmma_gemm {{.*}}, writes to the cache, predicted
