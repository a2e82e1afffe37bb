// Enqueue allocates nothing after open: every allocation of this program is counted.
#include <atomic>
#include <cstdlib>

#include "spillway/flatbuffers.h"
#include "spillway/record_template.h"
#include "tests/shm/queue_fixture.h"

namespace {
std::atomic<std::uint64_t> allocations{0};
}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// glibc's own entry, so that malloc itself, which operator new calls, can be counted.
extern "C" void* __libc_malloc(std::size_t size);  // NOLINT(bugprone-reserved-identifier)
extern "C" void* malloc(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
#define SPILLWAY_COUNTS_ALLOCATIONS 1
#endif

namespace spillway::tests {
namespace {

TEST(Allocation, NoneAfterOpenWhateverTheOutcome) {
#if !defined(SPILLWAY_COUNTS_ALLOCATIONS)
  GTEST_SKIP() << "a sanitizer has taken malloc's place";
#endif
  TempQueue queue;
  queue.open();
  const std::uint64_t at_begin = allocations;
  free(malloc(100));
  ASSERT_GT(allocations, at_begin) << "the counter counts nothing";
  Producer producer;
  ASSERT_EQ(producer.open(queue.path().c_str(), "a"), Status::kOk);
  auto reader = queue.attach_only_lane();
  const std::vector<std::byte> record = make_record(1, 64);
  const RecordTemplate sample(record);
  const std::vector<std::span<const std::byte>> batch(3, record);
  RecordBuilder built(producer, 64);
  std::uint64_t refused = 0;
  const std::uint64_t before = allocations;
  for (int i = 0; i < 100'000; ++i) {
    refused += producer.put(record) == Status::kOk ? 0U : 1U;
    refused += sample.put(producer, Patch{8, i}) == Status::kOk ? 0U : 1U;
    const Claim claim = producer.claim(64);
    refused += claim && producer.commit(claim, 32) == Status::kOk ? 0U : 1U;
    refused += producer.put_many(batch).status == Status::kOk ? 0U : 1U;
    if (auto* builder = built.begin()) {
      const auto table = builder->StartTable();
      builder->AddElement<double>(4, 21.5, 0);
      builder->Finish(flatbuffers::Offset<flatbuffers::Table>(builder->EndTable(table)));
      refused += built.commit() == Status::kOk ? 0U : 1U;
    }
    if (i % 600 == 0) {
      const shm::Walk walk = reader->walk(1U << 20);
      reader->consume(walk.lane_end);
    }
  }
  EXPECT_EQ(allocations, before);
  EXPECT_GT(refused, 0U) << "a full lane should have been met, too";
  (void)producer.flush_until(in(1ms), Level::kPowerSafe);
  (void)producer.claim_until(64, in(1ms));
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace spillway::tests
