//===- Wrapper.cpp - templates made into kernels --------------------------===//
//
// The order inside a kernel with programmatic dependent launch is
//
//     constant loads of the first tile < launch_dependents < wait < everything else
//
// (launch_dependents comes later where a template asks for that)
// and every CTA goes through all of it. `griddepcontrol.wait` is inline assembly that clobbers
// memory: LLVM takes the intrinsic for an instruction that touches none and moves loads across.
//
//===----------------------------------------------------------------------===//
#include "Wrapper.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

namespace {

constexpr StringLiteral kSharedName = "dynamic_shared";

void assembly(GpuBuilder &b, StringRef text, ValueRange args = {},
              StringRef constraints = "~{memory}") {
  OpBuilder &builder = b.builder();
  LLVM::InlineAsmOp::create(builder, builder.getUnknownLoc(), TypeRange(), args, text, constraints,
                            /*has_side_effects=*/true, /*is_align_stack=*/false,
                            LLVM::TailCallKind::None, LLVM::AsmDialectAttr(), ArrayAttr());
}

Value ctaIndex(OpBuilder &b) {
  return NVVM::BlockIdXOp::create(b, b.getUnknownLoc(), b.getI32Type());
}

/// The predecessor's and the successor's kernel.
struct DependentLaunch : Edge {
  bool enabled;
  LinearTuning::Stress stress;
  explicit DependentLaunch(bool enabled, LinearTuning::Stress stress = LinearTuning::None)
      : enabled(enabled), stress(stress) {}
  /// Up to four microseconds, different for every warp and launch.
  void delay(GpuBuilder &b) {
    if (stress != LinearTuning::None)
      assembly(b,
               "{ .reg .u32 c; mov.u32 c, %clock; xor.b32 c, c, $0; mul.lo.u32 c, c, 0x9E3779B1; "
               "shr.u32 c, c, 20; nanosleep.u32 c; }",
               ctaIndex(b.builder()), "r,~{memory}");
  }
  /// Lets the successor's CTAs start as soon as this one's constant loads are issued.
  void announce(GpuBuilder &b) override {
    delay(b);
    if (enabled)
      b.intrinsic({}, "llvm.nvvm.griddepcontrol.launch.dependents", {});
  }
  void wait(GpuBuilder &b) override {
    if (enabled && stress != LinearTuning::DelaysWithoutWait)
      assembly(b, "griddepcontrol.wait;");
    delay(b);
  }
  /// The end of the kernel publishes.
  void publish(GpuBuilder &) override {}
};

/// All CTAs of this kernel, which must be resident together. `counter` grows by `ctas` per barrier.
struct GridBarrier : Edge {
  Value counter;
  int64_t ctas;
  Value goal;
  GridBarrier(Value counter, int64_t ctas) : counter(counter), ctas(ctas) {}

  void publish(GpuBuilder &b) override {
    OpBuilder &builder = b.builder();
    Location loc = builder.getUnknownLoc();
    b.barrier();
    // One thread speaks for its CTA; the barriers order the others before and after it.
    Value isFirst = b.equal(b.thread(), b.i32(0));
    auto arrive = scf::IfOp::create(
        builder, loc, isFirst,
        [&](OpBuilder &, Location) {
          Value ticket =
              LLVM::AtomicRMWOp::create(builder, loc, LLVM::AtomicBinOp::add, counter, b.i32(1),
                                        LLVM::AtomicOrdering::acq_rel, "device");
          Value round = b.div(ticket, ctas);
          scf::YieldOp::create(builder, loc, b.mul(b.add(round, 1), ctas));
        },
        [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, b.i32(0)); });
    goal = arrive.getResult(0);
  }

  void wait(GpuBuilder &b) override {
    OpBuilder &builder = b.builder();
    Location loc = builder.getUnknownLoc();
    b.when(b.equal(b.thread(), b.i32(0)), [&] {
      Value zero = b.i32(0);
      scf::WhileOp::create(
          builder, loc, TypeRange(zero.getType()), ValueRange(zero),
          [&](OpBuilder &, Location, ValueRange spins) {
            Value seen =
                LLVM::LoadOp::create(builder, loc, builder.getI32Type(), counter, 4, false, false,
                                     false, false, LLVM::AtomicOrdering::acquire, "device");
            // Wraps around: what counts is the signed distance.
            scf::ConditionOp::create(builder, loc, b.less(b.sub(seen, goal), 0), spins);
          },
          [&](OpBuilder &, Location, ValueRange spins) {
            b.when(b.equal(spins[0], b.i32(kSpinLimit)), [&] { assembly(b, "trap;"); });
            scf::YieldOp::create(builder, loc, b.add(spins[0], 1));
          });
    });
    b.barrier();
  }

  /// About ten seconds: a CTA that is not resident is a bug, not a reason to hang.
  static constexpr int64_t kSpinLimit = 1 << 24;
};

Value sharedMemory(OpBuilder &b, Operation *gpuModule) {
  Location loc = gpuModule->getLoc();
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
  if (!SymbolTable::lookupSymbolIn(gpuModule, kSharedName)) {
    OpBuilder atStart = OpBuilder::atBlockBegin(&gpuModule->getRegion(0).front());
    LLVM::GlobalOp::create(atStart, loc, type, /*isConstant=*/false, LLVM::Linkage::External,
                           kSharedName, Attribute(), /*alignment=*/1024, /*addrSpace=*/3);
  }
  return LLVM::AddressOfOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext(), 3),
                                   kSharedName);
}

LLVM::LLVMFuncOp createKernel(OpBuilder &b, Operation *gpuModule, StringRef name,
                              unsigned parameters, const TilePlan &plan,
                              ArrayRef<TensorMap> maps = {}) {
  Location loc = gpuModule->getLoc();
  b.setInsertionPointToEnd(&gpuModule->getRegion(0).front());
  SmallVector<Type> types(parameters, LLVM::LLVMPointerType::get(b.getContext(), 1));
  for (const TensorMap &map : maps)
    types[map.arg] = LLVM::LLVMPointerType::get(b.getContext());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), types);
  auto func = LLVM::LLVMFuncOp::create(b, loc, name, type);
  func->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  func->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  func->setAttr(NVVM::NVVMDialect::getMaxntidAttrName(),
                b.getDenseI32ArrayAttr({static_cast<int32_t>(plan.threads), 1, 1}));
  func->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                b.getI32IntegerAttr(static_cast<int32_t>(plan.minCtasPerSm)));
  for (const TensorMap &map : maps) {
    func.setArgAttr(map.arg, LLVM::LLVMDialect::getByValAttrName(),
                    TypeAttr::get(LLVM::LLVMArrayType::get(b.getI8Type(), 128)));
    func.setArgAttr(map.arg, LLVM::LLVMDialect::getAlignAttrName(), b.getI64IntegerAttr(64));
    func.setArgAttr(map.arg, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
  }
  b.setInsertionPointToStart(func.addEntryBlock(b));
  return func;
}

GpuKernel describe(StringRef name, unsigned parameters, int64_t ctas, int64_t tiles,
                   const TilePlan &plan) {
  GpuKernel kernel;
  kernel.name = name.str();
  kernel.parameters = parameters;
  kernel.grid = ctas;
  kernel.threads = plan.threads;
  kernel.sharedBytes = plan.sharedBytes;
  kernel.tiles = tiles;
  kernel.weightBytes = plan.weightBytes;
  return kernel;
}

/// The CTA's remaining tiles after its first.
void remainingTiles(GpuBuilder &b, Template &op, Value first, int64_t tiles, int64_t ctas) {
  if (tiles <= ctas)
    return;
  b.loop(b.add(first, ctas), b.i32(tiles), ctas, [&](Value tile) {
    b.barrier(); // shared memory changes its owner
    Ring ring;
    op.prefetch(b, tile, ring);
    op.compute(b, tile, ring);
  });
}

} // namespace

Operation *sinter::gpu::createGpuModule(ModuleOp parent, StringRef name) {
  parent.getContext()
      ->loadDialect<mlir::gpu::GPUDialect, NVVM::NVVMDialect, LLVM::LLVMDialect, scf::SCFDialect,
                    arith::ArithDialect>();
  OpBuilder b = OpBuilder::atBlockEnd(parent.getBody());
  return mlir::gpu::GPUModuleOp::create(b, parent.getLoc(), name);
}

GpuKernel sinter::gpu::emitKernel(Operation *gpuModule, StringRef name, const GpuChip &chip,
                                  Template &op, int64_t maxTiles, LinearTuning::Stress stress) {
  const TilePlan plan = op.plan();
  const int64_t tiles = maxTiles ? std::min(maxTiles, plan.tiles) : plan.tiles;
  OpBuilder builder(gpuModule->getContext());
  auto func = createKernel(builder, gpuModule, name, op.parameters(), plan, op.tensorMaps());
  Value shared = sharedMemory(builder, gpuModule);
  GpuBuilder b(builder, func.getLoc(), shared, plan.threads);
  op.bind(func.getArguments());
  DependentLaunch edge(chip.dependentLaunch(), stress);
  Value tile = ctaIndex(builder);
  if (plan.cluster > 1)
    tile = b.div(tile, plan.cluster);
  Ring ring;
  op.prefetch(b, tile, ring);
  if (plan.announce == TilePlan::Early)
    edge.announce(b);
  op.wait(b, edge);
  op.compute(b, tile, ring);
  remainingTiles(b, op, tile, plan.tiles, tiles);
  if (plan.announce == TilePlan::Late)
    edge.announce(b);
  op.publish(b, edge);
  LLVM::ReturnOp::create(builder, func.getLoc(), ValueRange());
  GpuKernel kernel = describe(name, op.parameters(), tiles * plan.cluster, plan.tiles, plan);
  kernel.cluster = plan.cluster;
  kernel.tensorMaps = op.tensorMaps();
  return kernel;
}

GpuKernel sinter::gpu::emitPersistentKernel(Operation *gpuModule, StringRef name,
                                            const GpuChip &chip, Template &first, Template &second,
                                            int64_t ctas) {
  TilePlan plan = first.plan();
  const TilePlan next = second.plan();
  assert(plan.threads == next.threads && "phases of one kernel have one CTA shape");
  const int64_t firstTiles = plan.tiles;
  plan.sharedBytes = std::max(plan.sharedBytes, next.sharedBytes);
  plan.weightBytes += next.weightBytes;
  OpBuilder builder(gpuModule->getContext());
  const unsigned firstOwn = first.parameters() - 1, secondAll = second.parameters();
  auto func = createKernel(builder, gpuModule, name, firstOwn + secondAll + 1, plan);
  Value shared = sharedMemory(builder, gpuModule);
  GpuBuilder b(builder, func.getLoc(), shared, plan.threads);
  ValueRange all = func.getArguments();
  Values own(all.take_front(firstOwn));
  own.push_back(all[firstOwn + secondAll - 1]);
  first.bind(own);
  second.bind(all.slice(firstOwn, secondAll));

  DependentLaunch outside(chip.dependentLaunch());
  GridBarrier between(all.back(), ctas);
  Value tile = ctaIndex(builder);
  // CTAs beyond an op's tiles take its last one again: the same bytes, written twice.
  auto own1 = [&](int64_t tiles) { return b.min(tile, b.i32(tiles - 1)); };
  Ring ring;
  first.prefetch(b, own1(firstTiles), ring);
  outside.announce(b);
  first.wait(b, outside);
  first.compute(b, own1(firstTiles), ring);
  remainingTiles(b, first, tile, firstTiles, ctas);
  first.publish(b, between);
  Ring nextRing;
  second.prefetch(b, own1(next.tiles), nextRing);
  second.wait(b, between);
  second.compute(b, own1(next.tiles), nextRing);
  remainingTiles(b, second, tile, next.tiles, ctas);
  second.publish(b, outside);
  LLVM::ReturnOp::create(builder, func.getLoc(), ValueRange());
  return describe(name, firstOwn + secondAll + 1, ctas, firstTiles + next.tiles, plan);
}

GpuKernel sinter::gpu::emitCall(Operation *gpuModule, StringRef name, StringRef callee,
                                const TilePlan &launch, ArrayRef<bool> given,
                                ArrayRef<TypedAttr> constants, ArrayRef<TensorMap> maps) {
  OpBuilder b(gpuModule->getContext());
  Location loc = gpuModule->getLoc();
  const auto parameters = static_cast<unsigned>(llvm::count(given, true));
  auto kernel = createKernel(b, gpuModule, name, parameters, launch, maps);
  auto generic = LLVM::LLVMPointerType::get(b.getContext());
  SmallVector<Value> args;
  unsigned next = 0;
  for (bool isGiven : given) {
    if (!isGiven) {
      args.push_back(LLVM::ZeroOp::create(b, loc, generic));
      continue;
    }
    Value argument = kernel.getArgument(next++);
    if (argument.getType() != generic) // tensor maps have their place already
      argument = LLVM::AddrSpaceCastOp::create(b, loc, generic, argument);
    args.push_back(argument);
  }
  for (TypedAttr constant : constants)
    args.push_back(LLVM::ConstantOp::create(b, loc, constant.getType(), constant));
  auto function =
      dyn_cast_or_null<LLVM::LLVMFuncOp>(SymbolTable::lookupSymbolIn(gpuModule, callee));
  if (!function) {
    OpBuilder atStart = OpBuilder::atBlockBegin(&gpuModule->getRegion(0).front());
    SmallVector<Type> types(ValueRange(args).getTypes());
    function = LLVM::LLVMFuncOp::create(
        atStart, loc, callee,
        LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), types));
  }
  LLVM::CallOp::create(b, loc, function, args);
  LLVM::ReturnOp::create(b, loc, ValueRange());
  GpuKernel made;
  made.name = name.str();
  made.parameters = parameters;
  made.grid = made.tiles = launch.tiles;
  made.threads = launch.threads;
  made.sharedBytes = launch.sharedBytes;
  made.weightBytes = launch.weightBytes;
  made.tensorMaps.assign(maps.begin(), maps.end());
  return made;
}
