// The gradient of Σᵢ cᵢ E(xᵢ) with respect to the weights: what training descends.
//
// For each tap of a kernel it is a product of matrices: (channels in) × (images and positions) × (channels out). Here
// lanes are channels out, so that no sum is across lanes, and each is done when it has gone through all images.
#pragma once

#include "network.hpp"

// What one tile brings to the sums: of each layer its input and ∂E/∂z, in the order they are read, and the last output.
template <class W>
struct Factors {
    static constexpr int ROWS = LANES / W::CHANNELS;        // words that hold one channel of a tile's images

    std::vector<size_t> input, delta;  // where those of a layer begin, in vectors
    size_t output, size;

    explicit Factors(const Network<W>& net) {
        size_t at = 0;
        for (const Layer<W>& l : net.layers) {
            input.push_back(at);
            at += (size_t)(l.s.h_in * l.s.w_in) * (size_t)l.in_words;
            delta.push_back(at);
            at += (size_t)(l.s.h_out * l.s.w_out * ROWS) * (size_t)slices(l);
        }
        output = at;
        size = at + net.head.size() / W::CHANNELS;
    }
    // Channels in that are summed at once, of those that are left: as many as registers hold, and at least four.
    static int block(int left) {
        if (REGISTERS == 32) return left >= 12 ? 12 : left >= 8 ? 8 : 4;
        if (LANES == 8 && left % 5 == 0) return 5;  // of no use where products are not fused
        return left >= 6 && left != 8 ? 6 : 4;
    }
    static int slices(const Layer<W>& l) { return (l.s.c_out - 1) / LANES + 1; }

    // After Pass::backward_hidden.
    void store(const Pass<W>& pass, Words* to) const {
        for (size_t l = 0; l < pass.net.layers.size(); l++) {
            store_input(pass.net.layers[l], pass.activation[l].data(), to + input[l]);
            store_delta(pass.net.layers[l], pass.slope[l].data(), to + delta[l]);
        }
        std::copy(pass.output.begin(), pass.output.end(), to + output);
    }

    // [block of channels][position][channel][ROWS]: what one sum reads lies together.
    static void store_input(const Layer<W>& l, const Words* a, Words* to) {
        for (int first = 0, words; first < l.in_words; first += words) {
            words = block((l.in_words - first) * W::CHANNELS) / W::CHANNELS;
            for (int p = 0; p < l.s.h_in * l.s.w_in; p++)
                for (int w = first; w < first + words; w++) *to++ = W::by_channel(a[p * l.in_words + w]);
        }
    }

    // [LANES channels][position][ROWS]
    static void store_delta(const Layer<W>& l, const Words* slope, Words* to) {
        for (int c0 = 0; c0 < l.s.c_out; c0 += LANES)
            for (int p = 0; p < l.s.h_out * l.s.w_out; p++) {
                Floats rows[LANES] = {};
                for (int c = 0; c < LANES && c0 + c < l.out_words * W::CHANNELS; c += W::CHANNELS)
                    W::unpack(slope[p * l.out_words + (c0 + c) / W::CHANNELS], rows + c);
                transpose(rows);
                for (int image = 0; image < LANES; image += W::CHANNELS) *to++ = W::pack(rows + image);
            }
    }
};

// Some tiles' factors of one layer: where those of the first begin, how many there are, and vectors from one to the next.
struct Stack {
    const Words *input, *delta;
    int tiles;
    size_t stride;
    const Floats* coefficients;  // of each tile's images
};

// What comes from memory while something else is computed: `pieces` of so many bytes, each `stride` after the last.
// A few lines at a time, or the processor waits until there is room to note that it waits for them.
struct Ahead {
    static constexpr size_t LINE = 64;
    const char *at, *end;
    size_t piece, stride;
    int pieces, lines;  // lines to fetch at a time

    Ahead(const void* first, size_t bytes, size_t to_next, int count, size_t times)
        : at((const char*)first), end(at + bytes), piece(bytes), stride(to_next), pieces(count),
          lines((int)((size_t)count * (bytes / LINE + 1) / times + 1)) {}

    void fetch() {
        for (int i = 0; i < lines && pieces; i++) {
            __builtin_prefetch(at, 0, 2);
            if ((at += LINE) >= end) at = end - piece + stride, end = at + piece, pieces--;
        }
    }
};

// The sums of some channels of one layer's output: SIDE vectors of them.
template <class W>
struct WeightSums {
    static constexpr int SIDE = 2, CHANNELS = SIDE * LANES;
    static constexpr int ROWS = Factors<W>::ROWS;

    const Layer<W>& layer;
    int first, positions, c_in, taps;
    int tiles;  // that are added at once
    std::vector<Floats> weight, bias;  // [tap][channel in][SIDE]; [SIDE]
    std::vector<Words> delta;          // [tile][position][ROWS][SIDE]

    // So many tiles at once that it is worth loading a sum for them.
    WeightSums(const Layer<W>& l, int first_channel)
        : layer(l), first(first_channel), positions(l.s.h_out * l.s.w_out), c_in(padded(l.s.c_in)),
          taps(l.s.kernel * l.s.kernel), tiles(std::max(1, 16 / positions)),
          weight((size_t)(taps * c_in) * SIDE), bias(SIDE), delta((size_t)(tiles * positions * ROWS) * SIDE) {}

    // How often `add` fetches what is ahead.
    size_t times() const { return (size_t)(((c_in - 1) / 12 + 1) * taps * positions * tiles); }

    // Add up to `tiles` tiles: factors as `Factors` stores them.
    void add(const Stack& stack, Ahead& ahead) {
        scale(stack);
        if (REGISTERS == 32 && layer.s.c_out <= LANES && c_in == 4 && layer.s.kernel == 3) return add_rows(stack, ahead);
        for (int i = 0; i < c_in;) {
            auto add_some = [&](auto n) { add_block<n>(stack, i, ahead), i += n; };
            int n = Factors<W>::block(c_in - i);
            if (n == 4) add_some(Count<4>());
            else if (REGISTERS == 32) n == 8 ? add_some(Count<8>()) : add_some(Count<12>());
            else n == 5 ? add_some(Count<5>()) : add_some(Count<6>());
        }
    }

    void scale(const Stack& stack) {
        const int n = positions * ROWS;
        for (int tile = 0; tile < stack.tiles; tile++)
            for (int side = 0; side < SIDE && first + side * LANES < layer.s.c_out; side++) {
                const Words* from = stack.delta + (size_t)tile * stack.stride + (first / LANES + side) * n;
                const float* coefficients = (const float*)&stack.coefficients[tile];
                Words* to = &delta[(size_t)(tile * n * SIDE + side)];
                Floats total[4] = {};  // of every fourth image, as one sum would wait for itself
                for (int i = 0; i < n; i += 4)
                    UNROLLED for (int j = 0; j < 4; j++) {
                        Floats d[2];
                        W::unpack(from[i + j], d);
                        for (int k = 0; k < W::CHANNELS; k++)
                            total[j] += d[k] *= coefficients[(i + j) % ROWS * W::CHANNELS + k];
                        to[(i + j) * SIDE] = W::pack(d);
                    }
                bias[side] += (total[0] + total[1]) + (total[2] + total[3]);
            }
    }

    // Of a layer of few channels. Three taps side by side have their inputs side by side, as if they were of one tap.
    void add_rows(const Stack& stack, Ahead& ahead) {
        const int end = layer.s.w_out;
        for (int tap = 0; tap < taps; tap += 3) {
            auto to = [&](int which) { return &weight[(size_t)(which * c_in * SIDE)]; };
            // Where all three lie on the input, then what is left and right of there.
            const int x0 = outputs(tap).x0, x1 = std::max(x0, outputs(tap + 2).x1);
            add_sums<12, 4, 1>(stack.input, stack, tap, x0, x1, to(tap), ahead);
            for (int which = tap; which < tap + 3; which++) {
                add_sums<4, 4, 1>(stack.input, stack, which, 0, x0, to(which), ahead);
                add_sums<4, 4, 1>(stack.input, stack, which, x1, end, to(which), ahead);
            }
        }
    }

    template <int N>
    void add_block(const Stack& stack, int i, Ahead& ahead) {
        const Words* input = stack.input + i / W::CHANNELS * layer.s.h_in * layer.s.w_in;
        for (int tap = 0; tap < taps; tap++)
            add_sums<N, N, SIDE>(input, stack, tap, 0, layer.s.w_out, &weight[(size_t)(tap * c_in + i) * SIDE], ahead);
    }

    struct Outputs {  // whose tap lies on the input
        int y0, y1, x0, x1;
    };
    Outputs outputs(int tap) const {
        const Shape& s = layer.s;
        int dy = tap / s.kernel - s.pad, dx = tap % s.kernel - s.pad;
        auto begin = [&](int d) { return std::max(0, (s.stride - 1 - d) / s.stride); };
        auto end = [&](int d, int in, int out) { return std::min(out, (in - d + s.stride - 1) / s.stride); };
        return {begin(dy), end(dy, s.h_in, s.h_out), begin(dx), end(dx, s.w_in, s.w_out)};
    }

    // ∂/∂w[o][i][ky][kx] = Σ over images and positions of ∂E/∂z[o] × a[i] where the tap lies, for outputs in columns
    // from x0 to x1 − 1; of N inputs, where a position has C of them, and S vectors of channels. The sums are variables
    // of this function: Clang would store each to memory at every step if they were a caller's.
    template <int N, int C, int S>
    void add_sums(const Words* input, const Stack& stack, int tap, int x0, int x1, Floats* to_weight, Ahead& ahead) const {
        const Shape& s = layer.s;
        const Outputs at = outputs(tap);
        const int dy = tap / s.kernel - s.pad, dx = tap % s.kernel - s.pad;
        x0 = std::max(x0, at.x0), x1 = std::min(x1, at.x1);
        Floats sum[N][S] = {};
        Ahead next = ahead;
        for (int tile = 0; tile < stack.tiles; tile++)
            for (int y = at.y0; y < at.y1; y++)
                for (int x = x0; x < x1; x++) {
                    const uint32_t* a = (const uint32_t*)(input + (size_t)tile * stack.stride) +
                                        ((y * s.stride + dy) * s.w_in + x * s.stride + dx) * C * ROWS;
                    const Words* to = &delta[(size_t)((tile * positions + y * s.w_out + x) * ROWS) * SIDE];
                    next.fetch();
                    for (int row = 0; row < ROWS; row++, a++, to += SIDE) {
                        Words d[S];
                        for (int k = 0; k < S; k++) d[k] = to[k];
                        UNROLLED for (int n = 0; n < N; n++)
                            for (int k = 0; k < S; k++) sum[n][k] = W::dot(sum[n][k], d[k], a[n * ROWS]);
                    }
                }
        ahead = next;
        for (int n = 0; n < N; n++)
            for (int k = 0; k < S; k++) to_weight[n * SIDE + k] += sum[n][k];
    }

    // As torch has them.
    void store(float* weights, float* biases) const {
        const Shape& s = layer.s;
        for (int c = 0; c < std::min(CHANNELS, s.c_out - first); c++) {
            biases[first + c] = bias[c / LANES][c % LANES];
            float* to = weights + (first + c) * out_step(s);
            for (int tap = 0; tap < taps; tap++)
                for (int i = 0; i < s.c_in; i++)
                    to[tap * tap_step(s) + i * in_step(s)] = weight[(tap * c_in + i) * SIDE + c / LANES][c % LANES];
        }
    }
};
