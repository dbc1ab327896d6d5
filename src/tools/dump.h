// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <istream>
#include <ostream>
#include <stdexcept>

#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"

namespace dmsnap {

/// What a dump says besides the exceptions.
struct DumpHeader {
  bool valid = true;
  std::uint32_t chunk_sectors = 0;
  std::uint64_t cow_sectors = 0;
};

/// Takes a dump in its order: begin() once, the exceptions in the order of the list, end() once.
class DumpSink {
 public:
  virtual ~DumpSink() = default;
  virtual void begin(const DumpHeader& header) = 0;
  virtual void exceptions(const ExceptionRun& run) = 0;
  virtual void end() = 0;
};

/// Lines of words, `#` begins a comment:
///   dmsnap-dump 1 / valid 1 / chunk-sectors 8 / cow-sectors 8000 / ORIGIN-CHUNK COW-CHUNK LENGTH ... / end COUNT
class TextDump final : public DumpSink {
 public:
  explicit TextDump(std::ostream& out) : out_(out) {}
  void begin(const DumpHeader& header) override;
  void exceptions(const ExceptionRun& run) override;
  void end() override;

 private:
  std::ostream& out_;
  std::uint64_t count_ = 0;
};

/// One object: "dmsnap_dump": 1, "valid", "chunk_sectors", "cow_sectors", "exceptions": [[origin, cow, length], ...].
class JsonDump final : public DumpSink {
 public:
  explicit JsonDump(std::ostream& out) : out_(out) {}
  void begin(const DumpHeader& header) override;
  void exceptions(const ExceptionRun& run) override;
  void end() override;

 private:
  std::ostream& out_;
  bool first_ = true;
};

/// Dumps a sound store, also one that says that it is invalid; with `fold` consecutive exceptions as one. Throws as
/// check_store(), and StoreError at the first finding.
void dump_store(BlockDevice& cow, bool fold, DumpSink& sink);

/// What is no dump, with the line or the byte.
class DumpError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads what TextDump or JsonDump wrote, to its end. Throws DumpError when it is neither, was cut off, or goes on
/// behind its end; then `sink` may have been told a part of it, but never its end.
void read_dump(std::istream& in, DumpSink& sink);

}  // namespace dmsnap
