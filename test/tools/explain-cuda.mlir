// What --explain-fusion says on a GPU: per fused op and entry the template and its time.
// REQUIRES: sinter-compile
// RUN: sinter-compile %models/shakespeare --target=cuda --tuned none --max-tokens-per-step 16 --explain-fusion --emit=lowered -o /dev/null | FileCheck %s
// CHECK:      step_m1_argmax, 1 token
// CHECK:        fused   fuse-linear-add           12 of 12
// CHECK-NEXT:     6 x linear_add 256x512: gemv R8 2x2 U1, predicted {{[0-9.]+}} us{{$}}
// CHECK-NEXT:     6 x linear_add 256x768: gemv R8 2x2 U2, predicted {{[0-9.]+}} us{{$}}
// CHECK-NEXT:   fused   fuse-rms-norm-linear      13 of 13
// CHECK-NEXT:     6 x rms_norm_linear 1024x256: gemv
// CHECK-NEXT:     6 x rms_norm_swiglu 1536x256: gemv
// CHECK:        fused   fuse-linear-argmax        1 of 1
// CHECK-NEXT:     1 x linear_argmax 1536x256: gemv
// CHECK:      step_m9_16_q8_argmax, 9 to 16 tokens
// CHECK:        fused   fuse-linear-add
// CHECK-NEXT:     6 x linear_add 256x512: wgmma_skinny

// Without wgmma another template.
// RUN: sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 16 --explain-fusion --emit=lowered -o /dev/null | FileCheck %s --check-prefix=AMPERE
// AMPERE:     step_m9_16_q8_argmax
// AMPERE:       6 x linear_add 256x512: skinny_mma

// The CPU has no such lines, and no table.
// RUN: sinter-compile %models/shakespeare --explain-fusion --emit=lowered -o /dev/null | FileCheck %s --check-prefix=CPU --implicit-check-not=predicted
// CPU: fused   fuse-linear-add
