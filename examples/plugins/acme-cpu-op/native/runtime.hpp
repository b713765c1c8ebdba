// What the vendor's runtime and a CPU function of a program file agree on: names and layouts
// of the runtime's classes, as far as a function needs them. Nothing here is linked; the
// runtime finds the two symbols at the end of a library by name.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

namespace cvi {

// One argument. Its value is of exactly the type that the program file has for it.
class FieldBase {
public:
  virtual ~FieldBase() = default;
};

template <class T> class Field : public FieldBase {
public:
  T data;
};

// The arguments of a call, by name.
class OpParam {
public:
  template <class T> const T *find(const std::string &name) const {
    auto at = fields.find(name);
    return at == fields.end() ? nullptr : value<T>(*at->second);
  }

private:
  // by the type's name: libraries that were opened apart have type records of their own
  template <class T> static const T *value(const FieldBase &field) {
    if (std::string(typeid(field).name()) != typeid(Field<T>).name())
      return nullptr;
    return &static_cast<const Field<T> &>(field).data;
  }

  std::map<std::string, std::shared_ptr<FieldBase>> fields;
};

namespace runtime {

// Where the data of a tensor is.
struct Memory {
  void *handles[7];
  std::uint8_t *heap;   // of tensors that only CPU functions touch
  std::uint8_t *device; // of tensors that the TPU reads or writes too
  std::uint64_t physical;
  int newest; // whose copy counts: 0 the TPU's, 1 the CPU's
  std::uint32_t id, count, bytes;
};

// A tensor of floats. The runtime creates and destroys it; the members have its layout.
class Neuron {
public:
  std::string name;
  std::vector<int> shape;

  std::size_t count() const {
    std::size_t product = 1;
    for (int size : shape)
      product *= size;
    return product;
  }

  const float *read() { return data(memory()); }

  // What is written here is flushed to the TPU's memory after the call.
  float *write() {
    memory().newest = 1;
    return data(memory());
  }

private:
  static float *data(Memory &at) {
    return reinterpret_cast<float *>(at.device ? at.device : at.heap);
  }

  // Newer runtimes keep three more numbers before it; the right place is the one that knows
  // how large the tensor is.
  Memory &memory() {
    auto end = reinterpret_cast<std::uint8_t *>(&aligned) + 8;
    for (auto place : {end + 8, end}) {
      auto found = reinterpret_cast<Memory *>(place);
      if (found->count == count() && found->bytes == 4 * count())
        return *found;
    }
    std::fprintf(stderr, "acme: %s is no tensor of floats of a known runtime\n", name.c_str());
    std::abort();
  }

  int format, kind, pixel_format;
  std::vector<float> scale, mean;
  bool aligned;
};

using Tensors = std::vector<std::shared_ptr<Neuron>>;

// A CPU function: one object for each call in a program; the order of the virtual functions
// is the runtime's.
class ICpuFunction {
public:
  virtual ~ICpuFunction() = default;
  virtual void setup(Tensors &inputs, Tensors &outputs, OpParam &param) = 0;
  virtual void run() = 0;
};

} // namespace runtime
} // namespace cvi

struct Entry {
  const char *name;
  cvi::runtime::ICpuFunction *(*create)();
};

extern "C" {
extern Entry customOpRuntimeFuncs[];
extern int customOpRuntimeFuncsNum;
}
