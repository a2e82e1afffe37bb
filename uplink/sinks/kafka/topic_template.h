// The topic of a record's message in Kafka, from a template such as "site.{gateway}.{topic}".
#pragma once

#include <string>
#include <string_view>

namespace spillway::uplink::kafka {

/// What Kafka takes as the name of a topic.
constexpr std::size_t kTopicBytesMax = 249;

/// What {topic} is for what belongs to no record's topic: clocks, schemas, gaps, the positions.
inline constexpr std::string_view kNoTopic = "spillway";

/// Fills in {gateway}, {stream} and {topic}. What Kafka takes in no name becomes a dot where it is a
/// slash, else an underscore; what is too long is cut.
[[nodiscard]] std::string expand_topic(std::string_view text, std::string_view gateway,
                                       std::string_view stream, std::string_view topic);
/// Nothing in it differs from record to record.
[[nodiscard]] inline bool is_plain(std::string_view text) {
  return text.find('{') == std::string_view::npos;
}
/// The records' own topics are in the names: nobody knows all names beforehand.
[[nodiscard]] inline bool follows_topics(std::string_view text) {
  return text.find("{topic}") != std::string_view::npos;
}

}  // namespace spillway::uplink::kafka
