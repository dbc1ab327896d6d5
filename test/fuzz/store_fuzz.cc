// SPDX-License-Identifier: GPL-2.0-or-later
// A COW device of any bytes, with any list, or with damage, for loader and tools, or any text for the reader of dumps
// (libFuzzer; inputs.h makes them of its bytes). Whatever it is: nobody crashes, the loader takes exactly what `check`
// calls sound but for a stale tail, `dump` prints exactly what it calls sound, a map counts each exception, a restored
// dump is sound, and so is what `repair` makes; and a dump that is taken says the same when it is printed and read
// again.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <sstream>

#include "dmsnap/error.h"
#include "inputs.h"
#include "snapshot/exception_loader.h"
#include "store/store_types.h"
#include "tools/check.h"
#include "tools/diff.h"
#include "tools/dump.h"
#include "tools/image_map.h"
#include "tools/rebuild.h"
#include "tools/repair.h"

namespace dmsnap::fuzz {
namespace {

constexpr std::uint64_t no_end = std::uint64_t{1} << 62;

void require(bool claim, const char* what) {
  if (claim) return;
  std::cerr << "false: " << what << "\n";
  std::abort();
}

/// Larger than a fuzzer has time for.
struct TooLarge {};

/// A device that makes itself, as Rebuild wants it.
struct Made {
  std::unique_ptr<MemoryDevice> device;
  Rebuild::MakeDevice make() {
    return [this](std::uint64_t sectors) -> BlockDevice& {
      if (sectors > 1U << 11) throw TooLarge();
      device = std::make_unique<MemoryDevice>(sectors);
      return *device;
    };
  }
};

CheckReport look(BlockDevice& cow) {
  return check_store(cow, std::nullopt, [](std::uint64_t, std::uint64_t) {});
}

bool sound_but_for_its_tail(const CheckReport& report) {
  return report.header.valid && report.counts.size() == report.counts.count(Defect::stale_tail);
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

void try_diff(BlockDevice& cow, const CheckReport& report) {
  static MemoryDevice origin(256);  // nobody writes to it
  try {
    const DiffDoubts doubts = diff_store(cow, origin, [](const Extent&) {});
    require(doubts.stale_tail == report.counts.contains(Defect::stale_tail), "diff tells of a stale tail");
    require(doubts.invalid != report.header.valid, "diff tells of an invalid snapshot");
  } catch (const StoreError&) {
    // Damage, or an exception beyond the end of this origin.
  }
}

void try_dump(BlockDevice& cow, const CheckReport& report) {
  std::stringstream text;
  TextDump dump(text);
  try {
    dump_store(cow, true, dump);
  } catch (const StoreError&) {
    require(!report.counts.empty(), "dump prints what check finds nothing in");
    return;
  }
  require(report.counts.empty(), "dump prints nothing else");
  try_map(cow, report.exceptions);
  Made again;
  Rebuild rebuild(cow, again.make());
  read_dump(text, rebuild);
  const CheckReport restored = look(*again.device);
  require(restored.counts.empty() && restored.exceptions == report.exceptions, "a restored dump is sound");
}

void try_repair(BlockDevice& cow) {
  Made repaired;
  const RepairReport repair = repair_store(cow, std::nullopt, repaired.make());
  const CheckReport after = look(*repaired.device);
  require(after.counts.empty() && after.exceptions == repair.kept, "what repair makes is sound");
}

void try_store(BlockDevice& cow) {
  try {
    const CheckReport report = look(cow);
    require(loads(cow) == sound_but_for_its_tail(report), "the loader takes what check calls sound");
    try_dump(cow, report);
    try_diff(cow, report);
    try_repair(cow);
  } catch (const StoreError&) {
    require(!loads(cow), "what no tool can look at is not loaded");
  } catch (const std::system_error&) {
    // Areas that lie beyond what the device has.
  } catch (const TooLarge&) {
  }
}

std::string printed(std::istream& in) {
  std::ostringstream out;
  TextDump sink(out);
  read_dump(in, sink);
  return out.str();
}

void try_text(const std::string& text) {
  try {
    std::istringstream in(text);
    const std::string once = printed(in);
    std::istringstream again(once);
    require(printed(again) == once, "what is read and printed is read and printed again");
  } catch (const DumpError&) {
    return;
  }
  MemoryDevice data(100);
  Made made;
  Rebuild rebuild(data, made.make());
  std::istringstream in(text);
  try {
    read_dump(in, rebuild);
  } catch (const std::runtime_error&) {
    // Chunks that the data does not have.
  } catch (const TooLarge&) {
  }
}

}  // namespace
}  // namespace dmsnap::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dmsnap::fuzz;
  Bytes in({data, size});
  switch (in.next() % 4) {
    case 0: try_store(*raw(in)); break;
    case 1: try_store(*list(in)); break;
    case 2: try_store(damaged(in)->device()); break;
    default: try_text(dump_text(in));
  }
  return 0;
}
