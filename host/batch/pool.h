/* A few threads that share the items of one job at a time. One caller at a time: a pool has no queue.
 * After a fork the child has no threads but its own, and does all items itself. */
#ifndef EC_POOL_H
#define EC_POOL_H

#include <stdint.h>

typedef struct ec_pool ec_pool;

/* Does items first ... end-1; `worker` (0 ... threads-1) names the scratch memory to use. */
typedef void ec_job(void *context, uint32_t first, uint32_t end, uint32_t worker);

/* NULL if the threads are not to be had. The caller of ec_pool_run is worker 0. */
ec_pool *ec_pool_create(uint32_t threads);
void ec_pool_destroy(ec_pool *pool);
uint32_t ec_pool_threads(const ec_pool *pool);

/* Returns when all `count` items are done. Threads take `grain` items at a time, so that a slow core
 * does fewer; which thread does which must not matter to the result. */
void ec_pool_run(ec_pool *pool, ec_job *job, void *context, uint32_t count, uint32_t grain);

#endif
