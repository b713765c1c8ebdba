// acme_unit_max: every row divided by its greatest magnitude, at least `floor`.
#include "runtime.hpp"

#include <algorithm>
#include <cmath>

namespace {

void require(bool holds, const char *what) {
  if (holds)
    return;
  std::fprintf(stderr, "acme_unit_max: %s\n", what);
  std::abort();
}

template <class T> T argument(const cvi::OpParam &param, const char *name) {
  const T *value = param.find<T>(name);
  require(value, "an argument is missing or of another type");
  return *value;
}

class UnitMax : public cvi::runtime::ICpuFunction {
public:
  void setup(cvi::runtime::Tensors &inputs, cvi::runtime::Tensors &outputs,
             cvi::OpParam &param) override {
    source = inputs.at(0);
    target = outputs.at(0);
    row = argument<int>(param, "row");
    floor = argument<float>(param, "floor");
    require(row > 0 && target->count() % row == 0, "the rows do not fill the result");
    require(source->count() == target->count(), "input and result differ in size");
  }

  void run() override {
    const float *x = source->read();
    float *y = target->write();
    for (std::size_t start = 0; start < target->count(); start += row) {
      float most = floor;
      for (int i = 0; i < row; ++i)
        most = std::max(most, std::fabs(x[start + i]));
      for (int i = 0; i < row; ++i)
        y[start + i] = x[start + i] / most;
    }
  }

private:
  std::shared_ptr<cvi::runtime::Neuron> source, target;
  int row = 1;
  float floor = 0;
};

} // namespace

extern "C" {
Entry customOpRuntimeFuncs[] = {
    {"acme_unit_max", []() -> cvi::runtime::ICpuFunction * { return new UnitMax; }},
};
int customOpRuntimeFuncsNum = 1;
}
