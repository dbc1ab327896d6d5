// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>

namespace dmsnap {

/// Outcomes that errno has no word for. FUSE answers all of them with EIO, as dm-snapshot does.
enum class Error {
  snapshot_invalid = 1,  ///< the snapshot could not keep what it promised; final
  snapshot_overflowed,   ///< the COW device is full; reads still work
  store_full,            ///< no COW chunk is left
  disk_full,             ///< the filesystem of the COW file has no blocks for the next COW chunks
  held_write_lost,       ///< an acknowledged write could not be put on the origin
};

std::error_code make_error_code(Error e);

/// A COW device that is no usable store. `what()` says what was found, where, and what to do.
class StoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A header that nobody can use.
class HeaderError : public StoreError {
 public:
  HeaderError(const std::string& what, std::uint64_t byte) : StoreError(what), byte_(byte) {}
  /// Of the field, on the COW device.
  std::uint64_t byte() const { return byte_; }

 private:
  std::uint64_t byte_;
};

/// A COW device that cannot be read. `what()` says which part of it, and why.
class ReadError : public std::system_error {
 public:
  using std::system_error::system_error;
};

/// A device on which there is no store at all.
class NoStoreError : public StoreError {
 public:
  using StoreError::StoreError;
};

}  // namespace dmsnap

template <>
struct std::is_error_code_enum<dmsnap::Error> : std::true_type {};
