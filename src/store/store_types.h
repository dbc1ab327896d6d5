// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "base/mutex.h"
#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"

namespace dmsnap {

struct StoreOptions {
  std::uint32_t chunk_sectors = 0;  ///< 0: the header's, or for a new store the kernel's default of 32 (16 KiB)
  bool must_exist = false;          ///< a blank device is damage, not a new store
  /// Told, in one line, what load() found and people should know: entries that it gives up.
  std::function<void(const std::string&)> warn = {};
  bool read_only = false;  ///< never writes: no new store, the stale tail stays, prepare() fails with EROFS
};

/// Makes a store on `cow`, which outlives it. Nothing is read or written before load(). Throws std::invalid_argument
/// when the options do not fit the type.
using StoreFactory = std::function<std::unique_ptr<ExceptionStore>(BlockDevice& cow, const StoreOptions& options)>;

/// Owns a store and keeps its type in use.
struct StoreDeleter {
  std::shared_ptr<const StoreFactory> type;
  void operator()(ExceptionStore* store) {
    delete store;
    type.reset();
  }
};
using StorePtr = std::unique_ptr<ExceptionStore, StoreDeleter>;

/// The kinds of exception store by name (kernel: dm_exception_store_type_register and _unregister). Any thread.
class StoreTypes {
 public:
  /// EEXIST when the name is taken.
  [[nodiscard]] std::error_code add(std::string name, StoreFactory factory);
  /// EINVAL when there is none of that name, EBUSY while a store of it lives.
  [[nodiscard]] std::error_code remove(std::string_view name);

  /// Throws std::invalid_argument that lists the known names when `name` is not among them.
  StorePtr create(std::string_view name, BlockDevice& cow, const StoreOptions& options) const;

  /// "P" and "persistent", "PO", "N" and "transient".
  static const StoreTypes& builtin();

 private:
  mutable Mutex mutex_;
  /// Shared with the type's stores, so the use count tells whether the type is in use.
  std::map<std::string, std::shared_ptr<const StoreFactory>, std::less<>> types_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
