#include "spillway/core/record_json.h"

#include <flatbuffers/reflection_generated.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "core/schema/json_text.h"
#include "core/schema/record_view.h"
#include "spillway/core/schema.h"

namespace spillway::core {

namespace {

using reflection::BaseType;

/// Fields in the order of their ids, which is the order in the schema's text.
using FieldOrder =
    std::unordered_map<const reflection::Object*, std::vector<const reflection::Field*>>;

/// Shared strings cannot make a small record print gigabytes.
constexpr std::size_t kTextBytesMax = 64U << 20;

/// 0: not a scalar.
std::uint64_t scalar_bytes(BaseType type) {
  switch (type) {
    case reflection::UType:
    case reflection::Bool:
    case reflection::Byte:
    case reflection::UByte:
      return 1;
    case reflection::Short:
    case reflection::UShort:
      return 2;
    case reflection::Int:
    case reflection::UInt:
    case reflection::Float:
      return 4;
    case reflection::Long:
    case reflection::ULong:
    case reflection::Double:
      return 8;
    default:
      return 0;
  }
}

/// One record's way through the schema. Each call that prints says whether the bytes were sound.
class Walk {
 public:
  Walk(const reflection::Schema& schema, FieldOrder& orders, std::span<const std::byte> record,
       std::size_t values_max)
      : schema_(schema), orders_(orders), record_(record), values_max_(values_max) {}

  [[nodiscard]] bool root() {
    const auto at = record_.follow(0);
    return at && table(*schema_.root_table(), *at);
  }
  [[nodiscard]] std::string take() { return text_.take(); }

 private:
  class Nested {
   public:
    explicit Nested(int& depth) : depth_(depth) { ++depth_; }
    ~Nested() { --depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    int& depth_;
  };

  [[nodiscard]] bool may_go_on() {
    return depth_ <= RecordJson::kDepthMax && ++values_ <= values_max_ &&
           text_.size() <= kTextBytesMax;
  }
  template <typename Entry>
  [[nodiscard]] static const Entry* pick(const flatbuffers::Vector<flatbuffers::Offset<Entry>>& all,
                                         std::int32_t index) {
    const bool there = index >= 0 && static_cast<std::uint32_t>(index) < all.size();
    return there ? all.Get(static_cast<flatbuffers::uoffset_t>(index)) : nullptr;
  }
  [[nodiscard]] const reflection::Object* object_of(std::int32_t index) const {
    return pick(*schema_.objects(), index);
  }
  [[nodiscard]] const reflection::Enum* enum_of(std::int32_t index) const {
    return pick(*schema_.enums(), index);
  }
  [[nodiscard]] const std::vector<const reflection::Field*>& fields_of(
      const reflection::Object& object);

  [[nodiscard]] bool table(const reflection::Object& object, std::uint64_t at);
  [[nodiscard]] bool table_field(const reflection::Field& field, const TableView& table,
                                 bool& first);
  [[nodiscard]] bool structure(const reflection::Object& object, std::uint64_t at);
  [[nodiscard]] bool object_at(const reflection::Object& object, std::uint64_t at);
  [[nodiscard]] bool field_value(const reflection::Field& field, const TableView& table,
                                 std::uint64_t at);
  [[nodiscard]] bool array(const reflection::Type& type, std::uint64_t at);
  [[nodiscard]] bool vector(const reflection::Type& type, std::uint64_t at,
                            std::optional<std::uint64_t> types_at);
  [[nodiscard]] bool inline_elements(const reflection::Type& type, const VectorView& elements,
                                     std::uint64_t step);
  [[nodiscard]] bool offset_elements(const reflection::Type& type, const VectorView& elements,
                                     std::optional<std::uint64_t> types_at);
  [[nodiscard]] bool union_value(std::int32_t enum_index, std::uint8_t kind, std::uint64_t at);
  [[nodiscard]] bool string(std::uint64_t at);
  [[nodiscard]] bool scalar(BaseType type, std::int32_t enum_index, std::uint64_t at);
  [[nodiscard]] bool standing_default(const reflection::Field& field);
  [[nodiscard]] bool number(BaseType type, std::int32_t enum_index, std::int64_t value);
  [[nodiscard]] bool name(std::string_view text, bool& first);

  const reflection::Schema& schema_;
  FieldOrder& orders_;
  RecordView record_;
  JsonText text_;
  int depth_ = 0;
  std::size_t values_ = 0;
  std::size_t values_max_;
};

std::string_view view_of(const flatbuffers::String& text) { return {text.c_str(), text.size()}; }

const std::vector<const reflection::Field*>& Walk::fields_of(const reflection::Object& object) {
  auto& fields = orders_[&object];
  if (fields.empty()) {
    fields.assign(object.fields()->begin(), object.fields()->end());
    std::sort(fields.begin(), fields.end(),
              [](const auto* a, const auto* b) { return a->id() < b->id(); });
  }
  return fields;
}

bool Walk::name(std::string_view text, bool& first) {
  if (!std::exchange(first, false)) text_.raw(",");
  if (!text_.string(text)) return false;
  text_.raw(":");
  return true;
}

bool Walk::table(const reflection::Object& object, std::uint64_t at) {
  const Nested nested(depth_);
  const auto view = record_.table(at);
  if (!may_go_on() || !view) return false;
  text_.raw("{");
  bool first = true;
  for (const auto* field : fields_of(object)) {
    if (!may_go_on() || !table_field(*field, *view, first)) return false;
  }
  text_.raw("}");
  return true;
}

bool Walk::table_field(const reflection::Field& field, const TableView& table, bool& first) {
  const std::uint64_t at = record_.field(table, field.offset());
  if (at != 0) {
    return name(view_of(*field.name()), first) && field_value(field, table, at);
  }
  const bool shown =
      scalar_bytes(field.type()->base_type()) != 0 && !field.optional() && !field.deprecated();
  return !shown || (name(view_of(*field.name()), first) && standing_default(field));
}

bool Walk::field_value(const reflection::Field& field, const TableView& table, std::uint64_t at) {
  const reflection::Type& type = *field.type();
  // A union's type is the field before it; a vector of unions has a vector of types there.
  const auto before = static_cast<std::uint16_t>(field.offset() - sizeof(std::uint16_t));
  switch (type.base_type()) {
    case reflection::String: {
      const auto target = record_.follow(at);
      return target && string(*target);
    }
    case reflection::Obj: {
      const auto* object = object_of(type.index());
      return object != nullptr && object_at(*object, at);
    }
    case reflection::Vector: {
      const auto target = record_.follow(at);
      const std::uint64_t types = record_.field(table, before);
      return target && vector(type, *target, types == 0 ? std::nullopt : record_.follow(types));
    }
    case reflection::Union: {
      const std::uint64_t kind_at = record_.field(table, before);
      const auto kind = record_.read<std::uint8_t>(kind_at);
      return kind_at != 0 && kind && union_value(type.index(), *kind, at);
    }
    default:
      return scalar(type.base_type(), type.index(), at);
  }
}

/// A struct that begins at `at`, or the table to which the offset there points.
bool Walk::object_at(const reflection::Object& object, std::uint64_t at) {
  if (object.is_struct()) return structure(object, at);
  const auto target = record_.follow(at);
  return target && table(object, *target);
}

bool Walk::structure(const reflection::Object& object, std::uint64_t at) {
  const Nested nested(depth_);
  if (!may_go_on()) return false;
  text_.raw("{");
  bool first = true;
  for (const auto* field : fields_of(object)) {
    if (!may_go_on() || !name(view_of(*field->name()), first)) return false;
    const reflection::Type& type = *field->type();
    const std::uint64_t place = at + field->offset();
    bool sound = false;
    if (type.base_type() == reflection::Array) {
      sound = array(type, place);
    } else if (type.base_type() == reflection::Obj) {
      const auto* inner = object_of(type.index());
      sound = inner != nullptr && inner->is_struct() && structure(*inner, place);
    } else {
      sound = scalar(type.base_type(), type.index(), place);
    }
    if (!sound) return false;
  }
  text_.raw("}");
  return true;
}

bool Walk::array(const reflection::Type& type, std::uint64_t at) {
  std::uint64_t step = scalar_bytes(type.element());
  if (type.element() == reflection::Obj) {
    const auto* object = object_of(type.index());
    if (object == nullptr || !object->is_struct() || object->bytesize() <= 0) return false;
    step = static_cast<std::uint64_t>(object->bytesize());
  }
  return step != 0 && inline_elements(type, {at, type.fixed_length()}, step);
}

bool Walk::vector(const reflection::Type& type, std::uint64_t at,
                  std::optional<std::uint64_t> types_at) {
  const auto* object = type.element() == reflection::Obj ? object_of(type.index()) : nullptr;
  if (type.element() == reflection::Obj && object == nullptr) return false;
  std::uint64_t step = scalar_bytes(type.element());
  if (object != nullptr && object->is_struct() && object->bytesize() > 0) {
    step = static_cast<std::uint64_t>(object->bytesize());
  }
  const bool stands_inline = step != 0;
  const auto elements = record_.vector(at, stands_inline ? step : sizeof(std::uint32_t));
  if (!elements) return false;
  if (stands_inline) return inline_elements(type, *elements, step);
  return offset_elements(type, *elements, types_at);
}

bool Walk::inline_elements(const reflection::Type& type, const VectorView& elements,
                           std::uint64_t step) {
  const Nested nested(depth_);
  text_.raw("[");
  for (std::uint64_t i = 0; i < elements.count; ++i) {
    if (i != 0) text_.raw(",");
    const std::uint64_t at = elements.at + i * step;
    const bool sound = may_go_on() && (type.element() == reflection::Obj
                                           ? structure(*object_of(type.index()), at)
                                           : scalar(type.element(), type.index(), at));
    if (!sound) return false;
  }
  text_.raw("]");
  return true;
}

bool Walk::offset_elements(const reflection::Type& type, const VectorView& elements,
                           std::optional<std::uint64_t> types_at) {
  const Nested nested(depth_);
  std::optional<VectorView> types;
  if (type.element() == reflection::Union) {
    types = types_at ? record_.vector(*types_at, 1) : std::nullopt;
    if (!types || types->count != elements.count) return false;
  }
  text_.raw("[");
  for (std::uint64_t i = 0; i < elements.count; ++i) {
    if (i != 0) text_.raw(",");
    const std::uint64_t at = elements.at + i * sizeof(std::uint32_t);
    if (!may_go_on()) return false;
    bool sound = false;
    if (types) {
      sound = union_value(type.index(), *record_.read<std::uint8_t>(types->at + i), at);
    } else if (const auto target = record_.follow(at)) {
      if (type.element() == reflection::String) sound = string(*target);
      if (type.element() == reflection::Obj) sound = table(*object_of(type.index()), *target);
    }
    if (!sound) return false;
  }
  text_.raw("]");
  return true;
}

bool Walk::union_value(std::int32_t enum_index, std::uint8_t kind, std::uint64_t at) {
  const auto* kinds = enum_of(enum_index);
  if (kinds == nullptr) return false;
  const auto* found = kinds->values()->LookupByKey(kind);
  if (found == nullptr || found->union_type() == nullptr) return false;
  const auto target = record_.follow(at);
  if (!target) return false;
  const reflection::Type& type = *found->union_type();
  if (type.base_type() == reflection::String) return string(*target);
  const auto* object = type.base_type() == reflection::Obj ? object_of(type.index()) : nullptr;
  if (object == nullptr) return false;
  return object->is_struct() ? structure(*object, *target) : table(*object, *target);
}

bool Walk::string(std::uint64_t at) {
  const auto text = record_.text(at);
  return text && text_.string(*text);
}

bool Walk::scalar(BaseType type, std::int32_t enum_index, std::uint64_t at) {
  const auto as_number = [&](const auto& value) {
    return value && number(type, enum_index, static_cast<std::int64_t>(*value));
  };
  switch (type) {
    case reflection::UType:
    case reflection::Bool:
    case reflection::UByte:
      return as_number(record_.read<std::uint8_t>(at));
    case reflection::Byte:
      return as_number(record_.read<std::int8_t>(at));
    case reflection::Short:
      return as_number(record_.read<std::int16_t>(at));
    case reflection::UShort:
      return as_number(record_.read<std::uint16_t>(at));
    case reflection::Int:
      return as_number(record_.read<std::int32_t>(at));
    case reflection::UInt:
      return as_number(record_.read<std::uint32_t>(at));
    case reflection::Long:
    case reflection::ULong:
      return as_number(record_.read<std::int64_t>(at));
    case reflection::Float: {
      const auto value = record_.read<float>(at);
      if (value) text_.real(*value);
      return value.has_value();
    }
    case reflection::Double: {
      const auto value = record_.read<double>(at);
      if (value) text_.real(*value);
      return value.has_value();
    }
    default:
      return false;
  }
}

bool Walk::standing_default(const reflection::Field& field) {
  const BaseType type = field.type()->base_type();
  if (type == reflection::Float) {
    text_.real(static_cast<float>(field.default_real()));
  } else if (type == reflection::Double) {
    text_.real(field.default_real());
  } else {
    return number(type, field.type()->index(), field.default_integer());
  }
  return true;
}

/// An integer, as its enum's word where it has one.
bool Walk::number(BaseType type, std::int32_t enum_index, std::int64_t value) {
  if (const auto* words = enum_of(enum_index)) {
    if (const auto* word = words->values()->LookupByKey(value)) {
      return text_.string(view_of(*word->name()));
    }
  }
  if (type == reflection::Bool) {
    text_.raw(value != 0 ? "true" : "false");
  } else if (type == reflection::ULong) {
    text_.natural(static_cast<std::uint64_t>(value));
  } else {
    text_.integer(value);
  }
  return true;
}

class SchemaRecordJson final : public RecordJson {
 public:
  explicit SchemaRecordJson(std::span<const std::byte> bfbs) : bfbs_((bfbs.size() + 7) / 8) {
    std::memcpy(bfbs_.data(), bfbs.data(), bfbs.size());
  }

  std::optional<std::string> print(std::span<const std::byte> record,
                                   std::size_t values_max) override {
    Walk walk(*reflection::GetSchema(bfbs_.data()), orders_, record,
              std::min(values_max, kValuesMax));
    if (!walk.root()) return std::nullopt;
    return walk.take();
  }

 private:
  std::vector<std::uint64_t> bfbs_;  // read in place, and aligned
  FieldOrder orders_;
};

}  // namespace

std::unique_ptr<RecordJson> RecordJson::make(std::span<const std::byte> bfbs,
                                             std::size_t size_max) {
  if (!check_schema(bfbs, size_max)) return nullptr;
  return std::make_unique<SchemaRecordJson>(bfbs);
}

}  // namespace spillway::core
