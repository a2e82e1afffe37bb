// kafka_bare BROKERS TOPIC RECORDS BYTES [TRANSACTION_RECORDS [TRANSACTIONAL_ID]]: what librdkafka does alone: a
// loop that produces messages with the sink's settings and headers of the same size, and nothing else around it.
//
// With TRANSACTION_RECORDS in transactions of so many, otherwise idempotent. Prints the records a second,
// from the first to the last acknowledgement.
#include <librdkafka/rdkafka.h>

#include <array>
#include <chrono>
#include <string_view>

#include "bench/engines/bare.h"

namespace {

constexpr int kTransactionMs = 30'000;

using namespace spillway::bench;

[[noreturn]] void die(const char* what, const char* why) {
  give_up(std::string(what) + ": " + why);
}

void check(rd_kafka_error_t* error, const char* what) {
  if (error != nullptr) die(what, rd_kafka_error_string(error));
}

void set(rd_kafka_conf_t* conf, const char* key, const char* value) {
  std::array<char, 512> reason{};
  if (rd_kafka_conf_set(conf, key, value, reason.data(), reason.size()) != RD_KAFKA_CONF_OK) {
    die(key, reason.data());
  }
}

/// `transactional_id`: null for none.
rd_kafka_t* open_producer(const char* brokers, const char* transactional_id) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "enable.idempotence", "true");
  set(conf, "acks", "all");
  set(conf, "partitioner", "murmur2_random");
  set(conf, "linger.ms", "5");
  set(conf, "queue.buffering.max.messages", "200000");
  set(conf, "queue.buffering.max.kbytes", "32768");
  set(conf, "delivery.report.only.error", "true");
  if (transactional_id != nullptr) set(conf, "transactional.id", transactional_id);
  std::array<char, 512> reason{};
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason.data(), reason.size());
  if (producer == nullptr) die("producer", reason.data());
  if (transactional_id != nullptr) {
    check(rd_kafka_init_transactions(producer, kTransactionMs), "init_transactions");
  }
  return producer;
}

rd_kafka_headers_t* make_headers(std::uint64_t record) {
  rd_kafka_headers_t* made = rd_kafka_headers_new(16);
  for (const auto& [name, value] : headers_of(record)) {
    rd_kafka_header_add(made, name, -1, value.data(), static_cast<ssize_t>(value.size()));
  }
  constexpr std::string_view kBytes = "application/octet-stream";
  rd_kafka_header_add(made, "content-type", -1, kBytes.data(), kBytes.size());
  return made;
}

void produce(rd_kafka_t* producer, rd_kafka_topic_t* topic, std::string& payload, long record) {
  std::string key = "site/pump/bench/" + std::to_string(record % 4);
  std::array<rd_kafka_vu_t, 5> parts{};
  parts[0].vtype = RD_KAFKA_VTYPE_RKT;
  parts[0].u.rkt = topic;
  parts[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  parts[1].u.i = RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK;
  parts[2].vtype = RD_KAFKA_VTYPE_KEY;
  parts[2].u.mem.ptr = key.data();
  parts[2].u.mem.size = key.size();
  parts[3].vtype = RD_KAFKA_VTYPE_VALUE;
  parts[3].u.mem.ptr = payload.data();
  parts[3].u.mem.size = payload.size();
  parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
  parts[4].u.headers = make_headers(static_cast<std::uint64_t>(record));
  check(rd_kafka_produceva(producer, parts.data(), parts.size()), "produce");
}

}  // namespace

int main(int count, char** words) {
  if (count < 5) {
    die("usage", "kafka_bare BROKERS TOPIC RECORDS BYTES [TRANSACTION_RECORDS [TRANSACTIONAL_ID]]");
  }
  const long records = std::atol(words[3]);
  const long transaction = count > 5 ? std::atol(words[5]) : 0;
  std::string payload(static_cast<std::size_t>(std::atol(words[4])), 'x');
  const char* transactional_id = count > 6 ? words[6] : "kafka-bare";
  rd_kafka_t* producer = open_producer(words[1], transaction != 0 ? transactional_id : nullptr);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(producer, words[2], nullptr);
  const rd_kafka_metadata_t* metadata = nullptr;  // so that finding the brokers is not measured
  if (rd_kafka_metadata(producer, 0, topic, &metadata, kTransactionMs) !=
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    die("metadata", "no broker answers");
  }
  rd_kafka_metadata_destroy(metadata);
  const auto begin = std::chrono::steady_clock::now();
  for (long record = 0; record < records; ++record) {
    if (transaction != 0 && record % transaction == 0) {
      if (record != 0) check(rd_kafka_commit_transaction(producer, -1), "commit");
      check(rd_kafka_begin_transaction(producer), "begin");
    }
    produce(producer, topic, payload, record);
    if (record % 256 == 0) rd_kafka_poll(producer, 0);
  }
  if (transaction != 0) check(rd_kafka_commit_transaction(producer, -1), "commit");
  while (rd_kafka_outq_len(producer) > 0) rd_kafka_flush(producer, 100);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%.0f\n", static_cast<double>(records) / took.count());
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(producer);
  return 0;
}
