/*===- step.c - the code every compiled model has in common -------------------===
 *
 * sinter_step walks the program table that the compiler writes beside it. Compiled without a C
 * library: an artefact calls nothing but what SinterRt offers.
 *
 *===----------------------------------------------------------------------===*/
#include "sinter/Abi/sinter_abi.h"

#define HIDDEN __attribute__((visibility("hidden")))
#define EXPORTED __attribute__((visibility("default")))

/* Written by the compiler (lib/Target/ProgramTable.cpp). */
extern HIDDEN const SinterProgram sinter_program;

/* What LLVM may call for copies and fills inside kernels. */
HIDDEN void *memcpy(void *to, const void *from, unsigned long bytes) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return result;
}

HIDDEN void *memset(void *to, int value, unsigned long bytes) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
  return result;
}

HIDDEN void *memmove(void *to, const void *from, unsigned long bytes) {
  if ((uintptr_t)to - (uintptr_t)from >= bytes)
    return memcpy(to, from, bytes);
  for (unsigned long i = bytes; i-- > 0;)
    ((volatile unsigned char *)to)[i] = ((const unsigned char *)from)[i];
  return to;
}

static const char *check_structs(const SinterRt *rt, const SinterModel *model,
                                 const SinterBatch *batch) {
  if (rt->version != SINTER_ABI_VERSION ||
      !(sinter_program.device ? (void *)rt->launch : (void *)rt->parallel_for))
    return "the runner speaks another ABI version than the compiled model";
  if (!model || model->size < sizeof(SinterModel))
    return "SinterModel is smaller than the compiled model needs";
  if (!batch || batch->size < sizeof(SinterBatch))
    return "SinterBatch is smaller than the compiled model needs";
  if (!sinter_program.device && (model->isa < 3 || model->isa > 5))
    return "SinterModel.isa is none of 3 (x86-64-v3), 4 (x86-64-v4) and 5 (x86-64-v4-bf16)";
  return 0;
}

static const char *check_batch(const SinterEntryRecord *entry, const SinterModel *model,
                               const SinterBatch *batch) {
  if (batch->num_tokens < entry->min_tokens || batch->num_tokens > entry->max_tokens)
    return "the step has more or fewer tokens than its entry point takes";
  if (batch->num_rows > entry->max_rows)
    return "the step asks for the logits of more rows than its entry point gives";
  if (batch->num_seqs == 0 || batch->num_seqs > batch->num_tokens)
    return "the step needs at least one sequence, each with a token";
  if (batch->num_short > batch->num_seqs)
    return "the step has more short sequences than sequences";
  if (batch->max_q == 0 || batch->max_q > batch->num_tokens || batch->max_ctx == 0)
    return "max_q or max_ctx of the step is out of range";
  if (entry->max_q && batch->max_q > entry->max_q)
    return "a sequence has more tokens than the step's entry point takes of one";
  if (!batch->tokens || !batch->positions || !batch->slots || !batch->cu_q || !batch->ctx ||
      !batch->block_table)
    return "an input array of the step is missing";
  if (batch->num_rows == 0)
    return 0;
  if (!batch->rows)
    return "the step asks for rows but does not say which";
  if ((entry->head != 1 && !batch->logits) ||
      (entry->head != 0 && (!batch->argmax_value || !batch->argmax_index)))
    return "the memory for the step's results is missing";
  if (entry->head == 2 && !batch->sampling)
    return "the step does not say how its tokens are drawn";
  return 0;
}

static uint64_t grid_dim(uint32_t dim, const SinterBatch *batch) {
  switch (dim) {
  case SINTER_GRID_TOKENS:
    return batch->num_tokens;
  case SINTER_GRID_ROWS:
    return batch->num_rows;
  case SINTER_GRID_SEQS:
    return batch->num_seqs;
  case SINTER_GRID_MAX_Q:
    return batch->max_q;
  case SINTER_GRID_MAX_CTX:
    return batch->max_ctx;
  case SINTER_GRID_SHORT_SEQS:
    return batch->num_short;
  case SINTER_GRID_LONG_SEQS:
    return batch->num_seqs - batch->num_short;
  default:
    return 1;
  }
}

/* Saturates: no count of tasks above 32 bits is real. */
static uint64_t count_tasks(const SinterGrid *grid, const SinterBatch *batch) {
  uint64_t tasks = grid->count;
  for (int i = 0; i < 3; ++i) {
    tasks *= (grid_dim(grid->dim[i], batch) + grid->div[i] - 1) / grid->div[i];
    if (tasks > UINT32_MAX)
      return UINT64_MAX;
  }
  return tasks;
}

/* The pointer that an argument stands for; *failed on a weight that the runner does not have. */
static void *resolve(const SinterArg *arg, const SinterModel *model, const SinterBatch *batch,
                     int *failed) {
  switch (arg->kind) {
  case SINTER_ARG_ARENA:
    return (char *)model->arena + arg->offset;
  case SINTER_ARG_WEIGHT:
    if (arg->index >= model->num_weights || !model->weights[arg->index]) {
      *failed = 1;
      return 0;
    }
    return (char *)model->weights[arg->index] + arg->offset;
  case SINTER_ARG_KV:
    return (char *)model->kv + arg->offset;
  case SINTER_ARG_LOGITS:
    return batch->logits;
  case SINTER_ARG_ARGMAX_VALUE:
    return batch->argmax_value;
  case SINTER_ARG_ARGMAX_INDEX:
    return batch->argmax_index;
  default:
    return 0;
  }
}

static const char *run_op(const SinterRt *rt, const SinterModel *model, const SinterBatch *batch,
                          uint32_t first_op, uint32_t op) {
  const SinterOpRecord *record = &sinter_program.ops[first_op + op];
  void *args[SINTER_MAX_ARGS] = {0};
  int failed = 0;
  for (uint32_t i = 0; i < record->num_args; ++i)
    args[i] = resolve(&sinter_program.args[record->first_arg + i], model, batch, &failed);
  if (failed)
    return "a weight of the compiled model was not loaded";
  const uint64_t tasks = count_tasks(&record->grid, batch);
  if (tasks > UINT32_MAX)
    return "the step is too large: a kernel would have more than 2^32 tasks";
  const SinterLaunch launch = {batch,       model, args, op, record->grid.split, record->num_args,
                               record->edge};
  if (sinter_program.device)
    return rt->launch(rt, record->device_kernel, &launch, (uint32_t)tasks)
               ? "a kernel cannot be started"
               : 0;
  /* A machine with a higher instruction set also runs what was compiled for a lower one. */
  SinterKernel kernel = 0;
  for (uint32_t isa = model->isa; !kernel && isa >= 3; --isa)
    kernel = record->kernel[isa - 3];
  if (!kernel)
    return "the compiled model has no kernels for this machine's instruction set";
  if (tasks > 0)
    rt->parallel_for(rt, kernel, &launch, (uint32_t)tasks);
  return 0;
}

EXPORTED int32_t sinter_step(const SinterRt *rt, SinterModel *model, uint32_t entry,
                             const SinterBatch *batch) {
  if (!rt || rt->size < sizeof(SinterRt) || !rt->fail)
    return -1;
  const char *error = check_structs(rt, model, batch);
  if (!error && entry >= sinter_program.num_entries)
    error = "the compiled model has no entry point of that number";
  if (error)
    return rt->fail(rt, error);
  const SinterEntryRecord *record = &sinter_program.entries[entry];
  error = check_batch(record, model, batch);
  for (uint32_t op = 0; !error && op < record->num_ops; ++op)
    error = run_op(rt, model, batch, record->first_op, op);
  return error ? rt->fail(rt, error) : 0;
}
