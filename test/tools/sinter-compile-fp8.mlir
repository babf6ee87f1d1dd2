// fp8 caches on the CUDA target: the launches of 16-bit caches, half their bytes.
// REQUIRES: sinter-compile, sinter-inspect
// RUN: env SINTER_CUDA=none sinter-compile %models/shakespeare --target=cuda:sm_90a --kv-cache-dtype fp8_e4m3 --max-tokens-per-step 1 -o %t.sinter > %t.out
// RUN: sinter-inspect %t.sinter --schedule | FileCheck %s --check-prefix=SCHEDULE
// SCHEDULE: step_m1_argmax: argmax, 1 to 1 tokens
// SCHEDULE: decode_plan decode_plan_bf16_4_2x128_page16_fp8_e4m3_scaled_m1
// SCHEDULE-NOT: qk_norm_rope_write
// SCHEDULE: layers.0.attn.attention attention_qkv_bf16_4_2x128_page16_fp8_e4m3_scaled_m1
// RUN: sinter-inspect %t.sinter | FileCheck %s --check-prefix=SUMMARY
// SUMMARY: kv cache    fp8_e4m3, 16 tokens per page, 49.2 KB per page, 3.07 KB per token
// RUN: sinter-inspect %t.sinter --meta | FileCheck %s --check-prefix=META
// META: "name": "layers.0.attn.k_scale"
// META: "room": 256
// META: "kv": {
// META: "dtype": "fp8_e4m3"
// META: "layer_bytes": 8192
// META: "page_bytes": 49152

// Prompts have a kernel of their own, which on sm_90a widens tiles for wgmma.
// DEFINE: %{compile} = sinter-compile %models/shakespeare --max-tokens-per-step 12 --emit=lowered
// DEFINE: %{names} = grep -o 'llvm.func @[a-z0-9_]*' | grep -E '@(attention|qk_norm|prefill|decode)' | sed 's/.*@//' | sort -u
// RUN: %{compile} --target=cuda --kv-cache-dtype fp8_e4m3 | %{names} | FileCheck %s --check-prefix=PROMPT
// PROMPT:      attention_decode_bf16_4_2x128_page16_fp8_e4m3_scaled_m12{{$}}
// PROMPT-NEXT: attention_prefill_bf16_4_2x128_page16_fp8_e4m3_scaled_m12{{$}}
// PROMPT-NEXT: attention_qkv_bf16_4_2x128_page16_fp8_e4m3_scaled_m1{{$}}
// PROMPT:      prefill_plan_bf16_4_2x128_page16_fp8_e4m3_scaled_m12{{$}}
// PROMPT-NEXT: qk_norm_rope_write_bf16_4_2x128_page16_fp8_e4m3_scaled_m12{{$}}
// Batch-invariant artefacts use it for every token.
// RUN: %{compile} --target=cuda --kv-cache-dtype fp8_e5m2 --batch-invariant | %{names} | FileCheck %s --check-prefix=INVARIANT --implicit-check-not=decode
// INVARIANT: attention_prefill_bf16_4_2x128_page16_fp8_e5m2_scaled_m1_wgmma128
// RUN: %{compile} --target=cuda:sm_89 --kv-cache-dtype fp8_e5m2 --batch-invariant | %{names} | FileCheck %s --check-prefix=SM89 --implicit-check-not=decode
// SM89: attention_prefill_bf16_4_2x128_page16_fp8_e5m2_scaled_m1_mma48
// f32 queries take the decode kernel for every token, and so do wide caches of another type than the activations'.
// RUN: %{compile} --target=cuda:sm_80 --dtype f32 --kv-cache-dtype fp8_e5m2 | %{names} | FileCheck %s --check-prefix=F32 --implicit-check-not=prefill
// F32: attention_decode_f32_4_2x128_page16_fp8_e5m2_scaled_m1{{$}}
// F32: qk_norm_rope_write_f32_4_2x128_page16_fp8_e5m2_scaled_m1{{$}}
// RUN: %{compile} --target=cuda --kv-cache-dtype f16 | %{names} | FileCheck %s --check-prefix=F16 --implicit-check-not=prefill
// F16: attention_decode_bf16_4_2x128_page16_f16_scaled_m1{{$}}
