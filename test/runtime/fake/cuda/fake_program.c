/*===- fake_program.c - the program table of the fake CUDA model -------------===
 *
 * Compiled together with lib/Target/step.c, as the compiler does with the tables it writes. The
 * model is that of fake_model.c; its kernels are in FakeKernels.cpp. TOKENIZER is a file for those
 * who want text.
 *
 *===----------------------------------------------------------------------===*/
#include "sinter/Abi/sinter_abi.h"

#define HIDDEN __attribute__((visibility("hidden")))

enum { EMBED = 0, NORM = 1, K_SCALE = 2, ROPE = 3 };
enum { EMBED_KERNEL, WRITE_KERNEL, ATTEND_KERNEL, LOGITS_KERNEL, ARGMAX_KERNEL, DRAW_KERNEL };

__asm__(".section .sinter.meta,\"\",@progbits\n"
        ".fill 16384, 1, 32\n"
        ".section .sinter.schedule,\"\",@progbits\n"
        ".ascii \"embed\\nwrite\\nattend\\nhead\\n\"\n"
        ".section .sinter.ptx,\"\",@progbits\n"
        ".asciz \".target sm_90a\\n.entry embed\\n.entry write\\n.entry attend\\n.entry logits\\n"
        ".entry argmax\\n.entry draw\\n\"\n"
        ".section .sinter.cubin,\"\",@progbits\n"
        ".asciz \"CUBIN\\n.entry embed\\n.entry write\\n.entry attend\\n.entry logits\\n"
        ".entry argmax\\n.entry draw\\n\"\n"
        ".section .sinter.digest,\"\",@progbits\n"
        ".fill 32, 1, 0\n"
#ifdef TOKENIZER
        ".section .sinter.tokenizer,\"\",@progbits\n"
        ".incbin \"" TOKENIZER "\"\n"
#endif
        ".text\n");

#define ARENA {SINTER_ARG_ARENA, 0, 0}
#define KV {SINTER_ARG_KV, 0, 0}
#define WEIGHT(i) {SINTER_ARG_WEIGHT, i, 0}

static const SinterArg args[] = {ARENA,
                                 WEIGHT(EMBED), /* 0: embed */
                                 ARENA,
                                 KV,
                                 WEIGHT(K_SCALE),
                                 WEIGHT(ROPE), /* 2: write */
                                 ARENA,
                                 KV,
                                 WEIGHT(K_SCALE),
                                 WEIGHT(NORM), /* 6: attend */
                                 ARENA,
                                 WEIGHT(EMBED),
                                 {SINTER_ARG_LOGITS, 0, 0}, /* 10: logits */
                                 ARENA,
                                 WEIGHT(EMBED),
                                 {SINTER_ARG_ARGMAX_VALUE, 0, 0},
                                 {SINTER_ARG_ARGMAX_INDEX, 0, 0}, /* 13: argmax */
                                 ARENA,
                                 {SINTER_ARG_LOGITS, 0, 0},
                                 {SINTER_ARG_ARGMAX_VALUE, 0, 0},
                                 {SINTER_ARG_ARGMAX_INDEX, 0, 0}}; /* 17: draw */

#define OP(ctas, first, count, kernel, edge)                                                       \
  {{0, 0}, {ctas, {0, 0, 0}, {1, 1, 1}, 1}, first, count, kernel, edge}
#define OP_IF(dim, ctas, first, count, kernel, edge)                                               \
  {{0, 0}, {ctas, {dim, 0, 0}, {0x7fffffff, 1, 1}, 1}, first, count, kernel, edge}
#define BODY                                                                                       \
  OP(3, 0, 2, EMBED_KERNEL, SINTER_EDGE_FULL),                                                     \
      OP(2, 2, 4, WRITE_KERNEL, SINTER_EDGE_PROGRAMMATIC),                                         \
      OP(2, 6, 4, ATTEND_KERNEL, SINTER_EDGE_PROGRAMMATIC)

/* Of any number of tokens: writes once for short sequences and once for long ones, which is the
 * same twice where a step has both. */
#define MIXED_BODY                                                                                 \
  OP(3, 0, 2, EMBED_KERNEL, SINTER_EDGE_FULL),                                                     \
      OP_IF(SINTER_GRID_LONG_SEQS, 2, 2, 4, WRITE_KERNEL, SINTER_EDGE_PROGRAMMATIC),               \
      OP_IF(SINTER_GRID_SHORT_SEQS, 2, 2, 4, WRITE_KERNEL, SINTER_EDGE_PROGRAMMATIC),              \
      OP(2, 6, 4, ATTEND_KERNEL, SINTER_EDGE_PROGRAMMATIC)

static const SinterOpRecord ops[] = {BODY,
                                     OP(4, 10, 3, LOGITS_KERNEL, SINTER_EDGE_FULL),
                                     BODY,
                                     OP(4, 13, 4, ARGMAX_KERNEL, SINTER_EDGE_FULL),
                                     BODY,
                                     OP(4, 10, 3, LOGITS_KERNEL, SINTER_EDGE_FULL),
                                     OP(4, 17, 4, DRAW_KERNEL, SINTER_EDGE_FULL),
                                     MIXED_BODY,
                                     OP(4, 10, 3, LOGITS_KERNEL, SINTER_EDGE_FULL),
                                     MIXED_BODY,
                                     OP(4, 13, 4, ARGMAX_KERNEL, SINTER_EDGE_FULL),
                                     MIXED_BODY,
                                     OP(4, 10, 3, LOGITS_KERNEL, SINTER_EDGE_FULL),
                                     OP(4, 17, 4, DRAW_KERNEL, SINTER_EDGE_FULL)};

/* Decode steps of up to four sequences, one token each; then anything. */
static const SinterEntryRecord entries[] = {{0, 4, 1, 4, 4, 0, 1},    {4, 4, 1, 4, 4, 1, 1},
                                            {13, 5, 1, 32, 32, 0, 0}, {18, 5, 1, 32, 32, 1, 0},
                                            {8, 5, 1, 4, 4, 2, 1},    {23, 6, 1, 32, 32, 2, 0}};

HIDDEN const SinterProgram sinter_program = {SINTER_ABI_VERSION, 6, 1, 0, entries, ops, args};
