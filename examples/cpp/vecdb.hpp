/*
 * vecdb.hpp - vecdb.h for C++17 and later: handles that release themselves, spans, and errors as
 * exceptions or as results.
 *
 * The classes in namespace `vdb` (the name vecdb is a type of the header) throw vdb::error, which
 * carries the code and the vecdb_error. The same classes in `vdb::nothrow` are noexcept and return
 * result<T>, which holds a value or a vecdb_error; they also work with -fno-exceptions. Each call
 * says in vecdb.h what it does; here is only what is different:
 *   Handles    can be moved and not copied, and release what they hold. A handle that holds nothing
 *              (default-made, or moved from) may only be assigned to and destroyed.
 *   Lifetimes  A collection, iterator or rows must go before its database.
 *   Spans      are std::span where there is one, else a small view with the same first members.
 *   Builders   schema, batch, filter and search borrow vectors and columns, and copy names, texts
 *              and bound values. They hand the C struct out as get(), for what they do not cover.
 *   Threads    as in vecdb.h; builders belong to one thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef VECDB_HPP
#define VECDB_HPP

#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__has_include) && __has_include(<version>)
#include <version>
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif

#include "vecdb.h"

#if defined(__cpp_exceptions)
#define VECDB_HPP_EXCEPTIONS 1
#else
#define VECDB_HPP_EXCEPTIONS 0
#endif

namespace vdb {

/* ---- Spans ---------------------------------------------------------------------------------- */

#if defined(__cpp_lib_span)
template <class T>
using span = std::span<T>;
#else
template <class T>
class span {
 public:
  constexpr span() noexcept = default;
  constexpr span(T *data, size_t size) noexcept : data_(data), size_(size) {}
  template <size_t N>
  constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
  /* Any container of such elements that lie behind one another. */
  template <class C, class = std::enable_if_t<std::is_convertible_v<
                         std::remove_pointer_t<decltype(std::declval<C &>().data())> (*)[],
                         T (*)[]>>>
  constexpr span(C &&container) noexcept : data_(container.data()), size_(container.size()) {}

  constexpr T *data() const noexcept { return data_; }
  constexpr size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T *begin() const noexcept { return data_; }
  constexpr T *end() const noexcept { return data_ + size_; }
  constexpr T &operator[](size_t i) const noexcept { return data_[i]; }
  constexpr span subspan(size_t offset, size_t count) const noexcept {
    return {data_ + offset, count};
  }

 private:
  T *data_ = nullptr;
  size_t size_ = 0;
};
#endif

/* ---- Errors --------------------------------------------------------------------------------- */

#if VECDB_HPP_EXCEPTIONS
class error : public std::runtime_error {
 public:
  explicit error(const vecdb_error &detail)
      : std::runtime_error(std::string(vecdb_status_name(detail.code)) + ": " + detail.message),
        detail_(detail) {}
  vecdb_status code() const noexcept { return static_cast<vecdb_status>(detail_.code); }
  const vecdb_error &detail() const noexcept { return detail_; }

 private:
  vecdb_error detail_;
};
#endif

/* A value or an error. value() of an error throws it, or ends the program where nothing can. */
template <class T>
class [[nodiscard]] result {
 public:
  result(T &&value) noexcept : value_(std::move(value)), error_{} {}
  result(const vecdb_error &error) noexcept : value_{}, error_(error) {}

  explicit operator bool() const noexcept { return error_.code == VECDB_OK; }
  bool has_value() const noexcept { return error_.code == VECDB_OK; }
  const vecdb_error &error() const noexcept { return error_; }
  vecdb_status code() const noexcept { return static_cast<vecdb_status>(error_.code); }
  T &operator*() & noexcept { return value_; }
  const T &operator*() const & noexcept { return value_; }
  T &&operator*() && noexcept { return std::move(value_); }
  T *operator->() noexcept { return &value_; }
  T &&value() && {
    check();
    return std::move(value_);
  }
  T &value() & {
    check();
    return value_;
  }

 private:
  void check() const {
    if (has_value())
      return;
#if VECDB_HPP_EXCEPTIONS
    throw vdb::error(error_);
#else
    std::terminate();
#endif
  }
  T value_;
  vecdb_error error_;
};

/* What a call that gives nothing gives. */
struct done {};

inline const char *status_name(int code) noexcept { return vecdb_status_name(code); }
inline const char *status_text(int code) noexcept { return vecdb_status_text(code); }
inline const char *version() noexcept { return vecdb_version(); }
inline uint32_t version_number() noexcept { return vecdb_version_number(); }
inline const char *kernels() noexcept { return vecdb_kernels(); }

/* ---- Long calls ----------------------------------------------------------------------------- */

/* A deadline, and a function that hears how far a call is and stops it by returning false. What it
   throws ends the call, and is thrown again by the classes that throw. One call at a time. */
class control {
 public:
  using progress_fn = std::function<bool(std::string_view phase, uint64_t done, uint64_t total)>;

  explicit control(uint32_t timeout_ms = 0, progress_fn progress = nullptr)
      : progress_(std::move(progress)) {
    control_.timeout_ms = timeout_ms;
    control_.cancel = &cancelled_;
    if (progress_)
      control_.progress = heard;
    control_.user = this;
  }
  control(const control &) = delete;
  control &operator=(const control &) = delete;

  void cancel() noexcept { cancelled_ = 1; } /* any thread */
  const vecdb_control *get() const noexcept { return &control_; }
  std::exception_ptr take_exception() noexcept { return std::exchange(thrown_, nullptr); }

 private:
  static int heard(void *user, const char *phase, uint64_t done, uint64_t total) noexcept {
    auto *self = static_cast<control *>(user);
#if VECDB_HPP_EXCEPTIONS
    try {
      return !self->progress_(phase, done, total);
    } catch (...) {
      self->thrown_ = std::current_exception();
      return 1;
    }
#else
    return !self->progress_(phase, done, total);
#endif
  }
  vecdb_control control_ = VECDB_CONTROL_INIT;
  progress_fn progress_;
  volatile int32_t cancelled_ = 0;
  std::exception_ptr thrown_;
};

namespace detail {

inline const vecdb_control *raw(const control *c) noexcept { return c ? c->get() : nullptr; }

/* Whether f, which may allocate, came to its end. */
template <class F>
bool within_memory(F &&f) noexcept {
#if VECDB_HPP_EXCEPTIONS
  try {
    f();
    return true;
  } catch (const std::exception &) { /* bad_alloc or length_error */
    return false;
  }
#else
  f();
  return true;
#endif
}

inline int no_memory(vecdb_error *error) noexcept {
  *error = {};
  error->code = VECDB_ERR_NO_MEMORY;
  error->row = error->position = -1;
  std::strcpy(error->message, "no memory for the result");
  return VECDB_ERR_NO_MEMORY;
}

/* f(out, error) calls the library, which says nothing of its own in C++; `out` is what is given. */
template <class T, class F>
result<T> call(F &&f) noexcept {
  T out{};
  vecdb_error error{};
  int status = VECDB_OK;
  if (!within_memory([&] { status = f(out, &error); }))
    status = no_memory(&error);
  if (status)
    return result<T>(error);
  return result<T>(std::move(out));
}

} /* namespace detail */

/* How the classes tell of errors. */
struct as_results {
  template <class T>
  using type = result<T>;
  template <class T>
  static result<T> give(result<T> &&r, control * = nullptr) noexcept {
    return std::move(r);
  }
  static constexpr bool no_throw = true;
};
#if VECDB_HPP_EXCEPTIONS
struct as_exceptions {
  template <class T>
  using type = T;
  template <class T>
  static T give(result<T> &&r, control *c = nullptr) {
    if (std::exception_ptr thrown = c ? c->take_exception() : nullptr)
      std::rethrow_exception(thrown);
    return std::move(r).value();
  }
  static constexpr bool no_throw = false;
};
#endif

/* ---- Values --------------------------------------------------------------------------------- */

/* A value of a row, borrowed from its rows. A getter of another type gives 0 or nothing. */
class value {
 public:
  explicit value(const vecdb_value &v) noexcept : v_(v) {}
  const vecdb_value &get() const noexcept { return v_; }
  vecdb_type type() const noexcept { return static_cast<vecdb_type>(v_.type); }
  bool is_null() const noexcept { return v_.type == 0; }
  bool boolean() const noexcept { return v_.type == VECDB_BOOL && v_.as.boolean; }
  int64_t integer() const noexcept { return is_integer() ? v_.as.integer : 0; }
  double number() const noexcept {
    return v_.type == VECDB_FLOAT || v_.type == VECDB_DOUBLE ? v_.as.number
                                                             : static_cast<double>(integer());
  }
  /* Of VARCHAR and JSON. */
  std::string_view text() const noexcept {
    if (v_.type != VECDB_VARCHAR && v_.type != VECDB_JSON)
      return {};
    return {static_cast<const char *>(v_.as.data), v_.length};
  }
  /* The elements of an array or a vector, if T is their C type (vecdb_string, vecdb_sparse_pair;
     uint16_t for the 16-bit floats, uint8_t for bits). */
  template <class T>
  span<const T> elements() const noexcept {
    if (!holds<T>())
      return {};
    size_t n = v_.type == VECDB_BINARY_VECTOR ? v_.length / 8 : v_.length;
    return {static_cast<const T *>(v_.as.data), n};
  }

 private:
  bool is_integer() const noexcept { return v_.type >= VECDB_INT8 && v_.type <= VECDB_INT64; }
  template <class T>
  bool holds() const noexcept {
    int32_t e = v_.type == VECDB_ARRAY ? v_.element_type : v_.type;
    if constexpr (std::is_same_v<T, float>)
      return e == VECDB_FLOAT_VECTOR || (e == VECDB_FLOAT && v_.type == VECDB_ARRAY);
    else if constexpr (std::is_same_v<T, uint16_t>)
      return e == VECDB_FLOAT16_VECTOR || e == VECDB_BFLOAT16_VECTOR;
    else if constexpr (std::is_same_v<T, int8_t>)
      return e == VECDB_INT8_VECTOR || (e == VECDB_INT8 && v_.type == VECDB_ARRAY);
    else if constexpr (std::is_same_v<T, uint8_t>)
      return e == VECDB_BINARY_VECTOR;
    else if constexpr (std::is_same_v<T, vecdb_sparse_pair>)
      return e == VECDB_SPARSE_VECTOR;
    else
      return v_.type == VECDB_ARRAY && e == scalar<T>();
  }
  template <class T>
  static constexpr int32_t scalar() noexcept {
    return std::is_same_v<T, bool>           ? VECDB_BOOL
           : std::is_same_v<T, int16_t>      ? VECDB_INT16
           : std::is_same_v<T, int32_t>      ? VECDB_INT32
           : std::is_same_v<T, int64_t>      ? VECDB_INT64
           : std::is_same_v<T, double>       ? VECDB_DOUBLE
           : std::is_same_v<T, vecdb_string> ? VECDB_VARCHAR
                                             : -1;
  }
  vecdb_value v_;
};

/* ---- Handles -------------------------------------------------------------------------------- */

namespace detail {

/* Owns a pointer of the C interface. */
template <class T, void (*Release)(T *)>
class handle {
 public:
  handle() noexcept = default;
  explicit handle(T *p) noexcept : p_(p) {}
  handle(handle &&other) noexcept : p_(other.release()) {}
  handle &operator=(handle &&other) noexcept {
    if (this != &other)
      reset(other.release());
    return *this;
  }
  ~handle() { reset(nullptr); }
  T *get() const noexcept { return p_; }
  T **out() noexcept { return &p_; } /* of a handle that holds nothing */
  T *release() noexcept { return std::exchange(p_, nullptr); }
  void reset(T *p) noexcept {
    if (p_)
      Release(p_);
    p_ = p;
  }

 private:
  T *p_ = nullptr;
};

inline void close(::vecdb *db) noexcept { vecdb_close(db, nullptr); }

} /* namespace detail */

class rows {
 public:
  rows() noexcept = default;
  explicit rows(vecdb_rows *taken) noexcept : p_(taken) {}
  size_t size() const noexcept { return p_.get() ? vecdb_rows_count(p_.get()) : 0; }
  bool empty() const noexcept { return size() == 0; }
  size_t n_fields() const noexcept { return p_.get() ? vecdb_rows_n_fields(p_.get()) : 0; }
  const char *field(size_t i) const noexcept { return vecdb_rows_field(p_.get(), i); }
  int find(const char *field) const noexcept { return vecdb_rows_find(p_.get(), field); }
  vdb::value at(size_t row, size_t column) const noexcept {
    return vdb::value(vecdb_rows_value(p_.get(), row, column));
  }
  /* Null for a field that is not there. */
  vdb::value at(size_t row, std::string_view field) const noexcept {
    for (size_t i = 0; i < n_fields(); i++)
      if (field == this->field(i))
        return at(row, i);
    return vdb::value(vecdb_value{});
  }
  vecdb_rows *get() const noexcept { return p_.get(); }
  vecdb_rows **out() noexcept { return p_.out(); }

 private:
  detail::handle<vecdb_rows, vecdb_rows_free> p_;
};

/* ---- Builders ------------------------------------------------------------------------------- */

/* Field by field; what is not covered can be set in the vecdb_field that add() and last() give. */
class schema {
 public:
  explicit schema(std::string_view description = {}) : description_(description) {}

  vecdb_field &add(std::string_view name, vecdb_type type) {
    names_.emplace_back(name);
    fields_.emplace_back();
    fields_.back().type = type;
    return fields_.back();
  }
  vecdb_field &last() noexcept { return fields_.back(); }
  schema &key(std::string_view name, uint32_t max_length = 0) {
    vecdb_field &f = add(name, max_length ? VECDB_VARCHAR : VECDB_INT64);
    f.flags = VECDB_PRIMARY_KEY;
    f.max_length = max_length;
    return *this;
  }
  schema &auto_key(std::string_view name) {
    key(name);
    last().flags |= VECDB_AUTO_ID;
    return *this;
  }
  schema &scalar(std::string_view name, vecdb_type type, uint32_t flags = 0) {
    add(name, type).flags = flags;
    return *this;
  }
  schema &text(std::string_view name, uint32_t max_length, uint32_t flags = 0) {
    vecdb_field &f = add(name, VECDB_VARCHAR);
    f.max_length = max_length;
    f.flags = flags;
    return *this;
  }
  schema &json(std::string_view name, uint32_t flags = 0) {
    add(name, VECDB_JSON).flags = flags;
    return *this;
  }
  schema &array(std::string_view name, vecdb_type element, uint32_t max_capacity,
                uint32_t max_length = 0) {
    vecdb_field &f = add(name, VECDB_ARRAY);
    f.element_type = element;
    f.max_capacity = max_capacity;
    f.max_length = max_length;
    return *this;
  }
  schema &vector(std::string_view name, uint32_t dim, vecdb_metric metric = VECDB_COSINE,
                 vecdb_type type = VECDB_FLOAT_VECTOR) {
    vecdb_field &f = add(name, type);
    f.dim = dim;
    f.metric = metric;
    return *this;
  }
  schema &sparse(std::string_view name) {
    add(name, VECDB_SPARSE_VECTOR);
    return *this;
  }
  /* Of the last field. */
  schema &index(const vecdb_index_params &params) {
    last().index = params;
    return *this;
  }
  /* Of the last field, of JSON: an index of the place `path`, such as ["price"]. */
  schema &json_index(std::string_view path, vecdb_type type) {
    paths_.emplace_back(path);
    json_indexes_.push_back({nullptr, type});
    last().n_json_indexes++;
    return *this;
  }
  /* Valid until the schema is changed. */
  const vecdb_schema *get() const noexcept {
    for (size_t i = 0; i < paths_.size(); i++)
      json_indexes_[i].path = paths_[i].c_str();
    for (size_t i = 0, at = 0; i < fields_.size(); i++) {
      fields_[i].name = names_[i].c_str();
      if (at < paths_.size() && fields_[i].n_json_indexes)
        fields_[i].json_indexes = &json_indexes_[at];
      at += fields_[i].n_json_indexes;
    }
    schema_.description = description_.empty() ? nullptr : description_.c_str();
    schema_.fields = fields_.data();
    schema_.n_fields = static_cast<uint32_t>(fields_.size());
    return &schema_;
  }

 private:
  std::string description_;
  std::deque<std::string> names_;
  std::deque<std::string> paths_;
  mutable std::vector<vecdb_json_index> json_indexes_;
  mutable std::vector<vecdb_field> fields_;
  mutable vecdb_schema schema_ = VECDB_SCHEMA_INIT;
};

/* Columns of `n` rows. Their elements are borrowed until the batch has been written. */
class batch {
 public:
  explicit batch(size_t n) : n_(n) {}

  vecdb_column &add(std::string_view field, const void *data) {
    names_.emplace_back(field);
    columns_.emplace_back();
    columns_.back().data = data;
    return columns_.back();
  }
  /* n values of a scalar, given in the C type of the field; bool is one byte. */
  template <class T>
  batch &column(std::string_view field, span<const T> values) {
    add(field, count(values.size(), 1) ? values.data() : nullptr);
    return *this;
  }
  template <class C>
  batch &column(std::string_view field, const C &values) {
    return column(field, span<const typename C::value_type>(values));
  }
  batch &texts(std::string_view field, span<const std::string_view> values) {
    strings_.emplace_back();
    auto &[pointers, lengths] = strings_.back();
    for (size_t i = 0; i < values.size(); i++) {
      pointers.push_back(values[i].data() ? values[i].data() : "");
      lengths.push_back(static_cast<uint32_t>(values[i].size()));
    }
    count(values.size(), 1);
    add(field, pointers.data()).lengths = lengths.data();
    return *this;
  }
  batch &texts(std::string_view field, const std::vector<std::string> &values) {
    std::vector<std::string_view> views(values.begin(), values.end());
    return texts(field, span<const std::string_view>(views));
  }
  /* Packed vectors of `dim` elements, `width` of which are one T: 8 bits are one uint8_t. */
  template <class T>
  batch &vectors(std::string_view field, span<const T> elements, uint32_t dim,
                 uint32_t width = 1) {
    count(elements.size(), dim / (width ? width : 1));
    add(field, elements.data()).dim = dim;
    return *this;
  }
  batch &vectors(std::string_view field, const std::vector<float> &elements, uint32_t dim) {
    return vectors(field, span<const float>(elements), dim);
  }
  batch &sparse(std::string_view field, span<const vecdb_sparse> values) {
    return column(field, values);
  }
  /* Of the last column: one byte a row, 0 is null. */
  batch &valid(span<const uint8_t> bytes) {
    count(bytes.size(), 1);
    columns_.back().valid = bytes.data();
    return *this;
  }
  /* Valid until the batch is changed. A column of another length than the batch makes it one of no
     rows, which a write refuses. */
  const vecdb_batch *get() const noexcept {
    for (size_t i = 0; i < columns_.size(); i++)
      columns_[i].field = names_[i].c_str();
    batch_.columns = columns_.data();
    batch_.n_columns = static_cast<uint32_t>(columns_.size());
    batch_.n_rows = fits_ && n_ <= UINT32_MAX ? static_cast<uint32_t>(n_) : 0;
    return &batch_;
  }
  size_t size() const noexcept { return n_; }

 private:
  bool count(size_t elements, size_t each) noexcept {
    fits_ = fits_ && each && elements % each == 0 && elements / each == n_;
    return fits_;
  }
  size_t n_;
  bool fits_ = true;
  std::deque<std::string> names_;
  std::deque<std::pair<std::vector<const char *>, std::vector<uint32_t>>> strings_;
  mutable std::vector<vecdb_column> columns_;
  mutable vecdb_batch batch_ = VECDB_BATCH_INIT;
};

/* A filter's text with the values of its {names}. */
class filter {
 public:
  filter() = default; /* every row passes */
  filter(const char *text) : text_(text), given_(true) {}
  filter(std::string_view text) : text_(text), given_(true) {}

  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  filter &bind(std::string_view name, T x) {
    vecdb_value v{};
    if constexpr (std::is_same_v<T, bool>) {
      v.type = VECDB_BOOL;
      v.as.boolean = x;
    } else if constexpr (std::is_integral_v<T>) {
      v.type = VECDB_INT64;
      v.as.integer = static_cast<int64_t>(x);
    } else {
      v.type = VECDB_DOUBLE;
      v.as.number = static_cast<double>(x);
    }
    params_.push_back({std::string(name), v, {}, {}, {}});
    return *this;
  }
  filter &bind(std::string_view name, std::string_view text) {
    params_.push_back({std::string(name), of(VECDB_VARCHAR, 0), {std::string(text)}, {}, {}});
    return *this;
  }
  filter &bind(std::string_view name, const char *text) {
    return bind(name, std::string_view(text));
  }
  /* Lists, for `in` and functions of arrays. */
  filter &bind(std::string_view name, const std::vector<int64_t> &list) {
    params_.push_back({std::string(name), of(VECDB_ARRAY, VECDB_INT64), {}, bytes(list), {}});
    return *this;
  }
  filter &bind(std::string_view name, const std::vector<double> &list) {
    params_.push_back({std::string(name), of(VECDB_ARRAY, VECDB_DOUBLE), {}, bytes(list), {}});
    return *this;
  }
  filter &bind(std::string_view name, const std::vector<std::string> &list) {
    params_.push_back({std::string(name), of(VECDB_ARRAY, VECDB_VARCHAR), list, {}, {}});
    return *this;
  }
  /* Valid until the filter is changed. */
  vecdb_filter get() const {
    raw_.clear();
    for (const param &p : params_)
      raw_.push_back({p.name.c_str(), p.finished()});
    return {given_ ? text_.c_str() : nullptr, text_.size(), raw_.data(), raw_.size()};
  }

 private:
  struct param {
    std::string name;
    vecdb_value value;
    std::vector<std::string> texts;
    std::vector<uint64_t> packed; /* 8 bytes an element */
    mutable std::vector<vecdb_string> strings;

    vecdb_value finished() const {
      vecdb_value v = value;
      if (v.type == VECDB_VARCHAR) {
        v.as.data = texts[0].data();
        v.length = static_cast<uint32_t>(texts[0].size());
      } else if (v.type == VECDB_ARRAY && v.element_type == VECDB_VARCHAR) {
        strings.clear();
        for (const std::string &s : texts)
          strings.push_back({s.data(), s.size()});
        v.as.data = strings.data();
        v.length = static_cast<uint32_t>(strings.size());
      } else if (v.type == VECDB_ARRAY) {
        v.as.data = packed.data();
        v.length = static_cast<uint32_t>(packed.size());
      }
      return v;
    }
  };
  static vecdb_value of(int32_t type, int32_t element) noexcept {
    vecdb_value v{};
    v.type = type;
    v.element_type = element;
    return v;
  }
  template <class T>
  static std::vector<uint64_t> bytes(const std::vector<T> &list) {
    std::vector<uint64_t> packed(list.size());
    if (!list.empty())
      std::memcpy(packed.data(), list.data(), list.size() * sizeof(T));
    return packed;
  }
  std::string text_;
  bool given_ = false;
  std::vector<param> params_;
  mutable std::vector<vecdb_param> raw_;
};

/* Names of wanted fields; default-made: as a call without such a list does. */
class fields {
 public:
  fields() = default;
  fields(std::initializer_list<std::string_view> names) : given_(true) {
    for (std::string_view name : names)
      names_.emplace_back(name);
    for (const std::string &name : names_)
      pointers_.push_back(name.c_str());
  }
  fields(const fields &other) : names_(other.names_), given_(other.given_) {
    for (const std::string &name : names_)
      pointers_.push_back(name.c_str());
  }
  fields(fields &&) = default; /* the strings of a deque stay where they are */
  fields &operator=(fields &&) = default;
  const char *const *data() const noexcept {
    static const char *const none[] = {nullptr};
    return !given_ ? nullptr : pointers_.empty() ? none : pointers_.data();
  }
  size_t size() const noexcept { return pointers_.size(); }

 private:
  std::deque<std::string> names_;
  std::vector<const char *> pointers_;
  bool given_ = false;
};

class keys {
 public:
  keys(span<const int64_t> integers) noexcept : raw_{integers.data(), nullptr, integers.size()} {}
  keys(const std::vector<int64_t> &integers) noexcept
      : raw_{integers.data(), nullptr, integers.size()} {}
  explicit keys(span<const std::string_view> texts) {
    for (size_t i = 0; i < texts.size(); i++)
      strings_.push_back({texts[i].data(), texts[i].size()});
    raw_ = {nullptr, strings_.data(), strings_.size()};
  }
  keys(const keys &) = delete;
  keys &operator=(const keys &) = delete;
  const vecdb_keys *get() const noexcept { return &raw_; }
  size_t size() const noexcept { return raw_.n; }

 private:
  std::vector<vecdb_string> strings_;
  vecdb_keys raw_{};
};

/* What is pushed to the vectors of some rows; keys, elements and versions are borrowed. */
class push {
 public:
  /* One packed vector per key. */
  push(const char *field, const keys &k, span<const float> values,
       int32_t kind = VECDB_PUSH_GRADIENT) noexcept {
    params_.field = field;
    params_.keys = k.get();
    params_.values = values.data();
    params_.kind = kind;
    /* What is no row of vectors is refused as being of another dimension. */
    params_.dim = k.size() && values.size() % k.size() == 0
                      ? static_cast<uint32_t>(values.size() / k.size())
                      : UINT32_MAX;
  }
  /* Absent rows are made. */
  push &inserting() noexcept {
    params_.flags |= VECDB_PUSH_INSERT;
    return *this;
  }
  /* The versions that the rows must have before, one per key. */
  push &expecting(span<const uint64_t> versions) noexcept {
    params_.expected = versions.data();
    if (versions.size() != params_.keys->n)
      params_.dim = UINT32_MAX;
    return *this;
  }
  const vecdb_push_params *get() const noexcept { return &params_; }
  size_t size() const noexcept { return params_.keys->n; }

 private:
  vecdb_push_params params_ = VECDB_PUSH_PARAMS_INIT;
};

/* Vectors, packed, and the version of each: 0 where there is no such row. */
struct pulled {
  std::vector<float> values;
  std::vector<uint64_t> versions;
};

/* A search for the `k` nearest rows to each query. */
class search {
 public:
  /* One query, or several packed ones of `dim` elements; the elements are borrowed. */
  template <class T>
  search(span<const T> queries, uint32_t k, uint32_t n = 1) : search(k, n) {
    params_.queries = queries.data();
    if constexpr (std::is_same_v<std::remove_cv_t<T>, float>)
      params_.dim = n ? static_cast<uint32_t>(queries.size() / n) : 0;
  }
  search(const std::vector<float> &queries, uint32_t k, uint32_t n = 1)
      : search(span<const float>(queries), k, n) {}
  search(const vecdb_sparse &query, uint32_t k) : search(k, 1) { params_.queries = &query; }

  search &in(std::string_view field) {
    field_ = field;
    return *this;
  }
  search &where(vdb::filter f) {
    filter_ = std::move(f);
    return *this;
  }
  /* Rows come with the hits. */
  search &with(vdb::fields f) {
    fields_ = std::move(f);
    rows_ = true;
    return *this;
  }
  search &listen(const control &c) noexcept {
    params_.control = c.get();
    return *this;
  }
  /* ef, nprobe, recall, plan, threads and so on. */
  vecdb_search_params &params() noexcept { return params_; }

  bool with_rows() const noexcept { return rows_; }
  uint32_t k() const noexcept { return params_.k; }
  uint32_t n() const noexcept { return params_.n_queries; }
  /* Valid until the search is changed. */
  const vecdb_search_params *get() const {
    params_.field = field_.empty() ? nullptr : field_.c_str();
    params_.filter = filter_.get();
    params_.fields = fields_.data();
    params_.n_fields = fields_.size();
    return &params_;
  }

 private:
  search(uint32_t k, uint32_t n) {
    params_.k = k;
    params_.n_queries = n;
  }
  std::string field_;
  vdb::filter filter_;
  vdb::fields fields_;
  bool rows_ = false;
  mutable vecdb_search_params params_ = VECDB_SEARCH_PARAMS_INIT;
};

/* Several searches of equal numbers of queries, out of which one ranking is made. */
class hybrid {
 public:
  explicit hybrid(uint32_t k, vecdb_fusion fusion = VECDB_FUSION_RRF) {
    params_.k = k;
    params_.fusion = fusion;
  }
  /* The k of a search says how many of its hits count. */
  hybrid &add(search s, float weight = 1) {
    parts_.push_back({std::move(s), weight, 0, 0});
    return *this;
  }
  hybrid &add_within(search s, float radius, float weight = 1) {
    parts_.push_back({std::move(s), weight, 1, radius});
    return *this;
  }
  hybrid &with(vdb::fields f) {
    fields_ = std::move(f);
    rows_ = true;
    return *this;
  }
  vecdb_hybrid_params &params() noexcept { return params_; }

  bool with_rows() const noexcept { return rows_; }
  uint32_t k() const noexcept { return params_.k; }
  uint32_t n() const noexcept { return parts_.empty() ? 1 : parts_[0].what.n(); }
  /* Valid until the hybrid is changed. */
  const vecdb_hybrid_params *get() const {
    raw_.clear();
    for (const part &p : parts_)
      raw_.push_back({*p.what.get(), p.weight, p.bounded, p.radius});
    params_.searches = raw_.data();
    params_.n_searches = static_cast<uint32_t>(raw_.size());
    params_.fields = fields_.data();
    params_.n_fields = fields_.size();
    return &params_;
  }

 private:
  struct part {
    search what;
    float weight;
    uint32_t bounded;
    float radius;
  };
  std::vector<part> parts_;
  vdb::fields fields_;
  bool rows_ = false;
  mutable std::vector<vecdb_hybrid_search> raw_;
  mutable vecdb_hybrid_params params_ = VECDB_HYBRID_PARAMS_INIT;
};

struct hits {
  std::vector<vecdb_hit> all; /* those of query q begin at q * k */
  std::vector<uint32_t> counts;
  uint32_t k = 0;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vdb::rows rows; /* see vecdb_hit.row */

  span<const vecdb_hit> of(size_t query = 0) const noexcept {
    return {all.data() + query * k, counts[query]};
  }
};

/* The index of one segment, with its curve. */
struct segment_index {
  vecdb_segment_index info{}; /* its `points` are those below */
  std::vector<vecdb_recall_point> points;
};

/* ---- Collections and databases -------------------------------------------------------------- */

namespace detail {

/* Callbacks of the library that gather into a vector; whether there was memory. */
inline int gather_name(void *user, const char *name) noexcept {
  auto *names = static_cast<std::vector<std::string> *>(user);
  return !within_memory([&] { names->emplace_back(name); });
}

struct index_gatherer {
  std::vector<segment_index> list;
  bool complete = true;
};

inline int gather_index(void *user, const vecdb_segment_index *index) noexcept {
  auto *to = static_cast<index_gatherer *>(user);
  to->complete = within_memory([&] {
    segment_index &last = to->list.emplace_back();
    last.info = *index;
    last.points.assign(index->points, index->points + index->n_points);
    last.info.points = last.points.data();
  });
  return !to->complete;
}

inline void gather_fault(void *user, const char *line) noexcept {
  auto *faults = static_cast<std::vector<std::string> *>(user);
  if (faults)
    within_memory([&] { faults->emplace_back(line); });
}

} /* namespace detail */

/* Walks outward from one query. The search it was opened with may go; its control may not. */
template <class P>
class basic_iterator {
 public:
  basic_iterator() noexcept = default;
  /* Up to `capacity` further hits; none at the end. */
  typename P::template type<hits> next(uint32_t capacity, bool with_rows = false) noexcept(
      P::no_throw) {
    return P::template give<hits>(detail::call<hits>([&](hits &out, vecdb_error *e) {
      out.all.resize(capacity);
      out.counts.resize(1);
      out.k = capacity;
      int status = vecdb_iterator_next(p_.get(), capacity, out.all.data(), out.counts.data(),
                                       with_rows ? out.rows.out() : nullptr, e);
      out.all.resize(status ? 0 : out.counts[0]);
      return status;
    }));
  }
  vecdb_iterator **out() noexcept { return p_.out(); }

 private:
  detail::handle<vecdb_iterator, vecdb_iterator_close> p_;
};

template <class P>
class basic_collection {
  template <class T>
  using given = typename P::template type<T>;
  /* Calls the library, and gives what it gives. `c` may have stopped the call by throwing. */
  template <class T, class F>
  static given<T> call(F &&f, control *c = nullptr) noexcept(P::no_throw) {
    return P::template give<T>(detail::call<T>(std::forward<F>(f)), c);
  }

 public:
  using iterator = basic_iterator<P>;
  basic_collection() noexcept = default;
  vecdb_collection *get() const noexcept { return p_.get(); }
  vecdb_collection **out() noexcept { return p_.out(); }
  explicit operator bool() const noexcept { return p_.get() != nullptr; }
  const char *name() const noexcept { return vecdb_collection_name(p_.get()); }
  const vecdb_schema *schema() const noexcept { return vecdb_collection_schema(p_.get()); }

  /* The fields of a schema are added. */
  given<done> fields_add(const vdb::schema &s, control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_fields_add(p_.get(), s.get(), detail::raw(c), e);
    }, c);
  }
  given<done> field_drop(const char *field, control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_field_drop(p_.get(), field, detail::raw(c), e);
    }, c);
  }
  given<done> field_rename(const char *field, const char *to,
                           control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_field_rename(p_.get(), field, to, detail::raw(c), e);
    }, c);
  }
  /* The index of a path of a JSON field; to drop it, type 0: of every type. */
  given<done> json_index_create(const char *field, const char *path, int32_t type,
                                control *c = nullptr) noexcept(P::no_throw) {
    const vecdb_json_index index = {path, type};
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_json_index_create(p_.get(), field, &index, detail::raw(c), e);
    }, c);
  }
  given<done> json_index_drop(const char *field, const char *path, int32_t type = 0,
                              control *c = nullptr) noexcept(P::no_throw) {
    const vecdb_json_index index = {path, type};
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_json_index_drop(p_.get(), field, &index, detail::raw(c), e);
    }, c);
  }
  /* field NULL: rows expire no longer. */
  given<done> expire(const char *field, uint64_t ttl_ms,
                     control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_expire(p_.get(), field, ttl_ms, detail::raw(c), e);
    }, c);
  }
  const char *expiry(uint64_t *ttl_ms = nullptr) const noexcept {
    return vecdb_expiry(p_.get(), ttl_ms);
  }

  /* Both give the keys, where they are INT64. */
  given<std::vector<int64_t>> insert(const batch &b) noexcept(P::no_throw) {
    return write(vecdb_insert, b);
  }
  given<std::vector<int64_t>> upsert(const batch &b) noexcept(P::no_throw) {
    return write(vecdb_upsert, b);
  }
  /* One byte a row: whether its key was there. */
  given<std::vector<uint8_t>> update(const batch &b, uint32_t flags = 0) noexcept(P::no_throw) {
    using found = std::vector<uint8_t>;
    return call<found>([&](found &out, vecdb_error *e) {
      out.resize(b.size());
      return vecdb_update(p_.get(), b.get(), flags, out.data(), e);
    });
  }
  /* Lets a FLOAT_VECTOR field take pushes; NULL: no longer. */
  given<done> optimizer_set(const char *field, const vecdb_optimizer *optimizer,
                            control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_optimizer_set(p_.get(), field, optimizer, detail::raw(c), e);
    }, c);
  }
  given<vecdb_optimizer> optimizer(const char *field) const noexcept(P::no_throw) {
    return call<vecdb_optimizer>([&](vecdb_optimizer &out, vecdb_error *e) {
      return vecdb_optimizer_get(p_.get(), field, &out, e);
    });
  }
  /* The versions after each push. */
  given<std::vector<uint64_t>> push(const vdb::push &what) noexcept(P::no_throw) {
    using versions = std::vector<uint64_t>;
    return call<versions>([&](versions &out, vecdb_error *e) {
      out.resize(what.size());
      return vecdb_push(p_.get(), what.get(), out.data(), e);
    });
  }
  /* `dim` is that of the field. */
  given<pulled> pull(const char *field, const keys &k, uint32_t dim) noexcept(P::no_throw) {
    return call<pulled>([&](pulled &out, vecdb_error *e) {
      out.values.resize(k.size() * dim);
      out.versions.resize(k.size());
      return vecdb_pull(p_.get(), field, k.get(), out.values.data(), dim * sizeof(float),
                        out.versions.data(), e);
    });
  }
  given<uint64_t> erase(const keys &k) noexcept(P::no_throw) {
    return call<uint64_t>([&](uint64_t &out, vecdb_error *e) {
      return vecdb_delete(p_.get(), k.get(), &out, e);
    });
  }
  given<uint64_t> erase_where(const filter &f, control *c = nullptr) noexcept(P::no_throw) {
    return call<uint64_t>([&](uint64_t &out, vecdb_error *e) {
      vecdb_filter raw = f.get();
      return vecdb_delete_where(p_.get(), &raw, &out, detail::raw(c), e);
    }, c);
  }

  /* Keys without a row are left out; `found`, unless NULL, receives one byte a key. */
  given<rows> get_rows(const keys &k, const fields &f = {},
                       std::vector<uint8_t> *found = nullptr) noexcept(P::no_throw) {
    return call<rows>([&](rows &out, vecdb_error *e) {
      if (found)
        found->assign(k.size(), 0);
      return vecdb_get(p_.get(), k.get(), f.data(), f.size(), found ? found->data() : nullptr,
                       out.out(), e);
    });
  }
  /* `params` gives limit and offset; `after` is a key. */
  given<rows> query(const filter &f, const fields &wanted = {},
                    vecdb_query_params params = VECDB_QUERY_PARAMS_INIT,
                    const keys *after = nullptr, control *c = nullptr) noexcept(P::no_throw) {
    return call<rows>([&](rows &out, vecdb_error *e) {
      params.filter = f.get();
      params.fields = wanted.data();
      params.n_fields = wanted.size();
      params.control = detail::raw(c);
      if (after)
        params.after = *after->get();
      return vecdb_query(p_.get(), &params, out.out(), e);
    }, c);
  }
  given<uint64_t> count(const filter &f = {}) noexcept(P::no_throw) {
    return call<uint64_t>([&](uint64_t &out, vecdb_error *e) {
      vecdb_filter raw = f.get();
      return vecdb_count(p_.get(), &raw, &out, e);
    });
  }
  /* In how many of the rows that pass each index is; *all, unless NULL, receives how many pass. */
  given<std::vector<uint64_t>> sparse_counts(const char *field, span<const uint32_t> indices,
                                             uint64_t *all = nullptr,
                                             const filter &f = {}) noexcept(P::no_throw) {
    using counts = std::vector<uint64_t>;
    return call<counts>([&](counts &out, vecdb_error *e) {
      out.resize(indices.size());
      vecdb_filter raw = f.get();
      return vecdb_sparse_counts(p_.get(), field, &raw, indices.data(), indices.size(), out.data(),
                                 all, e);
    });
  }

  given<hits> search(const vdb::search &s, control *c = nullptr) noexcept(P::no_throw) {
    return call<hits>([&](hits &out, vecdb_error *e) {
      const vecdb_search_params params = prepare(s, c, out);
      return vecdb_search(p_.get(), &params, out.all.data(), out.counts.data(), &out.info,
                          s.with_rows() ? out.rows.out() : nullptr, e);
    }, c);
  }
  /* The k groups of rows with the same value of a field, and the nearest `each` of every group:
     those of group g of query q are of(q * k + g). */
  given<hits> search_groups(const vdb::search &s, const char *field, uint32_t each = 1,
                            control *c = nullptr) noexcept(P::no_throw) {
    return call<hits>([&](hits &out, vecdb_error *e) {
      vecdb_group_by by = VECDB_GROUP_BY_INIT;
      by.field = field;
      by.hits = each;
      const vecdb_search_params params = prepare(s, c, out, each ? each : 1);
      return vecdb_search_groups(p_.get(), &params, &by, out.all.data(), out.counts.data(),
                                 &out.info, s.with_rows() ? out.rows.out() : nullptr, e);
    }, c);
  }
  given<hits> search_hybrid(const hybrid &h, control *c = nullptr) noexcept(P::no_throw) {
    return call<hits>([&](hits &out, vecdb_error *e) {
      vecdb_hybrid_params params = *h.get();
      params.control = c ? c->get() : params.control;
      make_room(out, h.n(), h.k(), 0);
      return vecdb_search_hybrid(p_.get(), &params, out.all.data(), out.counts.data(), &out.info,
                                 h.with_rows() ? out.rows.out() : nullptr, e);
    }, c);
  }
  given<hits> search_range(const vdb::search &s, float radius,
                           control *c = nullptr) noexcept(P::no_throw) {
    return call<hits>([&](hits &out, vecdb_error *e) {
      const vecdb_search_params params = prepare(s, c, out);
      return vecdb_search_range(p_.get(), &params, radius, out.all.data(), out.counts.data(),
                                &out.info, s.with_rows() ? out.rows.out() : nullptr, e);
    }, c);
  }
  /* Unlike the other calls, the control must outlive the iterator. */
  given<iterator> iterate(const vdb::search &s) noexcept(P::no_throw) {
    return call<iterator>([&](iterator &out, vecdb_error *e) {
      return vecdb_iterator_open(p_.get(), s.get(), out.out(), e);
    });
  }
  given<std::string> explain(const vdb::search &s) noexcept(P::no_throw) {
    return call<std::string>([&](std::string &out, vecdb_error *e) {
      size_t length = 4096;
      int status = VECDB_ERR_BUFFER;
      /* The plan may grow between the calls. */
      for (int i = 0; i < 4 && status == VECDB_ERR_BUFFER; i++) {
        out.resize(length + 1);
        status = vecdb_explain(p_.get(), s.get(), &out[0], out.size(), &length, e);
      }
      out.resize(status ? 0 : length);
      return status;
    });
  }

  given<done> flush(control *c = nullptr) noexcept(P::no_throw) { return run(vecdb_flush, c); }
  given<done> compact(control *c = nullptr) noexcept(P::no_throw) { return run(vecdb_compact, c); }
  given<done> wait(control *c = nullptr) noexcept(P::no_throw) { return run(vecdb_wait, c); }
  given<done> warm(control *c = nullptr) noexcept(P::no_throw) { return run(vecdb_warm, c); }
  /* Those rows and their part of each index; how many they are. */
  given<uint64_t> warm_rows(const filter &f, control *c = nullptr) noexcept(P::no_throw) {
    return call<uint64_t>([&](uint64_t &out, vecdb_error *e) {
      vecdb_filter raw = f.get();
      return vecdb_warm_rows(p_.get(), &raw, &out, detail::raw(c), e);
    }, c);
  }

  given<done> index_create(const char *field, const vecdb_index_params &params,
                           control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_index_create(p_.get(), field, &params, detail::raw(c), e);
    }, c);
  }
  given<done> index_drop(const char *field) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_index_drop(p_.get(), field, e);
    });
  }
  given<std::vector<segment_index>> index_list(const char *field) noexcept(P::no_throw) {
    using list = std::vector<segment_index>;
    return call<list>([&](list &out, vecdb_error *e) {
      detail::index_gatherer to;
      int status = vecdb_index_list(p_.get(), field, detail::gather_index, &to, e);
      out = std::move(to.list);
      return status || to.complete ? status : detail::no_memory(e);
    });
  }
  given<vecdb_stats> stats() noexcept(P::no_throw) {
    return call<vecdb_stats>([&](vecdb_stats &out, vecdb_error *e) {
      out = VECDB_STATS_INIT;
      return vecdb_collection_stats(p_.get(), &out, e);
    });
  }

 private:
  using write_fn = int (*)(vecdb_collection *, const vecdb_batch *, int64_t *, vecdb_error *);
  using run_fn = int (*)(vecdb_collection *, const vecdb_control *, vecdb_error *);

  bool has_integer_keys() const noexcept {
    const vecdb_schema *s = schema();
    for (uint32_t i = 0; i < s->n_fields; i++)
      if (s->fields[i].flags & VECDB_PRIMARY_KEY)
        return s->fields[i].type == VECDB_INT64;
    return false;
  }
  given<std::vector<int64_t>> write(write_fn f, const batch &b) noexcept(P::no_throw) {
    using ids = std::vector<int64_t>;
    return call<ids>([&](ids &out, vecdb_error *e) {
      bool integers = has_integer_keys();
      out.resize(integers ? b.size() : 0);
      return f(p_.get(), b.get(), integers ? out.data() : nullptr, e);
    });
  }
  given<done> run(run_fn f, control *c) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) { return f(p_.get(), detail::raw(c), e); }, c);
  }
  /* Room for k hits of each query, or k groups of `each`; limits are left to the library to refuse,
     before memory is asked for. */
  static void make_room(hits &out, uint32_t queries, uint32_t k, uint32_t each) {
    size_t n = queries ? queries : 1, lists = each ? n * k : n, of_list = each ? each : k;
    bool allowed = k && k <= VECDB_MAX_K && each <= VECDB_MAX_K && n <= VECDB_MAX_QUERIES &&
                   size_t{k} * (each ? each : 1) <= VECDB_MAX_K;
    out.k = static_cast<uint32_t>(of_list);
    out.all.resize(allowed ? lists * of_list : 1);
    out.counts.resize(allowed ? lists : 1);
  }
  static vecdb_search_params prepare(const vdb::search &s, const control *c, hits &out,
                                     uint32_t each = 0) {
    vecdb_search_params params = *s.get();
    if (c)
      params.control = c->get();
    make_room(out, s.n(), s.k(), each);
    return params;
  }
  detail::handle<vecdb_collection, vecdb_collection_release> p_;
};

template <class P>
class basic_database {
  template <class T>
  using given = typename P::template type<T>;
  template <class T, class F>
  static given<T> call(F &&f, control *c = nullptr) noexcept(P::no_throw) {
    return P::template give<T>(detail::call<T>(std::forward<F>(f)), c);
  }

 public:
  using collection = basic_collection<P>;
  basic_database() noexcept = default;
  ::vecdb *get() const noexcept { return p_.get(); }
  explicit operator bool() const noexcept { return p_.get() != nullptr; }

  static given<basic_database> open(const char *path,
                                    const vecdb_options &options = VECDB_OPTIONS_INIT,
                                    control *c = nullptr) noexcept(P::no_throw) {
    return call<basic_database>([&](basic_database &out, vecdb_error *e) {
      vecdb_options o = options;
      o.control = c ? c->get() : options.control;
      return vecdb_open(path, &o, out.p_.out(), e);
    }, c);
  }
  /* The destructor closes, too, and cannot say that the last sync failed. */
  given<done> close() noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) { return vecdb_close(p_.release(), e); });
  }
  /* Whether work is left. */
  given<bool> step(uint32_t ms, uint64_t bytes) noexcept(P::no_throw) {
    return call<bool>([&](bool &out, vecdb_error *e) {
      return vecdb_step(p_.get(), ms, bytes, &out, e);
    });
  }
  /* Brings a reader up to the state of the files. */
  given<vecdb_refresh_info> refresh(uint32_t max_age_ms = 0) noexcept(P::no_throw) {
    using info = vecdb_refresh_info;
    return call<info>([&](info &out, vecdb_error *e) {
      out = VECDB_REFRESH_INFO_INIT;
      return vecdb_refresh(p_.get(), max_age_ms, &out, e);
    });
  }
  /* Bytes by what they are for, and hits of the cache. */
  given<vecdb_memory> memory() noexcept(P::no_throw) {
    return call<vecdb_memory>([&](vecdb_memory &out, vecdb_error *e) {
      out = VECDB_MEMORY_INIT;
      return vecdb_memory_stats(p_.get(), &out, e);
    });
  }
  /* What the device that searches may use holds and has done. */
  given<vecdb_device> device() noexcept(P::no_throw) {
    return call<vecdb_device>([&](vecdb_device &out, vecdb_error *e) {
      out = VECDB_DEVICE_INIT;
      return vecdb_device_stats(p_.get(), &out, e);
    });
  }
  given<done> flush_all(control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_flush_all(p_.get(), detail::raw(c), e);
    }, c);
  }

  given<collection> create(const char *name, const vdb::schema &s) noexcept(P::no_throw) {
    return call<collection>([&](collection &out, vecdb_error *e) {
      return vecdb_collection_create(p_.get(), name, s.get(), out.out(), e);
    });
  }
  given<collection> open_collection(const char *name) noexcept(P::no_throw) {
    return call<collection>([&](collection &out, vecdb_error *e) {
      return vecdb_collection_get(p_.get(), name, out.out(), e);
    });
  }
  given<done> drop(const char *name) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_collection_drop(p_.get(), name, e);
    });
  }
  given<std::vector<std::string>> list() noexcept(P::no_throw) {
    using names = std::vector<std::string>;
    return call<names>([&](names &out, vecdb_error *e) {
      return vecdb_collection_list(p_.get(), detail::gather_name, &out, e);
    });
  }

  /* CORRUPT when there are faults; `faults`, unless NULL, receives a line for each. */
  given<done> check(std::vector<std::string> *faults = nullptr,
                    control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_check(p_.get(), detail::gather_fault, faults, detail::raw(c), e);
    }, c);
  }
  given<done> backup(const char *path, control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_backup(p_.get(), path, detail::raw(c), e);
    }, c);
  }
  /* Of an encrypted database; key_id may be NULL. */
  given<done> rekey(const char *key_id, uint32_t flags) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      return vecdb_rekey(p_.get(), key_id, flags, e);
    });
  }
  static given<done> restore(const char *from, const char *to,
                             const vecdb_options &options = VECDB_OPTIONS_INIT,
                             control *c = nullptr) noexcept(P::no_throw) {
    return call<done>([&](done &, vecdb_error *e) {
      vecdb_options o = options;
      o.control = c ? c->get() : options.control;
      return vecdb_restore(from, to, &o, e);
    }, c);
  }

 private:
  detail::handle<::vecdb, detail::close> p_;
};

/* ---- Functions without a handle -------------------------------------------------------------- */

/* NULL for a number that is no type. */
inline const char *index_type_name(int32_t type) noexcept { return vecdb_index_type_name(type); }

template <class P>
struct basic_functions {
  template <class T>
  using given = typename P::template type<T>;
  static given<int32_t> index_type(const char *name) noexcept(P::no_throw) {
    return P::template give<int32_t>(detail::call<int32_t>(
        [&](int32_t &out, vecdb_error *e) { return vecdb_index_type_parse(name, &out, e); }));
  }
  static given<vecdb_index_params> index(const char *text) noexcept(P::no_throw) {
    using params = vecdb_index_params;
    return P::template give<params>(detail::call<params>([&](params &out, vecdb_error *e) {
      out = VECDB_INDEX_PARAMS_INIT;
      return vecdb_index_params_parse(text, &out, e);
    }));
  }
  /* What a build of an index over so many rows of the field would take. */
  static given<vecdb_index_need> index_estimate(const vecdb_field &field,
                                                const vecdb_index_params &params, uint64_t rows,
                                                uint32_t threads = 0) noexcept(P::no_throw) {
    return P::template give<vecdb_index_need>(
        detail::call<vecdb_index_need>([&](vecdb_index_need &out, vecdb_error *e) {
          out = VECDB_INDEX_NEED_INIT;
          return vecdb_index_estimate(&field, &params, rows, threads, &out, e);
        }));
  }
  /* Scales packed vectors of `dim` elements to length 1, in place. */
  static given<done> normalize(span<float> vectors, size_t dim) noexcept(P::no_throw) {
    return P::template give<done>(detail::call<done>([&](done &, vecdb_error *e) {
      return vecdb_normalize(vectors.data(), dim ? vectors.size() / dim : 0, dim, e);
    }));
  }
};

/* Conversions of as many elements as both spans have. */
inline void to_float16(span<const float> in, span<uint16_t> out) noexcept {
  vecdb_to_float16(in.data(), out.data(), in.size() < out.size() ? in.size() : out.size());
}
inline void from_float16(span<const uint16_t> in, span<float> out) noexcept {
  vecdb_from_float16(in.data(), out.data(), in.size() < out.size() ? in.size() : out.size());
}
inline void to_bfloat16(span<const float> in, span<uint16_t> out) noexcept {
  vecdb_to_bfloat16(in.data(), out.data(), in.size() < out.size() ? in.size() : out.size());
}
inline void from_bfloat16(span<const uint16_t> in, span<float> out) noexcept {
  vecdb_from_bfloat16(in.data(), out.data(), in.size() < out.size() ? in.size() : out.size());
}

#if VECDB_HPP_EXCEPTIONS
using database = basic_database<as_exceptions>;
using collection = basic_collection<as_exceptions>;
using iterator = basic_iterator<as_exceptions>;
using functions = basic_functions<as_exceptions>;
#endif

namespace nothrow {
using database = basic_database<as_results>;
using collection = basic_collection<as_results>;
using iterator = basic_iterator<as_results>;
using functions = basic_functions<as_results>;
} /* namespace nothrow */

} /* namespace vdb */

#endif /* VECDB_HPP */
