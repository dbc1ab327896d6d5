// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>

#include "snapshot/histogram.h"

namespace dmsnap {

/// What is done to the files that a mount shows.
enum class FileOperation : std::uint8_t { read, write, zero, flush };
inline constexpr std::size_t file_operations = 4;

/// Which files: the origin, or any snapshot.
enum class FileKind : std::uint8_t { origin, snapshot };
inline constexpr std::size_t file_kinds = 2;

/// Counts what is done to files, of all sets of this process together. Each thread counts for itself, on cache lines
/// that no other writes: a read that needs no waiting costs a few nanoseconds more, and takes no lock. Of what is done
/// without waiting one in short_per_look is timed and stands for all; what waits is always timed.
class FileCounters {
 public:
  static constexpr std::uint32_t short_per_look = 16;

  struct Counts {
    std::uint64_t operations = 0;
    std::uint64_t errors = 0;
    std::uint64_t bytes = 0;
    Histogram::Counts microseconds;
  };

  /// Runs `work`, which gives an outcome if it could be done without waiting, and counts it then.
  template <class Work>
  static std::optional<std::error_code> short_one(FileKind kind, FileOperation operation, std::uint64_t bytes,
                                                  Work work) {
    OfThread& mine = of_this_thread();
    if (++mine.turn % short_per_look != 0) {
      const std::optional<std::error_code> outcome = work();
      if (outcome) mine.at(kind, operation).count(bytes, *outcome);
      return outcome;
    }
    const Stopwatch watch;
    const std::optional<std::error_code> outcome = work();
    if (outcome) {
      mine.at(kind, operation).count(bytes, *outcome);
      mine.at(kind, operation).microseconds.count(watch.microseconds(), short_per_look);
    }
    return outcome;
  }

  /// That one has been done, which waited, or might have.
  static void long_one(FileKind kind, FileOperation operation, std::uint64_t bytes, std::error_code outcome,
                       const Stopwatch& watch) {
    Counter& counter = of_this_thread().at(kind, operation);
    counter.count(bytes, outcome);
    counter.microseconds.count(watch.microseconds());
  }

  /// By all threads, also those that are gone.
  static Counts counts(FileKind kind, FileOperation operation);

 private:
  struct Counter {
    std::atomic<std::uint64_t> operations = 0;
    std::atomic<std::uint64_t> errors = 0;
    std::atomic<std::uint64_t> bytes = 0;
    Histogram microseconds;

    void count(std::uint64_t size, std::error_code outcome) {
      Histogram::add(operations, 1);
      Histogram::add(outcome ? errors : bytes, outcome ? 1 : size);
    }
  };
  struct alignas(64) OfThread {
    std::uint32_t turn = 0;
    bool in_use = true;
    std::array<Counter, file_kinds * file_operations> counters;

    Counter& at(FileKind kind, FileOperation operation) {
      return counters[static_cast<std::size_t>(kind) * file_operations + static_cast<std::size_t>(operation)];
    }
  };
  struct All;
  class Lease;

  static OfThread& of_this_thread() { return this_threads != nullptr ? *this_threads : take(); }
  static OfThread& take();
  static All& all();

  static constinit thread_local OfThread* this_threads;
};

}  // namespace dmsnap
