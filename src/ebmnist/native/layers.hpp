// One convolution: its weights in the order they are read, the sums over its input, and the same sums transposed.
#pragma once

#include <type_traits>
#include <vector>

#include "stencil.hpp"
#include "threads.hpp"
#include "words.hpp"

inline int block_of(int channels) { return channels > 4 ? 8 : 4; }
inline int padded(int channels) { return (channels + block_of(channels) - 1) / block_of(channels) * block_of(channels); }

// From one weight to the next, as Python has them.
inline int out_step(const Shape& s) { return s.c_in * s.kernel * s.kernel; }
inline int in_step(const Shape& s) { return s.channels_last ? 1 : s.kernel * s.kernel; }
inline int tap_step(const Shape& s) { return s.channels_last ? s.c_in : 1; }

template <class W>
struct Layer {
    Shape s;
    int in_words, out_words;
    std::vector<uint32_t> forward, backward;  // [block][ky][kx][word][channel of the block]
    std::vector<float> bias;
    Stencil forth, back;

    Layer(const Shape& shape, const float* weight, const float* b)
        : s(shape), forth(forward_stencil(shape)), back(backward_stencil(shape)) {
        in_words = padded(s.c_in) / W::CHANNELS;
        out_words = padded(s.c_out) / W::CHANNELS;
        bias.assign(padded(s.c_out), 0.0f);
        std::copy(b, b + s.c_out, bias.begin());
        forward = packed(weight, s.c_out, out_step(s), s.c_in, in_step(s));
        backward = packed(weight, s.c_in, in_step(s), s.c_out, out_step(s));
    }

    // Of weight[c·step + k·k_step + tap·tap_step] for `channels` c, and `inputs` k that each of them sums.
    std::vector<uint32_t> packed(const float* weight, int channels, int step, int inputs, int k_step) const {
        int block = block_of(channels), words = padded(inputs) / W::CHANNELS, taps = s.kernel * s.kernel;
        std::vector<uint32_t> out((size_t)(padded(channels) * taps * words));
        for (int c0 = 0; c0 < channels; c0 += block)
            for (int k = 0; k < inputs; k += W::CHANNELS)
                for (int tap = 0; tap < taps; tap++) {
                    uint32_t* to = &out[(size_t)(((c0 / block * taps + tap) * words + k / W::CHANNELS) * block)];
                    for (int c = c0; c < std::min(c0 + block, channels); c++) {
                        const float* from = weight + c * step + k * k_step + tap * tap_step(s);
                        float w[2] = {*from, W::CHANNELS == 2 && k + 1 < inputs ? from[k_step] : 0.0f};
                        *to++ = W::word(w);
                    }
                }
        return out;
    }
};

// What `convolve` reads of a layer: forth, or back.
struct Direction {
    const Stencil& stencil;
    const uint32_t* weights;
    const float* bias;  // may be null
    int taps, words, channels;

    int turns() const { return channels / block_of(channels) * (int)stencil.parts.size(); }
};

template <class W>
Direction forth(const Layer<W>& l) {
    return {l.forth, l.forward.data(), l.bias.data(), l.s.kernel * l.s.kernel, l.in_words, padded(l.s.c_out)};
}
template <class W>
Direction back(const Layer<W>& l) {
    return {l.back, l.backward.data(), nullptr, l.s.kernel * l.s.kernel, l.out_words, padded(l.s.c_in)};
}

// Add N channels at M sites: `words` terms each, with weights BLOCK apart. N × M sums, M inputs and a weight fit the
// registers, and each vector that is loaded is used N or M times.
template <class W, int BLOCK, int N, int M>
inline void accumulate(Floats (&sum)[N][M], const uint32_t* w, const Words* const (&input)[M], int words) {
    for (int i = 0; i < words; i++, w += BLOCK) {
        Words a[M];
        UNROLLED for (int m = 0; m < M; m++) a[m] = input[m][i];
        UNROLLED for (int c = 0; c < N; c++)
            UNROLLED for (int m = 0; m < M; m++) sum[c][m] = W::dot(sum[c][m], a[m], w[c]);
    }
}

// The same with a sum of the few products that a float can hold, which then go to a sum that holds more.
template <class W, int BLOCK, int N, int M>
inline void accumulate(Sum (&sum)[N][M], const uint32_t* w, const Words* const (&input)[M], int words) {
    constexpr int few = 8;
    for (int i = 0; i < words; i += few, w += few * BLOCK) {
        Floats part[N][M] = {};
        const Words* a[M];
        UNROLLED for (int m = 0; m < M; m++) a[m] = input[m] + i;
        accumulate<W, BLOCK>(part, w, a, std::min(few, words - i));
        UNROLLED for (int c = 0; c < N; c++)
            UNROLLED for (int m = 0; m < M; m++) sum[c][m] += part[c][m];
    }
}

inline void begin(Floats& sum, float x) { sum = Floats{} + x; }
inline void begin(Sum& sum, float x) { sum = {Floats{} + x, Floats{}}; }
inline Floats rounded(Floats sum) { return sum; }
inline Floats rounded(const Sum& sum) { return sum.high + sum.low; }

// The whole sums of channels c0 … c0 + N − 1 at M sites. Never inlined: what is done with the sums would take registers
// from the loop.
template <class W, class Total, int BLOCK, int N, int M>
__attribute__((noinline)) void sum_up(const Direction& d, const std::vector<Stencil::Run>& runs,
                                      const Stencil::Site* sites, int c0, const Words* input, Floats (&out)[N][M]) {
    Total total[N][M];
    UNROLLED for (int c = 0; c < N; c++)
        UNROLLED for (int m = 0; m < M; m++) begin(total[c][m], d.bias ? d.bias[c0 + c] : 0.0f);
    const uint32_t* weights = d.weights + (size_t)(c0 / BLOCK * d.taps * d.words) * BLOCK + c0 % BLOCK;
    for (const auto& run : runs) {
        const Words* a[M];
        UNROLLED for (int m = 0; m < M; m++) a[m] = input + (size_t)((sites[m].input + run.input) * d.words);
        accumulate<W, BLOCK>(total, weights + (size_t)(run.tap * d.words) * BLOCK, a, run.length * d.words);
    }
    UNROLLED for (int c = 0; c < N; c++)
        UNROLLED for (int m = 0; m < M; m++) out[c][m] = rounded(total[c][m]);
}

template <int N>
using Count = std::integral_constant<int, N>;

// Three sites at once, and two or one where three would leave one over, or where a sum takes several registers.
template <class Total, class Work>
int some_of(int sites, Work work) {
    if (std::is_same_v<Total, Floats> && sites >= 3 && sites != 4) return work(Count<3>()), 3;
    if (sites >= 2) return work(Count<2>()), 2;
    return work(Count<1>()), 1;
}

template <class W, class Total, int BLOCK, class Done>
void convolve_blocks(const Direction& d, const Words* input, OpenLoop& loop, Done done) {
    loop.run(d.channels / BLOCK, (int)d.stencil.parts.size(), [&](int row, int column) {
        const int block = row * BLOCK;
        const Stencil::Part& part = d.stencil.parts[(size_t)column];
        const Stencil::Group& group = d.stencil.groups[(size_t)part.group];
        for (int i = part.first; i < part.last;) {
            const Stencil::Site* sites = &group.sites[(size_t)i];
            i += some_of<Total>(part.last - i, [&](auto m) {
                constexpr int N = REGISTERS == 32 || m == 1 ? BLOCK : 4;
                for (int c0 = block; c0 < block + BLOCK; c0 += N) {
                    Floats sum[N][m];
                    sum_up<W, Total, BLOCK>(d, group.runs, sites, c0, input, sum);
                    done(sites, c0, sum);
                }
            });
        }
    });
}

// For every output: done(sites, first channel, sums[channel][site]), by any thread. Total is Floats, or Sum where
// rounding errors are not to add up.
template <class W, class Total, class Done>
void convolve(const Direction& d, const Words* input, OpenLoop& loop, Done done) {
    if (block_of(d.channels) == 4) convolve_blocks<W, Total, 4>(d, input, loop, done);
    else convolve_blocks<W, Total, 8>(d, input, loop, done);
}
