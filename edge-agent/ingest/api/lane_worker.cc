#include "edge-agent/ingest/api/lane_worker.h"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <utility>

namespace spillway::agent::api {

LaneWorker::LaneWorker(const LaneSettings& settings, std::string topic, Post post)
    : settings_(settings), topic_(std::move(topic)), post_(std::move(post)) {
  // Signals are for the owner's thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LaneWorker::~LaneWorker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LaneWorker::submit(Job job) {
  ++*unanswered_;
  // Counted in the owner's thread, where post_ brings the answer.
  job.done = [count = unanswered_, done = std::move(job.done)](const Outcome& outcome) {
    --*count;
    done(outcome);
  };
  std::unique_lock lock(mutex_);
  if (jobs_.size() == kQueueMax) {
    lock.unlock();
    return job.done({Status::kFull, Level::kAccepted, "too many requests wait for this lane"});
  }
  jobs_.push_back(std::move(job));
  lock.unlock();
  wake_.notify_one();
}

void LaneWorker::run() {
  while (true) {
    std::deque<Job> jobs = take_jobs();
    if (jobs.empty() && waiting_.empty()) break;  // told to stop
    for (Job& job : jobs) put(std::move(job));
    if (!waiting_.empty()) await_levels();
    if (stopping_) break;
  }
  fail_waiting(Status::kClosed, "the API ends; what was accepted stays in the lane");
  for (Job& job : take_jobs()) answer(job, {Status::kClosed, Level::kAccepted, "the API ends"});
  producer_.close();
}

/// Waits for jobs only while nothing else is to be done.
std::deque<Job> LaneWorker::take_jobs() {
  std::unique_lock lock(mutex_);
  if (waiting_.empty()) wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
  return std::exchange(jobs_, {});
}

void LaneWorker::put(Job job) {
  Outcome outcome = try_put(job);
  if (outcome.status != Status::kOk || job.level == Level::kAccepted) {
    return answer(job, std::move(outcome));
  }
  const std::uint64_t end = producer_.position();
  job.batch.reset();
  waiting_.push_back({std::move(job), end});
}

Status LaneWorker::open_for(const Job& job) {
  const std::uint64_t schema = job.schema ? job.schema->fingerprint() : 0;
  if (producer_.is_open() && schema == schema_) return Status::kOk;
  // A lane has one schema for its life. What stands in the old one is answered first.
  while (!waiting_.empty() && !stopping_) await_levels();
  producer_.close();
  ProducerOptions options;
  options.producer_name = settings_.producer_name.c_str();
  options.lane_bytes = settings_.lane_bytes;
  options.max_record_bytes = settings_.max_record_bytes;
  if (job.schema) options.schema = job.schema->bfbs();
  schema_ = schema;
  return producer_.open(settings_.queue_dir.c_str(), topic_.c_str(), options);
}

Outcome LaneWorker::try_put(const Job& job) {
  if (const Status opened = open_for(job); opened != Status::kOk) {
    return {opened, Level::kAccepted,
            std::string("cannot open a lane: ") + status_text(opened) + ": " + error_detail()};
  }
  const Batch& batch = *job.batch;
  const std::uint64_t used = producer_.position() - producer_.reached_position(Level::kProcessSafe);
  if (batch.lane_bytes() > producer_.capacity()) {
    return {Status::kTooLarge, Level::kAccepted,
            "the records are more than the lane holds (lane_bytes): send them in parts"};
  }
  if (used + batch.lane_bytes() > producer_.capacity()) {
    // A lane that the agent has set aside is never drained.
    if (producer_.flush_until({}, Level::kProcessSafe) == Status::kSetAside) {
      fail_waiting(Status::kSetAside, "the agent has set the lane aside");
      producer_.close();
      return {Status::kSetAside, Level::kAccepted, "the agent has set the lane aside: try again"};
    }
    return {Status::kFull, Level::kAccepted, "the lane is full: is an agent draining it?"};
  }
  const Accepted accepted =
      producer_.put_many(batch.size(), [&batch](std::size_t i) { return batch.at(i); });
  return {accepted.status, Level::kAccepted, ""};
}

void LaneWorker::await_levels() {
  const bool power = std::any_of(waiting_.begin(), waiting_.end(), [](const Waiting& one) {
    return one.job.level == Level::kPowerSafe;
  });
  const auto slice = vain_slices_ < kVainSlicesMax ? kSlice : kLongSlice;
  const auto slice_end = std::chrono::steady_clock::now() + slice;
  const Status status =
      producer_.flush_until(slice_end, power ? Level::kPowerSafe : Level::kProcessSafe);
  if (status == Status::kTooLarge) {
    return fail_waiting(status,
                        "records were larger than the segments of the stream take, and were "
                        "passed over: raise segment_bytes");
  }
  if (status == Status::kSetAside || status == Status::kClosed) {
    fail_waiting(status, "the agent has set the lane aside");
    return producer_.close();
  }
  answer_reached();
}

void LaneWorker::answer_reached() {
  std::deque<Waiting> left;
  for (Waiting& one : waiting_) {
    if (producer_.reached_position(one.job.level) >= one.end) {
      answer(one.job, {Status::kOk, one.job.level, ""});
    } else {
      left.push_back(std::move(one));
    }
  }
  vain_slices_ = left.size() == waiting_.size() ? vain_slices_ + 1 : 0;
  waiting_ = std::move(left);
}

void LaneWorker::fail_waiting(Status status, const std::string& detail) {
  for (const Waiting& one : waiting_) answer(one.job, {status, Level::kAccepted, detail});
  waiting_.clear();
}

void LaneWorker::answer(const Job& job, Outcome outcome) {
  post_([done = job.done, outcome = std::move(outcome)] { done(outcome); });
}

}  // namespace spillway::agent::api
