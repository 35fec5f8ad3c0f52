// E(x) of a plain network, and its gradient with respect to x.
//
// TILE images go through together, one per vector lane, so a convolution is a sum of (broadcast weight) × (vector of
// images): no unfolding, no re-layout, any stride, and the gradient is the same sum with the weights in another order.
// A buffer is [position][word][VECTORS] of vectors; a word is one float, or two channels in bfloat16.
#pragma once

#include "layers.hpp"

template <class W>
struct Network {
    std::vector<Layer<W>> layers;
    std::vector<float> head;  // of the last linear layer, to one number; in float32, as energies near 10 need it
    double head_bias;
    double scale, shift;  // the network sees scale·x + shift
    double bowl;          // E has bowl/2 · ‖x + shift/scale‖² besides what the network says
    std::vector<int32_t> order;  // pixel p of the first layer's input is order[p] of an image's row
    std::vector<int32_t> place;  // the other way: pixel i of a row is pixel place[i] of the input

    int pixels() const { return (int)order.size(); }
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

    // x is [channel][position][VECTORS]. E(x) of each image of the tile. Total is as `convolve` has it.
    template <class Total = Floats>
    void forward(const Floats* x, Floats (&energy)[VECTORS]) {
        // Network and quadratic nearly cancel, so their sums are kept to more than a float until they have met.
        Sum squares[VECTORS], features[VECTORS];
        enter(x, squares);
        for (size_t l = 0; l < net.layers.size(); l++) {
            if (block_of(net.layers[l].s.c_out) == 4) layer_forward<4, Total>(l, features);
            else layer_forward<BLOCK, Total>(l, features);
        }
        double factor = 0.5 * net.bowl / (net.scale * net.scale);
        for (int v = 0; v < VECTORS; v++)
            energy[v] = __builtin_convertvector(
                features[v].value() + factor * squares[v].value() + net.head_bias, Floats);
    }

    // scale·x + shift into the first layer's input, and the sum of its squares.
    void enter(const Floats* x, Sum (&squares)[VECTORS]) {
        const Shape& first = net.layers[0].s;
        int positions = first.h_in * first.w_in, words = net.layers[0].in_words;
        const float scale = (float)net.scale, shift = (float)net.shift;
        for (int p = 0; p < positions; p++)
            for (int w = 0; w < words; w++)
                for (int v = 0; v < VECTORS; v++) {
                    Floats c[2] = {};
                    for (int k = 0; k < W::CHANNELS; k++)
                        if (int channel = w * W::CHANNELS + k; channel < first.c_in) {
                            c[k] = x[(channel * positions + p) * VECTORS + v] * scale + shift;
                            squares[v] += c[k] * c[k];
                        }
                    activation[0][(size_t)(p * words + w) * VECTORS + v] = W::pack(c);
                }
    }

    // SiLU (Elfwing et al. 2018): a = z σ(z), da/dz = σ(z) (1 + z (1 − σ(z))), computed together.
    template <int N, class Total>
    void layer_forward(size_t l, Sum (&features)[VECTORS]) {
        const Layer<W>& layer = net.layers[l];
        bool last = l + 1 == net.layers.size();
        convolve<W, N, Total>(layer, activation[l].data(), [&](int position, int c0, Floats (&sum)[N][VECTORS]) {
            Floats steepness[N][VECTORS];
            for (int c = 0; c < N; c++)
                for (int v = 0; v < VECTORS; v++) {
                    Floats z = sum[c][v], sigma = 1.0f / (1.0f + exponential(-z));
                    sum[c][v] = z * sigma;
                    steepness[c][v] = sigma * (1.0f + z * (1.0f - sigma));
                    if (last) {
                        float w = net.head[position * padded(layer.s.c_out) + c0 + c];
                        features[v] += w * sum[c][v];
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
        const float scale = (float)net.scale, bowl = (float)net.bowl, centre = (float)(net.shift / net.scale);
        auto give = [&](int position, int c0, auto& sum) {
            for (int c = 0; c < (int)std::size(sum) && c0 + c < s.c_in; c++)
                for (int v = 0; v < VECTORS; v++) {
                    int i = ((c0 + c) * s.h_in * s.w_in + position) * VECTORS + v;
                    grad[i] = sum[c][v] * scale + bowl * (x[i] + centre);
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
            for (int v = 0; v < VECTORS; v++) {
                Floats channels[2] = {value[c][v], value[c + W::CHANNELS - 1][v]};
                at[c / W::CHANNELS * VECTORS + v] = W::pack(channels);
            }
    }
};
