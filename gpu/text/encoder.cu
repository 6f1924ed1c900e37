// The encoder's steps between matrix products. Rows are the tokens of all texts, one text after the
// other, stored as float or __half; sums, softmax and normalisation are made in float.

#include <cuda_fp16.h>

__device__ __forceinline__ float widened(float number) { return number; }
__device__ __forceinline__ float widened(__half number) { return __half2float(number); }
__device__ __forceinline__ void put(float *to, float number) { *to = number; }
__device__ __forceinline__ void put(__half *to, float number) { *to = __float2half(number); }

constexpr int THREADS = 128;  // of every block
constexpr int TILE = 32;      // queries of a block, and keys that it meets at a time
constexpr int SHARES = THREADS / TILE;  // threads of a query; neighbours, so that they can shuffle

constexpr float LEAST = -3.4e38f;

// The sum over the block, for all its threads. `room` holds a number for each warp.
__device__ float summed(float number, float *room) {
    for (int distance = 16; distance > 0; distance /= 2)
        number += __shfl_xor_sync(0xffffffffu, number, distance);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = number;
    __syncthreads();
    float total = 0.0f;
    for (int warp = 0; warp < THREADS / 32; ++warp) total += room[warp];
    __syncthreads();
    return total;
}

// out = layer normalisation of `line`, which lies in shared memory; a block a row. Each thread reads
// only what it wrote itself.
template <typename Number>
__device__ void normalised(float *line, int width, const float *scale, const float *shift, float epsilon,
                           Number *out) {
    __shared__ float room[THREADS / 32];
    float total = 0.0f;
    for (int i = threadIdx.x; i < width; i += THREADS) total += line[i];
    const float mean = summed(total, room) / width;
    float spread = 0.0f;
    for (int i = threadIdx.x; i < width; i += THREADS) spread += (line[i] - mean) * (line[i] - mean);
    const float factor = rsqrtf(summed(spread, room) / width + epsilon);
    for (int i = threadIdx.x; i < width; i += THREADS)
        put(out + i, (line[i] - mean) * factor * scale[i] + shift[i]);
}

// rows = layer normalisation of rows + bias + residual.
template <typename Number>
__device__ void normalise(Number *rows, const Number *residual, const float *bias, const float *scale,
                          const float *shift, int width, float epsilon) {
    extern __shared__ float line[];
    const long long first = (long long)blockIdx.x * width;
    for (int i = threadIdx.x; i < width; i += THREADS)
        line[i] = widened(rows[first + i]) + widened(residual[first + i]) + bias[i];
    normalised(line, width, scale, shift, epsilon, rows + first);
}

// rows = layer normalisation of the token's and the place's embedding.
template <typename Number>
__device__ void embed(const Number *words, const long long *ids, const float *places, const long long *at,
                      const float *scale, const float *shift, int width, float epsilon, Number *rows) {
    extern __shared__ float line[];
    const long long word = ids[blockIdx.x] * width, place = at[blockIdx.x] * width;
    for (int i = threadIdx.x; i < width; i += THREADS)
        line[i] = widened(words[word + i]) + places[place + i];
    normalised(line, width, scale, shift, epsilon, rows + (long long)blockIdx.x * width);
}

// rows = x Φ(x) of x = rows + bias.
template <typename Number>
__device__ void gelu(Number *rows, const float *bias, int width, long long count) {
    const long long stride = (long long)gridDim.x * THREADS;
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < count; i += stride) {
        const float x = widened(rows[i]) + bias[i % width];
        put(rows + i, 0.5f * x * (1.0f + erff(x * 0.70710678f)));
    }
}

// out = value * SiLU(gate); a row of `rows` holds `width` values, then as many gates.
template <typename Number>
__device__ void gate(const Number *rows, const float *bias, int width, long long count, Number *out) {
    const long long stride = (long long)gridDim.x * THREADS;
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < count; i += stride) {
        const long long row = i / width;
        const int at = (int)(i % width);
        const float value = widened(rows[2 * row * width + at]) + bias[at];
        const float gate = widened(rows[(2 * row + 1) * width + at]) + bias[width + at];
        put(out + i, value * gate / (1.0f + expf(-gate)));
    }
}

// Number i of a head of query, key or value, with its bias, turned by its place where `turns` says so.
template <typename Number>
__device__ float part(const Number *line, const float *bias, const float *turn, int i, int head) {
    const float x = widened(line[i]) + bias[i];
    if (turn == nullptr) return x;
    const int half = head / 2, other = i < half ? i + half : i - half, angle = i % half;
    const float y = widened(line[other]) + bias[other];
    return x * turn[angle] + (i < half ? -y : y) * turn[half + angle];
}

// What TILE queries of one text gather from it with one head: scores are made a tile of keys at a
// time, with a running maximum and sum. Source: Dao et al. 2022, arXiv 2205.14135.
//
// tiles: of each block in x its first row, where its text begins and where it ends; heads in y.
template <typename Number, int HEAD>
__device__ void attend(const Number *qkv, const float *bias, const float *turns, const long long *places,
                       const int *tiles, int head, int width, float factor, Number *out) {
    __shared__ float queries[TILE][HEAD + 1], keys[TILE][HEAD + 1], values[TILE][HEAD + 1];
    __shared__ float scores[TILE][TILE + 1];
    const int first = tiles[3 * blockIdx.x], begin = tiles[3 * blockIdx.x + 1], end = tiles[3 * blockIdx.x + 2];
    const int at = blockIdx.y * head;
    const int query = threadIdx.x / SHARES, share = threadIdx.x % SHARES;
    for (int i = threadIdx.x; i < TILE * HEAD; i += THREADS) {
        const int row = first + i / HEAD, column = i % HEAD;
        float number = 0.0f;
        if (row < end && column < head) {
            const float *turn = turns == nullptr ? nullptr : turns + places[row] * head;
            number = part(qkv + 3LL * row * width + at, bias + at, turn, column, head) * factor;
        }
        queries[i / HEAD][column] = number;
    }
    float gathered[HEAD / SHARES], highest = LEAST, total = 0.0f;
    for (int j = 0; j < HEAD / SHARES; ++j) gathered[j] = 0.0f;
    for (int key = begin; key < end; key += TILE) {
        __syncthreads();
        for (int i = threadIdx.x; i < TILE * HEAD; i += THREADS) {
            const int row = key + i / HEAD, column = i % HEAD;
            float number = 0.0f, value = 0.0f;
            if (row < end && column < head) {
                const Number *line = qkv + 3LL * row * width + width + at;
                const float *turn = turns == nullptr ? nullptr : turns + places[row] * head;
                number = part(line, bias + width + at, turn, column, head);
                value = widened(line[width + column]) + bias[2 * width + at + column];
            }
            keys[i / HEAD][column] = number;
            values[i / HEAD][column] = value;
        }
        __syncthreads();
        float above = highest;
        for (int k = share; k < TILE; k += SHARES) {
            float score = LEAST;
            if (key + k < end) {
                score = 0.0f;
                for (int i = 0; i < HEAD; ++i) score += queries[query][i] * keys[k][i];
            }
            scores[query][k] = score;
            above = fmaxf(above, score);
        }
        for (int distance = SHARES / 2; distance > 0; distance /= 2)
            above = fmaxf(above, __shfl_xor_sync(0xffffffffu, above, distance));
        const float faded = expf(highest - above);
        float sum = 0.0f;
        for (int k = share; k < TILE; k += SHARES) {
            const float power = expf(scores[query][k] - above);
            scores[query][k] = power;
            sum += power;
        }
        for (int distance = SHARES / 2; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        total = total * faded + sum;
        highest = above;
        __syncwarp();
        for (int j = 0; j < HEAD / SHARES; ++j) gathered[j] *= faded;
        for (int k = 0; k < TILE; ++k) {
            const float power = scores[query][k];
            for (int j = 0; j < HEAD / SHARES; ++j) gathered[j] += power * values[k][j * SHARES + share];
        }
    }
    const int row = first + query;
    if (row >= end) return;
    for (int j = 0; j < HEAD / SHARES; ++j) {
        const int column = j * SHARES + share;
        if (column < head) put(out + (long long)row * width + at + column, gathered[j] / total);
    }
}

// out = the sum of each text's rows; a block a text.
template <typename Number>
__device__ void add_up(const Number *rows, const long long *starts, int width, float *out) {
    for (int i = threadIdx.x; i < width; i += THREADS) {
        float total = 0.0f;
        for (long long row = starts[blockIdx.x]; row < starts[blockIdx.x + 1]; ++row)
            total += widened(rows[row * width + i]);
        out[(long long)blockIdx.x * width + i] = total;
    }
}

#define FOR(Number, name)                                                                                   \
    extern "C" __global__ void normalise_##name(Number *rows, const Number *residual, const float *bias,    \
                                                const float *scale, const float *shift, int width,          \
                                                float epsilon) {                                            \
        normalise<Number>(rows, residual, bias, scale, shift, width, epsilon);                              \
    }                                                                                                       \
    extern "C" __global__ void embed_##name(const Number *words, const long long *ids, const float *places, \
                                            const long long *at, const float *scale, const float *shift,    \
                                            int width, float epsilon, Number *rows) {                       \
        embed<Number>(words, ids, places, at, scale, shift, width, epsilon, rows);                          \
    }                                                                                                       \
    extern "C" __global__ void gelu_##name(Number *rows, const float *bias, int width, long long count) {   \
        gelu<Number>(rows, bias, width, count);                                                             \
    }                                                                                                       \
    extern "C" __global__ void gate_##name(const Number *rows, const float *bias, int width,                \
                                           long long count, Number *out) {                                  \
        gate<Number>(rows, bias, width, count, out);                                                        \
    }                                                                                                       \
    extern "C" __global__ void add_up_##name(const Number *rows, const long long *starts, int width,        \
                                             float *out) {                                                  \
        add_up<Number>(rows, starts, width, out);                                                           \
    }

#define ATTEND(Number, name, HEAD)                                                                          \
    extern "C" __global__ void attend_##HEAD##_##name(                                                      \
        const Number *qkv, const float *bias, const float *turns, const long long *places, const int *tiles, \
        int rotated, int head, int width, float factor, Number *out) {                                      \
        attend<Number, HEAD>(qkv, bias, rotated ? turns : nullptr, places, tiles, head, width, factor, out); \
    }

FOR(float, float32)
FOR(__half, float16)
ATTEND(float, float32, 32)
ATTEND(float, float32, 64)
ATTEND(float, float32, 96)
ATTEND(__half, float16, 32)
ATTEND(__half, float16, 64)
ATTEND(__half, float16, 96)
