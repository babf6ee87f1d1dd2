// With and without a toolkit, whether the machine has one or not: SINTER_CUDA names another, or none.
// REQUIRES: sinter-compile, sinter-inspect
// RUN: rm -rf %t && split-file %s %t && chmod +x %t/toolkit/bin/ptxas %t/broken/bin/ptxas

// RUN: env SINTER_CUDA=none sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 1 --no-cache -o %t/ptx.sinter > %t/out 2>&1
// RUN: FileCheck %s --check-prefix=NONE < %t/out
// NONE: sinter-compile: no ptxas found (in $SINTER_CUDA, else $PATH, $CUDA_HOME or /usr/local/cuda): PTX only, the driver compiles it where it runs
// NONE: wrote {{.*}}ptx.sinter ({{.*}} kernels)
// RUN: llvm-readelf -S %t/ptx.sinter | FileCheck %s --check-prefix=PTX --implicit-check-not=.sinter.cubin
// PTX: .sinter.ptx

// RUN: env SINTER_CUDA=%t/toolkit sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 1 --no-cache -o %t/cubin.sinter > %t/out 2>&1
// RUN: FileCheck %s --check-prefix=FOUND --implicit-check-not="no ptxas" < %t/out
// FOUND: wrote {{.*}}cubin.sinter ({{.*}} kernels, 0 spilled bytes)
// RUN: llvm-readelf -p .sinter.cubin %t/cubin.sinter | FileCheck %s --check-prefix=CUBIN
// CUBIN: assembled
// RUN: sinter-inspect %t/cubin.sinter --meta | FileCheck %s --check-prefix=META
// META: "registers": 41

// RUN: env SINTER_CUDA=%t/broken not sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 1 --no-cache -o %t/none.sinter 2>&1 | FileCheck %s --check-prefix=BROKEN
// BROKEN: sinter-compile: error: {{.*}}/broken/bin/ptxas: ptxas fatal : nothing works
// RUN: env SINTER_CUDA=%t/nowhere not sinter-compile %models/shakespeare --target=cuda:sm_80 --max-tokens-per-step 1 --no-cache -o %t/none.sinter 2>&1 | FileCheck %s --check-prefix=NOWHERE
// NOWHERE: sinter-compile: error: {{.*}}/nowhere/bin/ptxas: {{.*}}{{[Ee]xist|No such}}

//--- toolkit/bin/ptxas
#!/bin/sh
# ptxas -v -O3 -arch=CHIP -o OUTPUT INPUT
echo "ptxas info    : Compiling entry function 'kernel' for 'sm_80'"
echo "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
echo "ptxas info    : Used 41 registers, used 0 barriers"
echo assembled > "$5"
//--- broken/bin/ptxas
#!/bin/sh
echo "ptxas fatal : nothing works"
exit 255
