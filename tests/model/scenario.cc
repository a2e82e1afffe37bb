#include "tests/model/scenario.h"

namespace spillway::model {

namespace {

constexpr unsigned kAllBytes = 1U << 20;

}  // namespace

// A frame is 16 bytes of header and the record, rounded up to 16: a record of 16 bytes makes one of
// 32, of 20 one of 48, of 5 one of 32.
const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all = {
      {"Straight", 256, kAllBytes, {put(16), put(20), put(5)}},
      {"WrapWithPadding", 128, kAllBytes, {put(20), put(20), put(20), put(16), put(20)}},
      {"EndsExactlyAtTheRingsEnd", 128, kAllBytes, {put(16), put(16), put(16), put(16), put(20)}},
      {"ExactlyFullThenRoomAgain", 128, kAllBytes, {put(20), put(16), put(16), put(16), put(20)}},
      {"CommitsShorterThanTheClaim",
       128,
       kAllBytes,
       {put_short(32, 5), put_short(32, 16), put_short(32, 1), put_short(32, 16), put(16)}},
      {"AbandonsClaims",
       128,
       kAllBytes,
       {abandon(32), put(16), abandon(32), put(20), abandon(32), put(16), abandon(32), put(20)}},
      {"BatchWraps", 128, kAllBytes, {put(20), batch({16, 20}), batch({20, 16}), put(16)}},
      {"AbandonsBatches",
       128,
       kAllBytes,
       {abandon_batch(16), put(16), put(20), abandon_batch(16), batch({16, 20}), abandon_batch(1)}},
      {"BatchPadsInItsMiddle", 256, kAllBytes, {batch({32, 32, 32, 32}), batch({32, 16})}},
      {"BatchWaitsForWhatItsPaddingNeeds",
       128,
       kAllBytes,
       {put(16), put(16), put(16), batch({20, 16}), put(20)}},
      {"WalksAreBounded", 256, 64, {put(16), batch({16, 20, 16}), put(20), put(32)}},
      {"OldBytesInTheRing", 128, kAllBytes, {put(16), put_short(32, 20), put(16), put(20)}, true},
      {"OldBytesUnderABatch", 256, kAllBytes, {batch({16, 20}), abandon(32), batch({32, 5})}, true},
      {"OldBytesUnderABatchsPadding",
       256,
       kAllBytes,
       {batch({32, 32, 32, 32}), batch({32, 16})},
       true},
  };
  return all;
}

const std::vector<Deaths>& deaths() {
  static const std::vector<Deaths> all = {
      {"NobodyDies", 0, 0}, {"ProducerDies", 1, 0}, {"AgentDiesTwice", 0, 2}, {"BothDie", 1, 2}};
  return all;
}

}  // namespace spillway::model
