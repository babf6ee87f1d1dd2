// A compiled model: the same bytes every time, one exported symbol, nothing needed from outside.
// REQUIRES: sinter-compile
// RUN: sinter-compile %models/shakespeare -o %t.a.sinter | FileCheck %s --check-prefix=LINE
// RUN: sinter-compile %models/shakespeare -o %t.b.sinter
// RUN: cmp %t.a.sinter %t.b.sinter
// RUN: llvm-readelf --dynamic-table --dyn-symbols --sections %t.a.sinter > %t.elf
// RUN: FileCheck %s --check-prefix=ELF < %t.elf
// RUN: not grep -E "NEEDED|UND [^ ]" %t.elf

// LINE: wrote {{.*}}.a.sinter ({{[0-9.]+}} {{[KM]}}B, 4 entry points, {{[0-9]+}} kernels) {{[0-9.]+}} s

// ELF-DAG: .sinter.meta
// ELF-DAG: .sinter.schedule
// ELF-DAG: .sinter.tokenizer
// ELF-DAG: .sinter.chat_template
// ELF-DAG: .sinter.digest
// ELF: Symbol table '.dynsym' contains 2 entries
// ELF: FUNC GLOBAL DEFAULT {{.*}} sinter_step
