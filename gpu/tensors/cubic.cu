// One thread a point: the samples around it, weighted row by row in the order of the CPU's kernel.

namespace {

constexpr int NEAREST = 1;

__device__ double moved_inside(double place, long long length, int mode) {
    if (mode == NEAREST) return fmin(fmax(place, -1.0), (double)length);
    if (length == 1) return 0.0;
    const double period = 2.0 * (length - 1);
    place = fabs(place);
    place -= period * floor(place / period);
    return fmax(0.0, fmin(period - place, place));
}

template <typename T>
__device__ void weigh(const T* polynomials, T t, T* weights) {
    for (int tap = 0; tap < 4; ++tap) {
        T total = polynomials[12 + tap];
        for (int power = 2; power >= 0; --power) total = total * t + polynomials[4 * power + tap];
        weights[tap] = total;
    }
}

// offsets: as the CPU's, in samples instead of bytes. layout: starts, lengths and taps of four axes, then the inner range of the last one.
template <typename T>
__device__ void sample(T* values, const double* points, long long count, int axes, const T* samples,
                       const long long* offsets, const long long* layout, const T* polynomials, int mode,
                       int outside_counts, T outside, int* not_finite) {
    const long long point = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (point >= count) return;
    const long long *starts = layout, *lengths = layout + 4, *taps = layout + 8, *inner = layout + 12;
    const long long* first[4] = {offsets + starts[0], offsets + starts[1], offsets + starts[2],
                                 offsets + starts[3]};
    T weights[4][4];
    bool away = false;
    for (int axis = 0; axis < 4; ++axis) {
        double place = axis < 4 - axes ? 0.0 : points[point * axes + axis - (4 - axes)];
        if (!(place >= 0.0 && place <= lengths[axis] - 1.0)) {
            if (!(fabs(place) <= 1.7976931348623157e308)) {
                *not_finite = 1;
                return;
            }
            away = true;
            place = moved_inside(place, lengths[axis], mode);
        }
        const long long base = (long long)floor(place);
        long long side = 0;
        if (axis == 3) side = base < inner[0] ? inner[0] - base : base > inner[1] ? base - inner[1] + 2 : 0;
        first[axis] += base;
        weigh(polynomials + 16 * (axis + side), (T)(place - base), weights[axis]);
    }
    if (away && outside_counts) {
        values[point] = outside;
        return;
    }
    T total[4] = {0, 0, 0, 0};
    for (int i = 0; i < taps[0]; ++i) {
        T group[4] = {0, 0, 0, 0};
        for (int j = 0; j < taps[1]; ++j) {
            const T* plane = samples + first[3][0] + first[0][i] + first[1][j];
            T sums[4] = {0, 0, 0, 0};
            for (int k = 0; k < taps[2]; ++k) {
                const T* row = plane + first[2][k];
                for (int x = 0; x < 4; ++x)
                    if (x < taps[3]) sums[x] += weights[2][k] * __ldg(row + x);
            }
            for (int x = 0; x < 4; ++x) group[x] += weights[1][j] * sums[x];
        }
        for (int x = 0; x < 4; ++x) total[x] += weights[0][i] * group[x];
    }
    for (int x = 0; x < 4; ++x) total[x] = x < taps[3] ? total[x] * weights[3][x] : 0;
    values[point] = (total[0] + total[1]) + (total[2] + total[3]);
}

}  // namespace

extern "C" __global__ void sample_float32(float* values, const double* points, long long count, int axes,
                                          const float* samples, const long long* offsets,
                                          const long long* layout, const float* polynomials, int mode,
                                          int outside_counts, float outside, int* not_finite) {
    sample<float>(values, points, count, axes, samples, offsets, layout, polynomials, mode, outside_counts,
                  outside, not_finite);
}

extern "C" __global__ void sample_float64(double* values, const double* points, long long count, int axes,
                                          const double* samples, const long long* offsets,
                                          const long long* layout, const double* polynomials, int mode,
                                          int outside_counts, double outside, int* not_finite) {
    sample<double>(values, points, count, axes, samples, offsets, layout, polynomials, mode, outside_counts,
                   outside, not_finite);
}
