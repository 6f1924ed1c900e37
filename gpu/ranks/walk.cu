// Iterations of x = base + damping * P^T x for r columns at once, all in one launch: Jacobi's, or where
// all links run both ways Chebyshev's, which go on from the last but one x and need a third as many.
//
// Rows (the links that arrive at a node) come in order of length, so that the lanes of a warp have
// equal work: a row of up to 4 links gets one lane a column vector, one of up to 8 two, and so on.
// Rows of more than 256 links are cut into segments, whose sums are added up after a barrier. The
// lanes of a row lie over columns first: what they gather from a node is one piece of memory.
// No sum depends on timing, so equal inputs give equal bits on one device.
#include <cooperative_groups.h>

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kClasses = 6;
constexpr int kSegment = 256;
constexpr int kAtOnce = 4;  // links of a lane in flight
constexpr unsigned kAll = 0xffffffffu;

template <class T, int V>
struct alignas(V * sizeof(T)) Columns {
    T at[V];
};

template <class T>
struct Walk {
    const unsigned* sources;      // (links)
    const T* probabilities;       // (links)
    const T* base;                // (n, r)
    const unsigned* rows;         // (n), by length
    const long long* firsts;      // (n), of the rows in that order: the first link
    const unsigned* lengths;      // (n), of the rows in that order: how many links
    const long long* starts;      // (kClasses + 2), where each class begins among the rows
    const unsigned* segment_row;  // (segments), the place of its row among the long ones
    const long long* first_segment;  // (long rows + 1)
    long long segments;
    T* partial;  // (segments, r)
    long long r;
    T damping;
    T onward;  // how far to go on in the direction from y, the x before x: 0 for Jacobi
};

struct Row {
    unsigned row, length;
    long long first;
};

template <class T>
__device__ Row row_at(const Walk<T>& walk, long long place, long long last) {
    if (place >= last) return {0, 0, 0};
    return {__ldg(walk.rows + place), __ldg(walk.lengths + place), __ldg(walk.firsts + place)};
}

// The lanes of a warp: `over` of them side by side over the columns, `links` over a row's links.
struct Lanes {
    int over, links, group, link;
    long long column;
    bool inside;

    __device__ Lanes(int over, int links, int width, long long tile, long long r) : over(over), links(links) {
        int lane = threadIdx.x % 32;
        group = lane / (over * links);
        link = lane / over % links;
        column = tile + (long long)(lane % over) * width;
        inside = column < r;
    }
};

template <class T, int V>
__device__ void gather(const Walk<T>& walk, const T* x, long long first, long long last, const Lanes& lanes,
                       T (&sum)[V]) {
    long long stride = lanes.links;
    for (long long link = first + lanes.link; link < last; link += kAtOnce * stride) {
        unsigned source[kAtOnce];
        T probability[kAtOnce];
        Columns<T, V> found[kAtOnce];
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
            bool here = link + u * stride < last;
            source[u] = here ? __ldg(walk.sources + link + u * stride) : 0;
            probability[u] = here ? __ldg(walk.probabilities + link + u * stride) : T(0);
        }
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
            found[u] = Columns<T, V>{};
            if (link + u * stride < last)
                found[u] = *reinterpret_cast<const Columns<T, V>*>(x + source[u] * walk.r + lanes.column);
        }
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
            for (int v = 0; v < V; ++v) sum[v] += probability[u] * found[u].at[v];
    }
}

template <class T, int V>
__device__ void add_over_links(const Lanes& lanes, T (&sum)[V]) {
    for (int by = lanes.over; by < lanes.over * lanes.links; by *= 2)
#pragma unroll
        for (int v = 0; v < V; ++v) sum[v] += __shfl_xor_sync(kAll, sum[v], by);
}

template <class T, int V>
__device__ void improve(const Walk<T>& walk, const T* x, T* y, long long row, const Lanes& lanes,
                        const T (&sum)[V], double (&change)[V]) {
    if (lanes.link || !lanes.inside) return;
    long long at = row * walk.r + lanes.column;
    Columns<T, V> base = *reinterpret_cast<const Columns<T, V>*>(walk.base + at);
    Columns<T, V> old = *reinterpret_cast<const Columns<T, V>*>(x + at);
    Columns<T, V> improved;
#pragma unroll
    for (int v = 0; v < V; ++v) {
        improved.at[v] = base.at[v] + walk.damping * sum[v];
        change[v] += fabs((double)improved.at[v] - (double)old.at[v]);
    }
    if (walk.onward != T(0)) {
        Columns<T, V> older = *reinterpret_cast<const Columns<T, V>*>(y + at);
#pragma unroll
        for (int v = 0; v < V; ++v) improved.at[v] += walk.onward * (improved.at[v] - older.at[v]);
    }
    *reinterpret_cast<Columns<T, V>*>(y + at) = improved;
}

// Rows of up to 256 links, and the sums of the segments of longer ones.
template <class T, int V>
__device__ void short_rows(const Walk<T>& walk, const T* x, T* y, int over, long long tile, double (&change)[V]) {
    long long warp = (long long)blockIdx.x * kWarps + threadIdx.x / 32;
    long long warps = (long long)gridDim.x * kWarps;
    for (int length = 0; length < kClasses; ++length) {
        Lanes lanes(over, min(1 << length, 32 / over), V, tile, walk.r);
        int together = 32 / (lanes.over * lanes.links);
        long long last = walk.starts[length + 1];
        long long first = walk.starts[length] + warp * together;
        Row next = row_at(walk, first + lanes.group, last);
        for (; first < last; first += warps * together) {
            Row row = next;
            next = row_at(walk, first + warps * together + lanes.group, last);  // on its way meanwhile
            T sum[V] = {};
            if (lanes.inside) gather<T, V>(walk, x, row.first, row.first + row.length, lanes, sum);
            add_over_links<T, V>(lanes, sum);
            if (first + lanes.group < last) improve<T, V>(walk, x, y, row.row, lanes, sum, change);
        }
    }
    Lanes lanes(over, 32 / over, V, tile, walk.r);
    for (long long segment = warp; segment < walk.segments; segment += warps) {
        long long place = walk.segment_row[segment];
        Row row = row_at(walk, walk.starts[kClasses] + place, walk.starts[kClasses + 1]);
        long long first = row.first + kSegment * (segment - walk.first_segment[place]);
        long long last = min(first + kSegment, row.first + row.length);
        T sum[V] = {};
        if (lanes.inside) gather<T, V>(walk, x, first, last, lanes, sum);
        add_over_links<T, V>(lanes, sum);
        if (!lanes.link && lanes.inside)
#pragma unroll
            for (int v = 0; v < V; ++v) walk.partial[segment * walk.r + lanes.column + v] = sum[v];
    }
}

template <class T, int V>
__device__ void long_rows(const Walk<T>& walk, const T* x, T* y, int over, long long tile, double (&change)[V]) {
    long long warp = (long long)blockIdx.x * kWarps + threadIdx.x / 32;
    long long warps = (long long)gridDim.x * kWarps;
    long long count = walk.starts[kClasses + 1] - walk.starts[kClasses];
    Lanes lanes(over, 32 / over, V, tile, walk.r);
    for (long long place = warp; place < count; place += warps) {
        T sum[V] = {};
        if (lanes.inside)
            for (long long segment = walk.first_segment[place] + lanes.link; segment < walk.first_segment[place + 1];
                 segment += lanes.links)
#pragma unroll
                for (int v = 0; v < V; ++v) sum[v] += __ldcg(walk.partial + segment * walk.r + lanes.column + v);
        add_over_links<T, V>(lanes, sum);
        improve<T, V>(walk, x, y, walk.rows[walk.starts[kClasses] + place], lanes, sum, change);
    }
}

// Adds what this block's threads have seen change to `changes`, (r), its own.
template <int V>
__device__ void keep(double (&change)[V], int over, long long tile, long long r, bool first, double* changes) {
    __shared__ double seen[kWarps][32 * V];
    int lane = threadIdx.x % 32;
    for (int by = over; by < 32; by *= 2)
#pragma unroll
        for (int v = 0; v < V; ++v) change[v] += __shfl_xor_sync(kAll, change[v], by);
    if (lane < over)
#pragma unroll
        for (int v = 0; v < V; ++v) seen[threadIdx.x / 32][lane * V + v] = change[v];
    __syncthreads();
    if (threadIdx.x < over * V && tile + threadIdx.x < r) {
        double sum = first ? 0.0 : changes[tile + threadIdx.x];
        for (int warp = 0; warp < kWarps; ++warp) sum += seen[warp][threadIdx.x];
        changes[tile + threadIdx.x] = sum;
    }
    __syncthreads();
}

// The largest sum over the blocks of a column of `changes`, (blocks, r); the same in every block.
__device__ double largest(const double* changes, long long r) {
    __shared__ double found[kWarps];
    int lane = threadIdx.x % 32;
    double most = 0.0;
    for (long long column = threadIdx.x / 32; column < r; column += kWarps) {
        double sum = 0.0;
        for (long long block = lane; block < gridDim.x; block += 32) sum += __ldcg(changes + block * r + column);
        for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(kAll, sum, by);
        if (sum > most || isnan(sum)) most = sum;  // NaN stays
    }
    if (lane == 0) found[threadIdx.x / 32] = most;
    __syncthreads();
    for (int warp = 0; warp < kWarps; ++warp)
        if (found[warp] > most || isnan(found[warp])) most = found[warp];
    return most;  // the grid waits for itself before `found` is written again
}

template <class T, int V>
__device__ void iterate(Walk<T> walk, T* scores, T* other, double* changes, double* outcome, double damping,
                        double tol, int max_iter, int every, bool undirected) {
    auto grid = cooperative_groups::this_grid();
    int over = 1;
    while (over < 32 && over * V < walk.r) over *= 2;
    T *x = scores, *y = other;
    double residual = 0.0, onward = 0.0;
    int iteration = 0;
    while (iteration < max_iter) {
        // Two sets in turns: a block may be an iteration ahead of one that still reads.
        double* set = changes + (iteration % 2) * (long long)gridDim.x * walk.r;
        walk.onward = (T)onward;
        for (long long tile = 0; tile < walk.r; tile += over * V) {
            double change[V] = {};
            short_rows<T, V>(walk, x, y, over, tile, change);
            keep<V>(change, over, tile, walk.r, true, set + blockIdx.x * walk.r);
        }
        if (walk.segments) {
            grid.sync();
            for (long long tile = 0; tile < walk.r; tile += over * V) {
                double change[V] = {};
                long_rows<T, V>(walk, x, y, over, tile, change);
                keep<V>(change, over, tile, walk.r, false, set + blockIdx.x * walk.r);
            }
        }
        grid.sync();
        T* swapped = x;
        x = y;
        y = swapped;
        ++iteration;
        if (undirected) {
            // The weights of the second step and of those after it; that of the first is one.
            double square = damping * damping;
            onward = iteration == 1 ? 1.0 / (1.0 - square / 2.0) - 1.0 : 1.0 / (1.0 - square * (1.0 + onward) / 4.0) - 1.0;
        }
        if (iteration % every == 0 || iteration == max_iter) {
            // What a step of Jacobi would change is the residual of the x that it began with, and
            // times the damping a bound on that of the x it led to.
            residual = largest(set, walk.r) * (undirected ? 1.0 : damping);
            if (residual <= tol) break;
        }
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        outcome[0] = iteration;
        outcome[1] = residual;
        outcome[2] = (undirected ? y : x) == other;
    }
}

}  // namespace

#define KERNEL(name, T, V)                                                                                       \
    extern "C" __global__ void __launch_bounds__(kThreads, 3)                                                    \
    name(const unsigned* sources, const T* probabilities, const T* base, T* scores, T* other,                    \
         const unsigned* rows, const long long* firsts, const unsigned* lengths, const long long* starts,        \
         const unsigned* segment_row, const long long* first_segment, long long segments, T* partial,            \
         double* changes, double* outcome, long long r, double damping, double tol, int max_iter, int every,    \
         int undirected) {                                                                                       \
        Walk<T> walk{sources, probabilities, base,          rows,     firsts,  lengths, starts,                  \
                     segment_row, first_segment, segments, partial, r, (T)damping, T(0)};                        \
        iterate<T, V>(walk, scores, other, changes, outcome, damping, tol, max_iter, every, undirected);         \
    }

KERNEL(walk_float32_1, float, 1)
KERNEL(walk_float32_2, float, 2)
KERNEL(walk_float32_4, float, 4)
KERNEL(walk_float64_1, double, 1)
KERNEL(walk_float64_2, double, 2)
