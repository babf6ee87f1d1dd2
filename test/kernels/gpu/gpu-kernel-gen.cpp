//===- gpu-kernel-gen.cpp - generates the GPU kernels that tests ask for --===//
//
// gpu-kernel-gen --chip=sm_90a --emit=ptx 'qkv linear n=4096 k=1024 m=1 norm'
// gpu-kernel-gen --chip=sm_90a --out=DIR --list=FILE   one line per kernel; writes PTX, cubins
// where
//                                                  ptxas is found, and DIR/manifest for the runner
//
//===----------------------------------------------------------------------===//
#include "KernelLine.h"

#include "lib/Codegen/Gpu/Attention.h"
#include "lib/Codegen/Gpu/Sampling.h"
#include "sinter/Target/NvptxImage.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

using namespace mlir;
using namespace sinter;

namespace {

llvm::cl::opt<std::string> chipName("chip", llvm::cl::init("sm_90a"));
llvm::cl::opt<std::string> emit("emit", llvm::cl::init("ptx"), llvm::cl::desc("ir or ptx"));
llvm::cl::opt<std::string> out("out", llvm::cl::desc("directory"));
llvm::cl::opt<bool> report("report", llvm::cl::desc("print registers, shared memory and spills"));
llvm::cl::opt<std::string> list("list", llvm::cl::desc("file of kernels, one per line"));
llvm::cl::list<std::string> lines(llvm::cl::Positional);

gpu::PagedCache pagedCache(const KernelLine &l) {
  gpu::PagedCache c;
  c.heads = l.number("kvheads", 8);
  c.headDim = l.number("d", 128);
  c.page = l.number("page", 16);
  c.type = l.type("cache");
  c.kPacked = l.has("kpacked");
  c.pageBytes =
      l.number("layers", 1) * 2 * c.heads * c.page * c.headDim * int64_t(dtypeBytes(c.type));
  return c;
}

gpu::CacheWriteSpec cacheWriteSpec(const KernelLine &l) {
  gpu::CacheWriteSpec s;
  s.cache = pagedCache(l);
  s.heads = l.number("heads", 16);
  s.x = l.type("x");
  s.norm = l.has("norm"), s.kScale = l.has("kscale");
  s.maxTokens = l.number("m", 1);
  return s;
}

gpu::LinearSpec linearSpec(const KernelLine &l) {
  gpu::LinearSpec s;
  s.n = l.number("n");
  s.k = l.number("k");
  s.x = l.type("x"), s.w = l.type("w"), s.y = l.type("y");
  s.maxTokens = l.number("m", 1);
  s.epilogue = l.has("swiglu")   ? gpu::LinearSpec::Swiglu
               : l.has("argmax") ? gpu::LinearSpec::Argmax
                                 : gpu::LinearSpec::Store;
  s.norm = l.has("norm"), s.bias = l.has("bias"), s.residual = l.has("residual");
  s.xg = l.has("xgin"), s.xgOut = l.has("xgout");
  s.sumsIn = l.number("sumsin"), s.sumsOut = l.has("sumsout"), s.rows = l.has("rows");
  if (l.has("write")) {
    s.write = cacheWriteSpec(l);
    s.write->norm = !l.has("plain"); // "norm" is that of the linear
  }
  return s;
}

gpu::LinearTuning tuning(const KernelLine &l) {
  gpu::LinearTuning t;
  const std::string kind = l.word("kind");
  t.kind = kind == "gemv"      ? gpu::LinearTuning::Gemv
           : kind == "skinny"  ? gpu::LinearTuning::SkinnyMma
           : kind == "tiled"   ? gpu::LinearTuning::TiledMma
           : kind == "wskinny" ? gpu::LinearTuning::WgmmaSkinny
           : kind == "wgemm"   ? gpu::LinearTuning::WgmmaGemm
                               : gpu::LinearTuning::Auto;
  t.rows = l.number("r"), t.warpsN = l.number("wn"), t.warpsK = l.number("wk");
  t.unroll = l.number("u"), t.tokens = l.number("mt"), t.stages = l.number("stages");
  t.announce = l.number("announce");
  t.maxTiles = l.number("ctas"), t.splits = l.number("splits"), t.tokenStages = l.number("xstages");
  t.turns = l.number("turns");
  t.stress = l.has("delays")   ? gpu::LinearTuning::Delays
             : l.has("nowait") ? gpu::LinearTuning::DelaysWithoutWait
                               : gpu::LinearTuning::None;
  return t;
}

gpu::RowSpec rowSpec(const KernelLine &l) {
  static const char *names[] = {"embedding",    "select_rows", "rms_norm",     "add",
                                "add_rms_norm", "swiglu",      "argmax_merge", "argmax"};
  gpu::RowSpec s;
  for (int i = 0; i < 8; ++i)
    if (l.word("op") == names[i])
      s.kind = static_cast<gpu::RowSpec::Kind>(i);
  s.k = l.number("k");
  s.x = l.type("x"), s.y = l.type("y");
  s.maxTokens = l.number("m", 1);
  s.rows = l.has("rows");
  s.sumsOut = l.number("sums");
  return s;
}

gpu::AttentionSpec attentionSpec(const KernelLine &l) {
  gpu::AttentionSpec s;
  s.cache = pagedCache(l);
  s.heads = l.number("heads", 16);
  s.x = l.type("x");
  s.kScale = l.has("kscale"), s.early = l.has("early");
  s.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.cache.headDim)));
  s.maxTokens = l.number("m", 1), s.maxQ = l.number("maxq"), s.maxSeqs = l.number("seqs");
  s.fixedChunk = l.number("chunk"), s.window = l.number("window");
  return s;
}

/// The kernels of Attention.h and Sampling.h by the names of their emitters.
FailureOr<gpu::GpuKernel> addAttention(Operation *module, const gpu::GpuChip &chip,
                                       const KernelLine &l) {
  if (l.what == "decode_plan")
    return gpu::emitDecodePlan(module, l.name, chip, attentionSpec(l));
  if (l.what == "decode_attention")
    return gpu::emitDecodeAttention(module, l.name, chip, attentionSpec(l));
  if (l.what == "prefill_plan")
    return gpu::emitPrefillPlan(module, l.name, chip, attentionSpec(l));
  if (l.what == "prefill_attention")
    return gpu::emitPrefillAttention(module, l.name, chip, attentionSpec(l));
  if (l.what == "qk_norm_rope_write")
    return gpu::emitQkNormRopeWrite(module, l.name, chip, cacheWriteSpec(l));
  if (l.what == "kv_write")
    return gpu::emitKvWrite(module, l.name, chip, cacheWriteSpec(l));
  if (l.what == "rope")
    return gpu::emitRope(module, l.name, chip, cacheWriteSpec(l));
  if (l.what == "sample_top")
    return gpu::emitSampleTop(module, l.name, l.number("n", 151936));
  if (l.what == "sample_draw")
    return gpu::emitSampleDraw(module, l.name, l.number("n", 151936));
  return module->emitError() << "unknown kind '" << l.what << "'";
}

FailureOr<gpu::GpuKernel> addKernel(Operation *module, const gpu::GpuChip &chip,
                                    const KernelLine &l) {
  if (l.what == "linear")
    return gpu::emitLinear(module, l.name, chip, linearSpec(l), tuning(l));
  if (l.what == "rows")
    return gpu::emitRows(module, l.name, chip, rowSpec(l));
  if (l.what == "pair") {
    gpu::LinearSpec first = linearSpec(l), second = first;
    first.residual = true;
    second.norm = true;
    second.k = first.n, second.n = l.number("n2");
    return gpu::emitLinearPair(module, l.name, chip, first, second, l.number("ctas", 132),
                               tuning(l));
  }
  return addAttention(module, chip, l);
}

/// "-", or arg:rows:columns:boxRows:boxColumns:type of each tensor map, with commas.
std::string mapsText(const gpu::GpuKernel &k) {
  std::string text;
  for (const gpu::TensorMap &m : k.tensorMaps)
    text += (text.empty() ? "" : ",") + std::to_string(m.arg) + ':' + std::to_string(m.rows) + ':' +
            std::to_string(m.columns) + ':' + std::to_string(m.boxRows) + ':' +
            std::to_string(m.boxColumns) + ':' + std::string(dtypeName(m.type));
  return text.empty() ? "-" : text;
}

bool write(const std::string &path, StringRef bytes) {
  std::error_code e;
  llvm::raw_fd_ostream file(path, e);
  file << bytes;
  file.close();
  return !e && !file.has_error();
}

/// Kernels are compiled in modules of a few: ptxas and the driver take them one by one.
LogicalResult compile(MLIRContext &context, ArrayRef<KernelLine> kernels, int number,
                      std::string &manifest) {
  const gpu::GpuChip chip{chipName};
  OwningOpRef<ModuleOp> parent = ModuleOp::create(UnknownLoc::get(&context));
  Operation *module = gpu::createGpuModule(*parent, "kernels");
  const std::string file = "kernels" + std::to_string(number);
  for (const KernelLine &l : kernels) {
    FailureOr<gpu::GpuKernel> k = addKernel(module, chip, l);
    if (failed(k))
      return failure();
    llvm::raw_string_ostream(manifest)
        << file << ' ' << k->grid << ' ' << k->threads << ' ' << k->sharedBytes << ' '
        << k->partials << ' ' << k->weightBytes << ' ' << k->cluster << ' ' << mapsText(*k) << ' '
        << l.text << '\n';
  }
  if (emit == "ir" && out.empty()) {
    parent->print(llvm::outs());
    return success();
  }
  FailureOr<std::string> ptx = emitPtx(module, chipName);
  if (failed(ptx))
    return failure();
  if (out.empty() && !report)
    llvm::outs() << *ptx;
  if (!out.empty() && !write(out + "/" + file + ".ptx", *ptx))
    return parent->emitError() << "cannot write to " << out;
  std::optional<std::string> ptxas = findPtxas();
  if (!ptxas || (out.empty() && !report))
    return success();
  FailureOr<Cubin> cubin = assemblePtx(parent->getLoc(), *ptx, chipName, *ptxas);
  if (failed(cubin))
    return failure();
  if (report)
    for (const KernelResources &r : cubin->kernels)
      llvm::outs() << r.name << " registers " << r.registers << " shared " << r.sharedBytes
                   << " spills " << r.spillBytes << '\n';
  if (!out.empty() && !write(out + "/" + file + ".cubin", cubin->bytes))
    return parent->emitError() << "cannot write to " << out;
  return success();
}

} // namespace

int main(int argc, char **argv) {
  llvm::cl::ParseCommandLineOptions(argc, argv, "generates GPU kernels for tests\n");
  std::vector<KernelLine> kernels;
  for (const std::string &line : lines)
    kernels.push_back(KernelLine::parse(line));
  if (!list.empty()) {
    auto file = llvm::MemoryBuffer::getFile(list);
    if (!file) {
      llvm::errs() << list << ": " << file.getError().message() << '\n';
      return 1;
    }
    for (StringRef each : llvm::split((*file)->getBuffer(), '\n'))
      if (!each.trim().empty() && !each.starts_with("#"))
        kernels.push_back(KernelLine::parse(each.str()));
  }
  if (!out.empty())
    llvm::sys::fs::create_directories(out);
  MLIRContext context(MLIRContext::Threading::DISABLED);
  std::string manifest;
  constexpr size_t perModule = 8;
  for (size_t first = 0; first < kernels.size(); first += perModule)
    if (failed(compile(context, ArrayRef(kernels).slice(first).take_front(perModule),
                       static_cast<int>(first / perModule), manifest)))
      return 1;
  if (!out.empty() && !write(out + "/manifest", manifest)) {
    llvm::errs() << "cannot write to " << out << '\n';
    return 1;
  }
  return 0;
}
