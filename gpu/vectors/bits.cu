// How many bits each code differs in from each query. Words of a code lie `count` apart, so that
// neighbouring threads read neighbouring words; a block takes one query.
extern "C" __global__ void distances(const unsigned long long* codes, const unsigned long long* queries,
                                     unsigned short* found, long long count, int words) {
    extern __shared__ unsigned long long query[];
    for (int word = threadIdx.x; word < words; word += blockDim.x)
        query[word] = queries[(long long)blockIdx.y * words + word];
    __syncthreads();
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long place = (long long)blockIdx.x * blockDim.x + threadIdx.x; place < count; place += step) {
        int total = 0;
        for (int word = 0; word < words; ++word)
            total += __popcll(codes[(long long)word * count + place] ^ query[word]);
        found[(long long)blockIdx.y * count + place] = (unsigned short)total;
    }
}

// The product of a query's numbers with the signs that the codes at its places hold. Codes are rows of
// `words`; a block takes one query.
extern "C" __global__ void products(const unsigned long long* codes, const float* queries,
                                    const long long* places, float* found, int wanted, int words) {
    extern __shared__ float numbers[];
    for (int at = threadIdx.x; at < 64 * words; at += blockDim.x)
        numbers[at] = queries[(long long)blockIdx.y * 64 * words + at];
    __syncthreads();
    for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < wanted; at += gridDim.x * blockDim.x) {
        const unsigned long long* code = codes + places[(long long)blockIdx.y * wanted + at] * words;
        float total = 0.0f;
        for (int word = 0; word < words; ++word) {
            unsigned long long bits = code[word];
            for (int bit = 0; bit < 64; ++bit) {
                float number = numbers[64 * word + bit];
                total += (bits >> bit & 1ull) ? number : -number;
            }
        }
        found[(long long)blockIdx.y * wanted + at] = total;
    }
}
