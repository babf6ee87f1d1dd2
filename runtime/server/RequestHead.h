//===- RequestHead.h - what a request's head must not say -------*- C++ -*-===//
//
// httplib reads bodies as their heads describe them and takes the first of what contradicts itself;
// a proxy in front may take the other.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/server/ApiError.h"

#include <httplib.h>
#include <optional>
#include <string>
#include <string_view>

namespace sinter {

/// Where a request's body ends must be clear: an error ends its connection. `head` is as it came.
std::optional<ApiError> checkFraming(const httplib::Request &request, std::string_view head);

/// The value of a header as it came; empty without it.
std::string rawHeader(std::string_view head, std::string_view name);

/// Whether the head announces a body, be it empty.
bool announcesBody(const httplib::Request &request);

/// Content-Type is JSON in UTF-8, and Content-Encoding one that is understood.
std::optional<ApiError> checkBodyType(const httplib::Request &request);

/// A Host that no name server decides about: an IP address, localhost or `own`. Another name may be
/// a web page's that has been made to mean this machine.
bool isLocalName(const std::string &host, const std::string &own);

} // namespace sinter
