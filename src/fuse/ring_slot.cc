// SPDX-License-Identifier: GPL-2.0-or-later
#include <cerrno>
#include <cstring>

#include "fuse/ring.h"

namespace dmsnap {

namespace {

/// The kernel counts its requests from 2 on and never gets here.
constexpr std::uint64_t ring_number = std::uint64_t{1} << 63;

}  // namespace

std::uint64_t RingSlot::request_number() const {
  return ring_number | reinterpret_cast<std::uintptr_t>(this);
}

RingSlot* RingSlot::with_number(std::uint64_t request_number) {
  if ((request_number & ring_number) == 0) return nullptr;
  return reinterpret_cast<RingSlot*>(static_cast<std::uintptr_t>(request_number & ~ring_number));
}

std::size_t RingSlot::put_answer(std::span<const iovec> answer) {
  fuse_out_header out{};
  std::memcpy(&out, answer[0].iov_base, sizeof out);
  out.unique = commit_id;
  std::size_t used = 0;
  for (const iovec& part : answer.subspan(1)) {
    if (part.iov_len > payload.size() - used) {
      out.error = -EIO;
      break;
    }
    std::byte* const to = payload.data() + used;
    if (part.iov_base != to) std::memmove(to, part.iov_base, part.iov_len);
    used += part.iov_len;
  }
  std::memcpy(header->in_or_out_header.data(), &out, sizeof out);
  header->payload_bytes = out.error == 0 ? static_cast<std::uint32_t>(used) : 0;
  return used;
}

}  // namespace dmsnap
