// An entry whose results are not what its head says: no artefact, as its runner would read what is not there.
// REQUIRES: sinter-compile
// RUN: rm -f %t.sinter
// RUN: sinter-compile %models/shakespeare --emit=xfmr -o %t.mlir
// RUN: sed 's/xfmr.entry,/xfmr.entry, xfmr.head = "argmax",/' %t.mlir > %t.wrong.mlir
// RUN: not sinter-compile %t.wrong.mlir -o %t.sinter 2>&1 | FileCheck %s --implicit-check-not={{.}}
// CHECK: sinter-compile: error: {{.*}}'func.func' op has the head "argmax" and returns 'tensor<?x1536xf32>'{{$}}
// RUN: not ls %t.sinter
// RUN: sed 's/xfmr.entry,/xfmr.entry, xfmr.head = "logits",/' %t.mlir > %t.right.mlir
// RUN: sinter-compile %t.right.mlir -o %t.sinter
