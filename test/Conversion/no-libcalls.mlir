// A whole model calls nothing outside itself: exp is a polynomial, rounding to bf16 is integer
// arithmetic, copies do not become memcpy. Only intrinsics are declared, and none of them is one
// that the backend turns into a call.
// REQUIRES: sinter-compile
// RUN: sinter-compile %models/shakespeare --emit=llvm | FileCheck %s
// RUN: sinter-compile %models/shakespeare --emit=asm | FileCheck %s --check-prefix=ASM
// RUN: sinter-compile %models/shakespeare --no-fusion --emit=asm | FileCheck %s --check-prefix=ASM

// CHECK: define {{.*}}@sinter_attention
// CHECK-NOT: declare {{.*}}@{{(exp|mem|__)}}
// CHECK-NOT: {{llvm\.(exp|pow|log|sin|cos|tanh|memcpy|memset|memmove|fmuladd)}}
// CHECK-NOT: {{fast|contract|reassoc}}

// ASM: sinter_attention
// ASM-NOT: {{^[[:space:]]call}}
