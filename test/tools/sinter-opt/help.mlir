// --help begins with our passes in pipeline order, all of them, and without LLVM's code generators.
// RUN: sinter-opt --help | FileCheck %s
// RUN: sinter-opt --list-passes | grep -o "^ *--xfmr-[a-z-]* " | grep -v -e "--xfmr-fuse " -e "-pipeline " | tr -d " " | sort > %t.listed
// RUN: sinter-opt --help | sed "/^USAGE/,$d" | grep -o "^ *--xfmr-[a-z-]* " | tr -d " " | sort > %t.shown
// RUN: diff %t.listed %t.shown

// CHECK:      OVERVIEW: Sinter
// CHECK:      --xfmr-shard
// CHECK-NEXT: --xfmr-merge-qkv
// CHECK-NEXT: --xfmr-merge-gate-up
// CHECK-NEXT: --xfmr-specialise
// CHECK-NEXT: --xfmr-fuse-qk-norm-rope-write
// CHECK:      USAGE:
// CHECK-NOT:  amdgpu
// CHECK:      examples:
