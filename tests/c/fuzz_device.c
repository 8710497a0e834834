/* The device of firmware/core under libFuzzer: whatever a host, a line or a clock may do to it.
 *
 * An input is a series of acts, a byte each (modulo their number) and what it says behind it; what is
 * missing at the end is zero. Reaching the handlers by chance would take a CRC, so the acts make whole
 * frames and images of what the fuzzer brings.
 *
 *   noise      length u8, bytes as they are
 *   request    type u8, length u8, payload      of the session, the next in sequence
 *   repeat                                      the last request again
 *   stranger   session u16, sequence u16, type u8, length u8, payload
 *   wait       u16 ms
 *   patch      count u8, (offset u16, byte u8) x count: upload of a good image, so changed
 *   image      size u16, bytes: upload of whatever this is, with a right CRC
 *
 * images.inc holds the two policies of harness.h. tests/fuzz.py builds and runs it.
 */
#include "harness.h"

typedef struct {
    const uint8_t *at, *end;
} input;

static uint8_t next8(input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static uint16_t next16(input *in)
{
    uint8_t low = next8(in);
    return (uint16_t)(low | next8(in) << 8);
}

static uint32_t next_bytes(input *in, uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = next8(in);
    return length;
}

static uint32_t now_ms;
static frame last; /* request of the session */

/* What holds whatever happened. */
static void check_device(void)
{
    CHECK(device.mode <= EC_MODE_FAULT);
    CHECK(device.upload_received <= device.upload_size);
    CHECK(device.upload_size <= sizeof policy_ram);
    CHECK(device.policy == NULL || device.policy == &device.builtin ||
          device.policy == &device.uploaded);
    CHECK(device.mode != EC_MODE_RUN || device.policy);
    if (device.mode != EC_MODE_RUN && device.policy)
        for (unsigned a = 0; a < device.policy->spec.n_act; a++)
            CHECK_EQUAL(plant.rest, outputs[a]);
}

/* Ends whatever stands half-sent, as a host does. */
static void end_frame(void)
{
    send((const uint8_t[1]){0}, 1);
}

static void act_noise(input *in)
{
    uint8_t bytes[255];
    send(bytes, next_bytes(in, bytes, next8(in)));
}

static uint32_t next_payload(input *in, uint8_t *payload)
{
    return next_bytes(in, payload, next8(in) % (MAX_PAYLOAD + 5u)); /* some are too long */
}

static void act_request(input *in)
{
    uint8_t payload[MAX_PAYLOAD + 4];
    uint8_t type = next8(in);
    uint32_t length = next_payload(in, payload);
    last = frame_of(type, SESSION, ++sequence, payload, length);
    CHECK(send_frame(last) <= 1);
}

static void act_repeat(void)
{
    end_frame();
    send_frame(last);
    uint8_t mode = device.mode;
    uint32_t steps = device.statistics.steps;
    send_frame(last);
    CHECK_EQUAL(mode, device.mode);
    CHECK_EQUAL(steps, device.statistics.steps);
}

static void act_stranger(input *in)
{
    uint8_t payload[MAX_PAYLOAD + 4];
    uint16_t session = next16(in), number = next16(in);
    uint8_t type = next8(in);
    uint32_t length = next_payload(in, payload);
    send_frame(frame_of(type, session, number, payload, length));
}

static void act_wait(input *in)
{
    uint32_t ms = next16(in);
    ec_device_poll(&device, now_ms); /* silence begins here at the latest */
    now_ms += ms;
    ec_device_poll(&device, now_ms);
    CHECK(device.mode != EC_MODE_RUN || ms <= device.silence_ms);
}

static void take_session(void)
{
    CHECK_EQUAL(EC_OK, ask(EC_HELLO, hello, sizeof hello));
}

/* After an upload the device is at rest, and runs the image only if it proved itself. */
static void act_upload(image *made)
{
    uint8_t *bytes = (uint8_t *)made->words;
    if (made->size >= 4)
        ec_put32(bytes + made->size - 4, ec_crc32(0, bytes, made->size - 4));
    end_frame();
    take_session();
    uint8_t refusal = upload(made);
    CHECK(device.mode == EC_MODE_IDLE);
    CHECK((refusal == EC_OK) == (device.policy == &device.uploaded));
}

static void act_patch(input *in)
{
    image made = next8(in) % 2 ? other : builtin;
    uint8_t *bytes = (uint8_t *)made.words;
    for (unsigned count = next8(in) % 16u; count; count--) {
        uint16_t offset = next16(in);
        bytes[offset % made.size] = next8(in);
    }
    bytes[30] &= 3; /* golden steps: time is what the fuzzer has least of */
    bytes[31] = 0;
    act_upload(&made);
}

static void act_image(input *in)
{
    static image made;
    made.size = next_bytes(in, (uint8_t *)made.words, 1u + next16(in) % (RAM_SIZE - 1u));
    act_upload(&made);
}

/* A device that was just started and has a session; every input begins with it. Starting it anew would
 * run its golden trace. */
static struct {
    ec_device device;
    uint32_t net_memory[sizeof net_memory / 4];
    uint8_t reply[sizeof reply_buffer];
    int16_t outputs[MAX_ACT];
    uint16_t sequence;
} fresh;

static void keep_fresh(void)
{
    connect();
    plant.rest = 77;
    CHECK_EQUAL(EC_OK, ask(EC_STOP, NULL, 0));
    fresh.device = device;
    memcpy(fresh.net_memory, net_memory, sizeof net_memory);
    memcpy(fresh.reply, reply_buffer, sizeof reply_buffer);
    memcpy(fresh.outputs, outputs, sizeof outputs);
    fresh.sequence = sequence;
}

static void begin_fresh(void)
{
    device = fresh.device;
    memcpy(net_memory, fresh.net_memory, sizeof net_memory);
    memcpy(reply_buffer, fresh.reply, sizeof reply_buffer);
    memcpy(outputs, fresh.outputs, sizeof outputs);
    sequence = fresh.sequence;
    memset(policy_ram, 0xA5, sizeof policy_ram);
    now_ms = 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const uint8_t builtin_bytes[] = {
#include "builtin.inc"
    };
    static const uint8_t other_bytes[] = {
#include "other.inc"
    };
    (void)argc;
    (void)argv;
    builtin.size = sizeof builtin_bytes;
    memcpy(builtin.words, builtin_bytes, sizeof builtin_bytes);
    other.size = sizeof other_bytes;
    memcpy(other.words, other_bytes, sizeof other_bytes);
    keep_fresh();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, data + size};
    begin_fresh();
    last = frame_of(EC_STATUS, SESSION, ++sequence, NULL, 0);
    while (in.at < in.end) {
        switch (next8(&in) % 7u) {
        case 0:
            act_noise(&in);
            break;
        case 1:
            act_request(&in);
            break;
        case 2:
            act_repeat();
            break;
        case 3:
            act_stranger(&in);
            break;
        case 4:
            act_wait(&in);
            break;
        case 5:
            act_patch(&in);
            break;
        default:
            act_image(&in);
        }
        check_device();
    }
    end_frame();
    take_session(); /* it lives, and hears */
    return 0;
}
