// The kernels of the report are the launches of the artefact: the head's argmax takes two, and so
// does attention of one token over few kv heads, whose parts are merged.
// REQUIRES: sinter-compile, sinter-inspect
// RUN: sinter-compile %models/shakespeare -o %t.sinter --explain-fusion > %t.report 2>&1
// RUN: FileCheck %s < %t.report
// RUN: sinter-inspect %t.sinter | FileCheck %s --check-prefix=FILE

// CHECK: step_m1_logits, 1 token
// CHECK: kernels in all: 45
// CHECK-NEXT: not in the bytes: partial results of attention, which grow with the context
// CHECK: step_m1_argmax, 1 token
// CHECK: kernels in all: 46
// CHECK: step_m2_
// CHECK-NOT: not in the bytes
// FILE: step_m1_logits {{.*}} 45
// FILE: step_m1_argmax {{.*}} 46
