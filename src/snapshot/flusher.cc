// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/flusher.h"

#include <pthread.h>

#include <algorithm>
#include <cassert>
#include <future>
#include <iterator>
#include <utility>

#include "base/system_error.h"
#include "snapshot/snapshot.h"
#include "snapshot/view.h"

namespace dmsnap {

void Flusher::request(View& view, Completion done) {
  {
    MutexLock lock(mutex_);
    requests_.push_back({&view, std::move(done)});
    due_ = true;
  }
  work_.notify_one();
}

std::error_code Flusher::flush_and_wait(View& view) {
  std::promise<std::error_code> answer;
  request(view, [&](std::error_code error) { answer.set_value(error); });
  if (in_place_) run_wave();
  return answer.get_future().get();
}

std::error_code Flusher::keep_durably(Snapshot& snapshot, std::span<const Extent> extents) {
  const auto has_all = [&] {
    return std::ranges::all_of(extents, [&](const Extent& each) { return snapshot.has_durably(each); });
  };
  if (has_all()) return {};
  // Its own writes may have failed before: what counts is that it has these.
  const std::error_code error = flush_and_wait(snapshot);
  if (has_all()) return {};
  return error ? error : errc(std::errc::io_error);
}

void Flusher::note_held(std::uint64_t held_bytes) {
  if (held_bytes >= hurry_at_bytes_) {
    hurry();
  } else {
    note_work();
  }
}

void Flusher::note_commit() {
  if (commits_.fetch_add(1, std::memory_order_relaxed) >= hurry_at_commits) {
    hurry();
  } else {
    note_work();
  }
}

void Flusher::note_work() {
  if (something_.load(std::memory_order_relaxed)) return;
  {
    MutexLock lock(mutex_);
    something_ = true;
  }
  work_.notify_one();
}

void Flusher::hurry() {
  if (hurried_.load(std::memory_order_relaxed)) return;
  {
    MutexLock lock(mutex_);
    hurried_ = true;
    due_ = true;
  }
  work_.notify_one();
}

void Flusher::add(View& view) {
  MutexLock lock(wave_mutex_);
  // Right behind its base, so before all that may fall through to it later.
  const auto base = std::ranges::find(views_, view.base());
  views_.insert(base == views_.end() ? base : base + 1, &view);
}

void Flusher::remove(View& view) {
  MutexLock lock(wave_mutex_);
  std::erase(views_, &view);
}

void Flusher::rebase(Snapshot& snapshot, std::shared_ptr<View> base) {
  MutexLock lock(wave_mutex_);
  assert(std::ranges::find(views_, base.get()) < std::ranges::find(views_, &snapshot));
  snapshot.set_base(std::move(base));
}

bool Flusher::wait_for_work(const std::stop_token& stop, std::chrono::milliseconds idle) {
  MutexLock lock(mutex_);
  work_.wait(mutex_, stop, [&]() NO_THREAD_SAFETY_ANALYSIS { return due_ || something_; });
  if (!due_) work_.wait_for(mutex_, stop, idle, [&]() NO_THREAD_SAFETY_ANALYSIS { return due_; });
  return due_ || !stop.stop_requested();
}

void Flusher::run_wave() {
  std::vector<Request> requests;
  std::vector<Completed> commits;
  {
    MutexLock wave(wave_mutex_);
    const Stopwatch watch;
    {
      MutexLock lock(mutex_);
      requests = std::exchange(requests_, {});
      due_ = false;
      something_ = false;
      hurried_ = false;
      counters_.commits.count(commits_.exchange(0));
    }
    for (View* view : views_) view->begin_drain();
    for (auto view = views_.rbegin(); view != views_.rend(); ++view) settle(**view);
    for (Request& request : requests) {
      const std::error_code error = request.view->sync();
      request.outcome = error ? error : request.view->sticky_error();
    }
    commits = std::exchange(completed_, {});
    counters_.microseconds.count(watch.microseconds());
  }
  for (const Completed& commit : commits) commit.done(commit.result);
  for (const Request& request : requests) request.done(request.outcome);
  if (after_wave_) after_wave_();
}

void Flusher::note_copied(std::uint64_t chunks, std::uint64_t bytes) {
  Histogram::add(counters_.copied_chunks, chunks);
  Histogram::add(counters_.copied_bytes, bytes);
}

void Flusher::settle(View& base) {
  if (make_durable(base.dependants())) {
    base.finish_drain();
  } else {
    base.give_up_drain();
  }
}

bool Flusher::make_durable(const std::vector<Snapshot*>& snapshots) {
  struct Batch {
    Snapshot* snapshot;
    std::error_code outcome{};
  };
  std::vector<Batch> batches;
  for (Snapshot* snapshot : snapshots) snapshot->copy_expected();
  for (Snapshot* snapshot : snapshots) {
    if (snapshot->close_batch()) batches.push_back({snapshot});
  }
  const Stopwatch watch;
  for (Batch& batch : batches) {
    batch.snapshot->write_ahead();
    batch.outcome = batch.snapshot->flush_cow();
  }
  for (Batch& batch : batches) {
    if (!batch.outcome) batch.outcome = batch.snapshot->write_batch();
  }
  for (Batch& batch : batches) {
    if (!batch.outcome) batch.outcome = batch.snapshot->flush_cow();
  }
  if (!batches.empty()) counters_.commit_microseconds.count(watch.microseconds());
  for (const Batch& batch : batches)
    std::ranges::move(batch.snapshot->finish_batch(batch.outcome), std::back_inserter(completed_));
  return std::ranges::none_of(snapshots, [](const Snapshot* s) { return static_cast<bool>(s->unrecorded()); });
}

FlushThread::FlushThread(Flusher& flusher, std::chrono::milliseconds idle)
    : thread_([&flusher, idle](const std::stop_token& stop) {
        pthread_setname_np(pthread_self(), "dmsnap-flush");
        while (flusher.wait_for_work(stop, idle)) flusher.run_wave();
      }) {}

}  // namespace dmsnap
