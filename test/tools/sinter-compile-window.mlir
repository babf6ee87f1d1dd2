// A model of whose layers only some slide, for a GPU: a decode plan for each window, one plan of
// prompts, and attention kernels by window; the file says what an op reads.
// REQUIRES: sinter-compile, sinter-inspect
// RUN: rm -rf %t && mkdir -p %t/m && cp %models/shakespeare/model.safetensors %t/m/
// RUN: sed 's/"use_sliding_window": false/"use_sliding_window": true/; s/"sliding_window": null/"sliding_window": 100/; s/"max_window_layers": 6/"max_window_layers": 5/' %models/shakespeare/config.json > %t/m/config.json
// RUN: env PATH=/nowhere CUDA_HOME= CUDA_PATH= sinter-compile %t/m --target=cuda:sm_90a --max-tokens-per-step 12 -o %t/m.sinter
// RUN: sinter-inspect %t/m.sinter --schedule > %t/schedule
// RUN: FileCheck %s --check-prefix=DECODE < %t/schedule
// RUN: FileCheck %s --check-prefix=MIXED < %t/schedule
// RUN: sinter-inspect %t/m.sinter --meta > %t/meta
// RUN: FileCheck %s --check-prefix=META < %t/meta
// RUN: grep -c '"window": 100' %t/meta | FileCheck %s --check-prefix=COUNT

// DECODE: step_m1_argmax: argmax, 1 to 1 tokens
// DECODE: decode_plan decode_plan_bf16_4_2x128_page16_bf16_scaled_m1{{$}}
// DECODE-NEXT: args arena+[[#ALL:]]
// DECODE-NEXT: decode_plan_w100 decode_plan_bf16_4_2x128_page16_bf16_scaled_m1_w100
// DECODE-NEXT: args arena+[[#NEAR:]]
// DECODE-NOT: plan
// DECODE: layers.4.attn.attention attention_qkv_bf16_4_2x128_page16_bf16_scaled_m1{{$}}
// DECODE-NEXT: kv+{{[0-9]+}} kv+{{[0-9]+}} {{.*}}arena+[[#ALL]] arena+
// DECODE: layers.5.attn.attention attention_qkv_bf16_4_2x128_page16_bf16_scaled_m1_w100
// DECODE-NEXT: kv+{{[0-9]+}} kv+{{[0-9]+}} {{.*}}arena+[[#NEAR]] arena+

// MIXED: step_m9_12_argmax
// MIXED: decode_plan decode_plan_
// MIXED: prefill_plan prefill_plan_
// MIXED: decode_plan_w100 decode_plan_
// MIXED-NOT: _plan
// MIXED: layers.4.attn.attention.prefill attention_prefill_{{.*}}_m12{{$}}
// MIXED: layers.4.attn.attention attention_decode_{{.*}}_m12{{$}}
// MIXED: layers.5.attn.attention.prefill attention_prefill_{{.*}}_m12_w100
// MIXED: layers.5.attn.attention attention_decode_{{.*}}_m12_w100

// Pages stay: not every layer has a window.
// META: "page_bytes": {{[0-9]+$}}
// One op in each of 18 entries, and two in those with both kinds of attention.
// COUNT: {{^(1[89]|2[0-9]|3[0-9])$}}
