// CUDA C++ for a CPU: each thread of a block is a fiber, which runs until it waits for others.
//
// A block's threads take turns in an order drawn anew for every launch, so work that another thread
// should have waited for is seen undone. Barriers and the exchanges inside a warp let a thread go on
// only when all have come. Shared memory begins as NaN and −1, never as zeros.
// There is one processor: what only a weaker memory model or true simultaneity breaks is not seen.
#pragma once

#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <math.h>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

extern "C" {
extern char __start_rehearsal_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_rehearsal_shared[] __attribute__((weak, visibility("hidden")));
}

struct dim3 {
    unsigned x, y, z;
};

namespace rehearsal {

constexpr size_t kStack = 64 << 10;
constexpr unsigned kWarp = 32;

enum State { ready, at_block, at_grid, at_warp, done };

struct Meeting {
    unsigned mask, come;
    int line;
};

struct Warp {
    std::vector<Meeting> meetings;
    unsigned present = 0;
    uint64_t given[kWarp][2], seen[kWarp][2];
    bool vote_given[kWarp];
    unsigned vote_seen[kWarp];
};

struct Block;

struct Fiber {
    void* sp = nullptr;
#if !defined(__x86_64__)
    ucontext_t context;
#endif
    char* stack = nullptr;
    dim3 thread{};
    State state = ready;
    int line = 0;
    unsigned lane = 0;
    unsigned waits_for = 0;
    Warp* warp = nullptr;
    Block* block = nullptr;
};

struct Block {
    dim3 index{};
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    std::vector<char> statics;
    char* dynamic = nullptr;
    int vote = 0, voted = 0;
};

struct Request {
    unsigned grid[3], block[3];
    uint64_t shared_bytes, seed;
    int cooperative;
    char* message;
    uint64_t message_bytes;
    uint64_t fault;
};

inline Fiber* current;
inline Fiber main_fiber;
inline Request* request;
inline dim3 block_dim, grid_dim;
inline void (*body)(void*);
inline void* body_args;
inline sigjmp_buf escape;
inline std::vector<char*> free_stacks;

[[noreturn]] inline void fail(const char* format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(request->message, request->message_bytes, format, list);
    va_end(list);
    siglongjmp(escape, 1);
}

#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void rehearsal_switch(void** from, void* to);
asm(R"(
.text
.globl rehearsal_switch
.hidden rehearsal_switch
.type rehearsal_switch,@function
rehearsal_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#endif

inline void go(Fiber* from, Fiber* to) {
    current = to;
#if defined(__x86_64__)
    rehearsal_switch(&from->sp, to->sp);
#else
    swapcontext(&from->context, &to->context);
#endif
}

inline void pause() { go(current, &main_fiber); }

inline void enter() {
    body(body_args);
    current->state = done;
    current->warp->present &= ~(1u << current->lane);
    pause();
}

inline void prepare(Fiber& fiber) {
#if defined(__x86_64__)
    void** entry = reinterpret_cast<void**>(fiber.stack + kStack - 16);
    *entry = reinterpret_cast<void*>(&enter);
    memset(entry - 6, 0, 6 * sizeof(void*));
    fiber.sp = entry - 6;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &enter, 0);
#endif
}

inline char* take_stack() {
    if (free_stacks.empty()) {
        void* found = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (found == MAP_FAILED) fail("No memory for the stack of a thread.");
        return static_cast<char*>(found);
    }
    char* found = free_stacks.back();
    free_stacks.pop_back();
    return found;
}

inline void wait_as(State state, int line) {
    current->state = state;
    current->line = line;
    pause();
}

// Returns once every lane of `mask` has come with its value; their values are then in `seen`.
inline void meet(unsigned mask, int line) {
    Fiber* self = current;
    Warp& warp = *self->warp;
    unsigned bit = 1u << self->lane;
    if (!(mask & bit)) fail("line %d: lane %u takes part in a mask %08x without it.", line, self->lane, mask);
    if (mask & ~warp.present)
        fail("line %d: the mask %08x names lanes that have ended or never were (%08x are there).", line, mask,
             warp.present);
    Meeting* meeting = nullptr;
    for (Meeting& known : warp.meetings)
        if (known.mask & mask) {
            if (known.mask != mask || known.line != line)
                fail("lanes of one warp meet at line %d (%08x) and at line %d (%08x).", known.line, known.mask,
                     line, mask);
            meeting = &known;
        }
    if (!meeting) {
        warp.meetings.push_back({mask, 0, line});
        meeting = &warp.meetings.back();
    }
    meeting->come |= bit;
    if (meeting->come != mask) {
        self->waits_for = mask;
        wait_as(at_warp, line);
        return;
    }
    unsigned votes = 0;
    for (unsigned lane = 0; lane < kWarp; ++lane)
        if (mask >> lane & 1) votes |= unsigned(warp.vote_given[lane]) << lane;
    for (unsigned lane = 0; lane < kWarp; ++lane)
        if (mask >> lane & 1) {
            memcpy(warp.seen[lane], warp.given[lane], sizeof warp.given[lane]);
            warp.vote_seen[lane] = votes;
        }
    for (Fiber& other : self->block->fibers)
        if (other.warp == &warp && other.state == at_warp && other.waits_for == mask) other.state = ready;
    warp.meetings.erase(warp.meetings.begin() + (meeting - warp.meetings.data()));
}

template <class T>
T exchange(unsigned mask, T value, int from, int line) {
    static_assert(sizeof(T) <= 16, "a lane gives at most 16 bytes");
    Warp& warp = *current->warp;
    memcpy(warp.given[current->lane], &value, sizeof(T));
    meet(mask, line);
    if (!(mask >> from & 1)) fail("line %d: lane %u reads lane %d, which is not in %08x.", line, current->lane, from, mask);
    T found;
    memcpy(&found, warp.seen[from], sizeof(T));
    return found;
}

inline int lane_of(int width) { return int(current->lane) & (width - 1); }

template <class T>
T shuffle(unsigned mask, T value, int from, int width, int line) {
    int first = int(current->lane) & ~(width - 1);
    return exchange(mask, value, first + (from & (width - 1)), line);
}

template <class T>
T shuffle_xor(unsigned mask, T value, int with, int width, int line) {
    int from = int(current->lane) ^ with;
    if (from / width > int(current->lane) / width) from = int(current->lane);
    return exchange(mask, value, from, line);
}

template <class T>
T shuffle_down(unsigned mask, T value, int by, int width, int line) {
    int from = lane_of(width) + by < width ? int(current->lane) + by : int(current->lane);
    return exchange(mask, value, from, line);
}

template <class T>
T shuffle_up(unsigned mask, T value, int by, int width, int line) {
    int from = lane_of(width) - by >= 0 ? int(current->lane) - by : int(current->lane);
    return exchange(mask, value, from, line);
}

inline unsigned ballot(unsigned mask, bool vote, int line) {
    Warp& warp = *current->warp;
    warp.vote_given[current->lane] = vote;
    unsigned lane = current->lane;
    meet(mask, line);
    return warp.vote_seen[lane];
}

// The number of threads that gave a true value.
inline int count_in_block(bool vote, int line) {
    Block* block = current->block;
    block->vote += vote;
    wait_as(at_block, line);
    return block->voted;
}

inline void grid_barrier(int line) {
    if (!request->cooperative) fail("line %d: the grid waits for itself, but the launch is not cooperative.", line);
    wait_as(at_grid, line);
}

inline void begin(Block& block, unsigned number) {
    block.index = {number % grid_dim.x, number / grid_dim.x % grid_dim.y, number / grid_dim.x / grid_dim.y};
    unsigned threads = block_dim.x * block_dim.y * block_dim.z;
    block.fibers = std::vector<Fiber>(threads);
    block.warps = std::vector<Warp>((threads + kWarp - 1) / kWarp);
    block.statics.assign(__start_rehearsal_shared ? __stop_rehearsal_shared - __start_rehearsal_shared : 0, '\xff');
    block.dynamic = static_cast<char*>(aligned_alloc(128, (request->shared_bytes + 255) / 128 * 128));
    memset(block.dynamic, 0xff, request->shared_bytes + 1);
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = block.fibers[i];
        fiber.stack = take_stack();
        fiber.thread = {i % block_dim.x, i / block_dim.x % block_dim.y, i / block_dim.x / block_dim.y};
        fiber.lane = i % kWarp;
        fiber.warp = &block.warps[i / kWarp];
        fiber.warp->present |= 1u << fiber.lane;
        fiber.block = &block;
        prepare(fiber);
    }
}

inline void end(Block& block) {
    for (Fiber& fiber : block.fibers)
        if (fiber.stack) free_stacks.push_back(fiber.stack);
    block.fibers.clear();
    free(block.dynamic);
    block.dynamic = nullptr;
}

// Lets fibers run in turns, however often they wait for one another, until none of them can go on.
inline bool drain(std::vector<Fiber*> fibers, std::mt19937_64& random, unsigned habit) {
    bool moved = false;
    for (bool any = true; any;) {
        any = false;
        if (habit > 1)
            for (size_t i = fibers.size(); i > 1; --i) std::swap(fibers[i - 1], fibers[random() % i]);
        for (Fiber* fiber : fibers)
            if (fiber->state == ready) {
                any = moved = true;
                go(&main_fiber, fiber);
            }
    }
    return moved;
}

// Lets the threads of a block run until all have ended (true) or wait for the grid (false). By three
// habits of four one warp runs as far as it can before the next begins: so far ahead can a warp be.
inline bool advance(Block& block, std::mt19937_64& random, unsigned habit) {
    if (!block.statics.empty()) memcpy(__start_rehearsal_shared, block.statics.data(), block.statics.size());
    std::vector<std::vector<Fiber*>> parts(habit == 3 ? 1 : block.warps.size());
    for (Fiber& fiber : block.fibers) parts[habit == 3 ? 0 : fiber.warp - block.warps.data()].push_back(&fiber);
    if (habit == 1)
        for (size_t i = 0; i < parts.size() / 2; ++i) std::swap(parts[i], parts[parts.size() - 1 - i]);
    while (true) {
        if (habit == 2)
            for (size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[random() % i]);
        bool moved = false;
        for (std::vector<Fiber*>& part : parts) moved |= drain(part, random, habit);
        if (moved) continue;
        size_t ended = 0, blocked = 0, gridded = 0;
        Fiber *one = nullptr;
        for (Fiber& fiber : block.fibers) {
            ended += fiber.state == done;
            blocked += fiber.state == at_block;
            gridded += fiber.state == at_grid;
            if (fiber.state != done && (!one || fiber.state == at_warp)) one = &fiber;
        }
        size_t alive = block.fibers.size() - ended;
        if (alive == 0) return true;
        if (gridded == alive) {
            if (ended) fail("line %d: threads that have ended never come to the grid's barrier.", one->line);
            if (!block.statics.empty()) memcpy(block.statics.data(), __start_rehearsal_shared, block.statics.size());
            return false;
        }
        if (blocked != alive)
            fail("block %u: thread %u waits at line %d for threads that do not come.", block.index.x,
                 one->thread.x, one->line);
        for (Fiber& fiber : block.fibers)
            if (fiber.state == at_block) {
                if (fiber.line != one->line)
                    fail("threads of one block wait at line %d and at line %d.", one->line, fiber.line);
                fiber.state = ready;
            }
        block.voted = block.vote;
        block.vote = 0;
    }
}

inline void run_grid(std::vector<Block>& blocks) {
    std::mt19937_64 random(request->seed);
    unsigned habit = request->seed % 4;  // 0: rising, 1: falling, 2: warps in any order, 3: threads
    unsigned count = grid_dim.x * grid_dim.y * grid_dim.z;
    std::vector<unsigned> order(count);
    for (unsigned i = 0; i < count; ++i) order[i] = habit == 1 ? count - 1 - i : i;
    if (habit > 1) for (unsigned i = count; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
    if (!request->cooperative) {
        blocks.resize(1);
        for (unsigned number : order) {
            begin(blocks[0], number);
            advance(blocks[0], random, habit);
            end(blocks[0]);
        }
        return;
    }
    blocks.resize(count);
    for (unsigned number = 0; number < count; ++number) begin(blocks[number], number);
    for (unsigned ended = 0; ended < count;) {
        ended = 0;
        for (unsigned number : order) ended += advance(blocks[number], random, habit);
        if (ended && ended != count) fail("some blocks have ended while others wait for the grid.");
        for (Block& block : blocks)
            for (Fiber& fiber : block.fibers)
                if (fiber.state == at_grid) fiber.state = ready;
    }
    for (Block& block : blocks) end(block);
}

inline void on_fault(int, siginfo_t* info, void*) {
    request->fault = reinterpret_cast<uint64_t>(info->si_addr);
    snprintf(request->message, request->message_bytes, "block %u, thread %u touched memory that is not its own.",
             current->block ? current->block->index.x : 0, current->thread.x);
    siglongjmp(escape, 1);
}

inline int launch(void (*kernel)(void*), void* args, Request* wanted) {
    request = wanted;
    body = kernel;
    body_args = args;
    grid_dim = {wanted->grid[0], wanted->grid[1], wanted->grid[2]};
    block_dim = {wanted->block[0], wanted->block[1], wanted->block[2]};
    static std::vector<Block> blocks;
    blocks.clear();
    static char signal_stack[1 << 16];
    stack_t before_stack, own_stack{};
    own_stack.ss_sp = signal_stack;
    own_stack.ss_size = sizeof signal_stack;
    struct sigaction before_segv, before_bus, own{};
    own.sa_sigaction = on_fault;
    own.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaltstack(&own_stack, &before_stack);
    sigaction(SIGSEGV, &own, &before_segv);
    sigaction(SIGBUS, &own, &before_bus);
    int failed = sigsetjmp(escape, 1);
    if (!failed) run_grid(blocks);
    sigaction(SIGSEGV, &before_segv, nullptr);
    sigaction(SIGBUS, &before_bus, nullptr);
    sigaltstack(&before_stack, nullptr);
    if (failed)
        for (Block& block : blocks) end(block);
    return failed;
}

template <class... A, size_t... I>
void unpack(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(args[I])...);
}

template <class... A>
int run(void (*kernel)(A...), void** args, Request* wanted) {
    struct Call {
        void (*kernel)(A...);
        void** args;
    } call{kernel, args};
    return launch(
        [](void* given) {
            Call* call = static_cast<Call*>(given);
            unpack(call->kernel, call->args, std::index_sequence_for<A...>{});
        },
        &call, wanted);
}

template <class T>
struct Element {
    using type = T;
};

// What a parameter is, as NumPy writes it: "f4" a float, "*f4" a pointer to floats, "?" anything.
template <class T>
void describe_one(char*& at) {
    using Bare = std::remove_cv_t<T>;
    if constexpr (std::is_pointer_v<Bare>) {
        *at++ = '*';
        describe_one<std::remove_pointer_t<Bare>>(at);
    } else {
        using Plain = typename Element<Bare>::type;
        char kind = '?';
        size_t size = 0;
        if constexpr (!std::is_void_v<Plain>) {
            size = sizeof(Plain);
            if constexpr (std::is_same_v<Plain, bool>) kind = 'b';
            else if constexpr (std::is_floating_point_v<Plain>) kind = 'f';
            else if constexpr (std::is_integral_v<Plain>) kind = std::is_signed_v<Plain> ? 'i' : 'u';
            else if constexpr (std::is_class_v<Plain>) { if (size == 2) kind = 'f'; }
        }
        *at++ = kind;
        if (kind != '?') *at++ = char('0' + size);
    }
    *at++ = ' ';
}

template <class... A>
const char* describe(void (*)(A...)) {
    static char text[8 * (sizeof...(A) + 1)];
    char* at = text;
    (describe_one<A>(at), ...);
    *at = 0;
    return text;
}

}  // namespace rehearsal

#define REHEARSE(name)                                                                             \
    extern "C" __attribute__((visibility("default"))) int run_##name(void** args, rehearsal::Request* wanted) { \
        return rehearsal::run(&name, args, wanted);                                                \
    }                                                                                              \
    extern "C" __attribute__((visibility("default"))) const char* types_##name() { return rehearsal::describe(&name); }

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __shared__ static __attribute__((section("rehearsal_shared")))
#define threadIdx (rehearsal::current->thread)
#define blockIdx (rehearsal::current->block->index)
#define blockDim (rehearsal::block_dim)
#define gridDim (rehearsal::grid_dim)
#define warpSize 32

#define __syncthreads() rehearsal::wait_as(rehearsal::at_block, __LINE__)
#define __syncthreads_count(vote) rehearsal::count_in_block((vote) != 0, __LINE__)
#define __syncthreads_or(vote) (rehearsal::count_in_block((vote) != 0, __LINE__) != 0)
#define __syncthreads_and(vote) (rehearsal::count_in_block((vote) == 0, __LINE__) == 0)
#define REHEARSAL_MASK_OF(mask, ...) (mask)
#define __syncwarp(...) rehearsal::meet(REHEARSAL_MASK_OF(__VA_ARGS__ __VA_OPT__(,) 0xffffffffu), __LINE__)
#define REHEARSAL_SHUFFLE(kind, mask, value, at, width, ...) rehearsal::kind(mask, value, at, width, __LINE__)
#define __shfl_sync(mask, value, ...) REHEARSAL_SHUFFLE(shuffle, mask, value, __VA_ARGS__, 32, 0)
#define __shfl_xor_sync(mask, value, ...) REHEARSAL_SHUFFLE(shuffle_xor, mask, value, __VA_ARGS__, 32, 0)
#define __shfl_down_sync(mask, value, ...) REHEARSAL_SHUFFLE(shuffle_down, mask, value, __VA_ARGS__, 32, 0)
#define __shfl_up_sync(mask, value, ...) REHEARSAL_SHUFFLE(shuffle_up, mask, value, __VA_ARGS__, 32, 0)
#define __ballot_sync(mask, vote) rehearsal::ballot(mask, (vote) != 0, __LINE__)
#define __any_sync(mask, vote) int(rehearsal::ballot(mask, (vote) != 0, __LINE__) != 0)
#define __all_sync(mask, vote) int(rehearsal::ballot(mask, (vote) == 0, __LINE__) == 0)

inline void __threadfence() {}
inline void __threadfence_block() {}
[[noreturn]] inline void __trap() { rehearsal::fail("the kernel gave up (__trap)."); }

namespace cooperative_groups {
struct grid_group {
    void sync(int line = __builtin_LINE()) const { rehearsal::grid_barrier(line); }
};
inline grid_group this_grid() { return {}; }
}  // namespace cooperative_groups

template <class T, class U>
T atomicAdd(T* at, U value) { T before = *at; *at = T(before + T(value)); return before; }
template <class T, class U>
T atomicSub(T* at, U value) { T before = *at; *at = T(before - T(value)); return before; }
template <class T, class U>
T atomicMax(T* at, U value) { T before = *at; if (T(value) > before) *at = T(value); return before; }
template <class T, class U>
T atomicMin(T* at, U value) { T before = *at; if (T(value) < before) *at = T(value); return before; }
template <class T, class U>
T atomicExch(T* at, U value) { T before = *at; *at = T(value); return before; }
template <class T, class U>
T atomicOr(T* at, U value) { T before = *at; *at = before | T(value); return before; }
template <class T, class U>
T atomicAnd(T* at, U value) { T before = *at; *at = before & T(value); return before; }
template <class T, class U, class V>
T atomicCAS(T* at, U expected, V value) { T before = *at; if (before == T(expected)) *at = T(value); return before; }

template <class T>
T __ldg(const T* at) { return *at; }
template <class T>
T __ldcg(const T* at) { return *at; }
template <class T>
T __ldcs(const T* at) { return *at; }

template <class T, class U>
std::common_type_t<T, U> min(T a, U b) { using C = std::common_type_t<T, U>; return C(b) < C(a) || a != a ? C(b) : C(a); }
template <class T, class U>
std::common_type_t<T, U> max(T a, U b) { using C = std::common_type_t<T, U>; return C(a) < C(b) || a != a ? C(b) : C(a); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x < 0 || x != x ? 0.0f : x > 1 ? 1.0f : x; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
template <class To, class From>
To rehearsal_bits(From from) { static_assert(sizeof(To) == sizeof(From)); To to; memcpy(&to, &from, sizeof to); return to; }
inline int __float_as_int(float x) { return rehearsal_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return rehearsal_bits<unsigned>(x); }
inline float __int_as_float(int x) { return rehearsal_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return rehearsal_bits<float>(x); }
inline long long __double_as_longlong(double x) { return rehearsal_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return rehearsal_bits<double>(x); }
inline int __float2int_rn(float x) { return int(lrintf(x)); }
inline int __float2int_rd(float x) { return int(floorf(x)); }
inline int __dp4a(int a, int b, int sum) {
    for (int i = 0; i < 4; ++i) sum += int(int8_t(a >> 8 * i)) * int8_t(b >> 8 * i);
    return sum;
}

struct __half {
    _Float16 value;
    __half() = default;
    __half(float from) : value(_Float16(from)) {}
    operator float() const { return float(value); }
};
using half = __half;
inline float __half2float(__half x) { return float(x.value); }
inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline unsigned short __half_as_ushort(__half x) { return rehearsal_bits<unsigned short>(x); }
inline __half __ushort_as_half(unsigned short x) { return rehearsal_bits<__half>(x); }

#define REHEARSAL_VECTORS(name, T)                                                                     \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                                 \
    struct name##3 { T x, y, z; };                                                                     \
    struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; };                 \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                         \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                 \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }                         \
    namespace rehearsal {                                                                              \
    template <> struct Element<name##2> { using type = T; };                                           \
    template <> struct Element<name##3> { using type = T; };                                           \
    template <> struct Element<name##4> { using type = T; };                                           \
    }
REHEARSAL_VECTORS(float, float)
REHEARSAL_VECTORS(double, double)
REHEARSAL_VECTORS(int, int)
REHEARSAL_VECTORS(uint, unsigned)
REHEARSAL_VECTORS(char, signed char)
REHEARSAL_VECTORS(uchar, unsigned char)
REHEARSAL_VECTORS(short, short)
REHEARSAL_VECTORS(ushort, unsigned short)
REHEARSAL_VECTORS(longlong, long long)
REHEARSAL_VECTORS(ulonglong, unsigned long long)
struct alignas(4) __half2 { __half x, y; };
using half2 = __half2;
inline float2 __half22float2(__half2 x) { return {float(x.x), float(x.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline float __low2float(__half2 x) { return float(x.x); }
inline float __high2float(__half2 x) { return float(x.y); }
namespace rehearsal {
template <> struct Element<__half2> { using type = __half; };
}

// The argument `raw T x` of an elementwise kernel: an index beyond the array is an error.
template <class T>
struct Raw {
    T* first;
    long long count;
    T& operator[](long long i) const {
        if (i < 0 || i >= count) rehearsal::fail("index %lld of a raw argument of %lld elements.", i, count);
        return first[i];
    }
    long long size() const { return count; }
};
