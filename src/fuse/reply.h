// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

#include "fuse/error_number.h"
#include "fuse/libfuse.h"

namespace dmsnap {

/// The one answer that a request must get. Answering consumes it, from any thread; dropped unanswered it answers EIO.
/// The session must outlive it.
class Reply {
 public:
  explicit Reply(fuse_req_t request) : request_(request) {}
  Reply(Reply&& other) noexcept : request_(std::exchange(other.request_, nullptr)) {}
  Reply& operator=(Reply&&) = delete;
  ~Reply() {
    if (request_ != nullptr) fuse_reply_err(request_, EIO);
  }

  /// Also success that has nothing else to tell.
  void error(std::error_code why) && { fuse_reply_err(take(), error_number(why)); }
  void error(std::errc why) && { std::move(*this).error(std::make_error_code(why)); }
  void done() && { fuse_reply_err(take(), 0); }
  /// For FORGET, which wants no answer.
  void none() && { fuse_reply_none(take()); }
  void data(std::span<const std::byte> d) && {
    fuse_reply_buf(take(), reinterpret_cast<const char*>(d.data()), d.size());
  }
  void written(std::size_t bytes) && { fuse_reply_write(take(), bytes); }
  void position(std::uint64_t offset) && { fuse_reply_lseek(take(), static_cast<off_t>(offset)); }
  void entry(const fuse_entry_param& e) && { fuse_reply_entry(take(), &e); }
  void attributes(const struct stat& s, double timeout_seconds) && { fuse_reply_attr(take(), &s, timeout_seconds); }
  void filesystem(const struct statvfs& s) && { fuse_reply_statfs(take(), &s); }
  /// As opened(), of a file that did not exist.
  [[nodiscard]] bool created(const fuse_entry_param& e, const fuse_file_info& file) && {
    return fuse_reply_create(take(), &e, &file) == 0;
  }
  /// False: nobody waits for the open any more, and no release will come.
  [[nodiscard]] bool opened(const fuse_file_info& file) && { return fuse_reply_open(take(), &file) == 0; }

  /// For libfuse's helpers; not to answer with.
  fuse_req_t request() const { return request_; }

 private:
  fuse_req_t take() { return std::exchange(request_, nullptr); }

  fuse_req_t request_;
};

}  // namespace dmsnap
