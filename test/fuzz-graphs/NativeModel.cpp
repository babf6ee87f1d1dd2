//===- NativeModel.cpp - a planned graph as machine code ------------------===//
#include "NativeModel.h"

#include "sinter/Conversion/LowerToLLVM.h"
#include "sinter/Conversion/XfmrToCpu.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Support/Half.h"
#include "sinter/Target/Artifact.h"

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Pass/PassManager.h"

#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

double sinter::readElement(const uint8_t *memory, DType type, size_t i) {
  uint32_t bits = 0;
  std::memcpy(&bits, memory + i * dtypeBytes(type), dtypeBytes(type));
  switch (type) {
  case DType::F32:
    return floatOf(bits);
  case DType::BF16:
    return bf16ToF32(uint16_t(bits));
  case DType::F16:
    return f16ToF32(uint16_t(bits));
  case DType::I32:
    break;
  }
  return int32_t(bits);
}

static void writeElement(uint8_t *memory, DType type, size_t i, double value) {
  const auto narrow = float(value);
  uint32_t bits = bitsOf(narrow);
  if (type == DType::BF16)
    bits = f32ToBf16(narrow);
  if (type == DType::F16)
    bits = f32ToF16(narrow);
  std::memcpy(memory + i * dtypeBytes(type), &bits, dtypeBytes(type));
}

static DType dtypeOf(Type type) {
  return type.isBF16() ? DType::BF16 : type.isF16() ? DType::F16 : DType::F32;
}

NativeModel::Memory::Memory(size_t bytes) : storage(bytes + 64, 0xff), bytes(bytes) {}

uint8_t *NativeModel::Memory::data() const {
  const auto address = reinterpret_cast<uintptr_t>(storage.data());
  return reinterpret_cast<uint8_t *>((address + 63) / 64 * 64);
}

//===----------------------------------------------------------------------===//
// Compiling and loading
//===----------------------------------------------------------------------===//

Result<std::unique_ptr<NativeModel>>
NativeModel::compile(ModuleOp planned, uint32_t isa, const Interpreter &weights, int64_t pages) {
  std::unique_ptr<NativeModel> model(new NativeModel);
  const std::vector<CpuIsa> isas = isa == kIsaV3   ? std::vector{CpuIsa::V3}
                                   : isa == kIsaV4 ? std::vector{CpuIsa::V4}
                                                   : std::vector{CpuIsa::V4, CpuIsa::V4Bf16};
  OwningOpRef<ModuleOp> kernels;
  FailureOr<StepProgram> program = convertXfmrToCpu(planned, isas, kernels);
  if (failed(program))
    return unsupported("conversion refused");
  model->program_ = *program;
  PassManager manager(planned.getContext());
  buildLowerToLLVMPipeline(manager);
  if (failed(manager.run(*kernels)))
    return internalError("lowering to LLVM failed");
  ArtifactInfo info;
  info.name = "fuzz";
  FailureOr<std::string> bytes = writeArtifact(planned, *kernels, *program, isas, info);
  if (failed(bytes))
    return unsupported("artefact refused");
  SINTER_RETURN_IF_ERROR(model->load(*bytes));
  SINTER_RETURN_IF_ERROR(model->packWeights(planned, weights));
  model->arena_ = Memory(size_t(program->arenaBytes));
  model->scratch_ = Memory(size_t(program->scratchBytes));
  for (auto each : planned.getOps<FunctionOpInterface>())
    if (auto logits = dyn_cast<RankedTensorType>(each.getResultTypes()[0]); logits.getRank() == 2)
      model->vocab_ = size_t(logits.getDimSize(1));
  auto function = *planned.getOps<FunctionOpInterface>().begin();
  for (Type type : function.getArgumentTypes())
    if (auto kv = dyn_cast<KvType>(type)) {
      model->cacheType_ = dtypeOf(kv.getElementType());
      model->pageBytes_ += size_t(2 * kv.getHeads() * kv.getPage() * kv.getHeadDim()) *
                           dtypeBytes(model->cacheType_);
    }
  model->kv_ = Memory(model->pageBytes_ * size_t(pages));
  model->model_ = {sizeof(SinterModel),
                   isa,
                   uint32_t(model->weights_.size()),
                   uint32_t(pages),
                   model->weightPointers_.data(),
                   model->arena_.data(),
                   model->kv_.data(),
                   model->pageBytes_};
  return model;
}

Status NativeModel::load(const std::string &bytes) {
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const bool written = fd >= 0 && write(fd, bytes.data(), bytes.size()) == ssize_t(bytes.size());
  library_ = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (fd >= 0)
    close(fd);
  if (!library_)
    return internalError(std::string("dlopen: ") + (written ? dlerror() : "cannot write"));
  step_ = reinterpret_cast<SinterStepFn>(dlsym(library_, SINTER_SYMBOL_STEP));
  return step_ ? Status::ok() : internalError("no sinter_step");
}

NativeModel::~NativeModel() {
  if (library_)
    dlclose(library_);
}

/// docs/artifact.md, `tiled16`: tiles of 16 rows, each source's rows padded to whole tiles; bf16
/// keeps column pairs together.
static std::vector<uint8_t> packTiled(const Tensor &w, ArrayRef<int64_t> sourceRows, DType type) {
  const int64_t columns = w.dim(1), padded = type == DType::BF16 ? (columns + 1) / 2 * 2 : columns;
  int64_t tiles = 0;
  for (int64_t rows : sourceRows)
    tiles += (rows + 15) / 16;
  std::vector<uint8_t> bytes(size_t(tiles * 16 * padded) * dtypeBytes(type));
  int64_t tile = 0, row = 0;
  for (int64_t rows : sourceRows) {
    for (int64_t r = 0; r < rows; ++r, ++row)
      for (int64_t k = 0; k < columns; ++k) {
        const int64_t base = (tile + r / 16) * 16 * padded, lane = r % 16;
        const int64_t at = type == DType::BF16 ? k / 2 * 32 + lane * 2 + k % 2 : k * 16 + lane;
        writeElement(bytes.data(), type, size_t(base + at), w.row(row)[k]);
      }
    tile += (rows + 15) / 16;
  }
  return bytes;
}

Status NativeModel::packWeights(ModuleOp planned, const Interpreter &weights) {
  for (WeightOp op : planned.getOps<WeightOp>()) {
    SINTER_ASSIGN_OR_RETURN(const Tensor values, weights.weight(op.getSymName()));
    std::vector<uint8_t> bytes(values.data.size() * sizeof(float));
    for (size_t i = 0; i < values.data.size(); ++i)
      writeElement(bytes.data(), DType::F32, i, values.data[i]);
    if (op.getLayout() == WeightLayout::Tiled16) {
      SmallVector<int64_t> rows;
      for (auto source : cast<ArrayAttr>(op.getInit()).getAsRange<SourceAttr>())
        rows.push_back(source.getEnd() - source.getBegin());
      bytes =
          packTiled(values, rows, dtypeOf(cast<RankedTensorType>(op.getType()).getElementType()));
    }
    weights_.emplace_back(bytes.size());
    std::copy(bytes.begin(), bytes.end(), weights_.back().data());
  }
  for (const Memory &memory : weights_)
    weightPointers_.push_back(memory.data());
  return Status::ok();
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

/// Tasks in three ranges, last first, each with fresh scratch: kernels may rely on no order.
void NativeModel::parallelFor(const SinterRt *rt, SinterKernel kernel, const SinterLaunch *launch,
                              uint32_t tasks) {
  auto &self = *static_cast<NativeModel *>(rt->self);
  const uint32_t cuts[] = {tasks, tasks - tasks / 3, tasks / 4, 0};
  for (int i = 0; i < 3; ++i) {
    if (cuts[i + 1] == cuts[i])
      continue;
    std::fill_n(self.scratch_.data(), self.scratch_.bytes, uint8_t(0xff));
    kernel(launch, cuts[i + 1], cuts[i], self.scratch_.data());
  }
  std::string name = self.program_.entries[self.entry_].ops[launch->op].name;
  if (name.size() > 6 && name.compare(name.size() - 6, 6, ".merge") == 0)
    name.resize(name.size() - 6);
  Snapshot &snapshot = self.after[name];
  snapshot = self.outputs_;
  snapshot.arena.assign(self.arena_.data(), self.arena_.data() + self.arena_.bytes);
  snapshot.kv.assign(self.kv_.data(), self.kv_.data() + self.kv_.bytes);
}

int32_t NativeModel::fail(const SinterRt *rt, const char *message) {
  static_cast<NativeModel *>(rt->self)->message_ = message;
  return 1;
}

Status NativeModel::step(const std::string &entry, const Batch &batch) {
  const auto found = llvm::find_if(program_.entries, [&](auto &e) { return e.name == entry; });
  if (found == program_.entries.end())
    return notFound("the artefact has no entry " + entry);
  entry_ = unsigned(found - program_.entries.begin());
  after.clear();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  outputs_.logits.assign(batch.rows.size() * vocab_, nan);
  outputs_.argmaxValue.assign(batch.rows.size(), nan);
  outputs_.argmaxIndex.assign(batch.rows.size(), -1);
  std::fill_n(arena_.data(), arena_.bytes, uint8_t(0xff));
  SinterBatch native = {};
  native.size = sizeof native;
  native.num_tokens = uint32_t(batch.numTokens());
  native.num_seqs = uint32_t(batch.numSequences());
  native.num_rows = uint32_t(batch.rows.size());
  for (size_t s = 0; s < batch.ctx.size(); ++s)
    native.max_q = std::max(native.max_q, uint32_t(batch.cuQ[s + 1] - batch.cuQ[s]));
  native.max_ctx = uint32_t(*std::max_element(batch.ctx.begin(), batch.ctx.end()));
  native.block_table_stride = uint32_t(batch.tableStride);
  native.tokens = batch.tokens.data();
  native.positions = batch.positions.data();
  native.slots = batch.slots.data();
  native.cu_q = batch.cuQ.data();
  native.ctx = batch.ctx.data();
  native.block_table = batch.blockTable.data();
  native.rows = batch.rows.data();
  native.logits = outputs_.logits.data();
  native.argmax_value = outputs_.argmaxValue.data();
  native.argmax_index = outputs_.argmaxIndex.data();
  const SinterRt rt = {
      sizeof(SinterRt), SINTER_ABI_VERSION, this, parallelFor, nullptr, nullptr, nullptr, fail};
  return step_(&rt, &model_, entry_, &native) == 0 ? Status::ok() : internalError(message_);
}

/// docs/artifact.md, `k_packed`: K as [D/x][page][x] with x = 2 for bf16, V as [page][D].
void NativeModel::readCache(const Snapshot &snapshot, unsigned layer, PagedCache &cache) const {
  const int64_t page = cache.pageSize(), size = cache.headDim(), heads = cache.heads();
  const int64_t x = cacheType_ == DType::BF16 ? 2 : 1;
  const size_t streamBytes = size_t(heads * page * size) * dtypeBytes(cacheType_);
  for (int64_t slot = 0; slot < cache.pages() * page; ++slot) {
    const uint8_t *keys =
        snapshot.kv.data() + size_t(slot / page) * pageBytes_ + 2 * streamBytes * layer;
    const int64_t t = slot % page;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t d = 0; d < size; ++d) {
        const int64_t head = h * page * size;
        cache.k(slot, h)[d] =
            readElement(keys, cacheType_, size_t(head + (d / x * page + t) * x + d % x));
        cache.v(slot, h)[d] =
            readElement(keys + streamBytes, cacheType_, size_t(head + t * size + d));
      }
  }
}
