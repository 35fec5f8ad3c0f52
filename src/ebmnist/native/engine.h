// What Python calls, by ctypes, and what the tests' driver calls.
//
// Every function that can fail returns a Status. Nothing is thrown out of one, and all threads are done with its work
// when it returns. The caller answers for the sizes of the buffers; they are written at each function.
#pragma once

#include <stdint.h>

#define EBMNIST_ABI 7
#ifdef _WIN32
#define EBMNIST_ENTRY __declspec(dllexport)
#else
#define EBMNIST_ENTRY __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum Status { DONE = 0, BAD_ARGUMENT = 1, OUT_OF_MEMORY = 2, FAILED = 3 };

// What the processor that asks can execute.
enum Processor { HAS_V3 = 1, HAS_V4 = 2, HAS_BF16 = 4, IS_AMD = 8 };

struct Shape {  // of one convolution; a linear layer is one whose kernel covers its whole input
    int32_t c_in, h_in, w_in, c_out, h_out, w_out, kernel, stride, pad;
    int32_t channels_last;  // whether its weights are (c_out, kernel, kernel, c_in); else (c_out, c_in, kernel, kernel)
};

struct Langevin {
    uint64_t seed;
    uint32_t stream, first_step;  // counter words c3, and c1 of the first step
    int32_t n_steps, noise_first;
    int32_t evaluations;    // of the gradient, in each step
    float clip, clip_norm;  // infinite for none
    float low, high;        // infinite for none
};

struct Handle;  // a packed network, which never changes: any number of threads may use it at once

EBMNIST_ENTRY int32_t abi(void);
EBMNIST_ENTRY const char* digest(void);   // of the sources that this was compiled from
EBMNIST_ENTRY const char* variant(void);  // the instructions it was compiled for
EBMNIST_ENTRY int32_t has_bf16(void);
EBMNIST_ENTRY uint32_t processor(void);

// gomp_parallel: OpenMP's function of that name, whose threads are used from now on, or null for threads of its own.
EBMNIST_ENTRY void share_by(void* gomp_parallel);

// weights[l]: as its shape says; biases[l]: (c_out,); head: (c_out·h_out·w_out of the last layer,);
// order: a permutation, (c_in·h_in·w_in of the first layer,); out: receives the handle, which `release` frees.
EBMNIST_ENTRY int32_t pack(int32_t bf16, int32_t n_layers, const struct Shape* shapes, const float* const* weights,
                           const float* const* biases, const float* head, double head_bias, double scale, double shift,
                           double reference_precision, const int32_t* order, struct Handle** out);
EBMNIST_ENTRY void release(struct Handle* handle);

// images, grad: (n, pixels), energy: (n,). grad may be null.
EBMNIST_ENTRY int32_t energy_and_grad(const struct Handle* handle, const float* images, int32_t n, float* energy,
                                      float* grad, int32_t n_threads);

// How many threads find work at once in a step of n images, in the layer where they are fewest; 0 for what it refuses.
EBMNIST_ENTRY int64_t turns(const struct Handle* handle, int32_t n);

// Bytes that `record` writes for n images; 0 for what it refuses.
EBMNIST_ENTRY int64_t record_size(const struct Handle* handle, int32_t n);

// E(x), (n,), and what `weight_grad` needs of the images. record: record_size(handle, n) bytes, aligned to 64.
EBMNIST_ENTRY int32_t record(const struct Handle* handle, const float* images, int32_t n, float* energy, void* record,
                             int32_t n_threads);

// record: of the same handle and n; coefficients: (n,); weights, biases, head as in `pack`, written.
EBMNIST_ENTRY int32_t weight_grad(const struct Handle* handle, const void* record, int32_t n,
                                  const float* coefficients, float* const* weights, float* const* biases, float* head,
                                  int32_t n_threads);

// Every evaluation of the gradient moves the images: x ← clamp(x − drift·g + lead·(k − m) + σ ξ), then m ← k, with
// g = clip(∇E(x)) and k = x − keep·g. A step has one draw ξ; with noise_first its first σ ξ is added, and clamped, before
// the gradient is taken. A gradient after the first that nothing multiplies counts as 0.
//
// images: (n, pixels), moved; chains: (n,), each in [0, 2³²), may be null where noise is given; drifts (ε²/2 in Langevin's
// step), sigmas, clamp_margins: (n_steps·evaluations, n); leads, keeps: as drifts, and memory: m, (n, pixels), changed; all
// three null where nothing is remembered; noise: (n_steps, n, pixels) or null; before: where the last step began, grad: of
// its first evaluation, (n, pixels); trace: (4, n_steps, n).
EBMNIST_ENTRY int32_t langevin_chain(const struct Handle* handle, const struct Langevin* kernel, float* images,
                                     int32_t n, const int64_t* chains, const float* drifts, const float* sigmas,
                                     const float* clamp_margins, const float* leads, const float* keeps,
                                     const float* noise, float* memory, float* before, float* grad, float* trace,
                                     int32_t n_threads);

// Standard normals of one draw: chains: (n,), each in [0, 2³²); out: (n, n_values).
EBMNIST_ENTRY int32_t normals(uint64_t seed, uint32_t stream, uint32_t step, int32_t draw, const int64_t* chains,
                              int32_t n, int32_t n_values, float* out, int32_t n_threads);

// Random words of blocks 0 … n_blocks − 1 of each row: rows, steps: (n,), each in [0, 2³²); out: (4, n, n_blocks).
EBMNIST_ENTRY int32_t words(uint64_t seed, uint32_t stream, int32_t draw, const int64_t* rows, const int64_t* steps,
                            int32_t n, int32_t n_blocks, int64_t* out, int32_t n_threads);

// Philox4x32-10 of n counters under one key: counters, out: (n, 4).
EBMNIST_ENTRY int32_t philox(const uint32_t* counters, int32_t n, uint64_t key, uint32_t* out);

#ifdef __cplusplus
}
#endif
