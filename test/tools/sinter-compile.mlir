// The command line: every refusal is one line on stderr and exit status 1.
// REQUIRES: sinter-compile
// RUN: not sinter-compile nowhere 2>&1 | FileCheck %s --check-prefix=INPUT --implicit-check-not={{.}}
// INPUT: sinter-compile: error: nowhere: neither a model directory, nor a .mlir file, nor one of qwen3-0.6b, qwen3-1.7b, qwen3-4b, qwen3-8b, qwen3-14b, qwen3-32b{{$}}
// RUN: not sinter-compile 2>&1 | FileCheck %s --check-prefix=MISSING --implicit-check-not={{.}}
// MISSING: sinter-compile: error: INPUT is required (see sinter-compile --help){{$}}
// RUN: not sinter-compile qwen3-0.6b --emit=x 2>&1 | FileCheck %s --check-prefix=EMIT --implicit-check-not={{.}}
// EMIT: sinter-compile: error: --emit: "x" is not xfmr, fused, lowered, llvm or asm{{$}}
// RUN: not sinter-compile qwen3-0.6b --dtype i32 2>&1 | FileCheck %s --check-prefix=DTYPE --implicit-check-not={{.}}
// DTYPE: sinter-compile: error: --dtype: "i32" is not bf16, f16 or f32{{$}}
// RUN: not sinter-compile qwen3-0.6b --dtype fp8_e4m3 2>&1 | FileCheck %s --check-prefix=DTYPE8 --implicit-check-not={{.}}
// DTYPE8: sinter-compile: error: --dtype: "fp8_e4m3" is not bf16, f16 or f32{{$}}
// RUN: not sinter-compile qwen3-0.6b --target=cuda --kv-cache-dtype fp8 2>&1 | FileCheck %s --check-prefix=KVDTYPE --implicit-check-not={{.}}
// KVDTYPE: sinter-compile: error: --kv-cache-dtype: "fp8" is not auto, bf16, f16, f32, fp8_e4m3 or fp8_e5m2{{$}}
// RUN: not sinter-compile qwen3-0.6b --kv-cache-dtype fp8_e5m2 2>&1 | FileCheck %s --check-prefix=KVCPU --implicit-check-not={{.}}
// KVCPU: sinter-compile: error: --kv-cache-dtype fp8_e5m2: only the cuda target has fp8 caches{{$}}
// RUN: not sinter-compile qwen3-0.6b --page-size 24 2>&1 | FileCheck %s --check-prefix=PAGE --implicit-check-not={{.}}
// PAGE: sinter-compile: error: --page-size: 24 is not a power of two from 16 to 1024{{$}}
// RUN: not sinter-compile qwen3-0.6b --target=cuda --page-size 128 2>&1 | FileCheck %s --check-prefix=PAGECUDA --implicit-check-not={{.}}
// PAGECUDA: sinter-compile: error: --page-size: 128 is not a power of two from 8 to 64, as the cuda target wants{{$}}
// RUN: not sinter-compile qwen3-0.6b --max-tokens-per-step 0 2>&1 | FileCheck %s --check-prefix=STEP --implicit-check-not={{.}}
// STEP: sinter-compile: error: --max-tokens-per-step: 0 is not between 1 and 1048576{{$}}
// RUN: not sinter-compile qwen3-0.6b --target=cuda:sm_70 2>&1 | FileCheck %s --check-prefix=TARGET --implicit-check-not={{.}}
// TARGET: sinter-compile: error: --target: "cuda:sm_70" is not supported (cpu, cpu:x86-64-v3, -v4 and -v4-bf16, cuda and cuda:CHIP with sm_80, sm_86, sm_89, sm_90 or sm_90a are){{$}}
// RUN: not sinter-compile qwen3-0.6b --disable-pass plan 2>&1 | FileCheck %s --check-prefix=PASS --implicit-check-not={{.}}
// PASS: sinter-compile: error: --disable-pass: no merge or fusion is called "plan" (sinter-opt --help lists them; besides, fuse-linear-write){{$}}
// RUN: not sinter-compile qwen3-0.6b --emit=xfmr --explain-fusion 2>&1 | FileCheck %s --check-prefix=EXPLAIN --implicit-check-not={{.}}
// EXPLAIN: sinter-compile: error: --explain-fusion: --emit=xfmr stops before the fusions{{$}}
// RUN: not sinter-compile %models/qwen3/qwen3-0.6b.mlir --dtype f32 2>&1 | FileCheck %s --check-prefix=GRAPH --implicit-check-not={{.}}
// GRAPH: sinter-compile: error: --dtype: does not apply to a graph, which has its types and sizes{{$}}
// RUN: not sinter-compile %models/shakespeare --emit=xfmr -o %t.no/such/folder 2>&1 | FileCheck %s --check-prefix=OUTPUT --implicit-check-not={{.}}
// OUTPUT: sinter-compile: error: {{.*}}/such/folder: cannot create: No such file or directory{{$}}

// No option is accepted and dropped.
// RUN: not sinter-compile qwen3-0.6b --emit=xfmr --no-fusion 2>&1 | FileCheck %s --check-prefix=DROPPED --implicit-check-not={{.}}
// DROPPED: sinter-compile: error: --no-fusion: --emit=xfmr stops before the fusions{{$}}
// RUN: not sinter-compile qwen3-0.6b --config --page-size 32 2>&1 | FileCheck %s --check-prefix=CONFIGPAGE --implicit-check-not={{.}}
// CONFIGPAGE: sinter-compile: error: --page-size excludes --config (see sinter-compile --help){{$}}
// RUN: not sinter-compile qwen3-0.6b --config -o %t.x 2>&1 | FileCheck %s --check-prefix=CONFIG --implicit-check-not={{.}}
// CONFIG: sinter-compile: error: --output excludes --config (see sinter-compile --help){{$}}
// RUN: not sinter-compile qwen3-0.6b -o "" 2>&1 | FileCheck %s --check-prefix=NONAME --implicit-check-not={{.}}
// NONAME: sinter-compile: error: --output: the value is empty{{$}}

// What is written arrives, or is an error.
// RUN: not sh -c 'sinter-compile %models/shakespeare --emit=xfmr > /dev/full' 2>&1 | FileCheck %s --check-prefix=FULL --implicit-check-not={{.}}
// FULL: sinter-compile: error: standard output: cannot write{{.*}}
// RUN: not sh -c 'sinter-compile %models/shakespeare --config >&-' 2>&1 | FileCheck %s --check-prefix=CLOSED --implicit-check-not={{.}}
// CLOSED: sinter-compile: error: standard output: cannot write: Bad file descriptor{{$}}

// Graphs that no runner could use.
// RUN: split-file %s %t
// RUN: not sinter-compile %t/empty.mlir -o %t/x 2>&1 | FileCheck %s --check-prefix=EMPTY --implicit-check-not={{.}}
// EMPTY: sinter-compile: error: {{.*}}empty.mlir:0:0: the graph has no entry function with a cache (xfmr.entry){{$}}
// RUN: not sinter-compile %t/syntax.mlir 2>&1 | FileCheck %s --check-prefix=SYNTAX --implicit-check-not={{.}}
// SYNTAX: sinter-compile: error: {{.*}}syntax.mlir:1:14: {{.*[^ ]$}}
// RUN: not sinter-compile %t/verify.mlir 2>&1 | FileCheck %s --check-prefix=VERIFY --implicit-check-not={{.}}
// VERIFY: sinter-compile: error: {{.*}}verify.mlir:2:{{[0-9]+}}: 'xfmr.merge_heads' op 'result' has shape [4, 16], 'x' of shape [4, 2, 4] needs [4, 8]{{$}}
// RUN: not ls %t/x

// What is left out is left out, and said.
// RUN: sinter-compile %models/shakespeare --emit=fused --disable-pass fuse-linear-add | FileCheck %s --check-prefix=DISABLED
// DISABLED-NOT: xfmr.linear_add
// DISABLED: xfmr.rms_norm_swiglu
// DISABLED-NOT: xfmr.linear_add
// RUN: sinter-compile %models/shakespeare --emit=fused --no-fusion | FileCheck %s --check-prefix=UNFUSED
// UNFUSED-NOT: xfmr.rms_norm_linear
// UNFUSED-NOT: xfmr.rms_norm_swiglu
// RUN: sinter-compile %models/shakespeare --emit=xfmr --no-k-scale --dtype f16 --page-size 32 --max-tokens-per-step 64 | FileCheck %s --check-prefix=OPTIONS --implicit-check-not=k_scale
// OPTIONS: func.func @step({{.*}}!xfmr.kv<2, 32, 128, f16, token_major>{{.*}}xfmr.tokens = array<i64: 1, 64>
// OPTIONS: xfmr.embedding {{.*}} -> tensor<?x256xf16>
// RUN: sinter-compile %models/shakespeare --emit=xfmr --kv-cache-dtype auto --dtype f16 | FileCheck %s --check-prefix=KVAUTO
// KVAUTO: #xfmr.k_scale<"model.layers.0.self_attn.k_norm.weight", 128>
// KVAUTO: func.func @step({{.*}}!xfmr.kv<2, 16, 128, f16, token_major>
// RUN: sinter-compile %models/shakespeare --emit=xfmr --kv-cache-dtype fp8_e4m3 | FileCheck %s --check-prefix=E4M3
// E4M3: #xfmr.k_scale<"model.layers.0.self_attn.k_norm.weight", 128, 256>
// E4M3: func.func @step({{.*}}!xfmr.kv<2, 16, 128, f8E4M3FN, token_major>
// RUN: sinter-compile %models/shakespeare --emit=xfmr --kv-cache-dtype fp8_e5m2 > %t.e5m2.mlir
// RUN: FileCheck %s --check-prefix=E5M2 < %t.e5m2.mlir
// E5M2: #xfmr.k_scale<"model.layers.0.self_attn.k_norm.weight", 128, 32768>
// E5M2: func.func @step({{.*}}!xfmr.kv<2, 16, 128, f8E5M2, token_major>
// RUN: not sinter-compile %t.e5m2.mlir 2>&1 | FileCheck %s --check-prefix=KVGRAPH --implicit-check-not={{.}}
// KVGRAPH: sinter-compile: error: {{.*}}on '!xfmr.kv<2, 16, 128, f8E5M2, k_packed>': caches of 'f8E5M2' have no CPU kernel{{$}}
// RUN: sinter-compile %models/shakespeare --kv-cache-dtype f16 --config | FileCheck %s --check-prefix=KVCONFIG
// KVCONFIG: activations         bf16
// KVCONFIG: cache               f16
// RUN: sinter-compile %models/shakespeare --emit=fused --explain-fusion 2>&1 >%t.fused.mlir | FileCheck %s --check-prefix=REPORT
// REPORT: step_m1_logits, 1 token kernels/layer
// RUN: sinter-opt %t.fused.mlir -o /dev/null
// RUN: sinter-compile --version | FileCheck %s --check-prefix=VERSION --implicit-check-not={{.}}
// VERSION: sinter-compile {{[0-9.]+}} (commit {{[0-9a-f]+|unknown}}, LLVM 22.{{[0-9.]+}}){{$}}
// RUN: sinter-compile --help | FileCheck %s --check-prefix=HELP
// HELP: Usage: sinter-compile
// HELP: examples:

// What is compiled is not written over.
// RUN: rm -rf %t.m && cp -r %models/shakespeare %t.m && cp %models/qwen3/qwen3-0.6b.mlir %t.g.mlir
// RUN: not sinter-compile %t.m -o %t.m/config.json 2>&1 | FileCheck %s --check-prefix=OVER --implicit-check-not={{.}}
// RUN: not sinter-compile %t.g.mlir -o %t.g.mlir 2>&1 | FileCheck %s --check-prefix=OVER --implicit-check-not={{.}}
// RUN: cmp %t.m/config.json %models/shakespeare/config.json
// OVER: sinter-compile: error: -o {{.*}}: would write over what is compiled{{$}}

//--- empty.mlir
func.func @f() { return }
//--- syntax.mlir
func.func @f( {
//--- verify.mlir
func.func @f(%x: tensor<4x2x4xf32>) {
  %y = xfmr.merge_heads %x : (tensor<4x2x4xf32>) -> tensor<4x16xf32>
  return
}
