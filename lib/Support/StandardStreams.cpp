//===- StandardStreams.cpp ------------------------------------------------===//
#include "sinter/Support/StandardStreams.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

using namespace sinter;

void sinter::reserveStandardStreams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream)
    if (::fcntl(stream, F_GETFD) < 0)
      // The lowest free descriptor, which is this one; opened the wrong way round.
      (void)::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

Status sinter::finishStandardOutput() {
  errno = 0;
  if (std::fflush(stdout) == 0 && !std::ferror(stdout))
    return Status::ok();
  const std::string reason = errno ? std::string(": ") + std::strerror(errno) : std::string();
  return unavailable("standard output: cannot write" + reason);
}
