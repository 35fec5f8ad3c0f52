// Work shared by threads that are all done with it when the call returns, whatever fails in them.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

// A loop of one thread, whose turns threads that have nothing else to do may take. No result depends on who takes one.
class OpenLoop {
    using Turn = void (*)(void* work, int turn, int columns);
    std::atomic<Turn> turn{nullptr};  // null while there is nothing to help with
    void* argument = nullptr;
    int turns = 0, columns = 0;
    std::atomic<int> next{0}, helpers{0};

    void take(Turn do_turn) {
        for (int i; next < turns && (i = next++) < turns;) do_turn(argument, i, columns);
    }

public:
    const std::atomic<int>* idle = nullptr;  // how many threads would help; null for none, ever

    // work(row, column), which throws nothing, for each row and each column; all are done on return.
    template <class Work>
    void run(int n_rows, int n_columns, Work work) {
        if (!idle || !*idle) {
            for (int row = 0; row < n_rows; row++)
                for (int column = 0; column < n_columns; column++) work(row, column);
            return;
        }
        argument = &work, turns = n_rows * n_columns, columns = n_columns, next = 0;
        turn = [](void* work, int i, int columns) { (*(Work*)work)(i / columns, i % columns); };
        take(turn);
        turn = nullptr;  // who comes now finds nothing; who came before is counted
        while (helpers) std::this_thread::yield();
    }

    // Take turns until there are none; whether there were any.
    bool help() {
        helpers++;
        Turn do_turn = turn;
        if (do_turn) take(do_turn);
        helpers--;
        return do_turn;
    }
};

struct Joined {
    std::vector<std::thread> threads;
    ~Joined() {
        for (auto& thread : threads) thread.join();
    }
};

// OpenMP's entry for a parallel region, as GCC calls it. PyTorch's threads spin for milliseconds after each of its
// operations, and new threads would have to wait for their processors. So its own are used where Python has found them.
using Parallel = void (*)(void (*work)(void*), void* argument, unsigned n_threads, unsigned flags);
inline std::atomic<Parallel> openmp{nullptr};

// Call run() on up to n_threads threads, this one among them; on no more than `most`, unless they are OpenMP's, which
// ends threads that a region leaves out; and on fewer where the system gives fewer.
template <class Run>
void on_threads(int n_threads, int most, Run& run) {
    if (n_threads == 1 || most == 1) return run();
    if (Parallel parallel = openmp)
        return parallel([](void* argument) { (*(Run*)argument)(); }, &run, (unsigned)n_threads, 0);
    Joined others;
    int n_others = std::min(n_threads, most) - 1;
    others.threads.reserve((size_t)n_others);
    try {
        for (int i = 0; i < n_others; i++) others.threads.emplace_back(std::ref(run));
    } catch (const std::system_error&) {  // no more threads to be had
    }
    run();
}

// Call work(next, loop), or work(next), on up to n_threads threads, this one among them; next() deals out
// 0 … n_items − 1, then −1. Threads for which there is nothing left take turns of the others' loops.
// The first exception of a thread is thrown again here.
template <class Work>
void share(int n_items, int n_threads, Work work) {
    std::atomic<int> dealt{0}, arrived{0}, working{0}, idle{0};
    std::exception_ptr failure;
    std::mutex failing;
    auto next = [&] {
        int item = dealt.load();
        while (item < n_items && !dealt.compare_exchange_weak(item, item + 1)) {}
        return item < n_items ? item : -1;
    };
    constexpr bool OPEN = std::is_invocable_v<Work, decltype(next), OpenLoop&>;
    std::vector<OpenLoop> loops((size_t)std::min(n_items, n_threads));
    auto run = [&]() noexcept {
        working++;
        if (size_t place = (size_t)arrived++; place < loops.size()) try {
            loops[place].idle = &idle;
            if constexpr (OPEN) work(next, loops[place]);
            else work(next);
        } catch (...) {
            dealt = n_items;  // what the others would still do is lost anyway
            std::lock_guard<std::mutex> lock(failing);
            if (!failure) failure = std::current_exception();
        }
        working--;
        if (!OPEN) return;
        idle++;
        while (dealt < n_items || working) {
            bool helped = false;
            for (auto& loop : loops) helped |= loop.help();
            if (!helped) std::this_thread::yield();
        }
    };
    on_threads(n_threads, OPEN ? 4 * n_items : n_items, run);
    if (failure) std::rethrow_exception(failure);
}
