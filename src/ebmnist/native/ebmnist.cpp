// The entries of engine.h: every one checks what it is given, and turns whatever is thrown into a status.
#include <memory>
#include <new>
#include <stdexcept>

#include "chain.hpp"
#include "checks.hpp"
#include "processor.hpp"

struct Handle {
    std::unique_ptr<Network<Single>> single;
#ifdef __AVX512BF16__
    std::unique_ptr<Network<Pair>> pair;
#endif
};

namespace {

#ifdef __AVX512BF16__
constexpr bool BF16 = true;
#else
constexpr bool BF16 = false;
#endif

template <class Work>
int32_t status_of(Work work) noexcept {
    try {
        work();
        return DONE;
    } catch (const BadArgument&) {
        return BAD_ARGUMENT;
    } catch (const std::bad_alloc&) {
        return OUT_OF_MEMORY;
    } catch (const std::length_error&) {  // more elements than a vector can have
        return OUT_OF_MEMORY;
    } catch (...) {
        return FAILED;
    }
}

template <class Use>
void with(const Handle* handle, Use use) {
    require(handle);
#ifdef __AVX512BF16__
    if (handle->pair) return use(*handle->pair);
#endif
    use(*handle->single);
}

// As many as one tile has, times the tiles of n images; 0 for what is refused.
template <class OfTile>
int64_t counted(const Handle* handle, int32_t n, OfTile of_tile) {
    int64_t found = 0;
    status_of([&] {
        check_batch(n, 1);
        with(handle, [&](const auto& net) { found = of_tile(net) * tiles_of(n); });
    });
    return found;
}

// The head sees (channel, position) flattened; a network has it [position][channel], padded.
template <class Visit>
void over_head(const Shape& last, Visit visit) {
    int positions = last.h_out * last.w_out, width = padded(last.c_out);
    for (int c = 0; c < last.c_out; c++)
        for (int p = 0; p < positions; p++) visit(c * positions + p, p * width + c);
}

template <class W>
std::unique_ptr<Network<W>> packed(int n_layers, const Shape* shapes, const float* const* weights,
                                   const float* const* biases, const float* head, const int32_t* order) {
    auto net = std::make_unique<Network<W>>();
    for (int l = 0; l < n_layers; l++) net->layers.emplace_back(shapes[l], weights[l], biases[l]);
    const Shape &first = shapes[0], &last = shapes[n_layers - 1];
    net->place = inverse(order, (size_t)(first.c_in * first.h_in * first.w_in));
    net->head.assign((size_t)(last.h_out * last.w_out) * (size_t)padded(last.c_out), 0.0f);
    over_head(last, [&](int outside, int inside) { net->head[(size_t)inside] = head[outside]; });
    return net;
}

}  // namespace

int32_t abi(void) { return EBMNIST_ABI; }
const char* digest(void) { return EBMNIST_DIGEST; }
const char* variant(void) { return EBMNIST_VARIANT; }

int32_t has_bf16(void) { return BF16; }

uint32_t processor(void) { return processor_bits(); }

void share_by(void* gomp_parallel) { openmp = (Parallel)gomp_parallel; }

int32_t pack(int32_t bf16, int32_t n_layers, const Shape* shapes, const float* const* weights,
             const float* const* biases, const float* head, double head_bias, double scale, double shift, double reference_precision,
             const int32_t* order, Handle** out) {
    return status_of([&] {
        require(weights && biases && head && order && out && (!bf16 || BF16));
        require(std::isfinite(scale) && scale != 0 && std::isfinite(shift) && std::isfinite(reference_precision));
        check_shapes(shapes, n_layers);
        for (int l = 0; l < n_layers; l++) require(weights[l] && biases[l]);
        auto handle = std::make_unique<Handle>();
        auto fill = [&](auto& net, auto made) {
            net = std::move(made);
            net->head_bias = head_bias, net->scale = scale, net->shift = shift, net->reference_precision = reference_precision;
        };
#ifdef __AVX512BF16__
        if (bf16) fill(handle->pair, packed<Pair>(n_layers, shapes, weights, biases, head, order));
        else
#endif
            fill(handle->single, packed<Single>(n_layers, shapes, weights, biases, head, order));
        *out = handle.release();
    });
}

void release(Handle* handle) { delete handle; }

int32_t energy_and_grad(const Handle* handle, const float* images, int32_t n, float* energy, float* grad,
                        int32_t n_threads) {
    return status_of([&] {
        check_batch(n, n_threads);
        require(images && energy);
        with(handle, [&](const auto& net) { evaluate(net, images, n, energy, grad, n_threads); });
    });
}

int64_t turns(const Handle* handle, int32_t n) {
    return counted(handle, n, [](const auto& net) { return (int64_t)net.turns(); });
}

int64_t record_size(const Handle* handle, int32_t n) {
    return counted(handle, n, [](const auto& net) { return (int64_t)(Factors(net).size * sizeof(Words)); });
}

int32_t record(const Handle* handle, const float* images, int32_t n, float* energy, void* record, int32_t n_threads) {
    return status_of([&] {
        check_batch(n, n_threads);
        require(images && energy && record && (uintptr_t)record % sizeof(Words) == 0);
        with(handle, [&](const auto& net) { record_tiles(net, images, n, energy, (Words*)record, n_threads); });
    });
}

int32_t weight_grad(const Handle* handle, const void* record, int32_t n, const float* coefficients,
                    float* const* weights, float* const* biases, float* head, int32_t n_threads) {
    return status_of([&] {
        check_batch(n, n_threads);
        require(record && (uintptr_t)record % sizeof(Words) == 0 && coefficients && weights && biases && head);
        with(handle, [&](const auto& net) {
            for (size_t l = 0; l < net.layers.size(); l++) require(weights[l] && biases[l]);
            std::vector<float> inside_head(net.head.size());
            WeightGradient gradient(net, (const Words*)record, n, coefficients);
            gradient.run(weights, biases, inside_head.data(), n_threads);
            over_head(net.layers.back().s, [&](int outside, int inside) { head[outside] = inside_head[(size_t)inside]; });
        });
    });
}

int32_t langevin_chain(const Handle* handle, const Langevin* kernel, float* images, int32_t n, const int64_t* chains,
                       const float* drifts, const float* sigmas, const float* clamp_margins, const float* leads,
                       const float* keeps, const float* noise, float* memory, float* before, float* grad, float* trace,
                       int32_t n_threads) {
    return status_of([&] {
        check_batch(n, n_threads);
        require(kernel && images && drifts && sigmas && clamp_margins && before && grad && trace);
        require(!leads == !memory && !keeps == !memory);
        require(kernel->n_steps >= 1 && kernel->evaluations >= 1);
        require((uint64_t)kernel->first_step + (uint64_t)kernel->n_steps - 1 <= UINT32_MAX);
        if (!noise) check_chains(chains, n);
        const int64_t* drawn_for = noise ? nullptr : chains;
        Buffers buffers{images, drawn_for, drifts, sigmas, clamp_margins, leads, keeps, noise, memory, before, grad, trace};
        with(handle, [&](const auto& net) { run_chains(net, *kernel, n, buffers, n_threads); });
    });
}

int32_t normals(uint64_t seed, uint32_t stream, uint32_t step, int32_t draw, const int64_t* chains, int32_t n,
                int32_t n_values, float* out, int32_t n_threads) {
    return status_of([&] {
        check_batch(n, n_threads);
        require(out && draw >= 0 && draw < 16 && n_values >= 1 && n_values <= 1 << 30);
        check_chains(chains, n);
        constexpr int few = 256;
        int32_t place[few];
        for (int i = 0; i < few; i++) place[i] = i;
        share(tiles_of(n), n_threads, [&](auto next) {
            for (int tile; (tile = next()) >= 0;) {
                Words lanes;
                load(chains, n, tile, lanes);
                Normals drawn(seed, stream, step, (uint32_t)draw, lanes);
                for (int first = 0; first < n_values; first += few) {
                    Floats values[few];
                    int count = std::min(few, n_values - first);
                    drawn.fill(first, count, place, values);
                    for (int row = 0; row < images_in(tile, n); row++)
                        for (int i = 0; i < count; i++)
                            out[(size_t)(tile * LANES + row) * (size_t)n_values + (size_t)(first + i)] = values[i][row];
                }
            }
        });
    });
}

int32_t words(uint64_t seed, uint32_t stream, int32_t draw, const int64_t* rows, const int64_t* steps, int32_t n,
              int32_t n_blocks, int64_t* out, int32_t n_threads) {
    return status_of([&] {
        check_batch(n, n_threads);
        require(out && draw >= 0 && draw < 16 && n_blocks >= 1 && n_blocks < 1 << 28);
        check_chains(rows, n);
        check_chains(steps, n);
        size_t of_each_word = (size_t)n * (size_t)n_blocks;
        Words lane;
        for (int i = 0; i < LANES; i++) lane[i] = (uint32_t)i;
        share(n, n_threads, [&](auto next) {
            for (int row; (row = next()) >= 0;)
                for (int first = 0; first < n_blocks; first += LANES) {
                    Words drawn[4] = {(lane + (uint32_t)first) | (uint32_t)draw << 28, Words{} + (uint32_t)steps[row],
                                      Words{} + (uint32_t)rows[row], Words{} + stream};
                    philox_words(drawn, seed);
                    int64_t* to = out + (size_t)row * (size_t)n_blocks + first;
                    for (int i = 0; i < 4; i++, to += of_each_word)
                        for (int j = 0; j < std::min(LANES, n_blocks - first); j++) to[j] = drawn[i][j];
                }
        });
    });
}

int32_t philox(const uint32_t* counters, int32_t n, uint64_t key, uint32_t* out) {
    return status_of([&] {
        require(counters && out && n >= 1);
        for (int first = 0; first < n; first += std::min(LANES, n - first)) {
            int rows = std::min(LANES, n - first);
            Words words[4] = {};
            for (int row = 0; row < rows; row++)
                for (int i = 0; i < 4; i++) words[i][row] = counters[(size_t)(first + row) * 4 + (size_t)i];
            philox_words(words, key);
            for (int row = 0; row < rows; row++)
                for (int i = 0; i < 4; i++) out[(size_t)(first + row) * 4 + (size_t)i] = words[i][row];
        }
    });
}
