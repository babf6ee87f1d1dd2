//===- Bodies.cu - the kernels as the compiler calls them --------------*- CUDA -*-===//
//
// Device functions that generated kernels consist of: `sinter_device_*`, called with the kernel's
// pointers in their order, the SinterBatch last, and then the constants of the model. They fill the
// argument structs of the contracts; once inlined nothing of the structs is left. Whatever differs
// from step to step comes from the batch, which was written before the step's first kernel and may
// therefore be read before the wait.
//
// Compiled to bitcode without optimisation: the compiler optimises them with their constants.
// lib/Codegen/Gpu/Attention.cpp and Sampling.cpp are the callers.
//
//===----------------------------------------------------------------------===//
#include "DecodeAttention.cuh"
#include "DecodePlan.cuh"
#include "PrefillAttention.cuh"
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#include "PrefillWgmma.cuh"
#endif
#include "QkNormRopeWrite.cuh"
#include "Sampling.cuh"

#include "sinter/Abi/sinter_abi.h"

using namespace sinter::kernels;

#define SINTER_BODY extern "C" __device__ __attribute__((always_inline)) void

/// A macro argument with commas in it.
#define SINTER_LIST(...) __VA_ARGS__

/// A pointer of the batch, known to point to global memory.
template <class T> SINTER_DEVICE T *global(T *const &field) {
  using Global = __attribute__((address_space(1))) T;
  return (T *)*static_cast<Global *const *>(static_cast<const void *>(&field));
}

/// A work list in memory: the number of entries, and the entries kPlanHeader bytes further.
template <class Work> SINTER_DEVICE Work *entriesOf(void *plan) {
  return reinterpret_cast<Work *>(static_cast<u8 *>(plan) + kPlanHeader);
}

SINTER_BODY sinter_device_decode_plan(void *plan, const SinterBatch *batch, int max_entries,
                                      int max_slots, int group, int rows, int max_q, int min_chunk,
                                      int max_chunk, int target_splits, int fixed_chunk,
                                      int window) {
  decodePlan({global(batch->cu_q), global(batch->ctx), static_cast<int *>(plan),
              entriesOf<DecodeWork>(plan), int(batch->num_seqs), max_entries, max_slots, group,
              rows, max_q, min_chunk, max_chunk, target_splits, fixed_chunk, window});
}

SINTER_BODY sinter_device_prefill_plan(void *plan, const SinterBatch *batch, int max_entries,
                                       int group, int rows, int min_q) {
  prefillPlan({global(batch->cu_q), global(batch->ctx), static_cast<int *>(plan),
               entriesOf<PrefillWork>(plan), int(batch->num_seqs), max_entries, group, rows,
               min_q});
}

SINTER_BODY sinter_device_sample_top(float *logits, void *lists, const SinterBatch *batch,
                                     int vocabulary) {
  sampleTop({logits, static_cast<SampleList *>(lists), nullptr, nullptr, nullptr,
             global(batch->sampling), int(batch->num_rows), vocabulary});
}

SINTER_BODY sinter_device_sample_draw(float *logits, void *lists, float *value, int *index,
                                      int *feedback, const SinterBatch *batch, int vocabulary) {
  sampleDraw({logits, static_cast<SampleList *>(lists), value, index, feedback,
              global(batch->sampling), int(batch->num_rows), vocabulary});
}

/// Each once without a window and once, as NAME_window, with one.
#define SINTER_DECODE_BODY(name, query, cache, dim, rows, limit)                                   \
  SINTER_DECODE_WITH(CausalHooks, name, query, cache, dim, rows, limit)                            \
  SINTER_DECODE_WITH(WindowHooks, name##_window, query, cache, dim, rows, limit)
#define SINTER_DECODE_WITH(hooks, name, query, cache, dim, rows, limit)                            \
  SINTER_BODY name(const void *q, void *out, const void *k, const void *v, const float *k_scale,   \
                   void *plan, float *partial, unsigned *counters, const SinterBatch *batch,       \
                   u64 page_bytes, float scale, int heads, int kv_heads, int page_log2,            \
                   int k_packed, int max_entries, int max_slots, int early, int window) {          \
    const DecodeArgs args{q,                                                                       \
                          out,                                                                     \
                          k,                                                                       \
                          v,                                                                       \
                          page_bytes,                                                              \
                          global(batch->block_table),                                              \
                          global(batch->positions),                                                \
                          k_scale,                                                                 \
                          nullptr,                                                                 \
                          nullptr,                                                                 \
                          static_cast<int *>(plan),                                                \
                          entriesOf<DecodeWork>(plan),                                             \
                          partial,                                                                 \
                          partial + u64(u32(max_slots * kv_heads)) * ((rows) * (dim)),             \
                          counters,                                                                \
                          scale,                                                                   \
                          heads,                                                                   \
                          kv_heads,                                                                \
                          int(batch->block_table_stride),                                          \
                          page_log2,                                                               \
                          k_packed,                                                                \
                          max_entries,                                                             \
                          early,                                                                   \
                          window};                                                                 \
    DecodeAttention<query, cache, dim, ((rows) + 7) / 8, hooks, rows, limit>::run(args);           \
  }

/// Decode attention that takes the raw result of the qkv linear: what qk_norm_rope_write does
/// happens on the way.
#define SINTER_DECODE_QKV_BODY(name, type, cache, dim, rows, limit)                                \
  SINTER_DECODE_QKV_WITH(CausalHooks, name, type, cache, dim, rows, limit)                         \
  SINTER_DECODE_QKV_WITH(WindowHooks, name##_window, type, cache, dim, rows, limit)
#define SINTER_DECODE_QKV_WITH(hooks, name, type, cache, dim, rows, limit)                         \
  SINTER_BODY name(const void *qkv, const float *table, void *out, void *k, void *v,               \
                   const float *q_gamma, const float *k_gamma, const float *k_scale, void *plan,   \
                   float *partial, unsigned *counters, const SinterBatch *batch, u64 page_bytes,   \
                   float scale, float eps, int heads, int kv_heads, int page_log2, int k_packed,   \
                   int max_entries, int max_slots, int early, int window) {                        \
    const QkvArgs raw{qkv,                                                                         \
                      nullptr,                                                                     \
                      k,                                                                           \
                      v,                                                                           \
                      page_bytes,                                                                  \
                      table,                                                                       \
                      global(batch->positions),                                                    \
                      global(batch->slots),                                                        \
                      q_gamma,                                                                     \
                      k_gamma,                                                                     \
                      k_scale,                                                                     \
                      nullptr,                                                                     \
                      nullptr,                                                                     \
                      eps,                                                                         \
                      int(batch->num_tokens),                                                      \
                      heads,                                                                       \
                      kv_heads,                                                                    \
                      page_log2,                                                                   \
                      k_packed};                                                                   \
    const DecodeArgs args{nullptr,                                                                 \
                          out,                                                                     \
                          k,                                                                       \
                          v,                                                                       \
                          page_bytes,                                                              \
                          global(batch->block_table),                                              \
                          global(batch->positions),                                                \
                          k_scale,                                                                 \
                          nullptr,                                                                 \
                          nullptr,                                                                 \
                          static_cast<int *>(plan),                                                \
                          entriesOf<DecodeWork>(plan),                                             \
                          partial,                                                                 \
                          partial + u64(u32(max_slots * kv_heads)) * ((rows) * (dim)),             \
                          counters,                                                                \
                          scale,                                                                   \
                          heads,                                                                   \
                          kv_heads,                                                                \
                          int(batch->block_table_stride),                                          \
                          page_log2,                                                               \
                          k_packed,                                                                \
                          max_entries,                                                             \
                          early,                                                                   \
                          window};                                                                 \
    using Raw = RawQkv<type, cache, dim>;                                                          \
    DecodeAttention<type, cache, dim, ((rows) + 7) / 8, hooks, rows, limit, Raw>::run(             \
        args, Raw{QkNormRopeWrite<type, cache, dim>(raw)});                                        \
  }

#define SINTER_PREFILL_BODY(name, kernel, ...)                                                     \
  SINTER_PREFILL_WITH(name, SINTER_LIST(kernel<__VA_ARGS__, CausalHooks>))                         \
  SINTER_PREFILL_WITH(name##_window, SINTER_LIST(kernel<__VA_ARGS__, WindowHooks>))
#define SINTER_PREFILL_WITH(name, kernel)                                                          \
  SINTER_BODY name(const void *q, void *out, const void *k, const void *v, const float *k_scale,   \
                   void *plan, const void *k_map, const void *v_map, const SinterBatch *batch,     \
                   u64 page_bytes, float scale, int heads, int kv_heads, int page_log2,            \
                   int k_packed, int early, int window) {                                          \
    const PrefillArgs args{q,                                                                      \
                           out,                                                                    \
                           k,                                                                      \
                           v,                                                                      \
                           page_bytes,                                                             \
                           global(batch->block_table),                                             \
                           global(batch->positions),                                               \
                           global(batch->ctx),                                                     \
                           k_scale,                                                                \
                           static_cast<int *>(plan),                                               \
                           entriesOf<PrefillWork>(plan),                                           \
                           scale,                                                                  \
                           heads,                                                                  \
                           kv_heads,                                                               \
                           int(batch->block_table_stride),                                         \
                           page_log2,                                                              \
                           k_packed,                                                               \
                           early,                                                                  \
                           window,                                                                 \
                           k_map,                                                                  \
                           v_map};                                                                 \
    kernel::run(args);                                                                             \
  }

#define SINTER_QKV_BODY(name, type, cache, dim)                                                    \
  SINTER_BODY sinter_device_qkv_##name##_d##dim(                                                   \
      const void *qkv, const float *table, void *q, void *k, void *v, const float *q_gamma,        \
      const float *k_gamma, const float *k_scale, const SinterBatch *batch, u64 page_bytes,        \
      float eps, int heads, int kv_heads, int page_log2, int k_packed) {                           \
    const QkvArgs args{qkv,                                                                        \
                       q,                                                                          \
                       k,                                                                          \
                       v,                                                                          \
                       page_bytes,                                                                 \
                       table,                                                                      \
                       global(batch->positions),                                                   \
                       global(batch->slots),                                                       \
                       q_gamma,                                                                    \
                       k_gamma,                                                                    \
                       k_scale,                                                                    \
                       nullptr,                                                                    \
                       nullptr,                                                                    \
                       eps,                                                                        \
                       int(batch->num_tokens),                                                     \
                       heads,                                                                      \
                       kv_heads,                                                                   \
                       page_log2,                                                                  \
                       k_packed};                                                                  \
    QkNormRopeWrite<type, cache, dim>::run(args);                                                  \
  }                                                                                                \
  SINTER_BODY sinter_device_kv_write_##name##_d##dim(                                              \
      const void *newK, const void *newV, void *k, void *v, const float *k_scale,                  \
      const SinterBatch *batch, u64 page_bytes, int kv_heads, int page_log2, int k_packed) {       \
    const QkvArgs args{nullptr,                                                                    \
                       nullptr,                                                                    \
                       k,                                                                          \
                       v,                                                                          \
                       page_bytes,                                                                 \
                       nullptr,                                                                    \
                       nullptr,                                                                    \
                       global(batch->slots),                                                       \
                       nullptr,                                                                    \
                       nullptr,                                                                    \
                       k_scale,                                                                    \
                       nullptr,                                                                    \
                       nullptr,                                                                    \
                       0.0f,                                                                       \
                       int(batch->num_tokens),                                                     \
                       0,                                                                          \
                       kv_heads,                                                                   \
                       page_log2,                                                                  \
                       k_packed};                                                                  \
    QkNormRopeWrite<type, cache, dim>::runWrite(args, newK, newV);                                 \
  }

/// Rotation alone: query heads of a row without K and V.
#define SINTER_ROPE_BODY(name, type, dim)                                                          \
  SINTER_BODY sinter_device_rope_##name##_d##dim(const void *x, const float *table, void *y,       \
                                                 const SinterBatch *batch, int heads) {            \
    QkvArgs args{};                                                                                \
    args.qkv = x;                                                                                  \
    args.q = y;                                                                                    \
    args.table = table;                                                                            \
    args.positions = global(batch->positions);                                                     \
    args.tokens = int(batch->num_tokens);                                                          \
    args.heads = heads;                                                                            \
    QkNormRopeWrite<type, type, dim>::run(args);                                                   \
  }

#define SINTER_SIZES(X, ...)                                                                       \
  X(__VA_ARGS__, 64) X(__VA_ARGS__, 80) X(__VA_ARGS__, 96) X(__VA_ARGS__, 128) X(__VA_ARGS__, 256)

#define SINTER_DECODE_R8(name, query, cache, dim)                                                  \
  SINTER_DECODE_BODY(sinter_device_decode_##name##_d##dim##_r8, query, cache, dim, 8,              \
                     kDecodeSharedLimit)
#define SINTER_DECODE_QKV_R8(name, type, cache, dim)                                               \
  SINTER_DECODE_QKV_BODY(sinter_device_decode_qkv_##name##_d##dim##_r8, type, cache, dim, 8,       \
                         kDecodeSharedLimit)
#define SINTER_PREFILL_SIZE(name, type, cache, dim)                                                \
  SINTER_PREFILL_BODY(sinter_device_prefill_##name##_d##dim,                                       \
                      PrefillAttention, type, cache, dim)

#define SINTER_PAIR(name, type, cache)                                                             \
  SINTER_SIZES(SINTER_DECODE_R8, name, type, cache)                                                \
  SINTER_SIZES(SINTER_QKV_BODY, name, type, cache)

SINTER_PAIR(bf16_bf16, BF16, BF16)
SINTER_PAIR(bf16_f16, BF16, F16)
SINTER_PAIR(bf16_f32, BF16, F32)
SINTER_PAIR(f16_bf16, F16, BF16)
SINTER_PAIR(f16_f16, F16, F16)
SINTER_PAIR(f16_f32, F16, F32)
SINTER_PAIR(f32_bf16, F32, BF16)
SINTER_PAIR(f32_f16, F32, F16)
SINTER_PAIR(f32_f32, F32, F32)
SINTER_PAIR(bf16_fp8_e4m3, BF16, E4M3)
SINTER_PAIR(bf16_fp8_e5m2, BF16, E5M2)
SINTER_PAIR(f16_fp8_e4m3, F16, E4M3)
SINTER_PAIR(f16_fp8_e5m2, F16, E5M2)
SINTER_PAIR(f32_fp8_e4m3, F32, E4M3)
SINTER_PAIR(f32_fp8_e5m2, F32, E5M2)

SINTER_SIZES(SINTER_ROPE_BODY, bf16, BF16)
SINTER_SIZES(SINTER_ROPE_BODY, f16, F16)
SINTER_SIZES(SINTER_ROPE_BODY, f32, F32)

#define SINTER_HALF_PAIR(name, type, cache)                                                        \
  SINTER_SIZES(SINTER_DECODE_QKV_R8, name, type, cache)                                            \
  SINTER_SIZES(SINTER_PREFILL_SIZE, name, type, cache)

SINTER_HALF_PAIR(bf16_bf16, BF16, BF16)
SINTER_HALF_PAIR(f16_f16, F16, F16)
SINTER_HALF_PAIR(bf16_fp8_e4m3, BF16, E4M3)
SINTER_HALF_PAIR(bf16_fp8_e5m2, BF16, E5M2)
SINTER_HALF_PAIR(f16_fp8_e4m3, F16, E4M3)
SINTER_HALF_PAIR(f16_fp8_e5m2, F16, E5M2)

#if __CUDA_ARCH__ >= 900
// Groups of up to four; `_one` in steps of one token.
#define SINTER_DECODE_R4(name, type)                                                               \
  SINTER_DECODE_BODY(sinter_device_decode_##name##_d128_r4, type, type, 128, 4,                    \
                     kDecodeSharedLimitSm90)                                                       \
  SINTER_DECODE_BODY(sinter_device_decode_##name##_d128_r4_one, type, type, 128, 4,                \
                     kDecodeSharedLimitOne)                                                        \
  SINTER_DECODE_QKV_BODY(sinter_device_decode_qkv_##name##_d128_r4, type, type, 128, 4,            \
                         kDecodeSharedLimitSm90)                                                   \
  SINTER_DECODE_QKV_BODY(sinter_device_decode_qkv_##name##_d128_r4_one, type, type, 128, 4,        \
                         kDecodeSharedLimitOne)
SINTER_DECODE_R4(bf16_bf16, BF16)
SINTER_DECODE_R4(f16_f16, F16)
#endif

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SINTER_PREFILL_WGMMA(name, type, cache)                                                    \
  SINTER_PREFILL_BODY(sinter_device_prefill_wgmma_##name##_d128, PrefillWgmma, type, cache)
SINTER_PREFILL_WGMMA(bf16_bf16, BF16, BF16)
SINTER_PREFILL_WGMMA(f16_f16, F16, F16)
SINTER_PREFILL_WGMMA(bf16_fp8_e4m3, BF16, E4M3)
SINTER_PREFILL_WGMMA(bf16_fp8_e5m2, BF16, E5M2)
SINTER_PREFILL_WGMMA(f16_fp8_e4m3, F16, E4M3)
SINTER_PREFILL_WGMMA(f16_fp8_e5m2, F16, E5M2)
#endif
