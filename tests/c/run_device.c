/* Frames, device and evolution of firmware/core, in process: docs/LINK.md claim by claim.
 *
 *     run_device NAME BUILTIN OTHER
 *
 * runs the test of that name, with two policy images in files. tests/test_device_core.py makes them,
 * and finds the tests by their names. One translation unit: the tests share their device.
 */
#include "harness.h"
#include "test_device.c"
#include "test_episode.c"
#include "test_evolve.c"
#include "test_frame.c"
#include "test_hosted.c"
#include "test_learn.c"
#include "test_limit.c"
#include "test_practice.c"
#include "test_session.c"
#include "test_snapshot.c"
#include "test_tracks.c"
#include "test_upload.c"

/* ---- running one: the names come from the files above ---- */

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
#include "test_names.inc"
};

static void read_image(const char *path, image *policy)
{
    FILE *file = fopen(path, "rb");
    CHECK(file);
    policy->size = (uint32_t)fread(policy->words, 1, sizeof policy->words, file);
    CHECK(policy->size > EC_IMAGE_HEADER && feof(file));
    fclose(file);
}

int main(int argc, char **argv)
{
    CHECK_EQUAL(4, argc);
    read_image(argv[2], &builtin);
    read_image(argv[3], &other);
    for (unsigned i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(tests[i].name, argv[1]) == 0) {
            tests[i].run();
            return 0;
        }
    }
    printf("no test is called %s\n", argv[1]);
    return 2;
}
