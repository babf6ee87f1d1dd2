//===- Attention.cpp - paged attention ------------------------------------===//
//
// One task: one sequence, one kv head, a block of query tokens; the query heads that share the kv
// head are rows beside each other, so K and V are read once for all of them. K pages store 16
// tokens of a dimension pair side by side: 16 scores at once, like 16 outputs of a linear.
//
// Per chunk of 512 positions: all scores, their maximum, exp, sum, then P V; then the chunk's
// (maximum, sum, output) is merged into the row's state. A row's bits depend on its own position
// only, not on the other rows of the block, the step's size or who runs it.
//
// A split attention, for one token, makes every chunk a task of its own: with few kv heads and many
// positions all threads have work. Its states go through memory and are merged in the same order by
// the same operations, by a second kernel.
//
// With a window the walk begins with the 16 positions in which the block's first token begins to
// see, in their chunk: what a row does not see of it adds exact zeros, and a chunk of which a row
// sees nothing leaves its state as it was. Pages before that are not looked at.
//
//===----------------------------------------------------------------------===//
#include "AttentionEmitter.h"

#include <limits>

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

static constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t AttentionSpec::blockTokens() const {
  // Decode steps have one token per sequence: larger blocks would compute rows that do not exist.
  return maxTokens <= 16 ? 1 : std::max<int64_t>(1, 8 / group());
}

llvm::SmallVector<RowRun> AttentionEmitter::runs(int64_t most) const {
  llvm::SmallVector<RowRun> result;
  for (int64_t first = 0; first < rows; first += most)
    result.push_back({first, std::min(most, rows - first)});
  return result;
}

//===----------------------------------------------------------------------===//
// Scratch: queries, outputs, scores, then six numbers per row
//===----------------------------------------------------------------------===//

int64_t AttentionEmitter::scratchBytes() const {
  return 2 * mostRows * padded * 4 + mostRows * scoreRowBytes + 5 * roundUp(mostRows * 4, 64);
}

void AttentionEmitter::layoutScratch() {
  const int64_t headRows = mostRows * padded * 4, perRow = roundUp(mostRows * 4, 64);
  queryRows = b.scratch;
  outputRows = b.at(queryRows, headRows);
  scores = b.at(outputRows, headRows);
  limits = b.at(scores, mostRows * scoreRowBytes);
  maxima = b.at(limits, perRow);
  sums = b.at(maxima, perRow);
  keepFactors = b.at(sums, perRow);
  addFactors = b.at(keepFactors, perRow);
}

/// A chunk of a head in `partials`: per row the output, then maximum and sum.
static int64_t partialRowBytes(const AttentionSpec &spec) {
  return roundUp(spec.cache.headDim, kLanes) * 4 + 64;
}
int64_t AttentionSpec::partialBytes() const { return group() * partialRowBytes(*this); }

Value AttentionEmitter::partialRow(Value chunk, Value row) {
  Value first = b.mul(b.add(b.mul(head, chunks), chunk), spec.partialBytes());
  return b.at(b.at(partials, first), b.mul(row, partialRowBytes(spec)));
}

//===----------------------------------------------------------------------===//
// Queries
//===----------------------------------------------------------------------===//

/// How many positions a token sees.
Value AttentionEmitter::limitOf(Value sequence, Value token) {
  Value context = b.loadI32(b.at(contexts, b.mul(sequence, 4)));
  Value position = b.loadI32(b.at(positions, b.mul(token, 4)));
  return b.max(b.min(b.add(position, 1), context), b.i64(0));
}

/// The first position that a token sees which sees none from `limit` on.
Value AttentionEmitter::beginBefore(Value limit) {
  return b.max(b.sub(limit, b.i64(spec.window)), b.i64(0));
}

/// Where a walk over chunks begins.
Value AttentionEmitter::firstChunk() {
  return spec.window ? b.mul(b.div(begin, kAttentionChunk), kAttentionChunk) : b.i64(0);
}

/// Where a walk over a chunk begins: the positions that share a page's vectors stay together.
Value AttentionEmitter::firstColumn(Value start) {
  if (!spec.window)
    return b.i64(0);
  return b.mul(b.div(b.max(b.sub(begin, start), b.i64(0)), kLanes), kLanes);
}

/// Fills queryRows (times scale, unless pairs()) and limits (positions a row sees, 0 for rows that
/// do not exist); returns the largest limit.
Value AttentionEmitter::loadQueries(Value sequence, Value firstToken, Value tokens,
                                    Value lastToken) {
  const int64_t dim = spec.cache.headDim, bytes = bytesOf(spec.type), group = spec.group();
  Value factor = b.splat(scale);
  Values most =
      b.loop(b.i64(0), b.i64(spec.blockTokens()), 1, ValueRange(b.i64(0)),
             [&](Value i, ValueRange carried) {
               Value token = b.min(b.add(firstToken, i), lastToken);
               Value sees = limitOf(sequence, token);
               sees = b.select(b.less(i, tokens), sees, b.i64(0));
               b.loop(b.i64(0), b.i64(group), 1, [&](Value g) {
                 Value row = b.add(b.mul(i, group), g);
                 b.storeI32(b.at(limits, b.mul(row, 4)), sees);
                 Value queryHead = b.add(b.mul(head, group), g);
                 Value source = b.add(b.mul(token, spec.queryHeads), queryHead);
                 Value from = b.at(q, b.mul(source, dim * bytes));
                 Value to = b.at(queryRows, b.mul(row, padded * 4));
                 b.chunks(dim, 2, {}, [&](Value d, int64_t lanes, int64_t, Values &) {
                   if (pairs())
                     return b.copyHalves(b.at(from, b.mul(d, 2)), b.at(to, b.mul(d, 2)), lanes);
                   Value v = b.mulf(b.load(b.at(from, b.mul(d, bytes)), spec.type, lanes), factor);
                   b.store(b.at(to, b.mul(d, 4)), DType::F32, v, lanes);
                 });
               });
               return Values{b.max(carried[0], sees)};
             });
  return most[0];
}

void AttentionEmitter::resetState() {
  b.loop(b.i64(0), b.i64(rows), 1, [&](Value row) {
    Value offset = b.mul(row, 4);
    b.storeF32(b.at(maxima, offset), b.f32(kMinusInfinity));
    b.storeF32(b.at(sums, offset), b.f32(0.0f));
  });
  b.loop(b.i64(0), b.i64(rows * padded * 4), kLanes * 4,
         [&](Value byte) { b.store(b.at(outputRows, byte), DType::F32, b.splat(0.0f)); });
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

/// Byte offset of the head's part of the page that holds 16 positions from `position`, plus the
/// number of them that may be read: at most `count`, none where the table has no page.
Value AttentionEmitter::pageOf(Value position, Value count, Value &valid) {
  Value entry = b.div(position, spec.cache.page);
  Value page = b.loadI32(b.at(table, b.mul(entry, 4)));
  Value absent = b.less(page, 0);
  valid = b.select(absent, b.i64(0), b.max(b.min(count, kLanes), b.i64(0)));
  page = b.select(absent, b.i64(0), page);
  return b.add(b.mul(page, pageBytes), b.mul(head, spec.cache.headBytes()));
}

/// scores[row][column ..] = q K^T for 16 positions, -inf where a row must not look.
void AttentionEmitter::scoreGroup(Value keyPointer, Ahead ahead, Value position, Value valid,
                                  Value column, RowRun run) {
  const CacheShape &cache = spec.cache;
  const int64_t columnBytes = cache.page * bytesOf(cache.type); // one dimension of a whole page
  Values zero(run.count * 2, b.splat(0.0f));
  Value first = b.at(queryRows, run.first * padded * 4);
  const auto pairOfKeys = [&](Value pair) {
    if (run.first == 0)
      fetchAhead(ahead, pair, columnBytes);
    return b.at(keyPointer, b.mul(pair, 2 * columnBytes));
  };
  const int64_t step = pairs() && cache.headDim % 4 == 0 ? 2 : 1; // chains of dot products per row
  Values dots =
      b.loop(b.i64(0), b.i64(cache.headDim / 2), step, zero, [&](Value pair, ValueRange carried) {
        Values next(carried);
        for (int64_t chain = 0; pairs() && chain < step; ++chain) {
          Value at = b.add(pair, chain), keyPairs = b.loadPairs(pairOfKeys(at));
          for (int64_t row = 0; row < run.count; ++row) {
            Value query = b.splatPair(b.at(b.at(first, b.mul(at, 4)), row * padded * 4));
            next[2 * row + chain] = b.dotPairs(next[2 * row + chain], query, keyPairs);
          }
        }
        if (pairs())
          return next;
        auto [even, odd] = b.loadColumnPair(pairOfKeys(pair), cache.type, columnBytes);
        Value factors = b.at(first, b.mul(pair, 8));
        for (int64_t row = 0; row < run.count; ++row) {
          Value atRow = b.at(factors, row * padded * 4);
          next[2 * row] = b.fma(b.splat(b.loadF32(atRow)), even, next[2 * row]);
          next[2 * row + 1] = b.fma(b.splat(b.loadF32(b.at(atRow, 4))), odd, next[2 * row + 1]);
        }
        return next;
      });
  Value lanes = b.laneIndices(b.i64(0));
  for (int64_t row = 0; row < run.count; ++row) {
    Value sees = b.loadI32(b.at(limits, (run.first + row) * 4));
    Value visible = b.min(b.sub(sees, position), valid);
    Value score = b.addf(dots[2 * row], dots[2 * row + 1]);
    if (pairs())
      score = b.mulf(score, b.splat(scale));
    score = b.select(b.lessI(lanes, b.splatI32(visible)), score, b.splat(kMinusInfinity));
    if (spec.window) {
      Value hidden = b.max(b.sub(b.sub(sees, b.i64(spec.window)), position), b.i64(0));
      score = b.select(b.lessI(lanes, b.splatI32(hidden)), b.splat(kMinusInfinity), score);
    }
    b.store(b.at(b.at(scores, (run.first + row) * scoreRowBytes), b.mul(column, 4)), DType::F32,
            score);
  }
}

/// Address of a head's K or V for the 16 positions at `column` of the chunk; `tokenBytes` is the
/// distance of neighbouring tokens.
Value AttentionEmitter::groupPointer(Value stream, Value start, Value column, Value count,
                                     int64_t tokenBytes, Value &valid) {
  Value position = b.add(start, column);
  Value offset = pageOf(position, b.sub(count, column), valid);
  Value inPage = b.rem(position, spec.cache.page);
  return b.at(b.at(stream, offset), b.mul(inPage, tokenBytes));
}

/// The group `ahead` groups after the one at `column`, or the last.
Value AttentionEmitter::laterColumn(Value column, Value count, int64_t ahead) {
  Value last = b.mul(b.div(b.add(count, -1), kLanes), kLanes);
  return b.min(b.add(column, ahead * kLanes), last);
}

void AttentionEmitter::scoreChunk(Value start, Value first, Value count) {
  const int64_t most = isV4() ? 8 : 3, bytes = bytesOf(spec.cache.type);
  const int64_t keyBytes = spec.cache.packing() * bytes, valueBytes = spec.cache.headDim * bytes;
  b.loop(first, count, kLanes, [&](Value column) {
    Value valid, ignored;
    Value pointer = groupPointer(keys, start, column, count, keyBytes, valid);
    Value later = laterColumn(column, count, 2);
    Ahead ahead{groupPointer(keys, start, later, count, keyBytes, ignored),
                groupPointer(values, start, column, count, valueBytes, ignored)};
    for (RowRun run : runs(most))
      scoreGroup(pointer, ahead, b.add(start, column), valid, column, run);
  });
}

/// Pages lie far apart and hold 4 KiB of a head: too little for the hardware to see a stream. K is
/// fetched two groups ahead, V of the group that is being scored for the pass over V.
void AttentionEmitter::fetchAhead(Ahead ahead, Value pair, int64_t columnBytes) {
  const int64_t bytes = bytesOf(spec.cache.type), pairBytes = 2 * kLanes * bytes;
  Value key = b.at(ahead.keys, b.mul(pair, 2 * columnBytes));
  b.prefetch(key);
  if (spec.cache.packing() == 1)
    b.prefetch(b.at(key, columnBytes));
  Value value = b.at(ahead.values, b.mul(pair, pairBytes));
  for (int64_t byte = 0; byte < pairBytes; byte += 64)
    b.prefetchFar(b.at(value, byte));
}

/// Where nothing is visible the maximum is -inf, and -inf - -inf is NaN: subtract 0 instead.
static Value finite(KernelBuilder &b, Value m) {
  return b.select(b.equalF(m, b.f32(kMinusInfinity)), b.f32(0.0f), m);
}

/// Turns a row's scores into exp(score - maximum), and passes the chunk's maximum and sum on.
void AttentionEmitter::softmaxRow(Value row, Value first, Value count, Value chunk) {
  Value line = b.at(scores, b.mul(row, scoreRowBytes));
  Values top = b.loop(first, count, kLanes, ValueRange(b.splat(kMinusInfinity)),
                      [&](Value column, ValueRange carried) {
                        Value s = b.load(b.at(line, b.mul(column, 4)), DType::F32);
                        return Values{b.maxKeep(carried[0], s)};
                      });
  Value maximum = b.maxLanes(top[0]);
  Value base = b.splat(finite(b, maximum));
  Values total = b.loop(first, count, kLanes, ValueRange(b.splat(0.0f)),
                        [&](Value column, ValueRange carried) {
                          Value p = b.at(line, b.mul(column, 4));
                          Value e = b.exp(b.subf(b.load(p, DType::F32), base));
                          if (valuePairs()) // in place: two bytes an element, behind what is read
                            b.store(b.at(line, b.mul(column, 2)), DType::BF16, e);
                          else
                            b.store(p, DType::F32, e);
                          return Values{b.addf(carried[0], e)};
                        });
  Value sum = b.sumLanes(total[0]);
  if (!spec.split)
    return mergeRow(row, maximum, sum);
  Value p = partialRow(chunk, row);
  b.storeF32(b.at(p, padded * 4), maximum);
  b.storeF32(b.at(p, padded * 4 + 4), sum);
}

/// Merges a chunk's maximum and sum into the row's. keepFactors and addFactors say how the outputs
/// are to be merged.
void AttentionEmitter::mergeRow(Value row, Value maximum, Value chunkSum) {
  Value offset = b.mul(row, 4);
  Value before = b.loadF32(b.at(maxima, offset));
  Value after = b.maxKeep(before, maximum);
  Value reference = b.splat(finite(b, after));
  Value keep = b.lane(b.exp(b.subf(b.splat(before), reference)), 0);
  Value take = b.lane(b.exp(b.subf(b.splat(maximum), reference)), 0);
  Value sum = b.loadF32(b.at(sums, offset));
  b.storeF32(b.at(maxima, offset), after);
  b.storeF32(b.at(sums, offset), b.fma(sum, keep, b.mulf(chunkSum, take)));
  b.storeF32(b.at(keepFactors, offset), keep);
  b.storeF32(b.at(addFactors, offset), take);
}

//===----------------------------------------------------------------------===//
// Tasks
//===----------------------------------------------------------------------===//

void AttentionEmitter::attendChunk(Value start) {
  const int64_t vectors = padded / kLanes;
  Value count = b.min(b.sub(limit, start), kAttentionChunk);
  Value chunk = spec.split ? b.div(start, kAttentionChunk) : Value();
  Value first = firstColumn(start);
  scoreChunk(start, first, count);
  b.loop(b.i64(0), b.i64(rows), 1, [&](Value row) { softmaxRow(row, first, count, chunk); });
  for (RowRun run : runs(isV4() ? 8 : 4)) {
    int64_t together = std::max<int64_t>(1, (isV4() ? 16 : 4) / run.count);
    if (valuePairs())
      together = together / 2 * 2;
    for (int64_t v = 0; v < vectors; v += together)
      accumulateChunk(start, first, count, run, v, std::min(together, vectors - v));
  }
}

void AttentionEmitter::block(Value sequence, Value firstToken, Value tokens, Value lastToken) {
  table = b.at(blockTable, b.mul(b.mul(sequence, tableStride), 4));
  limit = loadQueries(sequence, firstToken, tokens, lastToken);
  if (spec.window)
    begin = beginBefore(limitOf(sequence, firstToken));
  resetState();
  b.loop(firstChunk(), limit, kAttentionChunk, [&](Value start) { attendChunk(start); });
  storeOutputs(firstToken, tokens);
}

/// One chunk of one head, for the only token of the step.
void AttentionEmitter::splitTask(Value task) {
  table = blockTable;
  head = b.div(task, chunks);
  Value start = b.mul(b.rem(task, chunks), kAttentionChunk);
  limit = limitOf(b.i64(0), b.i64(0));
  Value seen = b.less(start, limit);
  if (spec.window) {
    begin = beginBefore(limit);
    seen = b.both(seen, b.less(begin, b.add(start, kAttentionChunk)));
  }
  b.when(seen, [&] {
    loadQueries(b.i64(0), b.i64(0), b.i64(1), b.i64(0));
    attendChunk(start);
  });
}

void AttentionEmitter::loadArguments() {
  q = b.arg(0), y = b.arg(1), keys = b.arg(2), values = b.arg(3);
  if (spec.split)
    partials = b.arg(5);
  cuQ = b.batchPointer(offsetof(SinterBatch, cu_q));
  contexts = b.batchPointer(offsetof(SinterBatch, ctx));
  positions = b.batchPointer(offsetof(SinterBatch, positions));
  blockTable = b.batchPointer(offsetof(SinterBatch, block_table));
  tableStride = b.batchU32(offsetof(SinterBatch, block_table_stride));
  pageBytes = b.pageBytes();
  scale = b.f32(spec.scale);
  if (spec.kScale)
    scale = b.mulf(scale, b.loadF32(b.arg(4)));
  if (spec.split)
    chunks = b.ceilDivide(b.batchU32(offsetof(SinterBatch, max_ctx)), kAttentionChunk);
  layoutScratch();
}

void AttentionEmitter::emit() {
  loadArguments();
  if (spec.split) {
    rows = spec.group();
    return b.loop(b.begin, b.end, 1, [&](Value task) { splitTask(task); });
  }
  Value blocks = b.ceilDivide(b.batchU32(offsetof(SinterBatch, max_q)), spec.blockTokens());
  b.loop(b.begin, b.end, 1, [&](Value task) {
    Value place = b.div(task, blocks);
    head = b.rem(place, spec.cache.heads);
    Value sequence = b.div(place, spec.cache.heads);
    Value first = b.loadI32(b.at(cuQ, b.mul(sequence, 4)));
    Value end = b.loadI32(b.at(cuQ, b.mul(b.add(sequence, 1), 4)));
    first = b.add(first, b.mul(b.rem(task, blocks), spec.blockTokens()));
    Value tokens = b.min(b.sub(end, first), spec.blockTokens());
    auto blockOf = [&](int64_t blockTokens) {
      rows = blockTokens * spec.group();
      block(sequence, first, tokens, b.add(end, -1));
      return Values();
    };
    b.when(b.less(b.i64(0), tokens), [&] {
      if (spec.blockTokens() == 1)
        blockOf(1);
      else // a decoding sequence in a step with others: no rows that do not exist
        b.choose(
            b.less(tokens, 2), [&] { return blockOf(1); },
            [&] { return blockOf(spec.blockTokens()); });
    });
  });
}

/// Merges the chunks of a head in order, as block() does.
void AttentionEmitter::emitMerge() {
  loadArguments();
  rows = spec.group();
  b.loop(b.begin, b.end, 1, [&](Value task) {
    head = task;
    resetState();
    limit = limitOf(b.i64(0), b.i64(0));
    if (spec.window)
      begin = beginBefore(limit);
    b.loop(firstChunk(), limit, kAttentionChunk, [&](Value start) {
      Value chunk = b.div(start, kAttentionChunk);
      b.loop(b.i64(0), b.i64(rows), 1, [&](Value row) {
        Value p = partialRow(chunk, row);
        mergeRow(row, b.loadF32(b.at(p, padded * 4)), b.loadF32(b.at(p, padded * 4 + 4)));
        for (int64_t v = 0; v < padded / kLanes; ++v)
          mergeOutput(row, v, b.load(b.at(p, v * kLanes * 4), DType::F32));
      });
    });
    storeOutputs(b.i64(0), b.i64(1));
  });
}

using Body = void (AttentionEmitter::*)();

static int64_t emitWith(Body body, ModuleOp module, StringRef symbol, CpuIsa isa,
                        const AttentionSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  AttentionEmitter emitter{b, spec, spec.blockTokens() * spec.group(),
                           roundUp(spec.cache.headDim, kLanes)};
  (emitter.*body)();
  b.finish();
  return emitter.scratchBytes();
}

int64_t sinter::cpu::emitAttention(ModuleOp module, StringRef symbol, CpuIsa isa,
                                   const AttentionSpec &spec) {
  return emitWith(&AttentionEmitter::emit, module, symbol, isa, spec);
}

int64_t sinter::cpu::emitAttentionMerge(ModuleOp module, StringRef symbol, CpuIsa isa,
                                        const AttentionSpec &spec) {
  return emitWith(&AttentionEmitter::emitMerge, module, symbol, isa, spec);
}
