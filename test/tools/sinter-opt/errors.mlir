// A wrong command line is one line on stderr and exit status 1.
// RUN: not sinter-opt --xfmr-fuse-everything 2>&1 | FileCheck %s --check-prefix=FLAG --implicit-check-not={{.}}
// FLAG: sinter-opt: error: Unknown command line argument '--xfmr-fuse-everything' (see sinter-opt --help){{$}}
// RUN: not sinter-opt %s %s 2>&1 | FileCheck %s --check-prefix=MANY --implicit-check-not={{.}}
// RUN: not sinter-opt %t.none.mlir 2>&1 | FileCheck %s --check-prefix=NONE --implicit-check-not={{.}}
// RUN: not sinter-opt %models/qwen3/qwen3-0.6b.mlir --xfmr-fusion-pipeline=token-ranges=x 2>&1 | FileCheck %s --check-prefix=VALUE --implicit-check-not={{.}}
// VALUE: <unknown>:0: error: {{.*}}token range 'x' is not N, LO-HI or LO-max{{$}}
// NONE: sinter-opt: error: {{.*}}.none.mlir: no such file{{$}}
// MANY: sinter-opt: error: Too many positional arguments specified! (see sinter-opt --help){{$}}
