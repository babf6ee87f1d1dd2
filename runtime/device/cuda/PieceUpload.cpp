//===- PieceUpload.cpp ----------------------------------------------------===//
#include "runtime/device/cuda/PieceUpload.h"

#include "runtime/device/cuda/Handles.h"

#include <algorithm>
#include <atomic>
#include <mutex>

namespace sinter::cuda {
namespace {

/// What the threads share.
struct Job {
  const Gpu &gpu;
  std::span<const UploadPiece> pieces;
  const std::function<Status(uint32_t, void *)> &produce;
  std::atomic<uint32_t> next{0};
  std::atomic<bool> failed{false};
};

Status work(Job &job, uint8_t *staging) {
  SINTER_RETURN_IF_ERROR(job.gpu.enter());
  OwnedEvent copied[2];
  for (OwnedEvent &event : copied) {
    SINTER_ASSIGN_OR_RETURN(event, makeEvent(kEventBlockingSync | kEventDisableTiming));
  }
  SINTER_ASSIGN_OR_RETURN(const OwnedStream stream, makeStream());
  Status status;
  for (uint32_t turn = 0; status && !job.failed; ++turn) {
    const uint32_t index = job.next.fetch_add(1);
    if (index >= job.pieces.size())
      break;
    const UploadPiece &piece = job.pieces[index];
    const OwnedEvent &event = copied[turn % 2];
    uint8_t *host = staging + turn % 2 * kMaxUploadPiece;
    const std::string what = "cannot copy weights to the GPU";
    Code code = turn < 2 ? kSuccess : driver().eventSynchronize(event.get());
    if (code == kSuccess)
      status = job.produce(index, host);
    if (code == kSuccess && status)
      code = driver().copyToDevice(reinterpret_cast<DevicePointer>(piece.destination), host,
                                   piece.bytes, stream.get());
    if (code == kSuccess && status)
      code = driver().eventRecord(event.get(), stream.get(), 0);
    if (code != kSuccess)
      status = errorStatus(code, what);
  }
  // Whatever happened, no copy may be under way when the staging memory goes.
  const Code code = driver().streamSynchronize(stream.get());
  return status && code ? errorStatus(code, "cannot copy weights to the GPU") : status;
}

} // namespace

Status uploadPieces(const Gpu &gpu, ThreadPool &pool, std::span<const UploadPiece> pieces,
                    const std::function<Status(uint32_t, void *)> &produce) {
  if (pieces.empty())
    return Status::ok();
  const auto workers = uint32_t(std::min<size_t>(pool.threads(), pieces.size()));
  SINTER_ASSIGN_OR_RETURN(const PinnedBlock staging,
                          makePinned(uint64_t(workers) * 2 * kMaxUploadPiece));
  Job job = {gpu, pieces, produce};
  std::mutex mutex;
  Status error;
  pool.parallelFor(workers, 1, [&](uint32_t begin, uint32_t end) {
    for (uint32_t worker = begin; worker < end; ++worker) {
      Status status =
          work(job, static_cast<uint8_t *>(staging.get()) + worker * 2 * kMaxUploadPiece);
      if (!status) {
        const std::lock_guard lock(mutex);
        if (!job.failed.exchange(true))
          error = std::move(status);
      }
    }
  });
  return error;
}

} // namespace sinter::cuda
