// The kernels of the report are the launches of the artefact: the head's argmax takes two.
// REQUIRES: sinter-compile, sinter-inspect
// RUN: sinter-compile %models/shakespeare -o %t.sinter --explain-fusion > %t.report 2>&1
// RUN: FileCheck %s < %t.report
// RUN: sinter-inspect %t.sinter | FileCheck %s --check-prefix=FILE

// CHECK: step_m1_logits, 1 token
// CHECK: kernels in all: 39
// CHECK: step_m1_argmax, 1 token
// CHECK: kernels in all: 40
// FILE: step_m1_logits {{.*}} 39
// FILE: step_m1_argmax {{.*}} 40
