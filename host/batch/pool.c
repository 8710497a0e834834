#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* A job of the training loop takes 50 us to some ms and the next comes soon: a worker looks for it
 * this often before it sleeps. */
#define SPINS 4000

typedef struct {
    ec_pool *pool;
    pthread_t thread;
    uint32_t worker;
} ec_worker;

struct ec_pool {
    pthread_mutex_t lock;
    pthread_cond_t posted, finished;
    ec_job *job;
    void *context;
    uint32_t count, grain, threads;
    atomic_uint next;    /* the first item that nobody took */
    atomic_uint ticket;  /* counts the jobs posted */
    atomic_uint working; /* workers that are not done with the job */
    bool stop;
    pid_t owner; /* the process whose threads these are */
    ec_worker workers[];
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_items(ec_pool *pool, uint32_t worker)
{
    for (;;) {
        uint32_t first = atomic_fetch_add(&pool->next, pool->grain);
        if (first >= pool->count)
            return;
        uint32_t left = pool->count - first;
        pool->job(pool->context, first, first + (left < pool->grain ? left : pool->grain), worker);
    }
}

static void *work(void *argument)
{
    ec_worker *self = argument;
    ec_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        for (int spin = 0; spin < SPINS && atomic_load(&pool->ticket) == seen; spin++)
            pause_briefly();
        if (atomic_load(&pool->ticket) == seen) {
            pthread_mutex_lock(&pool->lock);
            while (atomic_load(&pool->ticket) == seen)
                pthread_cond_wait(&pool->posted, &pool->lock);
            pthread_mutex_unlock(&pool->lock);
        }
        seen++;
        if (pool->stop)
            return NULL;
        take_items(pool, self->worker);
        if (atomic_fetch_sub(&pool->working, 1) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static void post(ec_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->ticket, 1);
    pthread_cond_broadcast(&pool->posted);
    pthread_mutex_unlock(&pool->lock);
}

ec_pool *ec_pool_create(uint32_t threads)
{
    uint32_t helpers = threads > 1 ? threads - 1 : 0;
    ec_pool *pool = calloc(1, sizeof *pool + helpers * sizeof(ec_worker));
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->posted, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->owner = getpid();
    pool->threads = 1;
    for (uint32_t k = 0; k < helpers; k++) {
        ec_worker *worker = &pool->workers[k];
        *worker = (ec_worker){.pool = pool, .worker = k + 1};
        if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
            ec_pool_destroy(pool);
            return NULL;
        }
        pool->threads++;
    }
    return pool;
}

void ec_pool_destroy(ec_pool *pool)
{
    if (!pool)
        return;
    if (pool->owner != getpid()) { /* nobody to wake or to wait for */
        free(pool);
        return;
    }
    pool->stop = true;
    post(pool);
    for (uint32_t k = 0; k + 1 < pool->threads; k++)
        pthread_join(pool->workers[k].thread, NULL);
    pthread_cond_destroy(&pool->posted);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

uint32_t ec_pool_threads(const ec_pool *pool)
{
    return pool->threads;
}

void ec_pool_run(ec_pool *pool, ec_job *job, void *context, uint32_t count, uint32_t grain)
{
    pool->job = job;
    pool->context = context;
    pool->count = count;
    pool->grain = grain;
    atomic_store(&pool->next, 0);
    uint32_t helpers = pool->owner == getpid() ? pool->threads - 1 : 0;
    bool shared = helpers && count > grain;
    if (shared) {
        atomic_store(&pool->working, helpers);
        post(pool);
    }
    take_items(pool, 0);
    if (!shared)
        return;
    for (int spin = 0; spin < SPINS && atomic_load(&pool->working); spin++)
        pause_briefly();
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->working))
        pthread_cond_wait(&pool->finished, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
