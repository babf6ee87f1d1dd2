//===- Status.h - error codes that say what the caller can do ---*- C++ -*-===//
//
// A Status is OK or a code plus one line of text for a person. Result<T> is a T or such a Status.
// Codes answer "what can the caller do about it", not "where did it happen".
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace sinter {

enum class StatusCode {
  Ok = 0,
  InvalidArgument,   ///< the request or flag is wrong: change it
  InvalidInput,      ///< a file, an IR or an artefact is malformed: replace it
  NotFound,          ///< something named does not exist: name another
  Unsupported,       ///< well-formed, but Sinter does not do it: choose another configuration
  ResourceExhausted, ///< memory, pages or disk ran out: ask for less or try later
  Unavailable,       ///< the device or a file went away: restart
  Internal,          ///< a bug of ours: report it
};

class [[nodiscard]] Status {
public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status ok() { return {}; }
  bool isOk() const { return code_ == StatusCode::Ok; }
  explicit operator bool() const { return isOk(); }
  StatusCode code() const { return code_; }
  /// One line, names what and where, no trailing newline.
  const std::string &message() const { return message_; }
  /// The same error with "prefix: " before its text.
  Status withContext(const std::string &prefix) const {
    return isOk() ? *this : Status(code_, prefix + ": " + message_);
  }

private:
  StatusCode code_ = StatusCode::Ok;
  std::string message_;
};

inline Status invalidArgument(std::string m) { return {StatusCode::InvalidArgument, std::move(m)}; }
inline Status invalidInput(std::string m) { return {StatusCode::InvalidInput, std::move(m)}; }
inline Status notFound(std::string m) { return {StatusCode::NotFound, std::move(m)}; }
inline Status unsupported(std::string m) { return {StatusCode::Unsupported, std::move(m)}; }
inline Status resourceExhausted(std::string m) {
  return {StatusCode::ResourceExhausted, std::move(m)};
}
inline Status unavailable(std::string m) { return {StatusCode::Unavailable, std::move(m)}; }
inline Status internalError(std::string m) { return {StatusCode::Internal, std::move(m)}; }

template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : state_(std::move(value)) {}
  Result(Status status) : state_(std::move(status)) {
    assert(!std::get<Status>(state_).isOk() && "a Result needs a value or an error");
  }

  bool isOk() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return isOk(); }
  Status status() const { return isOk() ? Status() : std::get<Status>(state_); }

  T &operator*() & { return std::get<T>(state_); }
  const T &operator*() const & { return std::get<T>(state_); }
  T &&operator*() && { return std::get<T>(std::move(state_)); }
  T *operator->() { return &std::get<T>(state_); }
  const T *operator->() const { return &std::get<T>(state_); }

private:
  std::variant<T, Status> state_;
};

} // namespace sinter

#define SINTER_CONCAT_(a, b) a##b
#define SINTER_CONCAT(a, b) SINTER_CONCAT_(a, b)

/// Returns the error of a Status expression from the enclosing function.
#define SINTER_RETURN_IF_ERROR(expr)                                                               \
  do {                                                                                             \
    ::sinter::Status sinterStatus_ = (expr);                                                       \
    if (!sinterStatus_.isOk())                                                                     \
      return sinterStatus_;                                                                        \
  } while (false)

/// `SINTER_ASSIGN_OR_RETURN(auto x, f());` binds the value of a Result or returns its error.
#define SINTER_ASSIGN_OR_RETURN(decl, expr)                                                        \
  SINTER_ASSIGN_OR_RETURN_(SINTER_CONCAT(sinterResult_, __LINE__), decl, expr)
#define SINTER_ASSIGN_OR_RETURN_(tmp, decl, expr)                                                  \
  auto tmp = (expr);                                                                               \
  if (!tmp.isOk())                                                                                 \
    return tmp.status();                                                                           \
  decl = *std::move(tmp)
