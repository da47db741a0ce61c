// SPDX-License-Identifier: AGPL-3.0-or-later
//
// Times ggml_mul_mat on ternary weights, against the public API of the ggml that it is linked with: llama.cpp's or
// ik_llama.cpp's (an older API; told apart by ggml-cpu.h, which only the newer one has).
//
//   ggml_matmul types=tq2_0,tq1_0 rows=R cols=C [tokens=1,8] [threads=1,2] [mode=cache|dram]
//               [pages=default|huge|small] [activations=f32|q8] [samples=9] [sample_ms=20] [engine=NAME] [isa=NAME]
//
// One JSON line for each type, token count and thread count: seconds per multiplication of a [R, C] matrix with C x N
// activations to f32 sums. The library's quantization of f32 activations is part of the time; `q8` are those that it
// would make of them, quantized beforehand.
//
// A sample is one graph of many multiplications, so that starting a graph (waking threads) costs next to nothing.
// In `cache` mode all of them read one matrix; in `dram` mode each reads its own copy, over 1 GiB together.
// The product is compared with a plain loop before and after it is timed: a wrong one ends the program.

#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "ggml.h"
#if __has_include("ggml-cpu.h")
#include "ggml-cpu.h"
#define PLAN(graph, threads) ggml_graph_plan(graph, threads, NULL)
#define TRAITS(type) (*ggml_get_type_traits_cpu(type))
#else
#define PLAN(graph, threads) ggml_graph_plan(graph, threads)
#define TRAITS(type) ggml_internal_get_type_traits(type)
#define ggml_cpu_init() ((void)0)
#endif

enum { SLICE = 32, MAX_LIST = 16, MAX_SAMPLES = 101, MAX_NODES = 4096 };
static const size_t DRAM_BYTES = (size_t)5 << 28; // 1.25 GiB: more than any cache holds
static const size_t HUGE_PAGE = (size_t)2 << 20;
static const float SCALE = 3.0f / 64.0f; // exact in every format's scale
// Largest error of an output, in root mean squares of all outputs. 8-bit activations cost about 0.03; a wrong row
// costs about 1.
static const double MAX_ERROR = 0.06;

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "ggml_matmul: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint32_t draw(void) { // xorshift64*
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 32);
}

// Zeroed memory on pages of the asked kind, aligned to huge pages, with room for reads past the end.
static void *pages_new(size_t bytes, const char *kind) {
    void *p = aligned_alloc(HUGE_PAGE, (bytes + 4096 + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (!p) fail("out of memory", NULL);
    if (!strcmp(kind, "huge")) madvise(p, bytes, MADV_HUGEPAGE);
    if (!strcmp(kind, "small")) madvise(p, bytes, MADV_NOHUGEPAGE);
    memset(p, 0, bytes);
    return p;
}

static int huge_mib(void) {
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    int kib = -1;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "AnonHugePages: %d kB", &kib) == 1) break;
    if (f) fclose(f);
    return kib < 0 ? -1 : kib / 1024;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int arg_count;
static char **arg_values;
static const char *arg(const char *key, const char *otherwise) { // the value of key=value
    size_t n = strlen(key);
    for (int i = 1; i < arg_count; i++)
        if (!strncmp(arg_values[i], key, n) && arg_values[i][n] == '=') return arg_values[i] + n + 1;
    if (!otherwise) fail("needs an argument", key);
    return otherwise;
}

static int arg_numbers(const char *key, int *out) {
    int n = 0;
    for (const char *s = arg(key, "1"); s && n < MAX_LIST; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL) {
        out[n] = atoi(s);
        if (out[n++] < 1) fail("not a count", key);
    }
    return n;
}

static enum ggml_type type_named(const char *name) {
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const char *known = ggml_type_name((enum ggml_type)i);
        if (known && !strcmp(known, name) && ggml_blck_size((enum ggml_type)i) > 0) return (enum ggml_type)i;
    }
    fail("this library has no such type", name);
    return GGML_TYPE_COUNT;
}

// The graph of `nodes` multiplications, node i with copy i % copies of the matrix and one of two equal activation
// tensors in turn: ik would fuse neighbours that shared theirs, and quantize it only once.
struct work {
    struct ggml_context *ctx;
    struct ggml_cgraph *graph;
    struct ggml_cplan plan;
};

static struct work work_new(enum ggml_type type, int64_t rows, int64_t cols, int64_t tokens, int threads, int nodes,
                            char *weights, size_t stride, int copies, enum ggml_type in_type, char *x, float *y) {
    size_t tensors = 3 * (size_t)nodes + 8;
    struct ggml_init_params params = {
        .mem_size = tensors * (ggml_tensor_overhead() + 64) + ggml_graph_overhead_custom(tensors, false),
        .mem_buffer = NULL,
        .no_alloc = true,
    };
    struct work w = {.ctx = ggml_init(params)};
    if (!w.ctx) fail("ggml_init", NULL);
    w.graph = ggml_new_graph_custom(w.ctx, tensors, false);
    struct ggml_tensor *in[2];
    for (int i = 0; i < 2; i++) {
        in[i] = ggml_new_tensor_2d(w.ctx, in_type, cols, tokens);
        in[i]->data = x + (size_t)i * ggml_row_size(in_type, cols) * (size_t)tokens;
    }
    for (int i = 0; i < nodes; i++) {
        struct ggml_tensor *matrix = ggml_new_tensor_2d(w.ctx, type, cols, rows);
        matrix->data = weights + (size_t)(i % copies) * stride;
        struct ggml_tensor *out = ggml_mul_mat(w.ctx, matrix, in[i % 2]);
        out->data = y;
        ggml_build_forward_expand(w.graph, out);
    }
    w.plan = PLAN(w.graph, threads);
    w.plan.work_data = w.plan.work_size ? malloc(w.plan.work_size) : NULL;
    return w;
}

static double work_run(struct work *w) {
    double t = now();
    if (ggml_graph_compute(w->graph, &w->plan) != GGML_STATUS_SUCCESS) fail("ggml_graph_compute", NULL);
    return now() - t;
}

static void work_free(struct work *w) {
    free(w->plan.work_data);
    ggml_free(w->ctx);
}

// The first and last token on every row, all tokens on every 97th row, by plain loops over the f32 activations.
static double largest_error(const int8_t *trits, const float *x, const float *y, int64_t rows, int64_t cols,
                            int64_t tokens) {
    double worst = 0, squares = 0;
    int64_t count = 0;
    for (int64_t t = 0; t < tokens; t++) {
        int64_t step = t == 0 || t == tokens - 1 ? 1 : 97;
        for (int64_t r = 0; r < rows; r += step) {
            double sum = 0;
            for (int64_t c = 0; c < cols; c++) sum += (double)trits[r * cols + c] * (double)x[t * cols + c];
            sum *= (double)SCALE;
            const double off = fabs(sum - (double)y[t * rows + r]);
            worst = off <= worst ? worst : isnan(off) ? INFINITY : off;
            squares += sum * sum;
            count++;
        }
    }
    return worst / sqrt(squares / (double)count);
}

static double check(const char *name, const int8_t *trits, const float *x, const float *y, int64_t rows, int64_t cols,
                    int64_t tokens) {
    const double error = largest_error(trits, x, y, rows, cols, tokens);
    if (!(error <= MAX_ERROR)) {
        fprintf(stderr, "ggml_matmul: %s, %d tokens: wrong by %g\n", name, (int)tokens, error);
        exit(1);
    }
    return error;
}

int main(int argc, char **argv) {
    arg_count = argc, arg_values = argv;
    const int64_t rows = atoll(arg("rows", NULL)), cols = atoll(arg("cols", NULL));
    const char *mode = arg("mode", "cache"), *pages = arg("pages", "default");
    const int samples = atoi(arg("samples", "9"));
    const double sample_s = atof(arg("sample_ms", "20")) / 1e3;
    const int quantized = !strcmp(arg("activations", "f32"), "q8");
    const int dram = !strcmp(mode, "dram");
    if (!dram && strcmp(mode, "cache")) fail("no such mode", mode);
    if (strcmp(pages, "default") && strcmp(pages, "huge") && strcmp(pages, "small")) fail("no such pages", pages);
    int tokens[MAX_LIST], threads[MAX_LIST];
    const int n_tokens = arg_numbers("tokens", tokens), n_threads = arg_numbers("threads", threads);
    if (rows < 4 || rows % 4 || cols < 1) fail("rows must be a multiple of 4", NULL);
    if (samples < 1 || samples > MAX_SAMPLES) fail("not a number of samples", NULL);
    ggml_cpu_init();
    ggml_free(ggml_init((struct ggml_init_params){.mem_size = 1024})); // the library's tables

    int64_t most = 0;
    for (int i = 0; i < n_tokens; i++) most = tokens[i] > most ? tokens[i] : most;
    int8_t *trits = malloc((size_t)(rows * cols));
    float *slice = malloc(sizeof(float) * (size_t)(SLICE * cols));
    float *x = malloc(sizeof(float) * (size_t)(most * cols));
    char *x_in = pages_new(sizeof(float) * (size_t)(2 * most * cols), pages); // twice x, maybe quantized
    float *y = pages_new(sizeof(float) * (size_t)(most * rows), pages);
    if (!trits || !slice || !x) fail("out of memory", NULL);
    for (int64_t i = 0; i < rows * cols; i++) trits[i] = (int8_t)((uint64_t)draw() * 3 >> 32) - 1;
    for (int64_t i = 0; i < most * cols; i++) { // near normal: the sum of four uniforms, variance 1
        double sum = 0;
        for (int k = 0; k < 4; k++) sum += (double)draw() / 4294967296.0 - 0.5;
        x[i] = (float)(sum * sqrt(3.0));
    }

    char *list = strdup(arg("types", NULL));
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        const enum ggml_type type = type_named(name);
        if (cols % ggml_blck_size(type)) {
            fprintf(stderr, "ggml_matmul: %s has no rows of %d\n", name, (int)cols);
            continue;
        }
        const enum ggml_type in_type = quantized ? TRAITS(type).vec_dot_type : GGML_TYPE_F32;
        const size_t in_bytes = ggml_row_size(in_type, cols);
        const size_t row_bytes = ggml_row_size(type, cols), bytes = row_bytes * (size_t)rows;
        const size_t stride = (bytes + 63) / 64 * 64;
        const int copies = dram ? (int)(DRAM_BYTES / stride) + 1 : 1;
        char *weights = pages_new(stride * (size_t)copies, pages);
        for (int64_t r = 0; r < rows; r += SLICE) {
            const int64_t n = rows - r < SLICE ? rows - r : SLICE;
            for (int64_t i = 0; i < n * cols; i++) slice[i] = SCALE * (float)trits[r * cols + i];
            ggml_quantize_chunk(type, slice, weights + (size_t)r * row_bytes, 0, n, cols, NULL);
        }
        for (int i = 1; i < copies; i++) memcpy(weights + (size_t)i * stride, weights, bytes);

        for (int i = 0; i < n_tokens * n_threads; i++) {
            const int n = tokens[i / n_threads], t = threads[i % n_threads];
            for (int k = 0; k < 2 * n; k++) {
                const float *from = x + (size_t)(k % n) * (size_t)cols;
                char *to = x_in + (size_t)k * in_bytes;
                if (quantized) TRAITS(in_type).from_float(from, to, cols);
                else memcpy(to, from, in_bytes);
            }
            memset(y, 0xff, sizeof(float) * (size_t)(n * rows)); // NaN, should an output be left out
            struct work w = work_new(type, rows, cols, n, t, 1, weights, stride, copies, in_type, x_in, y);
            double once = work_run(&w);
            check(name, trits, x, y, rows, cols, n);
            for (int k = 0; k < 2; k++) once = fmin(once, work_run(&w));
            work_free(&w);

            int nodes = dram ? copies : (int)fmin(MAX_NODES, ceil(sample_s / once));
            w = work_new(type, rows, cols, n, t, nodes, weights, stride, copies, in_type, x_in, y);
            work_run(&w);
            double s[MAX_SAMPLES];
            for (int k = 0; k < samples; k++) s[k] = work_run(&w) / nodes;
            qsort(s, (size_t)samples, sizeof *s, by_value);
            work_free(&w);
            const double error = check(name, trits, x, y, rows, cols, n); // of the last copy
            printf("{\"engine\":\"%s\",\"isa\":\"%s\",\"format\":\"%s\",\"rows\":%d,\"cols\":%d,\"tokens\":%d,"
                   "\"threads\":%d,\"mode\":\"%s\",\"pages\":\"%s\",\"huge_mib\":%d,\"packed_bytes\":%zu,"
                   "\"activations\":\"%s\",\"max_error\":%.3g,\"seconds\":{\"median\":%.9g,\"min\":%.9g,"
                   "\"max\":%.9g,\"samples\":%d,\"rounds\":%d}}\n",
                   arg("engine", "ggml"), arg("isa", "native"), name, (int)rows, (int)cols, n, t, mode, pages,
                   huge_mib(), bytes, ggml_type_name(in_type), error, s[samples / 2], s[0], s[samples - 1], samples,
                   nodes);
            fflush(stdout);
        }
        free(weights);
    }
    return 0;
}
