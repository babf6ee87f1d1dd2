/*===- sinter_abi.h - what a compiled model and its runner agree on ----------===
 *
 * The only contract between compiler and runtime besides the JSON of `.sinter.meta`
 * (docs/artifact.md). Included by the compiler (C++17), by the runner (C++20) and by the C code
 * that is compiled into every artefact; it may include nothing but <stdint.h>.
 *
 * Structs grow only at the end; `size` is sizeof as the filler of the struct knew it, and a reader
 * touches no field beyond it. SINTER_ABI_VERSION changes when that is not enough.
 *
 * Symbols: T tokens in the step, S sequences, R rows whose logits are asked for, P pages a sequence
 * may have, V vocabulary.
 *
 *===----------------------------------------------------------------------===*/
#ifndef SINTER_ABI_SINTER_ABI_H
#define SINTER_ABI_SINTER_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SINTER_ABI_VERSION 4u

/* Names of the ELF sections and symbols of an artefact. */
#define SINTER_SECTION_META ".sinter.meta"           /* JSON, UTF-8 */
#define SINTER_SECTION_SCHEDULE ".sinter.schedule"   /* text for people */
#define SINTER_SECTION_TOKENIZER ".sinter.tokenizer" /* tokenizer.json, may be absent */
#define SINTER_SECTION_CHAT ".sinter.chat_template"  /* Jinja source, may be absent */
#define SINTER_SECTION_PTX ".sinter.ptx"     /* GPU targets: one text per module, NUL-terminated */
#define SINTER_SECTION_CUBIN ".sinter.cubin" /* GPU targets: one per module, may be absent */
#define SINTER_SECTION_DIGEST ".sinter.digest" /* 32 bytes: SHA-256 of the file, these zeroed */
#define SINTER_SYMBOL_STEP "sinter_step"

/* The largest top_k of entries with the sample head. */
#define SINTER_MAX_TOP_K 64u

/* What changes one token's logit, in this order: the repetition penalty where it was seen, the
 * frequency and presence penalty where it was generated, the bias. */
typedef struct SinterTokenEdit {
  int32_t token;
  uint32_t seen;      /* 1: in the prompt or generated */
  uint32_t generated; /* how often */
  float bias;
} SinterTokenEdit;

/* How the token after a row is drawn: what runtime/engine/Sampler.h does, on the device. */
typedef struct SinterSampling {
  double temperature; /* 0: the largest logit */
  double top_p;       /* above 0, at most 1 */
  double min_p;       /* 0 to 1 */
  uint64_t seed;
  uint64_t position; /* of the token that is drawn */
  uint32_t top_k;    /* 1 to SINTER_MAX_TOP_K */
  uint32_t num_edits;
  float repetition; /* penalties, in f32 like the logits */
  float presence;
  float frequency;
  uint32_t reserved;
  const SinterTokenEdit *edits; /* [num_edits], no token twice; ids outside V change nothing */
  const uint32_t *allowed; /* [ceil(V / 32)], bit id % 32 of word id / 32; null: every token may */
} SinterSampling;

/* What one sequence may bring to count as short: decode attention takes it, prefill the others. */
#define SINTER_SHORT_TOKENS 8u

/* One step's inputs and outputs. Pointers are readable by the device that runs the step. */
typedef struct SinterBatch {
  uint32_t size;
  uint32_t num_tokens;         /* T, at least 1, at most the entry's maximum */
  uint32_t num_seqs;           /* S */
  uint32_t num_rows;           /* R, may be 0: then only the cache is written */
  uint32_t max_q;              /* largest cu_q[s+1] - cu_q[s] */
  uint32_t max_ctx;            /* largest ctx[s] */
  uint32_t block_table_stride; /* P */
  uint32_t num_short;          /* sequences of at most SINTER_SHORT_TOKENS tokens */
  const int32_t *tokens;       /* i32 [T] token ids */
  const int32_t *positions;    /* i32 [T] absolute position of each token in its sequence */
  const int32_t *slots; /* i32 [T] page * page_size + offset to write K and V to; -1: nowhere */
  const int32_t *cu_q;  /* i32 [S+1] first token of each sequence; cu_q[S] = T */
  const int32_t *ctx;   /* i32 [S] positions in the cache after this step, this step included */
  const int32_t *block_table; /* i32 [S, P] page ids, -1 where there is none */
  const int32_t *rows;        /* i32 [R] indices of tokens whose logits are wanted */
  float *logits;              /* out f32 [R, V], entries with the logits or the sample head */
  float *argmax_value;        /* out f32 [R], entries with the argmax or the sample head: the */
                              /* token's logit; NaN where the row's logits are not all finite, */
                              /* minus infinity where no token is allowed */
  int32_t *argmax_index;      /* out i32 [R], entries with the argmax or the sample head */
  const SinterSampling *sampling; /* [R], entries with the sample head */
} SinterBatch;

/* What a loaded model consists of: filled by the runner once. */
typedef struct SinterModel {
  uint32_t size;
  uint32_t isa; /* CPU: 3 (x86-64-v3), 4 (x86-64-v4) or 5 (x86-64-v4-bf16: v4 with AVX512-BF16), */
                /* at most what the machine has; GPU: 0 */
  uint32_t num_weights; /* meta.weights */
  uint32_t num_pages;
  void *const *weights;   /* resident form of each weight, 64-byte aligned */
  void *arena;            /* activations, meta.arena_bytes, 64-byte aligned */
  void *kv;               /* page pool: num_pages * kv_page_bytes, 64-byte aligned */
  uint64_t kv_page_bytes; /* meta.kv.page_bytes */
} SinterModel;

/* How a launch on a GPU is ordered after the one before it in the same step. */
enum SinterEdge {
  SINTER_EDGE_FULL = 0,        /* starts when everything before it has finished */
  SINTER_EDGE_PROGRAMMATIC = 1 /* may start early and waits in the kernel itself */
};

/* Everything a CPU kernel reads besides its task range; what a GPU launch is made of. */
typedef struct SinterLaunch {
  const SinterBatch *batch;
  const SinterModel *model;
  void *const *args; /* resolved pointers, in the order of the schedule */
  uint32_t op;       /* index into the entry's schedule, for profiles and errors */
  uint32_t split;    /* chunks per thread that pay off; 1: give each thread one range */
  uint32_t num_args;
  uint32_t edge; /* enum SinterEdge */
} SinterLaunch;

/* Runs tasks [begin, end) of one launch. `scratch` is private to the calling thread, 64-byte
 * aligned, meta.scratch_bytes long and not preserved between calls. */
typedef void (*SinterKernel)(const SinterLaunch *launch, uint32_t begin, uint32_t end,
                             void *scratch);

/* Services of the runner. Every function gets the SinterRt it came from. */
typedef struct SinterRt SinterRt;
struct SinterRt {
  uint32_t size;
  uint32_t version; /* SINTER_ABI_VERSION */
  void *self;       /* the runner's own state */
  /* Calls kernel over disjoint ranges that cover [0, tasks) and returns when all have finished. */
  void (*parallel_for)(const SinterRt *rt, SinterKernel kernel, const SinterLaunch *launch,
                       uint32_t tasks);
  /* GPU targets, null on the CPU: starts meta.kernels[kernel] on `tasks` CTAs. The kernel's
   * parameters are launch->args and then the device address of this step's SinterBatch. */
  int32_t (*launch)(const SinterRt *rt, uint32_t kernel, const SinterLaunch *launch,
                    uint32_t tasks);
  int32_t (*gemm)(const SinterRt *rt, uint32_t op, const SinterLaunch *launch);
  /* Tensor parallelism; null with one rank. */
  int32_t (*collective)(const SinterRt *rt, uint32_t op, const SinterLaunch *launch);
  /* Records one line about why the step cannot run; its result is what sinter_step returns. */
  int32_t (*fail)(const SinterRt *rt, const char *message);
};

/* Runs entry point `entry` (an index into meta.entries). 0, or what rt->fail returned. */
typedef int32_t (*SinterStepFn)(const SinterRt *rt, SinterModel *model, uint32_t entry,
                                const SinterBatch *batch);

/*--- The program table inside an artefact: written by the compiler, walked by sinter_step. ---*/

enum SinterArgKind {
  SINTER_ARG_NULL = 0,         /* an operand the op does not have */
  SINTER_ARG_ARENA = 1,        /* arena + offset */
  SINTER_ARG_WEIGHT = 2,       /* weights[index] + offset */
  SINTER_ARG_KV = 3,           /* kv + offset: the layer's K or V stream in page 0 */
  SINTER_ARG_LOGITS = 4,       /* batch->logits */
  SINTER_ARG_ARGMAX_VALUE = 5, /* batch->argmax_value */
  SINTER_ARG_ARGMAX_INDEX = 6  /* batch->argmax_index */
};

typedef struct SinterArg {
  uint32_t kind;
  uint32_t index;
  uint64_t offset;
} SinterArg;

enum SinterGridDim {
  SINTER_GRID_ONE = 0,
  SINTER_GRID_TOKENS = 1,
  SINTER_GRID_ROWS = 2,
  SINTER_GRID_SEQS = 3,
  SINTER_GRID_MAX_Q = 4,
  SINTER_GRID_MAX_CTX = 5,
  SINTER_GRID_SHORT_SEQS = 6,
  SINTER_GRID_LONG_SEQS = 7
};

/* tasks = count * product over i of ceil(value(dim[i]) / div[i]); a launch of 0 tasks is left out
 */
typedef struct SinterGrid {
  uint32_t count;
  uint32_t dim[3];
  uint32_t div[3];
  uint32_t split; /* goes to SinterLaunch.split */
} SinterGrid;

typedef struct SinterOpRecord {
  SinterKernel kernel[3]; /* per SinterModel.isa from 3 on; null where not compiled and on a GPU */
  SinterGrid grid;
  uint32_t first_arg;
  uint32_t num_args;
  uint32_t device_kernel; /* GPU: index into meta.kernels */
  uint32_t edge;          /* GPU: enum SinterEdge */
} SinterOpRecord;

typedef struct SinterEntryRecord {
  uint32_t first_op;
  uint32_t num_ops;
  uint32_t min_tokens;
  uint32_t max_tokens;
  uint32_t max_rows;
  uint32_t head;  /* 0 logits, 1 argmax, 2 sample */
  uint32_t max_q; /* most tokens of one sequence; 0: any number */
} SinterEntryRecord;

typedef struct SinterProgram {
  uint32_t abi_version;
  uint32_t num_entries;
  uint32_t device; /* 0 CPU, 1 GPU */
  uint32_t reserved;
  const SinterEntryRecord *entries;
  const SinterOpRecord *ops;
  const SinterArg *args;
} SinterProgram;

#define SINTER_MAX_ARGS 16

#ifdef __cplusplus
}
#endif

#endif /* SINTER_ABI_SINTER_ABI_H */
