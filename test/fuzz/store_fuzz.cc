// SPDX-License-Identifier: GPL-2.0-or-later
// A COW device of any bytes, or with any list, for loader and tools (libFuzzer). Whatever it is: nobody crashes,
// `check` calls sound exactly what the loader takes and `dump` prints, a map counts each exception, a restored dump is
// sound, and so is what `repair` makes.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <sstream>

#include "block/memory_device.h"
#include "dmsnap/error.h"
#include "snapshot/exception_loader.h"
#include "store/metadata_writer.h"
#include "store/store_types.h"
#include "tools/check.h"
#include "tools/diff.h"
#include "tools/dump.h"
#include "tools/image_map.h"
#include "tools/rebuild.h"
#include "tools/repair.h"

namespace dmsnap {
namespace {

constexpr std::uint64_t no_end = std::uint64_t{1} << 62;

void require(bool claim, const char* what) {
  if (claim) return;
  std::cerr << "false: " << what << "\n";
  std::abort();
}

/// A device that makes itself, as Rebuild wants it; larger ones than a fuzzer has time for are refused.
struct Made {
  std::unique_ptr<MemoryDevice> device;
  Rebuild::MakeDevice make() {
    return [this](std::uint64_t sectors) -> BlockDevice& {
      if (sectors > 1U << 14) throw std::runtime_error("too large");
      device = std::make_unique<MemoryDevice>(sectors);
      return *device;
    };
  }
};

CheckReport look(BlockDevice& cow) {
  return check_store(cow, std::nullopt, [](std::uint64_t, std::uint64_t) {});
}

bool loads(BlockDevice& cow) {
  ExceptionTable table;
  const auto store = StoreTypes::builtin().create("P", cow, {.must_exist = true, .read_only = true});
  try {
    return load_exceptions(*store, no_end, table);
  } catch (const StoreError&) {
    return false;
  }
}

void try_map(BlockDevice& cow, std::uint64_t exceptions) {
  try {
    const ImageMap map = map_store(cow, std::nullopt, 50, [](std::uint64_t, std::uint64_t) {}).map;
    for (std::size_t cell = 0; cell < map.cells(); ++cell) {
      require(map.copied(cell) <= map.chunks(cell), "no more chunks of a cell are copied than it has");
      exceptions -= map.copied(cell);
    }
    require(exceptions == 0, "a map counts each exception once");
  } catch (const StoreError&) {
    throw;
  } catch (const std::runtime_error&) {
    // An exception where no image goes.
  }
}

void try_all(BlockDevice& cow) {
  const CheckReport report = look(cow);
  const bool only_stale = report.counts.size() == report.counts.count(Defect::stale_tail);
  bool far = false;  // an origin chunk that no origin of `no_end` sectors has
  for (const Finding& finding : report.findings) far = far || finding.entry.origin.value() >= no_end;

  std::stringstream text;
  TextDump dump(text);
  bool dumped = true;
  try {
    dump_store(cow, true, dump);
  } catch (const StoreError&) {
    dumped = false;
  }
  require(dumped == report.counts.empty(), "dump prints what check finds nothing in");
  if (loads(cow)) require(report.header.valid && only_stale && !far, "the loader takes what check calls sound");
  if (dumped) {
    try_map(cow, report.exceptions);
    Made again;
    Rebuild rebuild(cow, again.make());
    read_dump(text, rebuild);
    require(look(*again.device).counts.empty(), "a restored dump is sound");
  }
  Made repaired;
  const RepairReport repair = repair_store(cow, std::nullopt, repaired.make());
  const CheckReport after = look(*repaired.device);
  require(after.counts.empty() && after.exceptions == repair.kept, "what repair makes is sound");
  MemoryDevice origin(256);
  try {
    diff_store(*repaired.device, origin, [](const Extent&) {});
  } catch (const StoreError&) {
    // An exception beyond the end of this origin.
  }
}

/// Bytes as they are. Most would be no store at all: header and chunk size are given, but for one in eight.
std::unique_ptr<MemoryDevice> raw(std::span<const std::uint8_t> data) {
  const std::uint64_t sectors = (data.size() + sector_bytes - 1) / sector_bytes;
  auto cow = std::make_unique<MemoryDevice>(sectors);
  std::vector<std::byte> bytes(sectors * sector_bytes);
  std::memcpy(bytes.data(), data.data(), data.size());
  if (data[0] % 8 != 7) {
    disk::pack_header({le32(disk::magic), le32(1), le32(disk::version), le32(1U << data[0] % 4)}, bytes);
  }
  if (cow->write(Sector(0), bytes)) std::abort();
  return cow;
}

/// A number of chunks and a list: two bytes an entry, small numbers or, from 240 on, huge ones.
std::unique_ptr<MemoryDevice> list(std::span<const std::uint8_t> data) {
  auto cow = std::make_unique<MemoryDevice>(2U + data[0]);
  const AreaLayout layout(ChunkGeometry(1), cow->sectors());
  const auto number = [](std::uint8_t byte) { return byte < 240 ? byte : std::uint64_t{1} << (byte - 240) * 4; };
  std::vector<std::byte> sector(sector_bytes);
  disk::pack_header({le32(disk::magic), le32(data[1] % 8 != 0), le32(disk::version), le32(1)}, sector);
  if (cow->write(Sector(0), sector)) std::abort();
  for (std::size_t i = 2; i + 1 < data.size(); i += 2) {
    const std::uint64_t entry = (i - 2) / 2;
    if (!layout.area_exists(entry / 32)) break;
    const Sector area(layout.area(entry / 32).value());
    if (cow->read(area, sector)) std::abort();
    disk::pack_entry({le64(number(data[i])), le64(number(data[i + 1]))}, sector, entry % 32);
    if (cow->write(area, sector)) std::abort();
  }
  return cow;
}

}  // namespace
}  // namespace dmsnap

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dmsnap;
  if (size < 4) return 0;
  const std::span<const std::uint8_t> rest(data + 1, size - 1);
  const auto device = data[0] % 2 ? raw(rest) : list(rest);
  MemoryDevice& cow = *device;
  try {
    try_all(cow);
  } catch (const StoreError&) {
    require(!loads(cow), "what no tool can look at is not loaded");
  } catch (const std::system_error&) {
    // Areas that lie beyond what the device has.
  } catch (const std::runtime_error&) {
    // Larger than a fuzzer has time for.
  }
  return 0;
}
