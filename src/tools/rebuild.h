// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "dmsnap/block_device.h"
#include "store/metadata_writer.h"
#include "tools/dump.h"

namespace dmsnap {

/// Makes a store of a dump: header and areas from the dump, the data chunks from another device at the same places.
/// The header is written last, when everything else is durable. Throws std::runtime_error when an exception lies
/// outside the devices, ReadError when its data cannot be read (nothing of that run is taken then, and the rebuild can
/// go on), and std::system_error.
class Rebuild final : public DumpSink {
 public:
  /// Gives a blank device of so many sectors; it, and `data`, outlive the rebuild.
  using MakeDevice = std::function<BlockDevice&(std::uint64_t sectors)>;
  Rebuild(BlockDevice& data, MakeDevice make) : data_(data), make_(std::move(make)) {}

  void begin(const DumpHeader& header) override;
  void exceptions(const ExceptionRun& run) override;
  void end() override;

 private:
  void copy_chunks(const ExceptionRun& run);
  void write_entries();

  BlockDevice& data_;
  const MakeDevice make_;
  DumpHeader header_;
  BlockDevice* out_ = nullptr;
  std::unique_ptr<MetadataWriter> writer_;
  MetadataPlace place_;
  std::vector<disk::Entry> entries_;  // not written yet
};

}  // namespace dmsnap
