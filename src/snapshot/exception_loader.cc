// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/on_all_cores.h"
#include "dmsnap/error.h"

namespace dmsnap {

namespace {

constexpr int group_bits = ExceptionSorter::group_bits;
constexpr int key_bits = 32;  // of an origin chunk that a SingleException has

}  // namespace

ExceptionLoader::ExceptionLoader(std::uint64_t origin_chunks)
    : end_(origin_chunks), staged_(std::make_unique_for_overwrite<Pair[]>(staged_at_once)), groups_(1U << group_bits) {}

void ExceptionLoader::stage_pieces(ExceptionRun run) {
  for (; run.length > ExceptionTable::max_run; run.length -= ExceptionTable::max_run) {
    stage({.origin = run.origin, .copy = run.copy, .length = ExceptionTable::max_run});
    run.origin += ExceptionTable::max_run;
    run.copy += ExceptionTable::max_run;
  }
  stage(run);
}

/// Starts to distribute what is staged, on another core if there is one, while more is added.
void ExceptionLoader::pass_on() {
  if (distributing_.valid()) distributing_.get();
  if (!passed_on_) passed_on_ = std::make_unique_for_overwrite<Pair[]>(staged_at_once);
  std::swap(staged_, passed_on_);
  const auto distribute_all = [this, count = std::exchange(staged_count_, 0)] {
    distribute({passed_on_.get(), count});
  };
  try {
    if (std::thread::hardware_concurrency() > 1) {
      distributing_ = std::async(std::launch::async, distribute_all);
      return;
    }
  } catch (const std::system_error&) {
    // No more threads: it is done here.
  }
  distribute_all();
}

void ExceptionLoader::distribute(std::span<const Pair> entries) {
  auto& memory = blocks_.resource();
  for (const Pair& entry : entries) {
    const auto [origin, value] = entry;
    if (origin >= far_chunks) {
      far_.push_back(entry);
      continue;
    }
    if (origin >> shift_ >= groups_.size()) widen(origin);
    ExceptionGroup& group = groups_[origin >> shift_];
    const auto key = static_cast<std::uint32_t>(origin);
    if (value >> 32 == 0) {
      group.singles.add({key, static_cast<std::uint32_t>(value)}, memory);
    } else {
      group.runs.add({key, value}, memory);
    }
    ++count_;
  }
}

/// Makes the groups' ranges so wide that they have the origin chunk.
void ExceptionLoader::widen(std::uint64_t origin) {
  const int by = static_cast<int>(std::bit_width(origin >> shift_)) - group_bits;
  for (std::size_t i = 1; i < groups_.size(); ++i) {
    if (i >> by != i) groups_[i >> by].merge(groups_[i], blocks_.resource());
  }
  shift_ += by;
}

ExceptionPart ExceptionLoader::sort_groups() {
  if (count_ <= ExceptionSorter::at_once && shift_ + group_bits <= key_bits) {
    for (std::size_t i = 1; i < groups_.size(); ++i) groups_[0].merge(groups_[i], blocks_.resource());
    return ExceptionSorter().take(groups_[0], 0, shift_ + group_bits, 64);
  }
  std::vector<ExceptionPart> parts(groups_.size());
  std::atomic<std::size_t> next = 0;
  CompactMap::Memory memory;
  std::mutex memory_lock;
  const auto take = [&] {
    auto leaves = std::make_unique<BulkMemory>(HugePages::size);
    ExceptionSorter sorter(leaves.get());
    for (std::size_t i = next++; i < parts.size(); i = next++) {
      parts[i] = sorter.take(groups_[i], std::uint64_t{i} << shift_, shift_, shift_);
    }
    const std::lock_guard lock(memory_lock);
    memory.push_back(std::move(leaves));
  };
  count_ > ExceptionSorter::at_once ? on_all_cores(take) : take();
  return ExceptionSorter::join(parts, 0, shift_, std::move(memory));
}

std::optional<Chunk> ExceptionLoader::finish(ExceptionTable& table) {
  if (distributing_.valid()) distributing_.get();
  distribute({staged_.get(), staged_count_});
  ExceptionPart all = sort_groups();
  table = ExceptionTable(std::move(all.runs), all.longest);
  std::ranges::sort(far_, {}, &Pair::key);
  for (const Pair& entry : far_) {
    const ExceptionRun run = ExceptionTable::run_of(entry);
    if (!table.insert(run) && !all.twice) all.twice = run.origin;
  }
  return all.twice;
}

ExceptionTable ExceptionLoader::finish() {
  ExceptionTable table;
  if (const auto twice = finish(table)) {
    throw StoreError(
        fmt::format("origin chunk {} is named by an earlier entry too: 'dmsnap check' shows by which", twice->value()));
  }
  return table;
}

bool load_exceptions(ExceptionStore& store, std::uint64_t origin_sectors, ExceptionTable& table) {
  std::optional<ExceptionLoader> loader;
  const bool valid = store.load(origin_sectors, [&](const ExceptionRun& run) {
    if (!loader) loader.emplace(store.geometry().chunks_touched(origin_sectors));
    return loader->add(run);
  });
  if (loader) table = loader->finish();
  return valid;
}

}  // namespace dmsnap
