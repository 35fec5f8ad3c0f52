// One convolution: its weights in the order they are read, the sums over its input, and the same sums transposed.
#pragma once

#include <vector>

#include "engine.h"
#include "words.hpp"

inline int block_of(int channels) { return channels > 4 ? BLOCK : 4; }
inline int padded(int channels) { return (channels + block_of(channels) - 1) / block_of(channels) * block_of(channels); }

template <class W>
struct Layer {
    Shape s;
    int in_words, out_words;
    std::vector<uint32_t> forward, backward;  // [block][ky][kx][word][channel of the block]
    std::vector<float> bias;

    Layer(const Shape& shape, const float* weight, const float* b) : s(shape) {
        in_words = padded(s.c_in) / W::CHANNELS;
        out_words = padded(s.c_out) / W::CHANNELS;
        bias.assign(padded(s.c_out), 0.0f);
        std::copy(b, b + s.c_out, bias.begin());
        int taps = s.kernel * s.kernel;
        auto at = [&](int o, int i, int tap) {
            return o < s.c_out && i < s.c_in ? weight[(o * s.c_in + i) * taps + tap] : 0.0f;
        };
        auto packed = [&](int channels, int words, auto value) {
            int block = block_of(channels);
            std::vector<uint32_t> out;
            out.reserve((size_t)padded(channels) * taps * words);
            for (int c0 = 0; c0 < channels; c0 += block)
                for (int tap = 0; tap < taps; tap++)
                    for (int word = 0; word < words; word++)
                        for (int c = c0; c < c0 + block; c++) {
                            float w[2];
                            for (int k = 0; k < W::CHANNELS; k++) w[k] = value(c, word * W::CHANNELS + k, tap);
                            out.push_back(W::word(w));
                        }
            return out;
        };
        forward = packed(s.c_out, in_words, [&](int c, int k, int tap) { return at(c, k, tap); });
        backward = packed(s.c_in, out_words, [&](int c, int k, int tap) { return at(k, c, tap); });
    }
};

template <class W, int N>
inline void accumulate(Floats (&sum)[N][VECTORS], const uint32_t* w, const Words* a, int words) {
    for (int i = 0; i < words; i++, a += VECTORS, w += N)
        for (int c = 0; c < N; c++)
            for (int v = 0; v < VECTORS; v++) sum[c][v] = W::dot(sum[c][v], a[v], w[c]);
}

// The same with a sum of the few products that a float can hold, which then go to a sum that holds more.
template <class W, int N>
inline void accumulate(Sum (&sum)[N][VECTORS], const uint32_t* w, const Words* a, int words) {
    constexpr int few = 8;
    for (int i = 0; i < words; i += few, a += few * VECTORS, w += few * N) {
        Floats part[N][VECTORS] = {};
        accumulate<W, N>(part, w, a, std::min(few, words - i));
        for (int c = 0; c < N; c++)
            for (int v = 0; v < VECTORS; v++) sum[c][v] += part[c][v];
    }
}

inline void begin(Floats& sum, float x) { sum = Floats{} + x; }
inline void begin(Sum& sum, float x) { sum = {Floats{} + x, Floats{}}; }
inline Floats rounded(Floats sum) { return sum; }
inline Floats rounded(const Sum& sum) { return sum.high + sum.low; }

// For every position of the output, for N channels at a time: done(position, first channel, sums). Total is Floats, or
// Sum where rounding errors of the convolution are not to add up.
template <class W, int N, class Total, class Done>
void convolve(const Layer<W>& layer, const Words* input, Done done) {
    const Shape& s = layer.s;
    for (int c0 = 0; c0 < s.c_out; c0 += N) {
        const uint32_t* weights = layer.forward.data() + (size_t)c0 * s.kernel * s.kernel * layer.in_words;
        for (int y = 0; y < s.h_out; y++)
            for (int x = 0; x < s.w_out; x++) {
                Total total[N][VECTORS];
                for (int c = 0; c < N; c++)
                    for (int v = 0; v < VECTORS; v++) begin(total[c][v], layer.bias[c0 + c]);
                int top = y * s.stride - s.pad, left = x * s.stride - s.pad;
                int from = std::max(0, -left), to = std::min(s.kernel, s.w_in - left);
                for (int ky = std::max(0, -top); ky < std::min(s.kernel, s.h_in - top); ky++)
                    if (from < to)
                        accumulate<W, N>(
                            total, weights + (size_t)(ky * s.kernel + from) * layer.in_words * N,
                            input + (size_t)((top + ky) * s.w_in + left + from) * layer.in_words * VECTORS,
                            (to - from) * layer.in_words);
                Floats sum[N][VECTORS];
                for (int c = 0; c < N; c++)
                    for (int v = 0; v < VECTORS; v++) sum[c][v] = rounded(total[c][v]);
                done(y * s.w_out + x, c0, sum);
            }
    }
}

// The same for the transposed convolution, which carries a gradient from the output back to the input.
template <class W, int N, class Done>
void convolve_back(const Layer<W>& layer, const Words* delta, Done done) {
    const Shape& s = layer.s;
    for (int c0 = 0; c0 < s.c_in; c0 += N) {
        const uint32_t* weights = layer.backward.data() + (size_t)c0 * s.kernel * s.kernel * layer.out_words;
        for (int y = 0; y < s.h_in; y++)
            for (int x = 0; x < s.w_in; x++) {
                Floats sum[N][VECTORS] = {};
                for (int ky = (y + s.pad) % s.stride; ky < s.kernel; ky += s.stride) {
                    int oy = (y + s.pad - ky) / s.stride;
                    if (y + s.pad < ky || oy >= s.h_out) continue;
                    for (int kx = (x + s.pad) % s.stride; kx < s.kernel; kx += s.stride) {
                        int ox = (x + s.pad - kx) / s.stride;
                        if (x + s.pad < kx || ox >= s.w_out) continue;
                        accumulate<W, N>(sum, weights + (size_t)(ky * s.kernel + kx) * layer.out_words * N,
                                         delta + (size_t)(oy * s.w_out + ox) * layer.out_words * VECTORS,
                                         layer.out_words);
                    }
                }
                done(y * s.w_in + x, c0, sum);
            }
    }
}
