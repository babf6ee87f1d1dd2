// The CUDA target without a GPU or a toolkit: what runs, in which order, and as which PTX.
// REQUIRES: sinter-compile, sinter-inspect
// RUN: rm -rf %t.cache
// RUN: env SINTER_CUDA=none XDG_CACHE_HOME=%t.cache sinter-compile %models/shakespeare --target=cuda:sm_90a --max-tokens-per-step 12 -o %t.sinter > %t.out
// RUN: FileCheck %s --check-prefix=WROTE < %t.out
// WROTE: wrote {{.*}}.sinter ({{.*}} MB, 18 entry points, {{[0-9]+}} kernels

// A kernel cache makes the second time short and the same.
// RUN: env SINTER_CUDA=none XDG_CACHE_HOME=%t.cache sinter-compile %models/shakespeare --target=cuda:sm_90a --max-tokens-per-step 12 -o %t.again.sinter > %t.out
// RUN: FileCheck %s --check-prefix=CACHED < %t.out
// CACHED: entry points, [[KERNELS:[0-9]+]] kernels, [[KERNELS]] cached
// RUN: cmp %t.sinter %t.again.sinter

// A damaged cache counts as none.
// RUN: sh -c 'for f in %t.cache/sinter/kernels/*; do printf x >> $f; done'
// RUN: env SINTER_CUDA=none XDG_CACHE_HOME=%t.cache sinter-compile %models/shakespeare --target=cuda:sm_90a --max-tokens-per-step 12 -o %t.again.sinter > %t.out
// RUN: FileCheck %s --check-prefix=WROTE --implicit-check-not=cached < %t.out
// RUN: cmp %t.sinter %t.again.sinter

// RUN: sinter-inspect %t.sinter --schedule | FileCheck %s --check-prefix=SCHEDULE
// One token: the plan, then each kernel lets the next one start early; what follows the plan waits.
// SCHEDULE: step_m1_argmax: argmax, 1 to 1 tokens
// SCHEDULE: decode_plan decode_plan_bf16
// SCHEDULE-NEXT: CTAs 1;
// SCHEDULE: embed embedding_bf16_256_m1
// SCHEDULE-NEXT: CTAs 1;
// SCHEDULE-NEXT: layers.0.attn.qkv rms_norm_linear_bf16_1024x256_m1
// SCHEDULE-NEXT: dependent launch
// SCHEDULE-NOT: qk_norm_rope_write
// SCHEDULE: layers.0.attn.attention attention_qkv
// SCHEDULE-NOT: attention_prefill
// SCHEDULE: layers.0.attn.o linear_add
// SCHEDULE: layers.0.mlp.gate_up rms_norm_swiglu
// SCHEDULE: layers.0.mlp.down linear_add
// SCHEDULE: lm_head linear_argmax
// SCHEDULE: lm_head.merge argmax_merge
// The same with logits from which a token is drawn.
// RUN: sinter-inspect %t.sinter --schedule | FileCheck %s --check-prefix=SAMPLE
// SAMPLE: step_m1_sample: sample, 1 to 1 tokens
// SAMPLE: lm_head.top sample_top_1536
// SAMPLE-NEXT: CTAs 32, dependent launch; args logits arena+[[#LISTS:]]
// SAMPLE: lm_head.draw sample_draw_1536
// SAMPLE-NEXT: CTAs 1, dependent launch; args logits arena+[[#LISTS]] argmax_value argmax_index arena+
// More tokens than short sequences have: both kinds of attention, each with its plan.
// SCHEDULE: step_m9_12_q8_argmax
// SCHEDULE: step_m9_12_argmax
// SCHEDULE: prefill_plan
// SCHEDULE: layers.0.attn.attention.prefill attention_prefill
// SCHEDULE: layers.0.attn.attention attention_decode

// RUN: sinter-inspect %t.sinter --meta | FileCheck %s --check-prefix=META
// META: "target": "cuda"
// META: "layout": "row_major"

// RUN: env XDG_CACHE_HOME=%t.cache sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 1 --emit=lowered --no-cache | FileCheck %s --check-prefix=LOWERED
// LOWERED: gpu.module @decode_plan
// LOWERED: gpu.module @embedding_bf16_256_m1
// LOWERED: llvm.func @embedding_bf16_256_m1({{.*}}!llvm.ptr<1>

// RUN: sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 1 --emit=llvm | FileCheck %s --check-prefix=LLVM
// LLVM: define ptx_kernel void @decode_plan

// No dependent launches before sm_90, no call in any kernel, nothing unresolved.
// RUN: env SINTER_CUDA=none sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 1 --emit=asm --no-cache > %t.ptx
// RUN: FileCheck %s --check-prefix=PTX --implicit-check-not=griddepcontrol --implicit-check-not=call.uni --implicit-check-not=.extern\ .func < %t.ptx
// PTX: .target sm_80
// PTX: .entry decode_plan_bf16
// PTX: .entry rms_norm_linear_bf16_1024x256_m1

// What copies in bulk needs PTX 8.0.
// RUN: env SINTER_CUDA=none sinter-compile %models/shakespeare --target=cuda:sm_90 --max-tokens-per-step 1 --emit=asm --no-cache | FileCheck %s --check-prefix=SM90
// SM90: .version 8.0
// SM90-NEXT: .target sm_90{{$}}
// SM90: .entry attention
// SM90: cp.async.bulk.shared::cluster.global

// Attention that reads raw q, k and v writes beside them: what follows reads it there.
// RUN: sinter-inspect %t.sinter --schedule | FileCheck %s --check-prefix=APART
// APART: step_m9_12_q8_argmax
// APART: layers.0.attn.attention attention_qkv
// APART-NEXT: args arena+[[#QKV:]] w{{[0-9]+}} arena+[[#OUT:]] kv
// APART-NEXT: layers.0.attn.o linear_add
// APART-NEXT: args arena+[[#OUT]] w
// APART: step_m9_12_argmax
// It never shares the memory of what it reads.
// RUN: sinter-inspect %t.sinter --schedule | not grep -E "args (arena[+][0-9]+) w[0-9]+ \1 kv"
