// Items of work shared among threads that live for one call.
//
// There is no pool for a fork to break and no second OpenMP beside that of torch; a thread inherits the floating-point
// mode of the caller, a pool would not. Who takes which item is left to chance: items must not depend on each other.

#pragma once

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

namespace {

template <typename Work> struct Worker {
    const Work *work;
    int64_t *next, items;
    char *scratch;
    pthread_t thread;
    bool started;

    static void *run(void *pointer) {
        const Worker &self = *static_cast<Worker *>(pointer);
        for (int64_t item; (item = __atomic_fetch_add(self.next, 1, __ATOMIC_RELAXED)) < self.items;)
            (*self.work)(item, self.scratch);
        return nullptr;
    }
};

// work(item, scratch) for every item, each thread with `bytes` of scratch; false when there is no memory for that.
// The caller works too, so a thread that cannot be started is not missed.
template <typename Work> bool share(int64_t items, int64_t threads, size_t bytes, const Work &work) {
    constexpr size_t LINE = 64;
    if (threads > items) threads = items;
    if (threads < 1) return true;
    bytes = (bytes + LINE - 1) / LINE * LINE + LINE;
    char *scratch = static_cast<char *>(aligned_alloc(LINE, threads * bytes));
    Worker<Work> *workers = static_cast<Worker<Work> *>(calloc(threads, sizeof(Worker<Work>)));
    const bool enough = scratch && workers;
    int64_t next = 0;
    for (int64_t i = threads - 1; enough && i >= 0; i--) {
        workers[i].work = &work, workers[i].next = &next, workers[i].items = items;
        workers[i].scratch = scratch + i * bytes;
        if (i) workers[i].started = !pthread_create(&workers[i].thread, nullptr, Worker<Work>::run, &workers[i]);
        else Worker<Work>::run(&workers[0]);
    }
    for (int64_t i = 1; enough && i < threads; i++)
        if (workers[i].started) pthread_join(workers[i].thread, nullptr);
    free(workers);
    free(scratch);
    return enough;
}

}  // namespace
