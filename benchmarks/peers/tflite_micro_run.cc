// Runs a network with TensorFlow Lite Micro: `peer`, from an array of inputs to one of floats.
//
// network.h has INPUT (the type of the inputs), PLACED(at) (what goes to the input tensor at that
// place), OPERATORS, OPERATOR_COUNT and ARENA, its bytes. With REPORT_ARENA, it makes the
// interpreter and runs nothing; the first output is how many bytes of the arena are used.
#include <cmath>
#include <cstdlib>
#include <new>

#include "network.h"
#include "tensorflow/lite/micro/kernels/add.h"
#include "tensorflow/lite/micro/kernels/conv.h"
#include "tensorflow/lite/micro/kernels/fully_connected.h"
#include "tensorflow/lite/micro/kernels/pad.h"
#include "tensorflow/lite/micro/kernels/pooling.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" const unsigned char model_bytes[];

using Resolver = tflite::MicroMutableOpResolver<OPERATOR_COUNT>;
alignas(16) static unsigned char arena[ARENA];
alignas(8) static unsigned char resolver_place[sizeof(Resolver)];
alignas(8) static unsigned char interpreter_place[sizeof(tflite::MicroInterpreter)];
static tflite::MicroInterpreter *interpreter;

#ifdef __arm__
// The smallest one: that of the C library wants an operating system.
extern "C" [[noreturn]] void abort() {
  for (;;) {
  }
}
#endif

extern "C" void peer(const INPUT *input, float *output) {
  bool well = true;
  if (interpreter == nullptr) {
    Resolver &resolver = *new (resolver_place) Resolver();
    OPERATORS
    interpreter = new (interpreter_place) tflite::MicroInterpreter(
        tflite::GetModel(model_bytes), resolver, arena, sizeof arena);
    well = interpreter->AllocateTensors() == kTfLiteOk;
  }
#ifdef REPORT_ARENA
  output[0] = well ? interpreter->arena_used_bytes() : NAN;
#else
  if (well) {
    TfLiteTensor *to = interpreter->input(0);
    size_t count = 1;
    for (int axis = 0; axis < to->dims->size; axis++) count *= to->dims->data[axis];
    for (size_t at = 0; at < count; at++) {
      if (to->type == kTfLiteInt8) {
        to->data.int8[at] = PLACED(at);
      } else {
        to->data.f[at] = PLACED(at);
      }
    }
    well = interpreter->Invoke() == kTfLiteOk;
  }
  if (!well) {
    output[0] = NAN;
    return;
  }
  TfLiteTensor *from = interpreter->output(0);
  for (int at = 0; at < from->dims->data[1]; at++) {
    output[at] = from->type == kTfLiteInt8
                     ? (from->data.int8[at] - from->params.zero_point) * from->params.scale
                     : from->data.f[at];
  }
#endif
}
