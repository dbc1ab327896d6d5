// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "dmsnap/result.h"
#include "dmsnap/units.h"

namespace dmsnap {

/// Consecutive origin chunks whose copies are consecutive COW chunks. A single exception has length 1.
struct ExceptionRun {
  Chunk origin{};
  CowChunk copy{};
  std::uint64_t length = 1;
  bool operator==(const ExceptionRun&) const = default;
};

/// Consecutive COW chunks that prepare() handed out.
struct CowRun {
  CowChunk first{};
  std::uint64_t length = 0;
};

/// In sectors, as the status line prints them (kernel: persistent_usage, transient_usage).
struct StoreUsage {
  std::uint64_t allocated = 0;  ///< header, areas passed so far, data prepared
  std::uint64_t total = 0;      ///< size of the COW device, not rounded to chunks
  std::uint64_t metadata = 0;   ///< header and areas up to the one in use
  bool operator==(const StoreUsage&) const = default;
};

enum class StatusType { info, table };

/// A commit that has come to its end.
struct Completed {
  Completion done;  ///< never empty
  std::error_code result;
};

/// Where a snapshot remembers its exceptions: hands out COW chunks and records which origin chunk each one
/// holds. It never touches chunk data.
///
/// The kernel's `struct dm_exception_store_type` (drivers/md/dm-exception-store.h, Linux 6.x), member by member:
///
///   kernel                      here                          remarks
///   name, module                StoreType (store_types.h)     registry by name, in use by reference count
///   ctr(store, options)         StoreType::create             options: "O" for PO
///   dtr(store)                  ~ExceptionStore               writes nothing
///   read_metadata(cb, context)  load(found)                   validates what it reads; the kernel does not
///   prepare_exception(e)        prepare(at_most)              a run at once
///   commit_exception(e, valid,  commit(run, copied, done)     batches are written by the flush thread
///     callback, context)
///   prepare_merge(old, new)     prepare_merge(at_most)        several runs at once
///   commit_merge(nr_merged)     commit_merge(count)
///   drop_snapshot(store)        drop()                        synced; the kernel's is a plain write
///   status(type, result, max)   status(type)
///   usage(total, alloc, meta)   usage()
///   fraction_full (to 2.6.32)   usage()
///   list                        the registry's own
///
/// Order: load() once, before anything else. Then, from any thread: prepare, then commit for every run prepared
/// (also when its copy failed). Allocation order is commit order, however the commits arrive.
///
/// The flush thread drives durability, one thread at a time: close_batch(), COW flush, write_batch(), COW flush,
/// finish_batch(). Between prepare() and commit() a caller must not wait for the flush thread.
class ExceptionStore {
 public:
  virtual ~ExceptionStore() = default;

  /// Final once load() reports an exception or has returned: an existing store's header decides.
  virtual ChunkGeometry geometry() const = 0;
  /// Prints "P", "PO" or "N".
  virtual std::string_view type_name() const = 0;
  /// A snapshot write that finds no room overflows the snapshot instead of invalidating it (type PO).
  virtual bool overflow_supported() const = 0;

  /// Reports every committed exception, folded into runs, and makes the store ready; `found` answers false when it has
  /// one of the origin chunks already, which is damage. A blank device becomes a new store. Returns false when the
  /// store says that it is invalid: nothing is reported then, and only status() and usage() may be called. Throws
  /// StoreError on damage (also at what the kernel would accept: entries outside the COW device, on metadata, twice, or
  /// beyond the origin) and std::system_error on I/O errors. On return everything read is on stable storage, and the
  /// stale tail behind the last entry is blanked there.
  virtual bool load(std::uint64_t origin_sectors, const std::function<bool(const ExceptionRun&)>& found) = 0;

  /// Hands out the next COW chunks: at least one, at most `at_most`, consecutive. Error::store_full once none is left.
  [[nodiscard]] virtual Result<CowRun> prepare(std::uint64_t at_most) = 0;

  /// COW chunks that prepare() can still hand out.
  virtual std::uint64_t available() const = 0;

  /// The end of what the next `chunks` chunks and the metadata for them will take on the COW device.
  virtual Sector reach(std::uint64_t chunks) const = 0;

  /// Records a run exactly as prepare() handed it out; its data has been written to the COW device (`copied`) or could
  /// not be. Returns at once. `done`, if any, runs when the run is as durable as this store makes it, or cannot be made
  /// so, on the flush thread; runs complete in the order in which they were prepared.
  virtual void commit(const ExceptionRun& run, bool copied, Completion done) = 0;

  /// Whether the exception that holds `chunk` is on stable storage. Takes no lock.
  virtual bool durable(CowChunk chunk) const = 0;

  /// Flush thread. Waits until everything prepared so far has been committed and takes it as a batch; writes what must
  /// be durable before it (zeros over the areas that it enters). False: there is nothing to write.
  [[nodiscard]] virtual bool close_batch() = 0;
  /// Flush thread, after a successful flush of the COW device: writes the batch's areas.
  [[nodiscard]] virtual std::error_code write_batch() = 0;
  /// Flush thread, with the outcome of all of the above; a failure is final. Gives the completions of the batch, in
  /// order, for the caller to run with `result` once it holds no lock.
  [[nodiscard]] virtual std::vector<Completed> finish_batch(std::error_code outcome) = 0;

  /// What a merge copies next: the newest runs, newest first, `at_most` chunks (at least 1) together. Each is
  /// consecutive in both chunk numbers and inside one area; the last may be the end of a longer one. None when all is
  /// merged. Only while nothing is prepared or committed.
  [[nodiscard]] virtual Result<std::vector<ExceptionRun>> prepare_merge(std::uint64_t at_most) = 0;
  /// Clears the newest `count` entries, the last areas first, durably, with one flush; the origin must hold their data
  /// durably. At most the last prepare_merge(). After an error they count as there, whatever is on the disk.
  [[nodiscard]] virtual std::error_code commit_merge(std::uint64_t count) = 0;

  /// Marks the snapshot invalid, also for whoever opens it next; durable when it returns without error.
  [[nodiscard]] virtual std::error_code drop() = 0;

  virtual StoreUsage usage() const = 0;
  /// info: "<allocated>/<total> <metadata>"; table: " <type> <chunk size in sectors>", both as the kernel prints them.
  virtual std::string status(StatusType type) const = 0;
};

}  // namespace dmsnap
