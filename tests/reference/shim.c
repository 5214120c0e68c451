/* A flat surface over llama.cpp for `engine.py`: whoever compiles this has the release's own
 * headers check every struct, which declarations repeated in Python would not. One sequence, one
 * context, plain scalars and arrays across the border. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ggml-backend.h"
#include "llama.h"

typedef struct reference {
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    struct llama_batch batch;
    int32_t positions;
} reference;

typedef struct reference_options {
    int32_t positions; /* upper limit of the context */
    int32_t threads;
    int32_t attention_f32; /* 0: llama.cpp's own default, half precision */
    int32_t repack;        /* 0: weights stay in the file's layout */
} reference_options;

static void errors_only(enum ggml_log_level level, const char *text, void *unused) {
    (void)unused;
    if (level == GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

void reference_close(reference *engine) {
    if (engine == NULL) {
        return;
    }
    llama_batch_free(engine->batch);
    if (engine->context != NULL) {
        llama_free(engine->context);
    }
    if (engine->model != NULL) {
        llama_model_free(engine->model);
    }
    free(engine);
}

/* Loads `model` with the processor backend found in the folder `backends`; NULL when that fails. */
reference *reference_open(const char *backends, const char *model,
                          const reference_options *options) {
    llama_log_set(errors_only, NULL);
    ggml_backend_load_all_from_path(backends);
    llama_backend_init();

    reference *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        return NULL;
    }
    engine->positions = options->positions;
    engine->batch = llama_batch_init(options->positions, 0, 1);

    struct llama_model_params loading = llama_model_default_params();
    loading.n_gpu_layers = 0;
    loading.use_extra_bufts = options->repack != 0;
    engine->model = llama_model_load_from_file(model, loading);
    if (engine->model == NULL) {
        reference_close(engine);
        return NULL;
    }
    engine->vocab = llama_model_get_vocab(engine->model);

    struct llama_context_params running = llama_context_default_params();
    running.n_ctx = (uint32_t)options->positions;
    running.n_batch = (uint32_t)options->positions;
    running.n_threads = options->threads;
    running.n_threads_batch = options->threads;
    if (options->attention_f32) {
        running.type_k = GGML_TYPE_F32;
        running.type_v = GGML_TYPE_F32;
        /* The fused kernel narrows keys and values to half precision for any type of cache. */
        running.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    engine->context = llama_init_from_model(engine->model, running);
    if (engine->context == NULL) {
        reference_close(engine);
        return NULL;
    }
    return engine;
}

/* Ids of a text, with BOS where the model wants it; the negated number needed when `capacity` is
 * too small. */
int32_t reference_tokenize(const reference *engine, const char *text, int32_t bytes, int32_t *ids,
                           int32_t capacity, int32_t parse_specials) {
    return llama_tokenize(engine->vocab, text, bytes, ids, capacity, true, parse_specials != 0);
}

/* Bytes that an id spells; the negated number needed when `capacity` is too small. */
int32_t reference_piece(const reference *engine, int32_t id, char *bytes, int32_t capacity) {
    return llama_token_to_piece(engine->vocab, id, bytes, capacity, 0, true);
}

int32_t reference_is_end(const reference *engine, int32_t id) {
    return llama_vocab_is_eog(engine->vocab, id);
}

/* Forgets every position from `position` on. */
int32_t reference_truncate(reference *engine, int32_t position) {
    return llama_memory_seq_rm(llama_get_memory(engine->context), 0, position, -1);
}

/* One pass over `count` ids from `position` on, logits for the last `rows`; 0 is success. */
int32_t reference_forward(reference *engine, const int32_t *ids, int32_t count, int32_t position,
                          int32_t rows) {
    if (count < 1 || rows < 1 || rows > count || position + count > engine->positions) {
        return -1;
    }
    struct llama_batch *batch = &engine->batch;
    for (int32_t i = 0; i < count; i++) {
        batch->token[i] = ids[i];
        batch->pos[i] = position + i;
        batch->n_seq_id[i] = 1;
        batch->seq_id[i][0] = 0;
        batch->logits[i] = i >= count - rows;
    }
    batch->n_tokens = count;
    const int32_t status = llama_decode(engine->context, *batch);
    llama_synchronize(engine->context);
    return status;
}

/* The two best ids of a row and their logits; the lower id wins a tie. Row -1 is the last one. */
int32_t reference_best(reference *engine, int32_t place, int32_t ids[2], float logits[2]) {
    const float *row = llama_get_logits_ith(engine->context, place);
    const int32_t size = llama_vocab_n_tokens(engine->vocab);
    if (row == NULL || size < 2) {
        return -1;
    }
    const int32_t first = row[1] > row[0];
    ids[0] = first;
    ids[1] = 1 - first;
    for (int32_t id = 2; id < size; id++) {
        if (row[id] > row[ids[0]]) {
            ids[1] = ids[0];
            ids[0] = id;
        } else if (row[id] > row[ids[1]]) {
            ids[1] = id;
        }
    }
    logits[0] = row[ids[0]];
    logits[1] = row[ids[1]];
    return 0;
}

/* Writes `model` with every quantised weight as f32; 0 is success. */
int32_t reference_widen(const char *model, const char *widened) {
    llama_log_set(errors_only, NULL);
    llama_backend_init();
    struct llama_model_quantize_params params = llama_model_quantize_default_params();
    params.nthread = 1;
    params.ftype = LLAMA_FTYPE_ALL_F32;
    params.allow_requantize = true;
    return (int32_t)llama_model_quantize(model, widened, &params);
}

const char *reference_system(void) { return llama_print_system_info(); }
