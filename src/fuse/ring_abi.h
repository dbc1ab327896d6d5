// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// FUSE over io_uring as the kernel speaks it since Linux 6.14; <linux/fuse.h> of older systems does not have it.

#include <linux/fuse.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace dmsnap::ring_abi {

/// Of fuse_init_in::flags2 and fuse_init_out::flags2: bit 41 of all flags.
inline constexpr std::uint32_t over_io_uring = std::uint32_t{1} << (41 - 32);

/// Commands of IORING_OP_URING_CMD on /dev/fuse.
enum class Command : std::uint32_t {
  enlist = 1,            ///< an area for requests: sqe.addr is two iovecs, its Header and the payload
  answer_and_fetch = 2,  ///< the area holds an answer now, and may hold the next request
};

/// In the 80 bytes of an SQE of 128.
struct CommandData {
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint16_t queue;  ///< the processor whose requests come in this area
  std::array<std::uint8_t, 6> padding;
};
static_assert(sizeof(CommandData) == 24);

/// The first of the two parts of an area. A request is its in-header, the operation's own structure, and the rest in
/// the payload (names, data); an answer is its out-header, and all else in the payload.
struct Header {
  alignas(8) std::array<std::byte, 128> in_or_out_header;
  std::array<std::byte, 128> operation;
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint32_t payload_bytes;
  std::uint32_t padding;
  std::uint64_t reserved;
};
static_assert(sizeof(Header) == 288);

}  // namespace dmsnap::ring_abi
