//===- ChildProcess.cpp ---------------------------------------------------===//
#include "runtime/cli/ChildProcess.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int ends[2] = {-1, -1};
  ~Pipe() {
    closeEnd(0);
    closeEnd(1);
  }
  void closeEnd(int i) {
    if (ends[i] >= 0)
      ::close(ends[i]);
    ends[i] = -1;
  }
};

/// Reads both pipes until both are closed at the other side.
Status collect(Pipe &out, Pipe &err, Clock::time_point start, ChildResult &result) {
  std::array<pollfd, 2> polls = {pollfd{out.ends[0], POLLIN, 0}, pollfd{err.ends[0], POLLIN, 0}};
  std::array<std::string *, 2> texts = {&result.output, &result.message};
  while (polls[0].fd >= 0 || polls[1].fd >= 0) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR)
      return internalError(std::string("cannot wait for a program: ") + std::strerror(errno));
    for (size_t i = 0; i < polls.size(); ++i) {
      if (polls[i].fd < 0 || !(polls[i].revents & (POLLIN | POLLHUP | POLLERR)))
        continue;
      char buffer[4096];
      const ssize_t got = ::read(polls[i].fd, buffer, sizeof buffer);
      if (got > 0 && i == 0 && result.output.empty())
        result.firstOutputSeconds = std::chrono::duration<double>(Clock::now() - start).count();
      if (got > 0)
        texts[i]->append(buffer, size_t(got));
      else if (got == 0 || errno != EINTR)
        polls[i].fd = -1;
    }
  }
  return Status::ok();
}

/// What happens between fork and exec: only calls that are safe there. The child ends with the
/// thread that waits for it, takes signals although its parent may block them, and does not read
/// the terminal.
[[noreturn]] void becomeProgram(char *const *argv, pid_t parent, Pipe &out, Pipe &err,
                                Pipe &failure) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  const int input = ::open("/dev/null", O_RDONLY);
  if (getppid() == parent && input >= 0 && dup2(input, STDIN_FILENO) >= 0 &&
      dup2(out.ends[1], STDOUT_FILENO) >= 0 && dup2(err.ends[1], STDERR_FILENO) >= 0)
    execv(argv[0], argv);
  const int reason = errno;
  [[maybe_unused]] const ssize_t told = ::write(failure.ends[1], &reason, sizeof reason);
  _exit(127);
}

} // namespace

Result<ChildResult> runChild(const std::string &program,
                             const std::vector<std::string> &arguments) {
  const Clock::time_point start = Clock::now();
  Pipe out, err, failure; // the last closes when the program has started
  if (::pipe2(out.ends, O_CLOEXEC) != 0 || ::pipe2(err.ends, O_CLOEXEC) != 0 ||
      ::pipe2(failure.ends, O_CLOEXEC) != 0)
    return resourceExhausted(std::string("cannot make a pipe: ") + std::strerror(errno));
  std::vector<char *> argv = {const_cast<char *>(program.c_str())};
  for (const std::string &argument : arguments)
    argv.push_back(const_cast<char *>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid(), pid = fork();
  if (pid < 0)
    return unavailable(program + ": cannot start: " + std::strerror(errno));
  if (pid == 0)
    becomeProgram(argv.data(), parent, out, err, failure);
  out.closeEnd(1);
  err.closeEnd(1);
  failure.closeEnd(1);
  int reason = 0;
  ssize_t told = 0;
  while ((told = ::read(failure.ends[0], &reason, sizeof reason)) < 0 && errno == EINTR) {
  }
  if (told == sizeof reason) {
    waitpid(pid, nullptr, 0);
    return unavailable(program + ": cannot start: " + std::strerror(reason));
  }
  ChildResult result;
  const Status status = collect(out, err, start, result);
  int code = 0;
  while (waitpid(pid, &code, 0) < 0 && errno == EINTR) {
  }
  SINTER_RETURN_IF_ERROR(status);
  result.exitCode = WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
  return result;
}

std::string siblingProgram(const std::string &name) {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0)
    return name;
  const std::string self(path, size_t(length));
  return self.substr(0, self.rfind('/') + 1) + name;
}

} // namespace sinter
