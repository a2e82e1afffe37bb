// The codec alone: what goes in comes out, and what did not go in does not. Under the sanitizers
// these tests are the proof that hostile bytes lead nowhere but to a Result.
#include <algorithm>
#include <random>

#include "codec_helpers.h"
#include "core/codec/dictionary_plan.h"

namespace spillway::core {
namespace {

using testing::compress_block;
using testing::CompressedBlock;
using testing::sensor_frames;
using testing::train_dictionary;
using testing::value_of;

constexpr std::uint32_t kRecords = 12;

Result<std::vector<std::byte>> decode(BlockDecoder& decoder, const CompressedBlock& block) {
  std::vector<std::byte> frames(block.header.raw_size());
  SPILLWAY_CHECKED(decoder.decode(block.header, block.stored, frames));
  return frames;
}

TEST(Codec, what_was_compressed_comes_out_with_and_without_a_dictionary) {
  const auto frames = sensor_frames(1000, kRecords);
  const auto dictionary = train_dictionary();
  const CompressedBlock plain = compress_block(frames, kRecords, nullptr);
  const CompressedBlock with = compress_block(frames, kRecords, dictionary.get());
  ASSERT_FALSE(plain.stored.empty());
  ASSERT_FALSE(with.stored.empty());
  EXPECT_LT(with.stored.size(), plain.stored.size());
  BlockDecoder decoder;
  value_of(decoder.learn(dictionary->bytes()));
  EXPECT_EQ(value_of(decode(decoder, plain)), frames);
  EXPECT_EQ(value_of(decode(decoder, with)), frames);
}

TEST(Codec, dictionary_is_what_makes_a_single_small_record_small) {
  const auto frames = sensor_frames(1000, 1);
  EXPECT_TRUE(compress_block(frames, 1, nullptr).stored.size() > frames.size() / 2 ||
              compress_block(frames, 1, nullptr).stored.empty());
  const auto dictionary = train_dictionary();
  const CompressedBlock block = compress_block(frames, 1, dictionary.get());
  ASSERT_FALSE(block.stored.empty());
  EXPECT_LT(block.stored.size(), frames.size() / 3);
}

std::vector<std::byte> noise_frame() {
  std::mt19937_64 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same bytes each time
  std::string noise(4000, ' ');
  for (char& c : noise) c = static_cast<char>(random());
  std::vector<std::byte> frames;
  testing::add_frame(frames, noise);
  return frames;
}

TEST(Codec, what_does_not_become_a_tenth_smaller_is_left_as_it_is) {
  EXPECT_TRUE(compress_block(noise_frame(), 1, nullptr).stored.empty());
}

TEST(Codec, run_that_did_not_become_smaller_leaves_nothing_of_its_dictionary_behind) {
  const auto frames = sensor_frames(1000, kRecords);
  Compressor compressor;
  auto before = train_dictionary(1);
  EXPECT_TRUE(compress_block(compressor, noise_frame(), 1, before.get()).stored.empty());
  before.reset();  // its bytes are gone
  const auto now = train_dictionary(2);
  BlockDecoder decoder;
  value_of(decoder.learn(now->bytes()));
  EXPECT_EQ(value_of(decode(decoder, compress_block(compressor, frames, kRecords, now.get()))),
            frames);
  EXPECT_TRUE(compress_block(compressor, noise_frame(), 1, now.get()).stored.empty());
  BlockDecoder knows_none;
  EXPECT_EQ(value_of(decode(knows_none, compress_block(compressor, frames, kRecords, nullptr))),
            frames);
}

TEST(Codec, unknown_dictionary_is_an_error_that_names_it_and_never_another_ones_bytes) {
  const auto one = train_dictionary(1);
  const auto other = train_dictionary(2);
  ASSERT_NE(one->bytes(), other->bytes());
  const CompressedBlock block = compress_block(sensor_frames(0, kRecords), kRecords, one.get());
  BlockDecoder decoder;
  value_of(decoder.learn(other->bytes()));
  const auto refused = decode(decoder, block);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message.find("dictionary"), std::string::npos);
  value_of(decoder.learn(one->bytes()));
  EXPECT_TRUE(decode(decoder, block));
  decoder.forget();
  EXPECT_FALSE(decode(decoder, block));
}

TEST(Codec, only_the_latest_dictionaries_are_kept_however_many_a_peer_sends) {
  BlockDecoder decoder;
  std::vector<std::shared_ptr<const Dictionary>> sent;
  for (std::uint64_t i = 0; i < kDictionariesMax + 1; ++i) {
    sent.push_back(train_dictionary(i));
    value_of(decoder.learn(sent.back()->bytes()));
    // Used again, it is the latest again.
    value_of(decoder.learn(sent[0]->bytes()));
  }
  const auto frames = sensor_frames(0, kRecords);
  EXPECT_TRUE(decode(decoder, compress_block(frames, kRecords, sent[0].get())));
  EXPECT_FALSE(decode(decoder, compress_block(frames, kRecords, sent[1].get())));
  EXPECT_TRUE(decode(decoder, compress_block(frames, kRecords, sent.back().get())));
}

TEST(Codec, block_whose_header_lies_about_size_or_count_is_refused) {
  const auto frames = sensor_frames(0, kRecords);
  BlockDecoder decoder;
  for (const int change : {-32, -1, 1, 32, 200'000}) {
    CompressedBlock block = compress_block(frames, kRecords, nullptr);
    block.header.mutate_raw_size(block.header.raw_size() + static_cast<std::uint32_t>(change));
    EXPECT_FALSE(decode(decoder, block)) << change;
  }
  CompressedBlock block = compress_block(frames, kRecords, nullptr);
  block.header.mutate_count(kRecords - 1);
  EXPECT_FALSE(decode(decoder, block));
}

/// 100 bytes that decode to 256 KiB, and 16 that claim to: both cost the room that the header asked
/// for and no byte more.
TEST(Codec, bomb_decodes_to_what_its_header_admits_or_not_at_all) {
  const std::vector<std::byte> zeros(kDecodedBytesMax);
  const CompressedBlock bomb = compress_block(zeros, 1, nullptr);
  ASSERT_LT(bomb.stored.size(), 200U);
  BlockDecoder decoder;
  EXPECT_FALSE(decode(decoder, bomb)) << "zeros are no frames";
  CompressedBlock liar = bomb;
  liar.header.mutate_raw_size(64);
  EXPECT_FALSE(decode(decoder, liar));
}

TEST(Codec, second_frame_behind_the_first_is_refused) {
  BlockDecoder decoder;
  const CompressedBlock first = compress_block(sensor_frames(0, kRecords), kRecords, nullptr);
  CompressedBlock both = first;
  both.stored.insert(both.stored.end(), first.stored.begin(), first.stored.end());
  EXPECT_FALSE(decode(decoder, both));
  // What zstd skips silently.
  const std::uint32_t skippable[2] = {0x184D2A50, 0};
  CompressedBlock tailed = first;
  const auto* bytes = reinterpret_cast<const std::byte*>(skippable);
  tailed.stored.insert(tailed.stored.end(), bytes, bytes + sizeof skippable);
  EXPECT_FALSE(decode(decoder, tailed));
}

TEST(Codec, every_truncation_and_every_flipped_bit_is_refused_or_still_whole_frames) {
  const auto dictionary = train_dictionary();
  const auto frames = sensor_frames(0, kRecords);
  const CompressedBlock block = compress_block(frames, kRecords, dictionary.get());
  BlockDecoder decoder;
  value_of(decoder.learn(dictionary->bytes()));
  for (std::size_t size = 0; size < block.stored.size(); ++size) {
    CompressedBlock cut = block;
    cut.stored.resize(size);
    EXPECT_FALSE(decode(decoder, cut)) << size;
  }
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < block.stored.size() * 8; ++bit) {
    CompressedBlock flipped = block;
    flipped.stored[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    const auto out = decode(decoder, flipped);
    if (!out) {
      ++refused;
      continue;
    }
    // The block's checksum is what finds this one; here it must only be well-formed.
    EXPECT_EQ(value_of(count_frames(*out)), kRecords);
  }
  EXPECT_GT(refused, block.stored.size());
}

TEST(Codec, random_bytes_are_refused_and_do_no_harm) {
  std::mt19937_64 random(2);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same bytes each time
  const auto dictionary = train_dictionary();
  BlockDecoder decoder;
  value_of(decoder.learn(dictionary->bytes()));
  const CompressedBlock good =
      compress_block(sensor_frames(0, kRecords), kRecords, dictionary.get());
  for (int round = 0; round < 20'000; ++round) {
    CompressedBlock block = good;
    // Half keep the frame's head, so that zstd gets further in.
    const std::size_t from = round % 2 == 0 ? 0 : 8 + random() % 8;
    for (std::size_t i = from; i < block.stored.size(); ++i) {
      block.stored[i] = static_cast<std::byte>(random());
    }
    const auto out = decode(decoder, block);
    if (out) {
      EXPECT_EQ(value_of(count_frames(*out)), kRecords);
    }
  }
}

TEST(Codec, broken_dictionary_is_refused) {
  const auto good = train_dictionary();
  BlockDecoder decoder;
  EXPECT_FALSE(decoder.learn({}));
  std::size_t refused = 0;
  for (std::size_t at = 0; at < 300; ++at) {
    auto bytes = good->bytes();
    bytes[at] ^= std::byte{0x55};
    const auto learned = decoder.learn(bytes);
    EXPECT_FALSE(learned) << at;
    refused += learned ? 0 : 1;
  }
  EXPECT_EQ(refused, 300U);
  // With an id that fits: now it is zstd that has to cope with the tables.
  for (std::size_t at = 8; at < 300; ++at) {
    auto bytes = good->bytes();
    bytes[at] ^= std::byte{0x55};
    const std::uint32_t id = dictionary_id(std::span(bytes).subspan(8));
    std::memcpy(bytes.data() + 4, &id, sizeof id);
    if (decoder.learn(bytes)) static_cast<void>(Dictionary::make(bytes));
  }
}

TEST(DictionaryPlan,
     dictionary_is_trained_once_there_are_samples_and_again_when_it_no_longer_fits) {
  DictionaryPlan plan(2048);
  const auto frames = sensor_frames(0, 40);
  EXPECT_EQ(plan.order(), nullptr);
  std::shared_ptr<Training> training;
  for (int i = 0; i < 1000 && training == nullptr; ++i) {
    plan.note(frames, frames.size());
    training = plan.order();
  }
  ASSERT_NE(training, nullptr);
  EXPECT_EQ(plan.order(), nullptr) << "one at a time";
  value_of(training->run());
  ASSERT_NE(training->dictionary, nullptr);
  plan.finish(true);
  const auto note_all = [&](std::uint64_t bytes, std::size_t part) {
    for (std::uint64_t done = 0; done < bytes; done += frames.size()) {
      plan.note(frames, frames.size() / part);
    }
  };
  note_all(3 * DictionaryPlan::kJudgedBytes, 8);
  note_all(3 * DictionaryPlan::kJudgedBytes, 7);
  EXPECT_EQ(plan.order(), nullptr) << "it still fits";
  note_all(3 * DictionaryPlan::kJudgedBytes, 3);
  EXPECT_NE(plan.order(), nullptr) << "blocks have become more than half as large again";
}

TEST(DictionaryPlan, after_a_training_that_failed_there_is_rest) {
  DictionaryPlan plan(2048);
  const auto frames = sensor_frames(0, 40);
  while (plan.order() == nullptr) plan.note(frames, frames.size());
  plan.finish(false);
  for (std::uint64_t done = 0; done < DictionaryPlan::kRestBytes / 2; done += frames.size()) {
    plan.note(frames, frames.size());
  }
  EXPECT_EQ(plan.order(), nullptr);
  for (std::uint64_t done = 0; done < DictionaryPlan::kRestBytes; done += frames.size()) {
    plan.note(frames, frames.size());
  }
  EXPECT_NE(plan.order(), nullptr);
}

TEST(Training, samples_with_nothing_in_common_give_an_error_and_no_dictionary) {
  Training training;
  training.dictionary_bytes = 1024;
  training.samples.resize(64);
  training.sizes = {64};
  EXPECT_FALSE(training.run());
  EXPECT_EQ(training.dictionary, nullptr);
}

}  // namespace
}  // namespace spillway::core
