// What flatbuffers' reader of binary schemas takes for granted, checked: it uses indexes, ids and
// offsets as they stand.
#include <flatbuffers/reflection.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "edge-agent/ingest/api/topic_schema.h"
#include "spillway/core/schema.h"

namespace spillway::agent::api {
namespace {

using reflection::BaseType;
using Objects = flatbuffers::Vector<flatbuffers::Offset<reflection::Object>>;
using Enums = flatbuffers::Vector<flatbuffers::Offset<reflection::Enum>>;

/// A fixed-size struct of more is no record's part, and its size must not run over.
constexpr std::int64_t kStructBytesMax = 64 * 1024;
constexpr std::int64_t kAlignMax = 16;
constexpr std::uint32_t kFieldsMax = 4096;
constexpr int kStructDepthMax = 32;

tl::unexpected<core::Error> broken(const std::string& what) {
  return core::fail(core::ErrorCode::kCorrupt, what);
}

bool is_integer(BaseType type) { return type >= BaseType::UType && type <= BaseType::ULong; }
bool is_scalar(BaseType type) { return type >= BaseType::UType && type <= BaseType::Double; }

/// core::check_schema leaves out the type that an enum stands on. Read as the number that stands there:
/// as an enum, one that it does not have is undefined behaviour.
bool has_known_base(const reflection::Type& type) {
  const auto& table = *reinterpret_cast<const flatbuffers::Table*>(&type);
  const auto base = table.GetField<std::int8_t>(reflection::Type::VT_BASE_TYPE, 0);
  return base >= 0 && base < BaseType::MaxBaseType;
}

class Meaning {
 public:
  explicit Meaning(const reflection::Schema& schema)
      : schema_(schema), objects_(*schema.objects()), enums_(*schema.enums()) {}

  core::Result<void> check() {
    // The reader of schemas frees what comes a second time twice.
    SPILLWAY_CHECKED(check_unique(objects_, "a table"));
    SPILLWAY_CHECKED(check_unique(enums_, "an enum"));
    for (const auto* one : enums_) {
      const std::string name = one->name()->str();
      for (const auto* object : objects_) {
        if (object->name()->str() == name) return broken(name + " is a table and an enum");
      }
    }
    const auto* ident = schema_.file_ident();
    // Taken as a C string, too.
    if (ident != nullptr && ident->size() != 0 &&
        (ident->size() != 4 || ident->str().find('\0') != std::string::npos)) {
      return broken("a file_identifier that is not 4 characters");
    }
    if (schema_.services() != nullptr && schema_.services()->size() != 0) {
      return broken("an rpc_service: only tables, structs, unions and enums are taken");
    }
    if (schema_.fbs_files() != nullptr) {
      for (const auto* file : *schema_.fbs_files()) {
        if (file->filename() == nullptr || file->included_filenames() == nullptr) {
          return broken("a list of files that is not whole");
        }
      }
    }
    if (schema_.root_table()->is_struct()) return broken("a root_type that is a struct");
    for (const auto* one : enums_) SPILLWAY_CHECKED(check_enum(*one));
    for (const auto* object : objects_) SPILLWAY_CHECKED(check_object(*object));
    return check_root();
  }

 private:
  core::Result<void> check_root() const {
    // One of those that were looked at, and not another one of the same name.
    for (const auto* object : objects_) {
      if (object == schema_.root_table()) return {};
    }
    return broken("a root_type that is not among its tables");
  }

  template <typename List>
  static core::Result<void> check_unique(const List& list, const std::string& where) {
    std::set<std::string> names;
    for (const auto* one : list) {
      SPILLWAY_CHECKED(check_name(one->name(), where));
      if (!names.insert(one->name()->str()).second) {
        return broken(where + " that is there twice: " + one->name()->str());
      }
    }
    return {};
  }

  static core::Result<void> check_name(const flatbuffers::String* name, const std::string& where) {
    if (name == nullptr || name->size() == 0) return broken(where + " without a name");
    const bool plain = std::all_of(name->begin(), name->end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '.';
    });
    const bool dots = name->Get(0) == '.' || name->Get(name->size() - 1) == '.' ||
                      name->str().find("..") != std::string::npos;
    return plain && !dots ? core::Result<void>() : broken(where + " with a strange name");
  }

  core::Result<void> check_enum(const reflection::Enum& one) {
    SPILLWAY_CHECKED(check_name(one.name(), "an enum"));
    const std::string name = one.name()->str();
    if (!has_known_base(*one.underlying_type()) ||
        !is_integer(one.underlying_type()->base_type())) {
      return broken("enum " + name + " is not of integers");
    }
    const std::int32_t own = one.underlying_type()->index();
    if (own != -1 && (own < 0 || static_cast<std::uint32_t>(own) >= enums_.size())) {
      return broken("enum " + name + " stands on an enum that is not there");
    }
    if (one.values()->size() == 0) return broken("enum " + name + " has no values");
    SPILLWAY_CHECKED(check_unique(*one.values(), "a value of " + name));
    SPILLWAY_CHECKED(check_attributes(one.attributes(), name));
    std::int64_t before = 0;
    for (flatbuffers::uoffset_t i = 0; i < one.values()->size(); ++i) {
      const auto& value = *one.values()->Get(i);
      if (i != 0 && value.value() == before) return broken(name + " has a value twice");
      before = value.value();
      if (one.is_union()) SPILLWAY_CHECKED(check_member(name, value, i));
    }
    return {};
  }

  core::Result<void> check_member(const std::string& name, const reflection::EnumVal& value,
                                  flatbuffers::uoffset_t at) const {
    const auto* type = value.union_type();
    const auto base = type == nullptr ? BaseType::None : type->base_type();
    if (value.value() != static_cast<std::int64_t>(at) || (at == 0) != (base == BaseType::None)) {
      return broken("union " + name + " does not count its types from NONE = 0");
    }
    const std::int32_t index = type == nullptr ? -1 : type->index();
    if ((at == 0 || base == BaseType::String) && index == -1) return {};
    if (base == BaseType::Obj && is_object(index)) return {};
    return broken("union " + name + " holds what is no table, struct or string");
  }

  [[nodiscard]] bool is_object(std::int32_t index) const {
    return index >= 0 && static_cast<std::uint32_t>(index) < objects_.size();
  }
  [[nodiscard]] bool is_enum(std::int32_t index, bool of_union) const {
    return index >= 0 && static_cast<std::uint32_t>(index) < enums_.size() &&
           enums_.Get(static_cast<flatbuffers::uoffset_t>(index))->is_union() == of_union;
  }
  /// A single value; not a vector or an array.
  [[nodiscard]] bool is_value(BaseType base, std::int32_t index) const {
    if (base == BaseType::Obj) return is_object(index);
    if (base == BaseType::Union) return is_enum(index, true);
    if (base == BaseType::UType) return is_enum(index, true);
    if (base == BaseType::String) return index == -1;
    return is_scalar(base) && (index == -1 || (is_integer(base) && is_enum(index, false)));
  }
  [[nodiscard]] bool is_type_of_table(const reflection::Type& type) const {
    if (type.base_type() == BaseType::Array) return false;
    if (type.base_type() != BaseType::Vector) return is_value(type.base_type(), type.index());
    return is_value(type.element(), type.index());
  }

  core::Result<void> check_object(const reflection::Object& object) {
    SPILLWAY_CHECKED(check_name(object.name(), "a table"));
    const std::string name = object.name()->str();
    const auto count = object.fields()->size();
    if (count > kFieldsMax) return broken(name + " has more than 4096 fields");
    SPILLWAY_CHECKED(check_unique(*object.fields(), "a field of " + name));
    SPILLWAY_CHECKED(check_attributes(object.attributes(), name));
    std::vector<const reflection::Field*> by_id(count);
    for (const auto* field : *object.fields()) {
      if (field->id() >= count || by_id[field->id()] != nullptr) {
        return broken(name + "'s fields are not numbered from 0");
      }
      by_id[field->id()] = field;
      if (object.is_struct() && field->required()) {
        return broken("a required field in struct " + name);
      }
      SPILLWAY_CHECKED(check_attributes(field->attributes(), name + "." + field->name()->str()));
    }
    if (!object.is_struct() && (object.bytesize() != 0 || object.minalign() != 1)) {
      return broken("table " + name + " has a size");
    }
    if (!object.is_struct()) return check_table(name, by_id);
    if (layout_of(object, 0).bytes != 0) return {};
    return broken("struct " + name + " is not laid out as its fields say");
  }

  using Attributes = flatbuffers::Vector<flatbuffers::Offset<reflection::KeyValue>>;

  static core::Result<void> check_attributes(const Attributes* attributes,
                                             const std::string& where) {
    if (attributes == nullptr) return {};
    std::set<std::string> keys;
    for (const auto* one : *attributes) {
      const std::string key = one->key() == nullptr ? "" : one->key()->str();
      if (key.empty() || !keys.insert(key).second) return broken(where + " has strange attributes");
      for (const char* refused : {"hash", "nested_flatbuffer", "flexbuffer"}) {
        if (key != refused) continue;
        std::string what = where;
        what.append(" has the attribute ").append(key).append(", which is not taken");
        return broken(what);
      }
    }
    return {};
  }

  core::Result<void> check_table(const std::string& name,
                                 const std::vector<const reflection::Field*>& by_id) const {
    int keys = 0;
    for (std::size_t id = 0; id < by_id.size(); ++id) {
      const auto& field = *by_id[id];
      const std::string where = name + "." + field.name()->str();
      if (field.offset() != 4 + 2 * id) return broken(where + " has a strange offset");
      if (!is_type_of_table(*field.type())) return broken(where + " has a type that cannot be");
      if (field.required() && is_scalar(field.type()->base_type())) {
        return broken(where + " is a required scalar");
      }
      if (field.optional() && field.required()) return broken(where + " is required and optional");
      if (needs_type_field(*field.type()) && (id == 0 || !is_type_field(*by_id[id - 1], field))) {
        return broken(where + " is a union without its type before it");
      }
      const auto base = field.type()->base_type();
      if (field.key() && (++keys > 1 || (!is_scalar(base) && base != BaseType::String))) {
        return broken(where + " cannot be a key");
      }
    }
    return {};
  }

  static bool needs_type_field(const reflection::Type& type) {
    return type.base_type() == BaseType::Union ||
           (type.base_type() == BaseType::Vector && type.element() == BaseType::Union);
  }
  static bool is_type_field(const reflection::Field& before, const reflection::Field& field) {
    const bool many = field.type()->base_type() == BaseType::Vector;
    const auto& type = *before.type();
    const bool tells =
        many ? type.base_type() == BaseType::Vector && type.element() == BaseType::UType
             : type.base_type() == BaseType::UType;
    return tells && type.index() == field.type()->index() &&
           before.name()->str() == field.name()->str() + "_type";
  }

  /// Size and alignment of a value in a struct; a size of 0: it cannot be there.
  struct Place {
    std::int64_t bytes = 0;
    std::int64_t align = 1;
  };
  Place place_of(BaseType base, std::int32_t index, int depth) {
    if (base == BaseType::Obj) {
      if (!is_object(index) || depth == kStructDepthMax) return {};
      const auto& inner = *objects_.Get(static_cast<flatbuffers::uoffset_t>(index));
      if (!inner.is_struct()) return {};
      return layout_of(inner, depth + 1);
    }
    if (base == BaseType::UType || !is_scalar(base) || !is_value(base, index)) return {};
    const auto bytes = static_cast<std::int64_t>(flatbuffers::GetTypeSize(base));
    return {bytes, bytes};
  }

  /// What a struct must be by its fields; a size of 0 if it says otherwise.
  Place layout_of(const reflection::Object& object, int depth) {
    // Each struct inside is walked once for each place where it stands: bounded by the steps.
    if (++steps_ > kStepsMax) return {};
    std::vector<const reflection::Field*> by_id(object.fields()->size());
    for (const auto* field : *object.fields()) {
      if (field->id() >= by_id.size() || by_id[field->id()] != nullptr) return {};
      by_id[field->id()] = field;
    }
    std::int64_t end = 0;
    std::int64_t align = 1;
    for (const auto* field : by_id) {
      const auto& type = *field->type();
      const bool many = type.base_type() == BaseType::Array;
      Place one = place_of(many ? type.element() : type.base_type(), type.index(), depth);
      if (one.bytes == 0 || (many && type.fixed_length() == 0)) return {};
      const std::int64_t begin = (end + one.align - 1) / one.align * one.align;
      if (field->offset() != begin) return {};
      end = begin + one.bytes * (many ? type.fixed_length() : 1);
      align = std::max(align, one.align);
      if (end > kStructBytesMax) return {};
    }
    const std::int64_t said = object.minalign();
    if (said < align || said > kAlignMax || (said & (said - 1)) != 0) return {};
    end = (end + said - 1) / said * said;
    return end != 0 && object.bytesize() == end ? Place{end, said} : Place{};
  }

  static constexpr int kStepsMax = 20'000;

  const reflection::Schema& schema_;
  const Objects& objects_;
  const Enums& enums_;
  int steps_ = 0;
};

}  // namespace

core::Result<void> check_meaning(std::span<const std::byte> bfbs) {
  SPILLWAY_CHECKED(core::check_schema(bfbs));
  std::vector<std::uint64_t> aligned((bfbs.size() + 7) / 8);
  std::memcpy(aligned.data(), bfbs.data(), bfbs.size());
  return Meaning(*reflection::GetSchema(aligned.data())).check();
}

}  // namespace spillway::agent::api
