// One function per token range and head.
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=1,2-max > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-specialise=token-ranges=1,2-max > %t.twice
// RUN: diff %t.once %t.twice
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=heads=argmax | grep -o "func @step_m[0-9_]*" | FileCheck %s --check-prefix=DEFAULT
// RUN: sinter-opt %S/Inputs/one-layer.mlir "--xfmr-specialise=token-ranges=8,9-512,513-max heads=logits cover-c-from=513" | FileCheck %s --check-prefix=COVER
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-shard=ranks=2 "--xfmr-specialise=token-ranges=1-max heads=logits cover-c-from=1" | FileCheck %s --check-prefix=REDUCE
// RUN: sed "s/1, 600/1, 1/" %S/Inputs/one-layer.mlir | sinter-opt --xfmr-specialise=token-ranges=1,2-max | grep -c "func @" | FileCheck %s --check-prefix=SMALL
// RUN: sed "s/1, 600/1, 100/" %S/Inputs/one-layer.mlir | sinter-opt --xfmr-specialise=heads=argmax | grep -o "func @step_m[0-9_]*" | FileCheck %s --check-prefix=HUNDRED

// CHECK-NOT:   func @step(
// CHECK-LABEL: func @step_m1_logits(%arg0: tensor<1xi32>, %arg1: tensor<?xi32>
// CHECK-SAME:    -> (tensor<?x32xf32>, !xfmr.kv<4, 16, 4, bf16, token_major>)
// CHECK-SAME:    xfmr.cover = "a"
// CHECK-SAME:    xfmr.head = "logits", xfmr.tokens = array<i64: 1, 1>
// CHECK:         xfmr.embedding {{.*}} -> tensor<1x16xbf16>
// CHECK:         xfmr.attention {{.*}} -> tensor<1x8x4xbf16>
// CHECK:         xfmr.select_rows {{.*}} : (tensor<1x16xbf16>, tensor<?xi32>) -> tensor<?x16xbf16>
// CHECK:         xfmr.linear {{.*}} -> tensor<?x32xf32>
// CHECK-LABEL: func @step_m1_argmax(
// CHECK-SAME:    -> (tensor<?xf32>, tensor<?xi32>, !xfmr.kv<4, 16, 4, bf16, token_major>)
// CHECK:         %[[V:.*]], %[[I:.*]] = xfmr.argmax
// CHECK-NEXT:    return %[[V]], %[[I]], %{{.*}} : tensor<?xf32>, tensor<?xi32>, !xfmr.kv
// CHECK-LABEL: func @step_m2_600_logits(%arg0: tensor<?xi32>
// CHECK-SAME:    xfmr.tokens = array<i64: 2, 600>
// CHECK:         xfmr.embedding {{.*}} -> tensor<?x16xbf16>
// CHECK-LABEL: func @step_m2_600_argmax

// DEFAULT:      func @step_m1_
// DEFAULT-NEXT: func @step_m2_
// DEFAULT-NEXT: func @step_m4_
// DEFAULT-NEXT: func @step_m8_
// DEFAULT-NEXT: func @step_m16_
// DEFAULT-NEXT: func @step_m32_
// DEFAULT-NEXT: func @step_m48_
// DEFAULT:      func @step_m112_
// DEFAULT-NEXT: func @step_m128_
// DEFAULT-NEXT: func @step_m160_
// DEFAULT:      func @step_m480_
// DEFAULT-NEXT: func @step_m512_
// DEFAULT-NEXT: func @step_m513_600_
// DEFAULT-NOT:  func

// HUNDRED:      func @step_m96_
// HUNDRED-NEXT: func @step_m100_
// HUNDRED-NOT:  func

// COVER-LABEL: func @step_m8_logits
// COVER-SAME:    xfmr.cover = "a"
// COVER-LABEL: func @step_m9_512_logits
// COVER-SAME:    xfmr.cover = "a"
// COVER-LABEL: func @step_m513_600_logits
// COVER-SAME:    xfmr.cover = "c"

// REDUCE-LABEL: func @step_m1_600_logits
// REDUCE-SAME:    xfmr.cover = "b"

// SMALL: 2

// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=1,two 2>&1 | FileCheck %s --check-prefix=WORD
// WORD: token range 'two' is not N, LO-HI or LO-max
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=1-8,8-max 2>&1 | FileCheck %s --check-prefix=OVERLAP
// OVERLAP: token range '8-max' overlaps the one before it
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=1-601 2>&1 | FileCheck %s --check-prefix=BEYOND
// BEYOND: token range '1-601' is not inside [1, 600]
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=heads=tail 2>&1 | FileCheck %s --check-prefix=HEAD
// HEAD: head 'tail' is not logits or argmax


// Entries for few tokens of many sequences stand beside those for anything.
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise="token-ranges=1,2-16@8,2-max heads=argmax" | FileCheck %s --check-prefix=SHORT
// SHORT: func.func @step_m1_argmax
// SHORT: func.func @step_m2_16_q8_argmax
// SHORT-SAME: xfmr.max_q = 8 : i64
// SHORT: func.func @step_m2_600_argmax
// SHORT-NOT: xfmr.max_q
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=2-16@8,9-17@4 2>&1 | FileCheck %s --check-prefix=SHORTS
// SHORTS: token range '9-17@4' overlaps the one before it
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=2-16@0 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: token range '2-16@0' is not N, LO-HI or LO-max

// Entries for many rows of the head stand beside those for few.
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise="token-ranges=9-600,9-600#32 heads=argmax" | FileCheck %s --check-prefix=ROWS
// ROWS: func.func @step_m9_600_argmax
// ROWS-NOT: xfmr.max_rows
// ROWS: func.func @step_m9_600_r32_argmax
// ROWS-SAME: xfmr.max_rows = 32 : i64
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=2-16#0 2>&1 | FileCheck %s --check-prefix=NOROWS
// NOROWS: token range '2-16#0' is not N, LO-HI or LO-max
// RUN: not sinter-opt %S/Inputs/one-layer.mlir --xfmr-specialise=token-ranges=2-16@8#9 2>&1 | FileCheck %s --check-prefix=BOTH
// BOTH: token range '2-16@8#9' is not N, LO-HI or LO-max
