//===- WriteCase.cpp - linears that write to the cache --------------------===//
#include "WriteCase.h"

#include "test/kernels/cuda/QkvCheck.h"

namespace sinter::test {

namespace {

int log2Of(int64_t page) {
  int log2 = 0;
  while (int64_t(1) << log2 < page)
    ++log2;
  return log2;
}

struct WriteCase {
  LinearCase linear;
  QkvRows rows;
  Buffer q, pool, table, qGamma, kGamma, kScale, positions, slots, batch;

  explicit WriteCase(const Entry &e)
      : linear(e), rows{typeOf(e.line.type("y")),
                        {typeOf(e.line.type("cache")), int(e.line.number("kvheads", 8)),
                         int(e.line.number("d", 128)), log2Of(e.line.number("page", 16))},
                        int(e.line.number("heads", 16)),
                        int(e.line.number("m", 1)),
                        !e.line.has("plain"),
                        e.line.has("kscale") ? 4.0f : 1.0f},
        batch(sizeof(SinterBatch)) {
    Random random(7);
    rows.makePlaces(random, 1);
    q = Buffer(size_t(rows.tokens * rows.heads * rows.shape.dim * bytesOf(rows.type)) + 4096);
    pool = Buffer(size_t(rows.pages) * rows.shape.pageBytes());
    table = Buffer(rows.table), qGamma = Buffer(rows.qGamma), kGamma = Buffer(rows.kGamma);
    kScale = Buffer(std::vector<float>{rows.kScale});
    positions = Buffer(rows.positions), slots = Buffer(rows.slots);
  }

  void setTokens(int count) {
    SinterBatch b{};
    b.size = sizeof(b);
    b.num_tokens = uint32_t(count);
    b.positions = positions.as<int32_t>();
    b.slots = slots.as<int32_t>();
    batch.upload(&b, sizeof(b));
  }

  /// The plain linear's results become the rows that the reference starts from.
  std::string runTwin(const Kernels &kernels, const Entry &twin, DeviceBatch &tokens, int count) {
    linear.poison();
    tokens.setTokens(count);
    launch(kernels, twin, linear.pointers(tokens), false);
    synchronize(twin.line.name.c_str());
    std::string problem;
    rows.x = linear.y.read(size_t(count) * size_t(linear.outputs), problem);
    return problem;
  }

  void run(const Kernels &kernels, int count) {
    q.fill(0xff);
    pool.fill(0xff);
    setTokens(count);
    DeviceBatch unused(1, 1);
    std::vector<void *> p = linear.pointers(unused);
    p.pop_back();
    p.back() = q.as();
    p.insert(p.end(), {pool.as<uint8_t>() + rows.shape.kOffset(),
                       pool.as<uint8_t>() + rows.shape.vOffset(), table.as()});
    if (rows.norm)
      p.insert(p.end(), {qGamma.as(), kGamma.as()});
    if (linear.entry.line.has("kscale"))
      p.push_back(kScale.as());
    p.push_back(batch.as());
    launch(kernels, linear.entry, p, false);
    synchronize(linear.entry.line.name.c_str());
    rows.q = q.download<uint8_t>();
    rows.pool = pool.download<uint8_t>();
  }
};

} // namespace

std::string checkWrite(const Kernels &kernels, const std::vector<Entry> &entries,
                       const Entry &entry, int &runs) {
  const auto twin = std::find_if(entries.begin(), entries.end(), [&](const Entry &e) {
    return e.line.name == entry.line.word("twin");
  });
  if (twin == entries.end())
    return "its twin '" + entry.line.word("twin") + "' is not in the list";
  Entry own = entry;
  own.line.flags.insert("nocheck"); // no reference of the products: the twin computes them
  WriteCase c(own);
  DeviceBatch tokens(c.rows.tokens, 10);
  for (int count : {1, 2, 15, 17, 63, 64, 65, 127, 128, 129, 200, c.rows.tokens}) {
    if (count > c.rows.tokens)
      continue;
    const std::string of = std::to_string(count) + " tokens:";
    if (std::string problem = c.runTwin(kernels, *twin, tokens, count); !problem.empty())
      return of + " the twin " + problem;
    c.run(kernels, count);
    ++runs;
    for (const QkvRows::Finding &f : c.rows.check(count))
      if (!f.ok)
        return of + f.text;
  }
  // The checker is alive: it notices a token that went where another should have gone.
  std::swap(c.rows.slots[0], c.rows.slots[1]);
  const bool noticed = c.rows.wrong();
  std::swap(c.rows.slots[0], c.rows.slots[1]);
  if (!noticed)
    return "the checker takes anything";
  const auto q = c.rows.q, pool = c.rows.pool;
  for (int round = 0; round < 50; ++round) {
    c.run(kernels, c.rows.tokens);
    if (c.rows.q != q || c.rows.pool != pool)
      return "run " + std::to_string(round) + " gave other bits";
  }
  return {};
}

} // namespace sinter::test
