//===- CompileCache.cpp ---------------------------------------------------===//
#include "runtime/cli/CompileCache.h"

#include "runtime/cli/CacheFolder.h"
#include "runtime/cli/ChildProcess.h"
#include "sinter/Support/MappedFile.h"
#include "sinter/Support/Safetensors.h"
#include "sinter/Support/Sha256.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace sinter {
namespace {

namespace fs = std::filesystem;

/// Everything of a model directory that goes into an artefact, besides tensor headers.
constexpr const char *kModelFiles[] = {"config.json", "generation_config.json", "tokenizer.json",
                                       "tokenizer_config.json", "chat_template.jinja"};
constexpr uint64_t kMaxModelFile = uint64_t(256) << 20;

/// Hashes parts so that their borders count.
class KeyBuilder {
public:
  void add(const std::string &part) {
    const uint64_t size = part.size();
    hash_.update(&size, sizeof size);
    hash_.update(part.data(), part.size());
  }
  std::string finish() { return toHex(hash_.finish()); }

private:
  Sha256 hash_;
};

/// An exclusive lock on a file, held for a scope.
class FileLock {
public:
  static Result<FileLock> acquire(const std::string &path) {
    FileLock lock;
    lock.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock.fd_ < 0)
      return unavailable("cannot open " + path + ": " + std::strerror(errno));
    while (flock(lock.fd_, LOCK_EX) != 0)
      if (errno != EINTR)
        return unavailable("cannot lock " + path + ": " + std::strerror(errno));
    return lock;
  }
  FileLock(FileLock &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock &operator=(FileLock &&) = delete;
  ~FileLock() {
    if (fd_ >= 0)
      ::close(fd_);
  }

private:
  FileLock() = default;
  int fd_ = -1;
};

/// What to compile and how: the compiler's arguments without the output, and the cache key.
struct Job {
  std::string what; ///< for people
  std::vector<std::string> arguments;
  std::string key;
};

Result<std::string> findCompiler() {
  const std::string compiler = siblingProgram("sinter-compile");
  if (access(compiler.c_str(), X_OK) != 0)
    return notFound("no sinter-compile beside this program: where it is installed, run "
                    "`sinter-compile MODEL -o model.sinter`, then run model.sinter here");
  return compiler;
}

Result<std::string> compilerVersion(const std::string &compiler) {
  SINTER_ASSIGN_OR_RETURN(const ChildResult result, runChild(compiler, {"--version"}));
  if (result.exitCode != 0)
    return unavailable(compiler + " --version failed");
  // The build's number does not change while someone edits the compiler: the file's time does.
  struct stat info = {};
  ::stat(compiler.c_str(), &info);
  return result.output + std::to_string(info.st_size) + "," + std::to_string(info.st_mtim.tv_sec) +
         "." + std::to_string(info.st_mtim.tv_nsec);
}

/// The compiler's error without its name, as one line.
std::string compilerError(const ChildResult &result) {
  constexpr std::string_view kPrefix = "sinter-compile: error: ";
  const size_t at = result.message.find(kPrefix);
  if (at == std::string::npos)
    return "sinter-compile failed (exit status " + std::to_string(result.exitCode) + ")";
  const size_t begin = at + kPrefix.size();
  return result.message.substr(begin, result.message.find('\n', begin) - begin);
}

Status runCompiler(const std::string &compiler, const Job &job, const std::string &output,
                   const CompileOptions &options) {
  std::vector<std::string> arguments = job.arguments;
  arguments.push_back("-o");
  arguments.push_back(output);
  const auto start = std::chrono::steady_clock::now();
  SINTER_ASSIGN_OR_RETURN(const ChildResult result, runChild(compiler, arguments));
  if (result.exitCode != 0)
    return invalidInput(compilerError(result));
  std::istringstream remarks(result.message);
  for (std::string line; std::getline(remarks, line);)
    options.say(line);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  char text[64];
  std::snprintf(text, sizeof text, " in %.1f s", seconds.count());
  options.say("compiled " + job.what + text);
  return Status::ok();
}

Result<ArtifactFile> compileUncached(const std::string &compiler, const Job &job,
                                     const CompileOptions &options) {
  std::error_code error;
  const fs::path parent = fs::temp_directory_path(error);
  if (error)
    return unavailable("no folder for temporary files (TMPDIR): " + error.message());
  std::string folder = (parent / "sinter-XXXXXX").string();
  if (!mkdtemp(folder.data()))
    return unavailable("cannot make a temporary folder " + folder + ": " + std::strerror(errno));
  const std::string output = folder + "/model.sinter";
  const Status status = runCompiler(compiler, job, output, options);
  Result<ArtifactFile> artifact = status ? ArtifactFile::open(output) : status;
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return artifact;
}

/// What compilers that were interrupted have left of `final`; its lock must be held.
void removeLeftovers(const std::string &final) {
  const fs::path path(final);
  const std::string begin = path.filename().string() + ".";
  std::error_code ignored;
  std::vector<fs::path> left;
  for (const auto &entry : fs::directory_iterator(path.parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(begin) && name.ends_with(".tmp"))
      left.push_back(entry.path());
  }
  for (const fs::path &each : left)
    fs::remove(each, ignored);
}

/// The cached artefact, compiled into the cache if need be. A cached file that does not verify is
/// made anew.
Result<ArtifactFile> compileCached(const std::string &compiler, const Job &job,
                                   const std::string &folder, const CompileOptions &options) {
  const std::string final = folder + "/" + job.key + ".sinter";
  SINTER_ASSIGN_OR_RETURN(const FileLock lock, FileLock::acquire(folder + "/" + job.key + ".lock"));
  if (access(final.c_str(), R_OK) == 0) {
    Result<ArtifactFile> cached = ArtifactFile::open(final);
    if (cached)
      return cached;
    options.say("the cached " + cached.status().message() + "; compiling again");
  }
  removeLeftovers(final);
  const std::string temporary = final + "." + std::to_string(getpid()) + ".tmp";
  options.say("compiling " + job.what + " on first use");
  const Status status = runCompiler(compiler, job, temporary, options);
  if (!status) {
    ::unlink(temporary.c_str());
    if (status.message().find(temporary) == std::string::npos)
      return status;
    options.say("not cached: " + status.message()); // a full disk, not a mistake in the model
    return compileUncached(compiler, job, options);
  }
  if (::rename(temporary.c_str(), final.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    ::unlink(temporary.c_str());
    return unavailable("cannot write " + final + ": " + reason);
  }
  options.say("kept for the next time in " + final);
  return ArtifactFile::open(final);
}

Result<ArtifactFile> compile(Job job, KeyBuilder &key, const CompileOptions &options) {
  SINTER_ASSIGN_OR_RETURN(const std::string compiler, findCompiler());
  if (!options.dtype.empty())
    job.arguments.insert(job.arguments.end(), {"--dtype", options.dtype});
  if (!options.kvCacheDtype.empty())
    job.arguments.insert(job.arguments.end(), {"--kv-cache-dtype", options.kvCacheDtype});
  if (!options.target.empty())
    job.arguments.insert(job.arguments.end(), {"--target", options.target});
  if (options.batchInvariant)
    job.arguments.push_back("--batch-invariant");
  for (const std::string &argument : job.arguments)
    key.add(argument);
  if (!options.useCache)
    return compileUncached(compiler, job, options);
  const Result<std::string> folder = cacheFolder();
  if (!folder) {
    options.say("not cached: " + folder.status().message());
    return compileUncached(compiler, job, options);
  }
  SINTER_ASSIGN_OR_RETURN(const std::string version, compilerVersion(compiler));
  key.add(version);
  job.key = key.finish();
  return compileCached(compiler, job, *folder, options);
}

Status addCheckpointHeaders(const std::string &directory, KeyBuilder &key) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".safetensors")
      files.push_back(it->path().string());
  if (error)
    return unavailable(directory + ": cannot list: " + error.message());
  std::sort(files.begin(), files.end());
  for (const std::string &file : files) {
    SINTER_ASSIGN_OR_RETURN(const SafetensorsFile opened, SafetensorsFile::open(file));
    key.add(opened.header().fileName);
    key.add(opened.header().hash);
  }
  return Status::ok();
}

} // namespace

Result<ArtifactFile> compileDirectory(const std::string &directory, const CompileOptions &options) {
  std::error_code error;
  const std::string canonical = fs::canonical(directory, error).string();
  if (error)
    return notFound(directory + ": " + error.message());
  KeyBuilder key;
  key.add("directory");
  for (const char *name : kModelFiles) {
    const std::string path = canonical + "/" + name;
    if (!fs::exists(path, error)) {
      if (name == kModelFiles[0])
        return notFound(directory + ": not a model directory (no config.json)");
      continue;
    }
    SINTER_ASSIGN_OR_RETURN(const std::string text, readTextFile(path, kMaxModelFile));
    key.add(name);
    key.add(text);
  }
  SINTER_RETURN_IF_ERROR(addCheckpointHeaders(canonical, key));
  return compile({directory, {canonical}, {}}, key, options);
}

Result<ArtifactFile> compileNamedShape(const std::string &name, const CompileOptions &options) {
  KeyBuilder key;
  key.add("shape");
  return compile({name, {name}, {}}, key, options);
}

} // namespace sinter
