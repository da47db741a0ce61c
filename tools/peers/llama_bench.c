// SPDX-License-Identifier: AGPL-3.0-or-later
//
// Times a GGUF model by the library that this is linked with, as llama-bench does: prompts read (ppN) and tokens
// written behind an empty prompt (tgN), one JSON row each.
//
//   llama_bench engine=NAME model=FILE threads=1,2 prompts=128,512 generate=64 rounds=3 [repack=1]
//
// -DIK: the older interface of ik_llama.cpp. Before a time counts, logits must be finite and differ between two prompts: some
// engines return without computing when a batch is too large for them.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "llama.h"

enum { MAX_TOKENS = 4096, BATCH = 2048 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "llama_bench: %s\n", what);
    exit(1);
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise) {
    size_t length = strlen(name);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=') return argv[i] + length + 1;
    }
    if (otherwise == NULL) fail(name);
    return otherwise;
}

static void clear(struct llama_context *context) {
#ifdef IK
    llama_kv_cache_clear(context);
#else
    llama_memory_clear(llama_get_memory(context), true);
#endif
}

static void decode(struct llama_context *context, llama_token *tokens, int count, int position) {
#ifdef IK
    struct llama_batch batch = llama_batch_get_one(tokens, count, position, 0);
#else
    (void)position;
    struct llama_batch batch = llama_batch_get_one(tokens, count);
#endif
    if (llama_decode(context, batch) != 0) fail("a batch could not be decoded");
    llama_synchronize(context);
}

// One measurement: `prompt` tokens at once, then `generate` one by one.
static double measure(struct llama_context *context, llama_token *tokens, int prompt, int generate) {
    clear(context);
    double start = now();
    if (prompt > 0) decode(context, tokens, prompt, 0);
    for (int i = 0; i < generate; i++) decode(context, tokens + prompt + i, 1, prompt + i);
    return now() - start;
}

// Logits behind a prompt of some length: a sum that a prompt which is not computed cannot change.
static double checksum(struct llama_context *context, llama_token *tokens, int count, int vocab) {
    measure(context, tokens, count, 0);
    const float *logits = llama_get_logits_ith(context, -1);
    if (logits == NULL) fail("there are no logits");
    double sum = 0;
    for (int i = 0; i < vocab; i++) {
        if (!isfinite(logits[i])) fail("a logit is not finite");
        sum += fabs(logits[i]) * (1 + i % 7);
    }
    return sum;
}

int main(int argc, char **argv) {
    const char *engine = option(argc, argv, "engine", NULL), *file = option(argc, argv, "model", NULL);
    int rounds = atoi(option(argc, argv, "rounds", "3"));
    int generate = atoi(option(argc, argv, "generate", "64"));
    llama_backend_init();
    struct llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    bool repack = atoi(option(argc, argv, "repack", "0"));
#ifdef IK
    model_params.repack_tensors = repack;
    // Repacked weights cannot stay in the mapped file.
    if (repack) model_params.use_mmap = false;
#endif
    double start = now();
    struct llama_model *model = llama_model_load_from_file(file, model_params);
    if (model == NULL) fail("the model could not be loaded");
    double load = now() - start;
#ifdef IK
    int vocab = llama_n_vocab(model);
#else
    int vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
#endif
    llama_token tokens[MAX_TOKENS];
    srand(1);
    for (int i = 0; i < MAX_TOKENS; i++) tokens[i] = rand() % vocab;

    char threads[64], prompts[64], *rest = threads;
    snprintf(threads, sizeof threads, "%s", option(argc, argv, "threads", "1,2"));
    for (char *thread = strtok_r(rest, ",", &rest); thread; thread = strtok_r(NULL, ",", &rest)) {
        struct llama_context_params params = llama_context_default_params();
        params.n_ctx = MAX_TOKENS / 2;
        params.n_batch = BATCH;
        params.n_ubatch = 512;
        params.n_threads = params.n_threads_batch = atoi(thread);
        struct llama_context *context = llama_init_from_model(model, params);
        if (context == NULL) fail("no context");
        measure(context, tokens, 16, 2);
        snprintf(prompts, sizeof prompts, "%s", option(argc, argv, "prompts", "128,512"));
        char *more = prompts;
        for (char *prompt = strtok_r(more, ",", &more);; prompt = strtok_r(NULL, ",", &more)) {
            int count = prompt ? atoi(prompt) : 0;
            if (count > MAX_TOKENS / 4 || generate > MAX_TOKENS / 4) fail("too many tokens");
            if (count > 0) {
                double a = checksum(context, tokens, count, vocab);
                double b = checksum(context, tokens + 7, count, vocab);
                if (a == b) fail("two prompts give the same logits: nothing was computed");
            }
            int length = count > 0 ? count : generate;
            printf("{\"engine\":\"%s\",\"repack\":%s,\"threads\":%s,\"test\":\"%s%d\",\"load\":%.3f,\"seconds\":[", engine,
                   repack ? "true" : "false", thread, count > 0 ? "pp" : "tg", length, load);
            for (int i = 0; i < rounds; i++) {
                double seconds = measure(context, tokens, count, count > 0 ? 0 : generate);
                printf("%s%.6f", i ? "," : "", seconds);
            }
            printf("]}\n");
            fflush(stdout);
            if (prompt == NULL) break;
        }
        llama_free(context);
    }
    return 0;
}
