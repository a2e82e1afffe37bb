#include "core/codec/dictionary_plan.h"

#include <algorithm>
#include <utility>

#include "spillway/core/format.h"

namespace spillway::core {

namespace {

constexpr double kWorseShare = 1.5;
/// Of one run no more becomes samples, so that one lane's burst is not all that is learned from.
constexpr std::size_t kSampleBytesPerRun = 4096;

}  // namespace

void DictionaryPlan::adopt() {
  state_ = State::kUsing;
  best_share_ = 1;
  raw_bytes_ = 0;
  stored_bytes_ = 0;
}

void DictionaryPlan::note(std::span<const std::byte> frames, std::size_t stored_bytes) {
  if (state_ == State::kCollecting) return collect(frames);
  if (state_ == State::kUnderWay) return;
  raw_bytes_ += frames.size();
  stored_bytes_ += stored_bytes;
  if (state_ == State::kResting && raw_bytes_ >= kRestBytes) state_ = State::kCollecting;
  if (state_ == State::kUsing && raw_bytes_ >= kJudgedBytes) judge();
}

/// Frame by frame: what a dictionary is for is the beginning of a block.
void DictionaryPlan::collect(std::span<const std::byte> frames) {
  if (training_ == nullptr) {
    training_ = std::make_shared<Training>();
    training_->samples.reserve(kSampleBytes + kSampleBytesPerRun);
    training_->sizes.reserve(kSamplesMax);
    training_->dictionary_bytes = dictionary_bytes_;
  }
  auto& samples = training_->samples;
  auto& sizes = training_->sizes;
  FrameCursor cursor(frames);
  FrameView frame;
  std::size_t taken = 0;
  while (sizes.size() < kSamplesMax && samples.size() < kSampleBytes && cursor.next(frame)) {
    const std::size_t size = static_cast<std::size_t>(frame_bytes(frame.record.size()));
    const std::byte* const begin = frame.record.data() - kFrameHeaderBytes;
    const std::size_t part = std::min(size, kSampleBytesPerRun - taken);
    samples.insert(samples.end(), begin, begin + part);
    sizes.push_back(part);
    taken += part;
    if (taken == kSampleBytesPerRun) break;
  }
}

void DictionaryPlan::judge() {
  const double share = static_cast<double>(stored_bytes_) / static_cast<double>(raw_bytes_);
  best_share_ = std::min(best_share_, share);
  if (share > best_share_ * kWorseShare) state_ = State::kCollecting;
  raw_bytes_ = 0;
  stored_bytes_ = 0;
}

std::shared_ptr<Training> DictionaryPlan::order() {
  if (state_ != State::kCollecting || training_ == nullptr) return nullptr;
  const bool enough =
      training_->samples.size() >= kSampleBytes || training_->sizes.size() >= kSamplesMax;
  if (!enough) return nullptr;
  state_ = State::kUnderWay;
  return std::exchange(training_, nullptr);
}

void DictionaryPlan::finish(bool adopted) {
  raw_bytes_ = 0;
  stored_bytes_ = 0;
  if (adopted) {
    adopt();
  } else {
    state_ = State::kResting;
  }
}

}  // namespace spillway::core
