// Calls every entry of engine.h with what case files hold, and writes what comes back: for variants that this Python
// cannot load (another processor's, a sanitizer's).
//
//   driver CASE OUT [CASE OUT …]     exit 0 if every status was 0, else the first that was not
//   driver --refused                 exit 0 if every bad argument was answered with BAD_ARGUMENT
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "engine.h"

namespace {

struct File {
    std::FILE* file;
    File(const char* path, const char* mode) : file(std::fopen(path, mode)) {
        if (!file) std::perror(path), std::exit(100);
    }
    ~File() { std::fclose(file); }
    File(const File&) = delete;

    template <class T>
    std::vector<T> read(size_t n) {
        std::vector<T> out(n);
        if (std::fread(out.data(), sizeof(T), n, file) != n) std::fputs("case file too short\n", stderr), std::exit(101);
        return out;
    }
    template <class T>
    void write(const std::vector<T>& x) {
        if (std::fwrite(x.data(), sizeof(T), x.size(), file) != x.size()) std::exit(102);
    }
};

struct Case {
    int32_t bf16, n_layers, n, n_threads, draw, remembers;
    std::vector<Shape> shapes;
    Langevin kernel;
    std::vector<double> numbers;  // head_bias, scale, shift, reference_precision
    std::vector<std::vector<float>> weights, biases;
    std::vector<float> head, images, coefficients, drifts, sigmas, clamp_margins, leads, keeps, memory;
    std::vector<int32_t> order;
    std::vector<int64_t> chains;
    std::vector<uint32_t> counters;  // of Philox, and the key's two words

    explicit Case(File& in) {
        auto sizes = in.read<int32_t>(6);
        bf16 = sizes[0], n_layers = sizes[1], n = sizes[2], n_threads = sizes[3], draw = sizes[4], remembers = sizes[5];
        shapes = in.read<Shape>((size_t)n_layers);
        kernel = in.read<Langevin>(1)[0];
        numbers = in.read<double>(4);
        for (const Shape& s : shapes) {
            weights.push_back(in.read<float>((size_t)(s.c_out * s.c_in * s.kernel * s.kernel)));
            biases.push_back(in.read<float>((size_t)s.c_out));
        }
        head = in.read<float>((size_t)(shapes.back().c_out * shapes.back().h_out * shapes.back().w_out));
        order = in.read<int32_t>(pixels());
        images = in.read<float>((size_t)n * pixels());
        coefficients = in.read<float>((size_t)n);
        for (auto* numbers : {&drifts, &sigmas, &clamp_margins, &leads, &keeps})
            *numbers = in.read<float>(steps() * (size_t)kernel.evaluations * (size_t)n);
        memory = in.read<float>((size_t)n * pixels());
        chains = in.read<int64_t>((size_t)n);
        counters = in.read<uint32_t>(4 * 3 + 2);
    }
    size_t pixels() const { return (size_t)(shapes[0].c_in * shapes[0].h_in * shapes[0].w_in); }
    size_t steps() const { return (size_t)kernel.n_steps; }
};

template <class T>
std::vector<T*> addresses(std::vector<std::vector<float>>& buffers) {
    std::vector<T*> out;
    for (auto& buffer : buffers) out.push_back(buffer.data());
    return out;
}

struct Record {
    void* bytes;
    explicit Record(int64_t size) : bytes(::operator new((size_t)size, std::align_val_t{64})) {}
    ~Record() { ::operator delete(bytes, std::align_val_t{64}); }
    Record(const Record&) = delete;
};

void must(int32_t status) {
    if (status) std::fprintf(stderr, "status %d\n", status), std::exit(status);
}

Handle* packed(Case& c) {
    Handle* handle = nullptr;
    must(pack(c.bf16, c.n_layers, c.shapes.data(), addresses<const float>(c.weights).data(),
              addresses<const float>(c.biases).data(), c.head.data(), c.numbers[0], c.numbers[1], c.numbers[2],
              c.numbers[3], c.order.data(), &handle));
    return handle;
}

void run_native(const Handle* handle, const Case& c, const std::vector<float>& noise, File& out) {
    size_t n = (size_t)c.n, size = n * c.pixels();
    std::vector<float> x = c.images, memory = c.memory, before(size), grad(size), trace(4 * c.steps() * n);
    must(langevin_chain(handle, &c.kernel, x.data(), c.n, c.chains.data(), c.drifts.data(), c.sigmas.data(),
                        c.clamp_margins.data(), c.remembers ? c.leads.data() : nullptr,
                        c.remembers ? c.keeps.data() : nullptr, noise.empty() ? nullptr : noise.data(),
                        c.remembers ? memory.data() : nullptr, before.data(), grad.data(), trace.data(), c.n_threads));
    for (const auto* part : {&x, &memory, &before, &grad, &trace}) out.write(*part);
}

void run(Case c, File& out) {
    size_t n = (size_t)c.n, size = n * c.pixels();
    Handle* handle = packed(c);
    std::vector<float> energy(n), again(n), grad(size);
    must(energy_and_grad(handle, c.images.data(), c.n, energy.data(), nullptr, c.n_threads));
    must(energy_and_grad(handle, c.images.data(), c.n, again.data(), grad.data(), c.n_threads));
    for (const auto* part : {&energy, &again, &grad}) out.write(*part);

    auto weights = c.weights, biases = c.biases;
    std::vector<float> head(c.head.size());
    Record kept(record_size(handle, c.n));
    must(record(handle, c.images.data(), c.n, again.data(), kept.bytes, c.n_threads));
    out.write(again);
    must(weight_grad(handle, kept.bytes, c.n, c.coefficients.data(), addresses<float>(weights).data(),
                     addresses<float>(biases).data(), head.data(), c.n_threads));
    for (const auto& part : weights) out.write(part);
    for (const auto& part : biases) out.write(part);
    out.write(head);

    std::vector<float> noise(c.steps() * size);
    for (size_t i = 0; i < c.steps(); i++)
        must(normals(c.kernel.seed, c.kernel.stream, c.kernel.first_step + (uint32_t)i, c.draw, c.chains.data(), c.n,
                     (int32_t)c.pixels(), noise.data() + i * size, c.n_threads));
    out.write(noise);
    run_native(handle, c, noise, out);
    run_native(handle, c, {}, out);
    release(handle);

    std::vector<uint32_t> known(12);
    must(philox(c.counters.data(), 3, (uint64_t)c.counters[13] << 32 | c.counters[12], known.data()));
    out.write(known);
    std::vector<int64_t> drawn((size_t)c.n * 4 * 17);  // 17 blocks: the last lanes have less
    must(words(c.kernel.seed, c.kernel.stream, c.draw, c.chains.data(), c.chains.data(), c.n, 17, drawn.data(), c.n_threads));
}

int wrong = 0;

void refuses(const char* what, int32_t status) {
    if (status != BAD_ARGUMENT) wrong++, std::fprintf(stderr, "%s: status %d, not BAD_ARGUMENT\n", what, status);
}

int refused() {
    const Shape good{1, 3, 3, 2, 3, 3, 3, 1, 1, 0};
    std::vector<float> weight(18), bias(2), head(18), images(9), out(64);
    std::vector<int32_t> order{0, 1, 2, 3, 4, 5, 6, 7, 8};
    const float *w = weight.data(), *b = bias.data();
    Handle* handle = nullptr;
    auto packs = [&](std::vector<Shape> shapes, double scale = 1) {
        std::vector<const float*> ws(shapes.size(), w), bs(shapes.size(), b);
        return pack(0, (int32_t)shapes.size(), shapes.data(), ws.data(), bs.data(), head.data(), 0, scale, 0, 0,
                    order.data(), &handle);
    };
    auto changed = [&](int32_t Shape::*field, int32_t value) {
        Shape s = good;
        s.*field = value;
        return packs({s});
    };
    const int32_t huge = std::numeric_limits<int32_t>::max(), least = std::numeric_limits<int32_t>::min();
    for (auto field : {&Shape::c_in, &Shape::h_in, &Shape::w_in, &Shape::c_out, &Shape::h_out, &Shape::w_out,
                       &Shape::kernel, &Shape::stride, &Shape::pad, &Shape::channels_last})
        for (int32_t value : {-1, least, huge, huge / 2})
            // A stride beyond the picture is odd, not wrong.
            if (field == &Shape::stride && value > 0) refuses("stride", changed(field, value));
            else refuses("shape", changed(field, value));
    for (auto field : {&Shape::c_in, &Shape::h_in, &Shape::w_in, &Shape::c_out, &Shape::kernel, &Shape::stride})
        refuses("zero", changed(field, 0));
    refuses("no layers", packs({}));
    refuses("layers that do not follow", packs({good, good}));
    for (double scale : {0.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
        refuses("scale", packs({good}, scale));
    refuses("null shapes", pack(0, 1, nullptr, &w, &b, head.data(), 0, 1, 0, 0, order.data(), &handle));
    refuses("null weights", pack(0, 1, &good, nullptr, &b, head.data(), 0, 1, 0, 0, order.data(), &handle));
    const float* nowhere = nullptr;
    refuses("null weight", pack(0, 1, &good, &nowhere, &b, head.data(), 0, 1, 0, 0, order.data(), &handle));
    refuses("null handle", pack(0, 1, &good, &w, &b, head.data(), 0, 1, 0, 0, order.data(), nullptr));
    if (!has_bf16()) refuses("bf16", pack(1, 1, &good, &w, &b, head.data(), 0, 1, 0, 0, order.data(), &handle));
    for (int32_t place : {-1, 1, 9}) {
        order[0] = place;
        refuses("order", packs({good}));
    }
    order[0] = 0;
    must(packs({good}));

    const float* x = images.data();
    float* o = out.data();
    for (int32_t n : {0, -1, least, huge}) refuses("n", energy_and_grad(handle, x, n, o, nullptr, 1));
    for (int32_t threads : {0, -1}) refuses("n_threads", energy_and_grad(handle, x, 1, o, nullptr, threads));
    refuses("energy: handle", energy_and_grad(nullptr, x, 1, o, nullptr, 1));
    refuses("energy: images", energy_and_grad(handle, nullptr, 1, o, nullptr, 1));
    refuses("energy: out", energy_and_grad(handle, x, 1, nullptr, nullptr, 1));
    float *to = o, *none = nullptr;
    Record kept(record_size(handle, 1));
    for (int32_t n : {0, -1, least, huge}) {
        refuses("record: n", record(handle, x, n, o, kept.bytes, 1));
        if (record_size(handle, n)) wrong++, std::fputs("record_size: not 0\n", stderr);
    }
    if (record_size(nullptr, 1)) wrong++, std::fputs("record_size of nothing: not 0\n", stderr);
    refuses("record: images", record(handle, nullptr, 1, o, kept.bytes, 1));
    refuses("record: out", record(handle, x, 1, o, nullptr, 1));
    refuses("record: alignment", record(handle, x, 1, o, (char*)kept.bytes + 4, 1));
    must(record(handle, x, 1, o, kept.bytes, 1));
    refuses("gradient: n", weight_grad(handle, kept.bytes, 0, x, &to, &to, o, 1));
    refuses("gradient: record", weight_grad(handle, nullptr, 1, x, &to, &to, o, 1));
    refuses("gradient: coefficients", weight_grad(handle, kept.bytes, 1, nullptr, &to, &to, o, 1));
    refuses("gradient: weight", weight_grad(handle, kept.bytes, 1, x, &none, &to, o, 1));

    int64_t chain = 0;
    Langevin kernel{1, 2, 3, 1, 0, 1, 1, 1, 0, 1};
    auto walks = [&](const Langevin* k, const int64_t* chains, int32_t n = 1, int32_t threads = 1) {
        return langevin_chain(handle, k, images.data(), n, chains, x, x, x, none, none, none, none, o, o, o, threads);
    };
    auto remembers = [&](const float* leads, const float* keeps, float* memory) {
        return langevin_chain(handle, &kernel, o, 1, &chain, x, x, x, leads, keeps, none, memory, o, o, o, 1);
    };
    refuses("chain: no leads", remembers(none, x, o));
    refuses("chain: no keeps", remembers(x, none, o));
    refuses("chain: no memory", remembers(x, x, none));
    must(walks(&kernel, &chain));
    refuses("chain: kernel", walks(nullptr, &chain));
    refuses("chain: chains", walks(&kernel, nullptr));
    refuses("chain: n", walks(&kernel, &chain, 0));
    refuses("chain: n_threads", walks(&kernel, &chain, 1, 0));
    for (int64_t bad : {(int64_t)-1, (int64_t)1 << 32}) {
        refuses("chain: index", walks(&kernel, &bad));
        refuses("normals: index", normals(0, 0, 0, 0, &bad, 1, 1, o, 1));
    }
    for (int32_t steps : {0, -1, least}) {
        Langevin k = kernel;
        k.n_steps = steps;
        refuses("chain: n_steps", walks(&k, &chain));
        k = kernel;
        k.evaluations = steps;
        refuses("chain: evaluations", walks(&k, &chain));
    }
    kernel.first_step = 0xffffffffu, kernel.n_steps = 2;
    refuses("chain: beyond the last step", walks(&kernel, &chain));
    for (int32_t draw : {-1, 16}) refuses("normals: draw", normals(0, 0, 0, draw, &chain, 1, 1, o, 1));
    for (int32_t values : {0, -1, huge}) refuses("normals: n_values", normals(0, 0, 0, 0, &chain, 1, values, o, 1));
    refuses("normals: out", normals(0, 0, 0, 0, &chain, 1, 1, nullptr, 1));
    refuses("normals: n_threads", normals(0, 0, 0, 0, &chain, 1, 1, o, 0));
    int64_t drawn[4];
    refuses("words: n", words(0, 0, 0, &chain, &chain, 0, 1, drawn, 1));
    refuses("words: rows", words(0, 0, 0, nullptr, &chain, 1, 1, drawn, 1));
    refuses("words: steps", words(0, 0, 0, &chain, nullptr, 1, 1, drawn, 1));
    refuses("words: out", words(0, 0, 0, &chain, &chain, 1, 1, nullptr, 1));
    for (int32_t draw : {-1, 16}) refuses("words: draw", words(0, 0, draw, &chain, &chain, 1, 1, drawn, 1));
    for (int32_t blocks : {0, 1 << 28}) refuses("words: n_blocks", words(0, 0, 0, &chain, &chain, 1, blocks, drawn, 1));
    uint32_t counters[4] = {};
    refuses("philox: n", philox(counters, 0, 0, counters));
    refuses("philox: out", philox(counters, 1, 0, nullptr));
    release(handle);
    release(nullptr);
    return wrong;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::string(argv[1]) == "--refused") return refused();
    for (int i = 1; i + 1 < argc; i += 2) {
        File in(argv[i], "rb"), out(argv[i + 1], "wb");
        run(Case(in), out);
    }
    std::printf("%s\n", variant());
    return (abi() == EBMNIST_ABI && (processor() | 15) == 15 && *digest()) ? 0 : 103;
}
