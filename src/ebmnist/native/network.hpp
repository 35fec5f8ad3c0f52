// E(x) of a plain network, and its gradient with respect to x.
//
// LANES images go through together, one per vector lane, so a convolution is a sum of (broadcast weight) × (vector of
// images): no unfolding, no re-layout, any stride, and the gradient is the same sum with the weights in another order.
// A buffer is [position][word] of vectors; a word is one float, or two channels in bfloat16.
#pragma once

#include "layers.hpp"

template <class W>
struct Network {
    std::vector<Layer<W>> layers;
    std::vector<float> head;  // of the last linear layer, to one number; in float32, as energies near 10 need it
    double head_bias;
    double scale, shift;  // the network sees scale·x + shift
    double reference_precision;          // E has reference_precision/2 · ‖x + shift/scale‖² besides what the network says
    std::vector<int32_t> place;  // pixel i of an image's row is pixel place[i] of the first layer's input

    int pixels() const { return (int)place.size(); }

    // Turns of one tile's loop over a layer, where they are fewest; but the last layer's features are one thread's.
    int turns() const {
        int fewest = back(layers[0]).turns();
        for (size_t l = 0; l + 1 < layers.size(); l++)
            fewest = std::min({fewest, forth(layers[l]).turns(), back(layers[l + 1]).turns()});
        return fewest;
    }
};

// What one tile's pass leaves behind: activations, and the slopes that become ∂E/∂z.
template <class W>
struct Pass {
    const Network<W>& net;
    OpenLoop &loop, alone;  // of the layers whose turns others may take, and of the last, whose features are a sum
    std::vector<std::vector<Words>> activation, slope;  // activation[l] enters layer l; slope[l] is of its output
    std::vector<Words> output;                           // what enters the head

    Pass(const Network<W>& network, OpenLoop& open) : net(network), loop(open) {
        for (const auto& layer : net.layers) {
            const Shape& s = layer.s;
            activation.emplace_back((size_t)s.h_in * s.w_in * layer.in_words);
            slope.emplace_back((size_t)s.h_out * s.w_out * layer.out_words);
        }
        output.resize(slope.back().size());
    }

    // x is [channel][position]. E(x) of each image of the tile. Total is as `convolve` has it.
    template <class Total = Floats>
    Floats forward(const Floats* x) {
        // Network and quadratic nearly cancel, so their sums are kept to more than a float until they have met.
        Sum squares, features;
        enter(x, squares);
        for (size_t l = 0; l < net.layers.size(); l++) layer_forward<Total>(l, features);
        double factor = 0.5 * net.reference_precision / (net.scale * net.scale);
        return __builtin_convertvector(features.value() + factor * squares.value() + net.head_bias, Floats);
    }

    // scale·x + shift into the first layer's input, and the sum of its squares.
    void enter(const Floats* x, Sum& squares) {
        const Shape& first = net.layers[0].s;
        int positions = first.h_in * first.w_in, words = net.layers[0].in_words;
        const float scale = (float)net.scale, shift = (float)net.shift;
        for (int p = 0; p < positions; p++)
            for (int w = 0; w < words; w++) {
                Floats c[2] = {};
                for (int k = 0; k < W::CHANNELS; k++)
                    if (int channel = w * W::CHANNELS + k; channel < first.c_in) {
                        c[k] = x[channel * positions + p] * scale + shift;
                        squares += c[k] * c[k];
                    }
                activation[0][(size_t)(p * words + w)] = W::pack(c);
            }
    }

    // SiLU (Elfwing et al. 2018): a = z σ(z), da/dz = σ(z) + a (1 − σ(z)), computed together, in place of z and d.
    static void silu(Floats* z, Floats* d) {
        for (int k = 0; k < W::CHANNELS; k++) {
            Floats sigma = W::sigmoid(z[k]);
            z[k] *= sigma;
            d[k] = sigma + z[k] * (1.0f - sigma);
        }
    }

    template <class Total>
    void layer_forward(size_t l, Sum& features) {
        const Layer<W>& layer = net.layers[l];
        Words* slopes = slope[l].data();
        if (l + 1 < net.layers.size()) {
            Words* next = activation[l + 1].data();
            return each_word<Total>(forth(layer), activation[l], layer.out_words, loop, [=](size_t at, size_t, Floats* z) {
                Floats d[2];
                silu(z, d);
                slopes[at] = W::pack(d);
                next[at] = W::pack(z);
            });
        }
        each_word<Total>(forth(layer), activation[l], layer.out_words, alone, [&](size_t at, size_t feature, Floats* z) {
            Floats d[2];
            silu(z, d);
            for (size_t k = 0; k < W::CHANNELS; k++) {
                float w = net.head[feature + k];
                features += w * z[k];
                d[k] *= w;  // ∂E/∂z already
            }
            slopes[at] = W::pack(d);
            output[at] = W::pack(z);
        });
    }

    // After forward: slope[l] becomes ∂E/∂z of layer l.
    void backward_hidden() {
        for (size_t l = net.layers.size() - 1; l > 0; l--) {
            const Layer<W>& layer = net.layers[l];
            Words* below = slope[l - 1].data();
            each_word<Floats>(back(layer), slope[l], layer.in_words, loop, [=](size_t at, size_t, Floats* above) {
                Floats d[2];
                W::unpack(below[at], d);
                for (int k = 0; k < W::CHANNELS; k++) d[k] *= above[k];
                below[at] = W::pack(d);
            });
        }
    }

    // After forward of x: ∂E/∂x into grad, [channel][position], which may be x itself.
    void backward(const Floats* x, Floats* grad) {
        backward_hidden();
        const Shape& s = net.layers[0].s;
        const float scale = (float)net.scale, reference_precision = (float)net.reference_precision, centre = (float)(net.shift / net.scale);
        auto finish = [&](const Stencil::Site* sites, int c0, auto& sum) {
            for (int c = 0; c < (int)std::size(sum) && c0 + c < s.c_in; c++)
                for (int m = 0; m < (int)std::size(sum[0]); m++) {
                    int i = (c0 + c) * s.h_in * s.w_in + sites[m].output;
                    grad[i] = sum[c][m] * scale + reference_precision * (x[i] + centre);
                }
        };
        convolve<W, Floats>(back(net.layers[0]), slope[0].data(), loop, finish);
    }

    // Call work(index of a word, of its first channel, its channels' sums) for each word of what `convolve` gives.
    template <class Total, class Work>
    static void each_word(const Direction& d, const std::vector<Words>& input, int words, OpenLoop& loop, Work work) {
        convolve<W, Total>(d, input.data(), loop, [=](const Stencil::Site* sites, int c0, auto& sum) {
            for (size_t m = 0; m < std::size(sum[0]); m++) {
                size_t at = (size_t)(sites[m].output * words + c0 / W::CHANNELS);
                for (size_t c = 0; c < std::size(sum); c += W::CHANNELS, at++) {
                    Floats z[2];
                    for (size_t k = 0; k < W::CHANNELS; k++) z[k] = sum[c + k][m];
                    work(at, at * W::CHANNELS, z);
                }
            }
        });
    }
};
