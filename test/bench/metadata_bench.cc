// SPDX-License-Identifier: GPL-2.0-or-later
// What many exceptions cost: metadata_bench [MILLIONS [FOLDER]]. Makes a COW file of 4 KiB chunks with that many
// exceptions of random origin chunks in FOLDER (default: /dev/shm), header and areas only, and measures on it, each in
// a process of its own: loading against a loop of preads of the same areas, memory at its peak, inserting as many again
// one by one, lookup against an array of the same size and absl::flat_hash_map, and check against loading. The file is
// removed. metadata_bench make MILLIONS FILE only makes it, and prints how large its origin must be, in bytes.
#include <absl/container/flat_hash_map.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "block/file_device.h"
#include "snapshot/exception_loader.h"
#include "store/area_layout.h"
#include "store/disk_format.h"
#include "store/store_types.h"
#include "tools/check.h"

namespace dmsnap {
namespace {

using Clock = std::chrono::steady_clock;

constexpr ChunkGeometry geometry(8);

double seconds(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// In KiB; a field of /proc/self/status.
double status_field(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == field + ":" && status >> kib) return kib;
  }
  return 0;
}

/// Distinct numbers below 4 * count, in an order without pattern.
class RandomChunks {
 public:
  explicit RandomChunks(std::uint64_t count) : range_(std::bit_ceil(4 * count)) {}
  std::uint64_t range() const { return range_; }
  /// A bijection of [0, range): odd multipliers and shifts that keep the low bits.
  std::uint64_t operator()(std::uint64_t i) const {
    const auto half = std::bit_width(range_ - 1) / 2;
    for (const std::uint64_t factor : {0x9e3779b97f4a7c15ULL, 0xbf58476d1ce4e5b9ULL, 0x94d049bb133111ebULL}) {
      i = (i * factor) & (range_ - 1);
      i ^= i >> half;
    }
    return i;
  }

 private:
  std::uint64_t range_;
};

void make_store(const std::string& path, std::uint64_t count) {
  const AreaLayout layout(geometry, 0);
  const std::uint64_t areas = count / layout.entries() + 1;
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) throw std::system_error(errno, std::generic_category(), path);
  const std::uint64_t end = (layout.area(areas).value() + 1) * geometry.chunk_bytes();
  if (::ftruncate(fd.get(), static_cast<off_t>(end)) != 0)
    throw std::system_error(errno, std::generic_category(), path);
  FileDevice cow(duplicate(fd.get()));
  std::vector<std::byte> sector(sector_bytes);
  disk::pack_header({le32(disk::magic), le32(1), le32(disk::version), le32(geometry.chunk_sectors())}, sector);
  if (const auto error = cow.write(Sector(0), sector)) throw std::system_error(error, path);
  const RandomChunks origin(count);
  std::vector<std::byte> area(geometry.chunk_bytes());
  for (std::uint64_t a = 0, i = 0; a < areas; ++a) {
    std::ranges::fill(area, std::byte{0});
    for (std::uint64_t slot = 0; slot < layout.entries() && i < count; ++slot, ++i) {
      disk::pack_entry({le64(origin(i)), le64(layout.area(a).value() + 1 + slot)}, area, slot);
    }
    if (const auto error = cow.write(geometry.first_sector(layout.area(a)), area)) throw std::system_error(error, path);
  }
}

/// In a process of its own, so that its memory is its own.
void apart(const std::function<void()>& work) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 0;
    try {
      work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "metadata_bench: {}\n", error.what());
      code = 1;
    }
    std::fflush(stdout);
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) std::exit(1);
}

/// The longest of many calls, apart from those during which the scheduler gave the processor to another thread.
class LongestCall {
 public:
  void took(Clock::duration time) {
    const bool long_enough = time > std::max(undisturbed_, Clock::duration(std::chrono::microseconds(20)));
    if (!long_enough && ++calls_ % 256 != 0) return;
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    const bool disturbed = std::exchange(switches_, usage.ru_nivcsw) != usage.ru_nivcsw;
    if (long_enough) (disturbed ? disturbed_ : undisturbed_) = std::max(disturbed ? disturbed_ : undisturbed_, time);
  }
  double undisturbed_us() const { return std::chrono::duration<double, std::micro>(undisturbed_).count(); }
  double disturbed_us() const { return std::chrono::duration<double, std::micro>(disturbed_).count(); }

 private:
  Clock::duration undisturbed_{};
  Clock::duration disturbed_{};
  long switches_ = 0;
  std::uint64_t calls_ = 0;
};

class Bench {
 public:
  Bench(std::string path, std::uint64_t count) : path_(std::move(path)), count_(count), origin_(count) {}

  void loading() {
    FileDevice cow(FileDevice::open(path_, true));
    const double reading = seconds([&] { read_areas(cow); });
    const double kib = status_field("VmHWM");
    ExceptionTable table;
    const double loading = seconds([&] { load(cow, table); });
    fmt::print("load: {:.3f} s, preads of its areas alone {:.3f} s; beyond 1.2 of these {:.1f} ns an exception\n",
               loading, reading, (loading - 1.2 * reading) * 1e9 / static_cast<double>(count_));
    const double loaded = status_field("VmHWM");
    LongestCall longest;
    const double inserting = seconds([&] {
      for (std::uint64_t i = count_; i < 2 * count_; ++i) {
        const auto begin = Clock::now();
        if (!table.insert({.origin = Chunk(origin_(i)), .copy = CowChunk(2 + i)})) throw std::runtime_error("not new");
        longest.took(Clock::now() - begin);
      }
    });
    const double grown = status_field("VmHWM");
    fmt::print("memory at its peak: {:.1f} bytes an exception loaded, {:.1f} with as many inserted\n",
               (loaded - kib) * 1024 / static_cast<double>(count_), (grown - kib) * 512 / static_cast<double>(count_));
    fmt::print("insert: {:.0f} ns, longest {:.0f} us, {:.0f} us where others had the processor meanwhile\n",
               inserting * 1e9 / static_cast<double>(count_), longest.undisturbed_us(), longest.disturbed_us());
    const LongestCall nothing = time_nothing(inserting);
    fmt::print("nothing at all, as often: longest {:.0f} us, {:.0f} us\n", nothing.undisturbed_us(),
               nothing.disturbed_us());
  }

  void checking() {
    FileDevice cow(FileDevice::open(path_, true));
    ExceptionTable table;
    const double loading = seconds([&] { load(cow, table); });
    table = {};
    const double checking = seconds([&] { check_store(cow, std::nullopt, [](std::uint64_t, std::uint64_t) {}); });
    fmt::print("check: {:.3f} s, {:.2f} of loading\n", checking, checking / loading);
  }

  /// Half of the keys are there: 2 * i is what origin_ gives for i, or for one that was never inserted.
  void lookup() {
    FileDevice cow(FileDevice::open(path_, true));
    ExceptionTable table;
    load(cow, table);
    const auto in_table = [&](std::uint64_t key) {
      const auto span = table.find(Chunk(key), 1);
      return span.copied * span.copy.value();
    };
    const auto independent = overlapped(in_table);
    const auto from_last = dependent(in_table);
    table = {};
    absl::flat_hash_map<std::uint64_t, std::uint64_t> map;
    map.reserve(count_);
    for (std::uint64_t i = 0; i < count_; ++i) map.emplace(origin_(i), i + 2);
    const auto in_map = [&](std::uint64_t key) {
      const auto found = map.find(key);
      return found == map.end() ? 0 : found->second;
    };
    const auto map_independent = overlapped(in_map);
    const auto map_dependent = dependent(in_map);
    map = {};
    std::vector<std::uint64_t> array(2 * count_, 1);  // 16 bytes for each exception, as in the store
    const auto in_array = [&](std::uint64_t key) { return array[key * array.size() / origin_.range()]; };
    fmt::print("lookup, independent: {:.0f} ns; absl::flat_hash_map {:.0f} ns, array {:.0f} ns\n", independent,
               map_independent, overlapped(in_array));
    fmt::print("lookup, dependent:   {:.0f} ns; absl::flat_hash_map {:.0f} ns, array {:.0f} ns\n", from_last,
               map_dependent, dependent(in_array));
  }

 private:
  static constexpr std::uint64_t lookups = 4'000'000;

  /// What the machine itself does to calls that are as short as an insert: a hypervisor and interrupts are seen by
  /// nobody, but they take the processor, too.
  static LongestCall time_nothing(double for_seconds) {
    LongestCall longest;
    const auto end = Clock::now() + std::chrono::duration<double>(for_seconds);
    for (auto begin = Clock::now(); begin < end; begin = Clock::now()) {
      auto now = begin;
      while (now < begin + std::chrono::nanoseconds(500)) now = Clock::now();
      longest.took(now - begin);
    }
    return longest;
  }

  void read_areas(BlockDevice& cow) const {
    const AreaLayout layout(geometry, cow.sectors());
    std::vector<std::byte> area(geometry.chunk_bytes());
    for (std::uint64_t a = 0; a <= count_ / layout.entries(); ++a) {
      if (cow.read(geometry.first_sector(layout.area(a)), area)) throw std::runtime_error("read");
    }
  }
  void load(BlockDevice& cow, ExceptionTable& table) const {
    const auto store = StoreTypes::builtin().create("P", cow, {.must_exist = true, .read_only = true});
    load_exceptions(*store, geometry.sectors_of(origin_.range()), table);
  }
  /// A key of which every other one is there.
  std::uint64_t key(std::uint64_t i) const { return origin_(i % 2 ? i % count_ : count_ + i % count_); }

  template <typename Find>
  double overlapped(const Find& find) const {
    std::vector<std::uint64_t> keys(lookups);
    for (std::uint64_t i = 0; i < lookups; ++i) keys[i] = key(i * 0x9e3779b97f4a7c15ULL >> 20);
    std::uint64_t sum = 0;
    const double took = seconds([&] {
      for (const std::uint64_t each : keys) sum += find(each);
    });
    keep(sum);
    return took * 1e9 / lookups;
  }
  template <typename Find>
  double dependent(const Find& find) const {
    std::vector<std::uint64_t> keys(lookups);
    for (std::uint64_t i = 0; i < lookups; ++i) keys[i] = key(i * 0xbf58476d1ce4e5b9ULL >> 20);
    std::uint64_t last = 0;
    const double took = seconds([&] {
      for (const std::uint64_t each : keys) last = find(each ^ (last >> 63));
    });
    keep(last);
    return took * 1e9 / lookups;
  }
  static void keep(std::uint64_t value) { asm volatile("" : : "r"(value) : "memory"); }

  const std::string path_;
  const std::uint64_t count_;
  const RandomChunks origin_;
};

std::uint64_t count_of(const char* millions) {
  return static_cast<std::uint64_t>(std::atof(millions) * 1e6);
}

}  // namespace
}  // namespace dmsnap

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "make") {
    const std::uint64_t count = dmsnap::count_of(argv[2]);
    dmsnap::make_store(argv[3], count);
    fmt::print("{}\n", dmsnap::RandomChunks(count).range() * dmsnap::geometry.chunk_bytes());
    return 0;
  }
  const std::string path = fmt::format("{}/metadata_bench.{}.cow", argc > 2 ? argv[2] : "/dev/shm", ::getpid());
  const std::uint64_t count = dmsnap::count_of(argc > 1 ? argv[1] : "10");
  fmt::print("{} exceptions\n", count);
  dmsnap::make_store(path, count);
  dmsnap::Bench bench(path, count);
  dmsnap::apart([&] { bench.loading(); });
  dmsnap::apart([&] { bench.checking(); });
  dmsnap::apart([&] { bench.lookup(); });
  ::unlink(path.c_str());
}
