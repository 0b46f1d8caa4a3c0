// Vectors of the widest registers of this machine, float or double, and what operators need beside + − ×.
//
// They are the vector types of GCC and Clang; intrinsics stand only where those types make worse code of it.

#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

typedef float Floats __attribute__((vector_size(VECTOR_BYTES)));
typedef double Doubles __attribute__((vector_size(VECTOR_BYTES)));

// Of an x that is NaN these keep the NaN: the instructions return their second operand then.
#if defined(__AVX512F__)
inline Floats larger(Floats x, Floats bound) { return _mm512_max_ps(bound, x); }
inline Doubles larger(Doubles x, Doubles bound) { return _mm512_max_pd(bound, x); }
inline Floats nearest(Floats x) { return _mm512_roundscale_ps(x, 8); }
inline Doubles nearest(Doubles x) { return _mm512_roundscale_pd(x, 8); }
inline Floats scale(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }
inline Doubles scale(Doubles x, Doubles n) { return _mm512_scalef_pd(x, n); }
#elif defined(__AVX__)
inline Floats larger(Floats x, Floats bound) { return _mm256_max_ps(bound, x); }
inline Doubles larger(Doubles x, Doubles bound) { return _mm256_max_pd(bound, x); }
inline Floats smaller(Floats x, Floats bound) { return _mm256_min_ps(bound, x); }
inline Doubles smaller(Doubles x, Doubles bound) { return _mm256_min_pd(bound, x); }
#else
template <typename V> inline V larger(V x, V bound) { return x < bound ? bound : x; }
template <typename V> inline V smaller(V x, V bound) { return x > bound ? bound : x; }
#endif

// Coefficients of 2^f on |f| ≤ ½, the first of them 1 so that 2^0 is exact: for floats a minimax polynomial (2e-9), for
// doubles the Taylor series (4e-18). What remains is rounding.
template <typename T> struct Format;

template <> struct Format<float> {
    using V = Floats;
    typedef int32_t Integers __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int FRACTION_BITS = 23, BIAS = 127, DEGREE = 6;
    static constexpr float COEFFICIENTS[] = {1.0f,           0.69314720286f,   0.24022647914f,  5.5503324710e-2f,
                                             9.6184373577e-3f, 1.3398874454e-3f, 1.5353361963e-4f};
};

constexpr double term(int k) { return k ? term(k - 1) * 0.69314718055994530942 / k : 1.0; }

template <> struct Format<double> {
    using V = Doubles;
    typedef int64_t Integers __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int FRACTION_BITS = 52, BIAS = 1023, DEGREE = 13;
    static constexpr double COEFFICIENTS[] = {term(0), term(1), term(2), term(3),  term(4),  term(5),  term(6),
                                              term(7), term(8), term(9), term(10), term(11), term(12), term(13)};
};

// V holds W numbers. `decay(x TO_EXPONENT)` is e^x, and `FROM_EXPONENT TO_EXPONENT` is 1: a decay is a power of two, so
// that a factor which serves many tokens is scaled once and not every product with it.
template <typename T> struct Simd : Format<T> {
    using V = typename Format<T>::V;
    using Integers = typename Format<T>::Integers;
    static constexpr int W = VECTOR_BYTES / sizeof(T), BIAS = Format<T>::BIAS;
    static constexpr T TO_EXPONENT = 1.44269504088896340736, FROM_EXPONENT = 0.69314718055994530942;

    // 2^x = 2^n 2^f, n the nearest integer. Exactly 1 at x = 0, exactly 0 where the smallest denormal number is not
    // reached, NaN for NaN, not finite where the largest number is passed.
    static inline V decay(V x) {
#if defined(__AVX512F__)
        x = larger(x, V{} - T(2 * BIAS));
        const V n = nearest(x);
        return scale(fraction(x - n), n);
#else
        // A number plus `shift` carries n + BIAS, the biased exponent, in its lowest bits.
        const V shift = V{} + (T(3LL << (Format<T>::FRACTION_BITS - 1)) + T(BIAS));
        x = smaller(larger(x, V{} - T(BIAS)), V{} + T(BIAS + 1));
        const V shifted = x + shift;
        const Integers power = reinterpret_cast<Integers>(shifted) << Format<T>::FRACTION_BITS;
        return fraction(x - (shifted - shift)) * reinterpret_cast<V>(power);
#endif
    }

    static inline V fraction(V f) {
        V p = V{} + Format<T>::COEFFICIENTS[Format<T>::DEGREE];
        for (int k = Format<T>::DEGREE - 1; k >= 0; k--) p = p * f + Format<T>::COEFFICIENTS[k];
        return p;
    }
};

// The first `lanes` numbers, and zeros behind them, which add nothing to any sum.
template <typename T> inline typename Simd<T>::V load(const T *from, int64_t lanes) {
    typename Simd<T>::V v = {};
    if (lanes == Simd<T>::W) memcpy(&v, from, sizeof(v));
    else for (int64_t lane = 0; lane < lanes; lane++) v[lane] = from[lane];
    return v;
}

template <typename T> inline void store(T *to, typename Simd<T>::V v, int64_t lanes) {
    if (lanes == Simd<T>::W) memcpy(to, &v, sizeof(v));
    else for (int64_t lane = 0; lane < lanes; lane++) to[lane] = v[lane];
}

// From (lanes, size) in memory to `size` vectors, and back; null stands for zeros.
template <typename T> void load_transposed(typename Simd<T>::V *to, const T *from, int64_t size, int64_t lanes) {
    memset(to, 0, size * VECTOR_BYTES);
    for (int64_t n = 0; from && n < size; n++)
        for (int64_t lane = 0; lane < lanes; lane++) to[n][lane] = from[lane * size + n];
}

template <typename T> void store_transposed(T *to, const typename Simd<T>::V *from, int64_t size, int64_t lanes) {
    for (int64_t n = 0; n < size; n++)
        for (int64_t lane = 0; lane < lanes; lane++) to[lane * size + n] = from[n][lane];
}

template <typename T> inline T sum_of_lanes(typename Simd<T>::V v) {
    T x[Simd<T>::W];
    memcpy(x, &v, sizeof(v));
    for (int half = Simd<T>::W / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) x[lane] += x[lane + half];
    return x[0];
}

}  // namespace
