// The command line: what it prints, chunks and pages, entries after fusion, every error.
// REQUIRES: sinter-compile, sinter-interpret
// RUN: sinter-compile %models/shakespeare --emit=xfmr > %t.mlir

// transformers continues <|endoftext|> with token 268 (models/shakespeare/golden/greedy_f32.json).
// RUN: sinter-interpret %t.mlir --weights %models/shakespeare --token-ids 1535 | FileCheck %s
// CHECK: 1 tokens, exact, entry @step
// CHECK-NEXT: token logit
// CHECK-NEXT: 268 {{[0-9]+\.[0-9]+}}
// CHECK-COUNT-4: {{^ +[0-9]+  -?[0-9]}}

// Chunks, pages and a file of ids change nothing that is printed.
// RUN: echo "1535, 268 330 11" > %t.ids
// RUN: sinter-interpret %t.mlir --weights %models/shakespeare --token-ids 1535,268,330,11 > %t.one
// RUN: sinter-interpret %t.mlir --weights %models/shakespeare --token-ids @%t.ids --chunk 3 --page-order 5 > %t.two
// RUN: diff %t.one %t.two

// After the pipeline there is an entry per range and head.
// RUN: sinter-opt %t.mlir --xfmr-fusion-pipeline=token-ranges=1,2-max > %t.fused.mlir
// RUN: sinter-interpret %t.fused.mlir --weights %models/shakespeare --token-ids 1535,268,330,11 | FileCheck %s --check-prefix=FUSED
// RUN: sinter-interpret %t.fused.mlir --weights %models/shakespeare --token-ids 1535 --entry step_m1_argmax --mode declared | FileCheck %s --check-prefix=ARGMAX
// FUSED: 4 tokens, exact, entry @step_m2_1024_logits
// FUSED: 417
// ARGMAX: 1 tokens, declared, entry @step_m1_argmax
// ARGMAX: 268

// RUN: rm -rf %t.dump
// RUN: sinter-interpret %t.mlir --weights random:7 --token-ids 1,2 --dump %t.dump --logits %t.npy > /dev/null
// RUN: ls %t.dump %t.npy | FileCheck %s --check-prefix=DUMP
// DUMP-DAG: 1.1.embed.npy
// DUMP-DAG: 1.2.layers.0.attn.norm.npy
// DUMP-DAG: lm_head.npy

// RUN: not sinter-interpret 2>&1 | FileCheck %s --check-prefix=NOFILE
// NOFILE: sinter-interpret: error: {{.*}}required
// RUN: not sinter-interpret %t.absent --weights random:1 --token-ids 1 2>&1 | FileCheck %s --check-prefix=ABSENT
// ABSENT: sinter-interpret: error: {{.*}}.absent: cannot open: No such file or directory
// RUN: not sinter-interpret %t.ids --weights random:1 --token-ids 1 2>&1 | FileCheck %s --check-prefix=SYNTAX
// SYNTAX: sinter-interpret: error: {{.*}}.ids:1:1: {{.+}}
// RUN: not sinter-interpret %t.mlir --weights random:x --token-ids 1 2>&1 | FileCheck %s --check-prefix=SEED
// SEED: sinter-interpret: error: --weights random:x: the seed must be an integer
// RUN: not sinter-interpret %t.mlir --weights %models/qwen3 --token-ids 1 2>&1 | FileCheck %s --check-prefix=NOWEIGHTS
// NOWEIGHTS: sinter-interpret: error: {{.*}}qwen3: has neither model.safetensors nor model.safetensors.index.json
// RUN: not sinter-interpret %t.mlir --weights random:1 --token-ids 1,-2 2>&1 | FileCheck %s --check-prefix=IDS
// IDS: sinter-interpret: error: --token-ids: "-2" is not a token id
// RUN: not sinter-interpret %t.mlir --weights random:1 --token-ids , 2>&1 | FileCheck %s --check-prefix=NOIDS
// NOIDS: sinter-interpret: error: --token-ids: no token ids
// RUN: not sinter-interpret %t.mlir --weights random:1 --token-ids 1,1536 2>&1 | FileCheck %s --check-prefix=VOCAB
// VOCAB: sinter-interpret: error: embed: token 1536 is outside the vocabulary of 1536
// RUN: not sinter-interpret %t.mlir --weights random:1 --token-ids 1 --entry other 2>&1 | FileCheck %s --check-prefix=ENTRY
// ENTRY: sinter-interpret: error: {{.*}}: no entry @other, there are step
// RUN: not sinter-interpret %t.fused.mlir --weights random:1 --token-ids 1 --entry step_m1_argmax --logits %t.npy 2>&1 | FileCheck %s --check-prefix=HEAD
// HEAD: sinter-interpret: error: --logits: entry @step_m1_argmax returns an argmax only
// RUN: not sinter-interpret %t.fused.mlir --weights random:1 --token-ids 1 --entry step_m2_1024_logits 2>&1 | FileCheck %s --check-prefix=RANGE
// RANGE: sinter-interpret: error: no entry takes a step of at most 1 tokens
// RUN: not sinter-interpret %t.mlir --weights random:1 --token-ids 1 --chunk 0 2>&1 | FileCheck %s --check-prefix=CHUNK
// CHUNK: sinter-interpret: error: --chunk: {{.+}}
// RUN: not sinter-interpret %t.mlir --weights random:1 --token-ids 1 --mode fast 2>&1 | FileCheck %s --check-prefix=MODE
// MODE: sinter-interpret: error: --mode: {{.+}}
