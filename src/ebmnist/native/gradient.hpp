// The gradient of Σᵢ cᵢ E(xᵢ) with respect to the weights: what training descends.
#pragma once

#include "network.hpp"

template <class W>
struct Gradient {
    static constexpr int DEPTH = VECTORS / W::CHANNELS;
    const Network<W>& net;
    std::vector<std::vector<float>> weight, bias;  // as torch has them: (out, in, ky, kx) and (out,)
    std::vector<float> head;                       // [position][channel], padded, as Network::head

    explicit Gradient(const Network<W>& network) : net(network), head(network.head.size()) {
        for (const auto& layer : net.layers) {
            const Shape& s = layer.s;
            weight.emplace_back((size_t)s.c_out * s.c_in * s.kernel * s.kernel);
            bias.emplace_back(s.c_out);
        }
    }

    void operator+=(const Gradient& other) {
        auto add = [](std::vector<float>& to, const std::vector<float>& from) {
            for (size_t i = 0; i < to.size(); i++) to[i] += from[i];
        };
        for (size_t l = 0; l < weight.size(); l++) add(weight[l], other.weight[l]), add(bias[l], other.bias[l]);
        add(head, other.head);
    }

    // Add one tile's share: x as Pass::forward takes it, one coefficient per image (zero in spare lanes).
    void add(Pass<W>& pass, const Floats* x, const Floats (&coefficient)[VECTORS]) {
        Floats energy[VECTORS];
        pass.forward(x, energy);
        std::vector<Words>& last = pass.slope.back();
        for (size_t i = 0; i < last.size() / VECTORS; i++)
            for (int v = 0; v < VECTORS; v++) {
                Floats c[2] = {}, a[2] = {};
                W::unpack(last[i * VECTORS + v], c);
                W::unpack(pass.output[i * VECTORS + v], a);
                for (int k = 0; k < W::CHANNELS; k++) {
                    c[k] *= coefficient[v];
                    head[i * W::CHANNELS + k] += total(a[k] * coefficient[v]);
                }
                last[i * VECTORS + v] = W::pack(c);
            }
        pass.backward_hidden();
        for (size_t l = 0; l < net.layers.size(); l++) add_layer(l, pass.activation[l].data(), pass.slope[l].data());
    }

    // ∂/∂w[o][i][ky][kx] = Σ over images and positions of ∂E/∂z[o] × a[i] where the tap lies; 4 × 4 channels at a time.
    void add_layer(size_t l, const Words* a, const Words* delta) {
        const Layer<W>& layer = net.layers[l];
        const Shape& s = layer.s;
        for (int i = 0; i < s.c_in; i += 4)
            for (int tap = 0; tap < s.kernel * s.kernel; tap++)
                for (int o = 0; o < s.c_out; o += 4) {
                    Floats sum[4][4] = {};
                    add_tap(layer, a + i / W::CHANNELS * VECTORS, delta + o / W::CHANNELS * VECTORS, tap, sum);
                    for (int p = 0; p < std::min(4, s.c_out - o); p++)
                        for (int q = 0; q < std::min(4, s.c_in - i); q++)
                            weight[l][((size_t)(o + p) * s.c_in + i + q) * s.kernel * s.kernel + tap] += total(sum[p][q]);
                }
        for (int o = 0; o < s.c_out; o++) {
            Floats sum{};
            for (int i = 0; i < s.h_out * s.w_out * VECTORS; i++) {
                Floats d[2] = {};
                W::unpack(delta[((size_t)(i / VECTORS) * layer.out_words + o / W::CHANNELS) * VECTORS + i % VECTORS], d);
                sum += d[o % W::CHANNELS];
            }
            bias[l][o] += total(sum);
        }
    }

    static void add_tap(const Layer<W>& layer, const Words* a, const Words* delta, int tap, Floats (&sum)[4][4]) {
        const Shape& s = layer.s;
        int dy = tap / s.kernel - s.pad, dx = tap % s.kernel - s.pad;
        for (int y = 0; y < s.h_out; y++) {
            int iy = y * s.stride + dy;
            if (iy < 0 || iy >= s.h_in) continue;
            for (int x = 0; x < s.w_out; x++) {
                int ix = x * s.stride + dx;
                if (ix < 0 || ix >= s.w_in) continue;
                const Words* in = a + (size_t)(iy * s.w_in + ix) * layer.in_words * VECTORS;
                const Words* out = delta + (size_t)(y * s.w_out + x) * layer.out_words * VECTORS;
                Words from[4][DEPTH], to[4][DEPTH];
                for (int k = 0; k < 4; k += W::CHANNELS) {
                    W::by_channel(in + k / W::CHANNELS * VECTORS, from + k);
                    W::by_channel(out + k / W::CHANNELS * VECTORS, to + k);
                }
                for (int d = 0; d < DEPTH; d++)
                    for (int p = 0; p < 4; p++)
                        for (int q = 0; q < 4; q++) sum[p][q] = W::dot(sum[p][q], to[p][d], from[q][d]);
            }
        }
    }
};
