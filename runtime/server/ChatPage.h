//===- ChatPage.h - the page at / -------------------------------*- C++ -*-===//
#pragma once

#include <string_view>

namespace sinter {

/// ChatPage.html, which needs nothing else.
extern const std::string_view kChatPage;

} // namespace sinter
