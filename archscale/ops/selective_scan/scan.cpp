// Selective scan on a CPU, forward and backward; the definition is in reference.py, the caller is compiled.py.
//
//   forward    h_t = 2^(Δ_t A log₂e) ⊙ h_{t-1} + (Δ_t u_t) B_t        y_t = Σ_n h_t C_t + D u_t
//   backward   g_t = dy_t C_t + decay_{t+1} ⊙ g_{t+1}, chunk after chunk from the last one; the states of a chunk are
//              computed again from the one that was saved before it
//
// An item of work is one row of the batch × CHANNELS channels. Inside it a SIMD vector holds W neighbouring channels,
// and a chunk of tokens is done for TILE of the N states at a time, so that what a tile needs stays in registers and in
// the first cache. What all channels (dB, dC) or all rows (dA, dD) add to is written per item and summed at the end in a
// fixed order: no bit of a result depends on the number of threads, or on which thread did what.
//
// Layouts, innermost dimension last: u, delta, y (batch, length, channels); B, C (batch, length, size);
// A (channels, size); initial, final (batch, channels, size); saved (batch, chunks, size, channels).

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>

#include "simd.h"
#include "threads.h"

namespace {

constexpr int CHANNELS = 128, TILE = 4;

// The same fields in the same order as in compiled.py. These may be null: starts (one document), initial and dfinal
// (zeros), saved (no way back will follow), dinitial (not wanted).
template <typename T> struct Arguments {
    const T *u, *delta, *A, *B, *C, *skip, *initial;
    const uint8_t *starts;
    T *y, *final, *saved;
    const T *dy, *dfinal;
    T *du, *ddelta, *dA, *dB, *dC, *dskip, *dinitial;
    int64_t batch, length, channels, size, chunk, threads;

    int64_t blocks() const { return (channels + CHANNELS - 1) / CHANNELS; }
    int64_t chunks() const { return (length + chunk - 1) / chunk; }
    int64_t tokens() const { return chunk < length ? chunk : length; }
    int64_t tokens_of(int64_t k) const { return (k + 1) * chunk < length ? chunk : length - k * chunk; }
};

// W neighbouring channels of an item: its q-th vector, which starts at channel d.
struct Lanes {
    int64_t q, d, count;
};

template <typename T> struct Scan {
    using V = typename Simd<T>::V;
    static constexpr int W = Simd<T>::W, VECTORS = CHANNELS / W;

    const Arguments<T> &a;
    const int64_t N, D;
    T *dA_parts, *dskip_parts, *dB_parts, *dC_parts;  // (batch, …), (batch, …), (blocks, …), (blocks, …)

    explicit Scan(const Arguments<T> &a) : a(a), N(a.size), D(a.channels) {}

    template <typename Work> void each_vector(int64_t item, Work work) const {
        const int64_t first = item % a.blocks() * CHANNELS;
        for (int64_t q = 0, d = first; q < VECTORS && d < D; q++, d += W) work(Lanes{q, d, D - d < W ? D - d : W});
    }

    template <typename Work> void each_tile(Work work) const {
        int64_t n = 0;
        for (; n + TILE <= N; n += TILE) work(n, Constant<TILE>());
        for (; n < N; n++) work(n, Constant<1>());
    }

    template <int VALUE> struct Constant {
        static constexpr int value = VALUE;
    };

    void load_exponents(V *to, const Lanes &at) const {
        load_transposed<T>(to, a.A + at.d * N, N, at.count);
        for (int64_t n = 0; n < N; n++) to[n] *= Simd<T>::TO_EXPONENT;
    }

    bool starts(int64_t token) const { return a.starts && a.starts[token]; }

    size_t forward_vectors() const { return 2 * VECTORS * N + 3 * a.tokens(); }

    void forward(int64_t item, V *scratch) const {
        const int64_t row = item / a.blocks();
        V *A = scratch, *h = A + VECTORS * N, *delta = h + VECTORS * N, *input = delta + a.tokens();
        V *y = input + a.tokens();
        each_vector(item, [&](Lanes at) {
            load_exponents(A + at.q * N, at);
            load_transposed<T>(h + at.q * N, a.initial ? a.initial + (row * D + at.d) * N : nullptr, N, at.count);
        });
        for (int64_t k = 0; k < a.chunks(); k++) {
            const int64_t begin = row * a.length + k * a.chunk, count = a.tokens_of(k);
            each_vector(item, [&](Lanes at) {
                V *h_ = h + at.q * N;
                const V skip = load<T>(a.skip + at.d, at.count);
                if (a.saved)
                    for (int64_t n = 0; n < N; n++)
                        store<T>(a.saved + ((row * a.chunks() + k) * N + n) * D + at.d, h_[n], at.count);
                for (int64_t i = 0; i < count; i++) {
                    const V u = load<T>(a.u + (begin + i) * D + at.d, at.count);
                    delta[i] = load<T>(a.delta + (begin + i) * D + at.d, at.count);
                    input[i] = delta[i] * u;
                    y[i] = skip * u;
                }
                each_tile([&](int64_t n, auto tile) {
                    outputs<tile.value>(begin, count, n, A + at.q * N + n, h_ + n, delta, input, y);
                });
                for (int64_t i = 0; i < count; i++) store<T>(a.y + (begin + i) * D + at.d, y[i], at.count);
            });
        }
        each_vector(item, [&](Lanes at) { store_transposed<T>(a.final + (row * D + at.d) * N, h + at.q * N, N, at.count); });
    }

    template <int COUNT>
    void outputs(int64_t begin, int64_t count, int64_t n, const V *A_, V *h_, const V *__restrict delta,
                 const V *__restrict input, V *__restrict y) const {
        V A[COUNT], h[COUNT];
        for (int j = 0; j < COUNT; j++) A[j] = A_[j], h[j] = h_[j];
        for (int64_t i = 0; i < count; i++) {
            const T *__restrict B = a.B + (begin + i) * N + n, *__restrict C = a.C + (begin + i) * N + n;
            if (starts(begin + i)) for (V &x : h) x = V{};
            V out = y[i];
            for (int j = 0; j < COUNT; j++) {
                h[j] = Simd<T>::decay(delta[i] * A[j]) * h[j] + input[i] * B[j];
                out += h[j] * C[j];
            }
            y[i] = out;
        }
        for (int j = 0; j < COUNT; j++) h_[j] = h[j];
    }

    // One chunk on the way back: first the inputs and the sums over n, for every vector of the item, then what one tile
    // of one vector needs (before, decay) or one tile of all vectors adds to (dB, dC).
    struct Chunk {
        int64_t begin, count;
        V *delta, *input, *dy, *dinput, *dexponent, *before, *decay, *dB, *dC;
    };

    size_t backward_vectors() const { return 3 * VECTORS * N + VECTORS + (5 * VECTORS + 4 * TILE) * a.tokens(); }

    void backward(int64_t item, V *scratch) const {
        const int64_t row = item / a.blocks(), tokens = a.tokens();
        V *A = scratch, *g = A + VECTORS * N, *dA = g + VECTORS * N, *dskip = dA + VECTORS * N, *next = dskip + VECTORS;
        Chunk c;
        for (V **array : {&c.delta, &c.input, &c.dy, &c.dinput, &c.dexponent}) *array = next, next += VECTORS * tokens;
        for (V **array : {&c.before, &c.decay, &c.dB, &c.dC}) *array = next, next += TILE * tokens;
        memset(dA, 0, (VECTORS * N + VECTORS) * sizeof(V));
        each_vector(item, [&](Lanes at) {
            load_exponents(A + at.q * N, at);
            load_transposed<T>(g + at.q * N, a.dfinal ? a.dfinal + (row * D + at.d) * N : nullptr, N, at.count);
        });
        for (int64_t k = a.chunks() - 1; k >= 0; k--) {
            c.begin = row * a.length + k * a.chunk, c.count = a.tokens_of(k);
            each_vector(item, [&](Lanes at) {
                for (int64_t i = 0; i < c.count; i++) {
                    const int64_t from = (c.begin + i) * D + at.d, to = at.q * tokens + i;
                    c.delta[to] = load<T>(a.delta + from, at.count);
                    c.input[to] = c.delta[to] * load<T>(a.u + from, at.count);
                    c.dy[to] = load<T>(a.dy + from, at.count);
                    c.dinput[to] = c.dexponent[to] = V{};
                }
            });
            each_tile([&](int64_t n, auto tile) { through<tile.value>(c, item, k, n, A + n, g + n, dA + n); });
            each_vector(item, [&](Lanes at) {
                const V skip = load<T>(a.skip + at.d, at.count);
                for (int64_t i = 0; i < c.count; i++) {
                    const int64_t to = (c.begin + i) * D + at.d, from = at.q * tokens + i;
                    const V u = load<T>(a.u + to, at.count), dy = c.dy[from], dinput = c.dinput[from];
                    dskip[at.q] += dy * u;
                    store<T>(a.du + to, dinput * c.delta[from] + dy * skip, at.count);
                    store<T>(a.ddelta + to, dinput * u + c.dexponent[from] * Simd<T>::FROM_EXPONENT, at.count);
                }
            });
        }
        each_vector(item, [&](Lanes at) {
            store_transposed<T>(dA_parts + (row * D + at.d) * N, dA + at.q * N, N, at.count);
            store<T>(dskip_parts + row * D + at.d, dskip[at.q], at.count);
            if (a.dinitial) store_transposed<T>(a.dinitial + (row * D + at.d) * N, g + at.q * N, N, at.count);
        });
    }

    // COUNT states of all channels of the item, forward through a chunk again and back.
    template <int COUNT>
    void through(const Chunk &c, int64_t item, int64_t k, int64_t n, const V *A, V *g, V *dA) const {
        const int64_t row = item / a.blocks(), block = item % a.blocks();
        memset(c.dB, 0, c.count * COUNT * sizeof(V));
        memset(c.dC, 0, c.count * COUNT * sizeof(V));
        each_vector(item, [&](Lanes at) {
            V h[COUNT];
            for (int j = 0; j < COUNT; j++)
                h[j] = load<T>(a.saved + ((row * a.chunks() + k) * N + n + j) * D + at.d, at.count);
            again<COUNT>(c, at.q * a.tokens(), n, A + at.q * N, h);
            adjoints<COUNT>(c, at.q * a.tokens(), n, A + at.q * N, g + at.q * N, dA + at.q * N);
        });
        for (int64_t i = 0; i < c.count; i++) {
            const int64_t to = (block * a.batch * a.length + c.begin + i) * N + n;
            for (int j = 0; j < COUNT; j++) dB_parts[to + j] = sum_of_lanes<T>(c.dB[i * COUNT + j]);
            for (int j = 0; j < COUNT; j++) dC_parts[to + j] = sum_of_lanes<T>(c.dC[i * COUNT + j]);
        }
    }

    template <int COUNT> void again(const Chunk &c, int64_t at, int64_t n, const V *A_, V (&h)[COUNT]) const {
        V A[COUNT];
        const V *__restrict delta = c.delta + at, *__restrict input = c.input + at, *__restrict dy = c.dy + at;
        V *__restrict before = c.before, *__restrict decay = c.decay, *__restrict dC = c.dC;
        for (int j = 0; j < COUNT; j++) A[j] = A_[j];
        for (int64_t i = 0; i < c.count; i++) {
            const T *__restrict B = a.B + (c.begin + i) * N + n;
            if (starts(c.begin + i)) for (V &x : h) x = V{};
            for (int j = 0; j < COUNT; j++) {
                const V factor = Simd<T>::decay(delta[i] * A[j]);
                before[i * COUNT + j] = h[j];
                decay[i * COUNT + j] = factor;
                h[j] = factor * h[j] + input[i] * B[j];
                dC[i * COUNT + j] += h[j] * dy[i];
            }
        }
    }

    // g enters as the gradient of the state after the chunk and leaves as that of the state before it.
    template <int COUNT> void adjoints(const Chunk &c, int64_t at, int64_t n, const V *A_, V *g_, V *dA_) const {
        V A[COUNT], g[COUNT], dA[COUNT];
        const V *__restrict delta = c.delta + at, *__restrict input = c.input + at, *__restrict dy = c.dy + at;
        const V *__restrict before = c.before, *__restrict decay = c.decay;
        V *__restrict dinput = c.dinput + at, *__restrict dexponent = c.dexponent + at, *__restrict dB = c.dB;
        for (int j = 0; j < COUNT; j++) A[j] = A_[j], g[j] = g_[j], dA[j] = dA_[j];
        for (int64_t i = c.count - 1; i >= 0; i--) {
            const T *__restrict B = a.B + (c.begin + i) * N + n, *__restrict C = a.C + (c.begin + i) * N + n;
            V to_input = dinput[i], to_exponent = dexponent[i];
            for (int j = 0; j < COUNT; j++) {
                const V adjoint = g[j] + dy[i] * C[j];
                to_input += adjoint * B[j];
                dB[i * COUNT + j] += adjoint * input[i];
                g[j] = adjoint * decay[i * COUNT + j];
                const V product = g[j] * before[i * COUNT + j];
                to_exponent += product * A[j];
                dA[j] += product * delta[i];
            }
            dinput[i] = to_input, dexponent[i] = to_exponent;
            if (starts(c.begin + i)) for (V &x : g) x = V{};
        }
        for (int j = 0; j < COUNT; j++) g_[j] = g[j], dA_[j] = dA[j];
    }
};

template <typename T> void sum_parts(T *out, const T *parts, int64_t count, int64_t size) {
    memset(out, 0, size * sizeof(T));
    for (int64_t part = 0; part < count; part++)
        for (int64_t i = 0; i < size; i++) out[i] += parts[part * size + i];
}

// Both return 0, or 1 when there is no memory for the working space.
template <typename T> int forward(const Arguments<T> &a) {
    const Scan<T> scan(a);
    const auto work = [&](int64_t item, void *scratch) {
        scan.forward(item, static_cast<typename Simd<T>::V *>(scratch));
    };
    return share(a.batch * a.blocks(), a.threads, scan.forward_vectors() * VECTOR_BYTES, work) ? 0 : 1;
}

template <typename T> int backward(const Arguments<T> &a) {
    const int64_t of_A = a.channels * a.size, of_B = a.batch * a.length * a.size, blocks = a.blocks();
    T *parts = static_cast<T *>(malloc((a.batch * (of_A + a.channels) + 2 * blocks * of_B + 1) * sizeof(T)));
    if (!parts) return 1;
    Scan<T> scan(a);
    scan.dA_parts = parts, scan.dskip_parts = parts + a.batch * of_A;
    scan.dB_parts = scan.dskip_parts + a.batch * a.channels, scan.dC_parts = scan.dB_parts + blocks * of_B;
    const auto work = [&](int64_t item, void *scratch) {
        scan.backward(item, static_cast<typename Simd<T>::V *>(scratch));
    };
    const bool done = share(a.batch * blocks, a.threads, scan.backward_vectors() * VECTOR_BYTES, work);
    if (done) {
        sum_parts(a.dA, scan.dA_parts, a.batch, of_A);
        sum_parts(a.dskip, scan.dskip_parts, a.batch, a.channels);
        sum_parts(a.dB, scan.dB_parts, blocks, of_B);
        sum_parts(a.dC, scan.dC_parts, blocks, of_B);
    }
    free(parts);
    return done ? 0 : 1;
}

}  // namespace

extern "C" {
int forward_float(const Arguments<float> *a) { return forward(*a); }
int forward_double(const Arguments<double> *a) { return forward(*a); }
int backward_float(const Arguments<float> *a) { return backward(*a); }
int backward_double(const Arguments<double> *a) { return backward(*a); }
}
