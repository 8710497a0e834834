/* The device: docs/LINK.md as a state machine. Bytes in, bytes out.
 *
 *     static ec_device device;
 *     ec_device_init(&device, &config);
 *     for (;;) {
 *         ec_device_poll(&device, milliseconds());
 *         give the line the speed device.baud
 *         ec_device_clock(&device);
 *         for each byte that came:
 *             if ((size = ec_device_receive(&device, byte)) > 0) {
 *                 ec_device_poll(&device, milliseconds());
 *                 send device.reply, size bytes
 *             }
 *     }
 */
#ifndef EC_DEVICE_H
#define EC_DEVICE_H

#include "ec_episode.h"
#include "ec_frame.h"
#include "ec_learn.h"
#include "ec_limit.h"
#include "ec_net.h"
#include "ec_snapshot.h"
#include "ec_upload.h"

#define EC_LINK_VERSION      1
#define EC_LINK_MAGIC        0x45474345
#define EC_MIN_PAYLOAD       96u
#define EC_BOARD_NAME_SIZE   16
#define EC_CHIP_ID_SIZE      16
#define EC_SPEED_HOLD_MS     2000u /* without a request, at another speed than the board's own */
#define EC_SILENCE_MS        1000u /* where the host leaves it to the device */
#define EC_SILENCE_MS_LEAST  10u
#define EC_SILENCE_MS_MOST   60000u

#define EC_PLANT_NAME_SIZE   16
#define EC_REWARD_ONE        65536 /* the reward that means 1.0 */

enum {
    EC_MODE_IDLE,
    EC_MODE_RUN,
    EC_MODE_SAFE,
    EC_MODE_FAULT,
    EC_MODE_CLOCKED,
    EC_MODE_HOSTED,
    EC_MODE_PRACTICE
};

enum {
    EC_HELLO = 1,
    EC_RESET,
    EC_STEP,
    EC_UPLOAD_BEGIN,
    EC_UPLOAD_DATA,
    EC_UPLOAD_COMMIT,
    EC_STATUS,
    EC_STOP,
    EC_PEEK,
    EC_LIMITS,
    EC_EPISODE,
    EC_RESULT,
    EC_BEGIN,
    EC_ACT,
    EC_UPLOAD_OPEN = 0x10,
    EC_UPLOAD_BLOCK, /* the one request without a reply */
    EC_SPEED,
    EC_EVOLVE = 0x20,
    EC_MEMBER,
    EC_RANKS,
    EC_LEARN,
    EC_RHO,
    EC_RHO_PUT,
    EC_PRACTICE,
    EC_PROGRESS,
    EC_RECORD,
    EC_CONFIRM,
    EC_SNAPSHOT,
    EC_TRACKS = 0x30,
    EC_TRACKS_STEP
};

enum {
    EC_OK,
    EC_REFUSED_TYPE,
    EC_REFUSED_LENGTH,
    EC_REFUSED_SESSION,
    EC_REFUSED_MODE,
    EC_REFUSED_CAPACITY,
    EC_REFUSED_IMAGE,
    EC_REFUSED_OFFSET,
    EC_REFUSED_GOLDEN,
    EC_REFUSED_ARGUMENT,
    EC_REFUSED_PLANT,
    EC_REFUSED_FLASH
};

#define EC_IMAGE_STAYS 1 /* detail of EC_REFUSED_IMAGE: the policy in use does not evolve */

/* What a plant says of a step: the episode goes on, it has ended, or the plant must be made safe. */
enum { EC_PLANT_GOES_ON, EC_PLANT_ENDED, EC_PLANT_FAILED };

enum {
    EC_CAUSE_UNKNOWN,
    EC_CAUSE_POWER_ON,
    EC_CAUSE_RESET_PIN,
    EC_CAUSE_SOFTWARE,
    EC_CAUSE_WATCHDOG,
    EC_CAUSE_BROWN_OUT
};

enum { EC_SOURCE_NONE, EC_SOURCE_BUILTIN, EC_SOURCE_RAM, EC_SOURCE_EVOLVING };

/* Bytes of the request and of the reply buffer. */
#define EC_MAX(a, b)                         ((a) > (b) ? (a) : (b))
#define EC_REPLY_PAYLOAD(max_payload, max_act) EC_MAX((max_payload), 48u + 2u * (max_act))
#define EC_REQUEST_SIZE(max_payload)         EC_PACKET_SIZE(max_payload)
#define EC_REPLY_SIZE(max_payload, max_act) \
    EC_FRAME_SIZE(EC_PACKET_SIZE(EC_REPLY_PAYLOAD(max_payload, max_act)))

/* The plant's side: what the device does to motors, heaters, LEDs. Outputs are as docs/MODEL.md has
 * them, 2048 for 1.0, within the limits that hold. A hook may clamp further, and leaves in `outputs`
 * what it applied: STATUS tells that, and the slew counts from it. It returns soon: a step's reply
 * waits for it. */
typedef struct {
    /* Applies the outputs of a control step; n is the policy's n_act. */
    void (*apply)(void *context, int16_t *outputs, unsigned n);
    /* Brings the whole plant to safety. The outputs are all zero at the call. n is 0 without a
     * policy. Called at power on, before ec_device_init refuses a config, at the beginning and the
     * end of an episode, when the host falls silent, and by every ec_device_poll outside an episode,
     * so that a plant with a watchdog of its own is fed. A golden trace takes its time between two
     * calls. No limit holds for what the hook leaves in `outputs`: rest is safe, and reached at once. */
    void (*safe)(void *context, int16_t *outputs, unsigned n);
    /* Narrows what is allowed at that output to what the plant bears: a host may narrow it further,
     * never widen it. Always the same. Null: the plant bears anything. */
    void (*limit)(void *context, unsigned output, ec_limit *limit);

    /* A plant that is observed from here, by the name that hosts know it by: RESULT tells 16 letters
     * of it. Null: there is none, and no episode on the device's side, by its clock or by a host's
     * actions; the hooks below are not called. */
    const char *plant;
    /* To an episode's beginning, which the seed decides where there is a choice. `policy` is in use
     * as long as the episode: its map tells what a count is. Comes after the safe action, and
     * returns soon: a plant that needs time says no until it is ready. 0, or the plant's reason. */
    uint32_t (*begin)(void *context, const ec_policy *policy, uint32_t seed);
    /* Observes: the policy's n_obs counts. For a host that acts also what an episode ended with. */
    void (*sense)(void *context, int16_t *raw, unsigned n);
    /* What came of the outputs applied last: EC_PLANT_..., and the reward in 1 / EC_REWARD_ONE, which
     * is 0 at the call. */
    uint8_t (*judge)(void *context, int32_t *reward);
    void *context;
} ec_rig;

struct ec_device;

/* What a device is and has. It, and all that it points to, outlives the device. */
typedef struct {
    const char *board;         /* its name, ended by a zero; the first 16 characters are told */
    const uint8_t *chip_id;    /* EC_CHIP_ID_SIZE bytes, zeros where the part has none */
    uint32_t firmware_version; /* major << 16 | minor << 8 | patch */
    uint32_t boot_count;       /* 0 where the board can't keep one */
    uint8_t reset_cause;       /* EC_CAUSE_... */

    const void *builtin;   /* policy image, 4-byte aligned; not looked at where there is a load */
    uint32_t builtin_size; /* bytes; 0: none */
    /* Writes the built-in image to policy_ram: where a core can't read it in place. It is gone then
     * while an upload is on its way. Null elsewhere. */
    void (*load)(void *policy_ram);

    uint16_t max_payload; /* of a request, bytes; EC_MIN_PAYLOAD or more, 2 max_obs or more */
    uint16_t max_obs;     /* the largest network that is accepted: 1 ... 1024, */
    uint16_t max_act;     /* 1 ... 64, */
    uint16_t max_neurons; /* 1 ... 1024 */

    void *policy_ram; /* for an uploaded image, 4-byte aligned */
    uint32_t policy_ram_size;
    void *net_memory; /* 4-byte aligned */
    uint32_t net_memory_size; /* EC_NET_MEMORY(max_neurons, max_act, max_obs) or more */
    int16_t *raw;             /* max_obs */
    int16_t *outputs;         /* max_act: what is applied to the plant */
    ec_limit *limits;         /* max_act: what it is kept to */
    uint8_t *request;         /* EC_REQUEST_SIZE(max_payload) */
    uint8_t *reply;           /* EC_REPLY_SIZE(max_payload, max_act) */

    bool (*can_baud)(uint32_t baud); /* whether the line can have this speed; null: no other */
    /* Evolution: ec_device_evolve and where it keeps its state. Both null where policy_ram is too
     * small for it: its requests are unknown then, and its code is left out. */
    uint32_t (*evolve)(struct ec_device *device, const uint8_t *packet, uint32_t length, uint8_t *reply);
    ec_learner *learner;
    const ec_flash *flash; /* for what it learned; null: there is none */

    uint32_t (*ticks)(void); /* free-running, wraps at 2^32 */
    uint32_t tick_hz;
    ec_rig rig;
} ec_device_config;

/* Steps since the policy came into use, and what each took. */
typedef struct {
    uint32_t steps;
    uint32_t least_ticks;
    uint32_t most_ticks;
    uint64_t sum_ticks;
    uint32_t clamps; /* outputs that were applied otherwise than the network gave them */
} ec_step_statistics;

/* The caller reads `reply` and `baud`; all else is the device's own. It must stay where it was
 * initialised. */
typedef struct ec_device {
    const uint8_t *reply; /* the frame to send, where ec_device_receive returned its size */
    uint32_t baud;        /* of the line, once that is sent; 0: the board's own. A poll may end it */

    const ec_device_config *config;
    ec_frame_receiver receiver;
    ec_policy builtin;       /* valid where builtin_good */
    ec_policy uploaded;      /* valid while in use */
    const ec_policy *policy; /* in use: one of these two, or null */
    ec_net net;              /* valid where policy is not null */
    uint8_t mode;
    uint8_t tracks; /* networks that drive no plant, in policy_ram */
    bool builtin_good;

    uint16_t session;    /* 0: none yet */
    uint16_t sequence;   /* of the request that was carried out last */
    uint32_t reply_size; /* of its reply, which config->reply keeps */
    uint8_t stray[EC_FRAME_SIZE(EC_PACKET_SIZE(5u))]; /* the reply to who is not in session */

    uint32_t now_ms;
    uint32_t led_ms; /* when the host last led the plant: docs/LINK.md section 3 says by what */
    uint32_t silence_ms; /* 0: never too long */
    uint32_t heard_ms; /* when an intact request came */
    bool heard;        /* since the last poll */
    bool led;          /* since the last poll */
    bool kept_leads;   /* the kept reply is of such a request: its repeat leads too */

    bool digesting;
    uint32_t digest;
    ec_upload upload;

    uint32_t repeats;
    uint32_t silences;
    ec_step_statistics statistics;
    ec_episode episode; /* the last one on the device's own plant */
} ec_device;

/* Applies the safe action, opens the built-in policy and runs its golden trace: IDLE or FAULT. Takes
 * as long as the trace. 0, or EC_ERR_ARGUMENT for a config that can't be; the safe action is applied
 * then too, as far as there is a hook for it. */
int ec_device_init(ec_device *device, const ec_device_config *config);

/* Tells the time: milliseconds since power on, wrapping at 2^32. Enters SAFE when the host did not
 * lead the plant for too long; outside an episode applies the safe action again. Call it
 * often, and before whatever blocks: silence is measured from one call to another. */
void ec_device_poll(ec_device *device, uint32_t now_ms);

/* Takes the step of a device-clocked episode that is due, if one is; while the device practises, also
 * what there is to do between episodes, a little of it. The result is how many ticks there are until
 * the next, 0 if that is late already: call it again then at the latest, and sleep meanwhile. EC_NEVER
 * where the clock leads nothing. */
#define EC_NEVER UINT32_MAX
uint32_t ec_device_clock(ec_device *device);

/* Takes one byte from the line. The result is 0, or the size of the frame at device->reply, to be
 * sent before the next call. Carries the request out: a byte may take a control step, the last one
 * of UPLOAD_COMMIT a golden trace, that of ACT the period of its episode, a second at most. */
uint32_t ec_device_receive(ec_device *device, uint8_t byte);

/* For ec_device_config alone: carries out a request of evolution. Without a packet it is the clock that
 * calls, in mode PRACTICE, and the result is ec_device_clock's: one pointer for both, because the bound
 * of the stack counts everything behind each. EC_EVOLVE_ROOM: bytes of policy_ram from which on it is
 * of use. */
#define EC_EVOLVE_ROOM 1536u
uint32_t ec_device_evolve(ec_device *device, const uint8_t *packet, uint32_t length, uint8_t *reply);

#endif
