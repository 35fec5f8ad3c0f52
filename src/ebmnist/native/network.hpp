// E(x) of a plain network, its gradient with respect to x, and its gradient with respect to the weights.
//
// TILE images go through together, one per vector lane, so a convolution is a sum of (broadcast weight) × (vector of
// images): no unfolding, no re-layout, any stride, and the gradient is the same sum with the weights in another order.
// A buffer is [position][word][VECTORS] of vectors; a word is one float, or two channels in bfloat16.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "lanes.hpp"

struct Single {  // one channel a word, float32
    static constexpr int CHANNELS = 1;
    static uint32_t word(const float* w) {
        uint32_t bits;
        std::memcpy(&bits, w, 4);
        return bits;
    }
    static Floats dot(Floats sum, Words a, uint32_t w) { return sum + (Floats)a * (Floats)(Words{} + w); }
    static Words pack(const Floats* c, int stride) { return (Words)c[0 * stride]; }
    static void unpack(Words a, Floats* c) { c[0] = (Floats)a; }
    static void by_channel(const Words* a, Words (&out)[1][VECTORS]) { std::copy(a, a + VECTORS, out[0]); }
    static Floats dot(Floats sum, Words a, Words b) { return sum + (Floats)a * (Floats)b; }
};

#ifdef __AVX512BF16__
struct Pair {  // two channels a word, bfloat16, summed in float32
    static constexpr int CHANNELS = 2;
    static uint32_t word(const float* w) {
        __m128bh half = _mm_cvtneps_pbh(_mm_set_ps(0, 0, w[1], w[0]));
        return (uint32_t)_mm_cvtsi128_si32((__m128i)half);
    }
    static Floats dot(Floats sum, Words a, uint32_t w) {
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)_mm512_set1_epi32((int)w));
    }
    static Words pack(const Floats* c, int stride) {
        __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(c[0]));
        __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(c[stride]));
        return (Words)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
    }
    static void unpack(Words a, Floats* c) {
        c[0] = (Floats)(a << 16);
        c[1] = (Floats)(a & 0xffff0000u);
    }
    // From (two channels of an image) to (two images of a channel), so that `dot` sums over images.
    static void by_channel(const Words* a, Words (&out)[2][VECTORS / 2]) {
        for (int v = 0; v < VECTORS; v += 2) {
            out[0][v / 2] = (a[v] & 0xffffu) | (a[v + 1] << 16);
            out[1][v / 2] = (a[v] >> 16) | (a[v + 1] & 0xffff0000u);
        }
    }
    static Floats dot(Floats sum, Words a, Words b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
};
#endif

struct Shape {  // of one convolution; a linear layer is one whose kernel covers its whole input
    int32_t c_in, h_in, w_in, c_out, h_out, w_out, kernel, stride, pad;
};

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

// For every position of the output, for N channels at a time: done(position, first channel, sums).
template <class W, int N, class Done>
void convolve(const Layer<W>& layer, const Words* input, Done done) {
    const Shape& s = layer.s;
    for (int c0 = 0; c0 < s.c_out; c0 += N) {
        const uint32_t* weights = layer.forward.data() + (size_t)c0 * s.kernel * s.kernel * layer.in_words;
        for (int y = 0; y < s.h_out; y++)
            for (int x = 0; x < s.w_out; x++) {
                Floats sum[N][VECTORS];
                for (int c = 0; c < N; c++)
                    for (int v = 0; v < VECTORS; v++) sum[c][v] = Floats{} + layer.bias[c0 + c];
                int top = y * s.stride - s.pad, left = x * s.stride - s.pad;
                int from = std::max(0, -left), to = std::min(s.kernel, s.w_in - left);
                for (int ky = std::max(0, -top); ky < std::min(s.kernel, s.h_in - top); ky++)
                    if (from < to)
                        accumulate<W, N>(
                            sum, weights + (size_t)(ky * s.kernel + from) * layer.in_words * N,
                            input + (size_t)((top + ky) * s.w_in + left + from) * layer.in_words * VECTORS,
                            (to - from) * layer.in_words);
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

template <class W>
struct Network {
    std::vector<Layer<W>> layers;
    std::vector<float> head;  // of the last linear layer, to one number; in float32, as energies near 10 need it
    float head_bias;
    float scale, shift;          // the network sees scale·x + shift
    float bowl;                  // E has bowl/2 · ‖x + shift/scale‖² besides what the network says
    std::vector<int32_t> order;  // pixel p of the first layer's input is order[p] of an image's row

    int pixels() const { return layers[0].s.c_in * layers[0].s.h_in * layers[0].s.w_in; }
};

// What one tile's pass leaves behind: activations, and the slopes that become ∂E/∂z.
template <class W>
struct Pass {
    const Network<W>& net;
    std::vector<std::vector<Words>> activation, slope;  // activation[l] enters layer l; slope[l] is of its output
    std::vector<Words> output;                           // what enters the head

    explicit Pass(const Network<W>& network) : net(network) {
        for (const auto& layer : net.layers) {
            const Shape& s = layer.s;
            activation.emplace_back((size_t)s.h_in * s.w_in * layer.in_words * VECTORS);
            slope.emplace_back((size_t)s.h_out * s.w_out * layer.out_words * VECTORS);
        }
        output.resize(slope.back().size());
    }

    // x is [channel][position][VECTORS]. E(x) of each image of the tile.
    void forward(const Floats* x, Floats (&energy)[VECTORS]) {
        const Shape& first = net.layers[0].s;
        int positions = first.h_in * first.w_in, words = net.layers[0].in_words;
        Floats squares[VECTORS] = {};
        for (int p = 0; p < positions; p++)
            for (int w = 0; w < words; w++)
                for (int v = 0; v < VECTORS; v++) {
                    Floats c[2] = {};
                    for (int k = 0; k < W::CHANNELS; k++)
                        if (int channel = w * W::CHANNELS + k; channel < first.c_in) {
                            c[k] = x[(channel * positions + p) * VECTORS + v] * net.scale + net.shift;
                            squares[v] += c[k] * c[k];
                        }
                    activation[0][(p * words + w) * VECTORS + v] = W::pack(c, 1);
                }
        for (int v = 0; v < VECTORS; v++) energy[v] = net.head_bias + 0.5f * net.bowl / (net.scale * net.scale) * squares[v];
        for (size_t l = 0; l < net.layers.size(); l++) {
            if (block_of(net.layers[l].s.c_out) == 4) layer_forward<4>(l, energy);
            else layer_forward<BLOCK>(l, energy);
        }
    }

    // SiLU (Elfwing et al. 2018): a = z σ(z), da/dz = σ(z) (1 + z (1 − σ(z))), computed together.
    template <int N>
    void layer_forward(size_t l, Floats (&energy)[VECTORS]) {
        const Layer<W>& layer = net.layers[l];
        bool last = l + 1 == net.layers.size();
        convolve<W, N>(layer, activation[l].data(), [&](int position, int c0, Floats (&sum)[N][VECTORS]) {
            Floats steepness[N][VECTORS];
            for (int c = 0; c < N; c++)
                for (int v = 0; v < VECTORS; v++) {
                    Floats z = sum[c][v], sigma = 1.0f / (1.0f + exponential(-z));
                    sum[c][v] = z * sigma;
                    steepness[c][v] = sigma * (1.0f + z * (1.0f - sigma));
                    if (last) {
                        float w = net.head[position * padded(layer.s.c_out) + c0 + c];
                        energy[v] += w * sum[c][v];
                        steepness[c][v] *= w;  // ∂E/∂z already
                    }
                }
            put<N>(slope[l], layer.out_words, position, c0, steepness);
            put<N>(last ? output : activation[l + 1], layer.out_words, position, c0, sum);
        });
    }

    // After forward: slope[l] becomes ∂E/∂z of layer l.
    void backward_hidden() {
        for (size_t l = net.layers.size() - 1; l > 0; l--) {
            if (block_of(net.layers[l].s.c_in) == 4) layer_backward<4>(l);
            else layer_backward<BLOCK>(l);
        }
    }

    // After forward of x: ∂E/∂x into grad, [channel][position][VECTORS], which may be x itself.
    void backward(const Floats* x, Floats* grad) {
        backward_hidden();
        const Shape& s = net.layers[0].s;
        auto give = [&](int position, int c0, auto& sum) {
            for (int c = 0; c < (int)std::size(sum) && c0 + c < s.c_in; c++)
                for (int v = 0; v < VECTORS; v++) {
                    int i = ((c0 + c) * s.h_in * s.w_in + position) * VECTORS + v;
                    grad[i] = sum[c][v] * net.scale + net.bowl * (x[i] + net.shift / net.scale);
                }
        };
        if (block_of(s.c_in) == 4) convolve_back<W, 4>(net.layers[0], slope[0].data(), give);
        else convolve_back<W, BLOCK>(net.layers[0], slope[0].data(), give);
    }

    template <int N>
    void layer_backward(size_t l) {
        const Layer<W>& layer = net.layers[l];
        convolve_back<W, N>(layer, slope[l].data(), [&](int position, int c0, Floats (&sum)[N][VECTORS]) {
            Words* at = &slope[l - 1][((size_t)position * layer.in_words + c0 / W::CHANNELS) * VECTORS];
            for (int c = 0; c < N; c += W::CHANNELS)
                for (int v = 0; v < VECTORS; v++) {
                    Floats d[2];
                    W::unpack(at[c / W::CHANNELS * VECTORS + v], d);
                    for (int k = 0; k < W::CHANNELS; k++) sum[c + k][v] *= d[k];
                }
            put<N>(slope[l - 1], layer.in_words, position, c0, sum);
        });
    }

    template <int N>
    static void put(std::vector<Words>& buffer, int words, int position, int c0, Floats (&value)[N][VECTORS]) {
        Words* at = &buffer[((size_t)position * words + c0 / W::CHANNELS) * VECTORS];
        for (int c = 0; c < N; c += W::CHANNELS)
            for (int v = 0; v < VECTORS; v++) at[c / W::CHANNELS * VECTORS + v] = W::pack(&value[c][v], VECTORS);
    }
};
