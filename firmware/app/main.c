/* The application: memory for the device, and a loop that feeds it bytes. */
#include "ec_config.h"
#include "ec_device.h"
#include "ec_port.h"
#include "ec_rig.h"
#include "policy.h"

#if EC_MAX_PAYLOAD < EC_MIN_PAYLOAD || EC_MAX_PAYLOAD > 0xFFFF || EC_MAX_PAYLOAD / 2 < EC_MAX_OBS
#error "EC_MAX_PAYLOAD is not 96 ... 65535, or does not hold the observations of a STEP"
#endif
#if EC_MAX_OBS < 1 || EC_MAX_OBS > 1024 || EC_MAX_ACT < 1 || EC_MAX_ACT > 64
#error "EC_MAX_OBS is not 1 ... 1024, or EC_MAX_ACT not 1 ... 64"
#endif
#if EC_MAX_NEURONS < 32 || EC_MAX_NEURONS > 1024
#error "EC_MAX_NEURONS is not 32 ... 1024"
#endif

static uint32_t net_memory[(EC_NET_MEMORY(EC_MAX_NEURONS, EC_MAX_ACT, EC_MAX_OBS) + 3u) / 4u];
static uint32_t policy_ram[(EC_POLICY_RAM + 3u) / 4u + (EC_POLICY_RAM == 0)];
static int16_t raw[EC_MAX_OBS];
static int16_t outputs[EC_MAX_ACT];
static ec_limit limits[EC_MAX_ACT];
static uint8_t request[EC_REQUEST_SIZE(EC_MAX_PAYLOAD)];
static uint8_t reply[EC_REPLY_SIZE(EC_MAX_PAYLOAD, EC_MAX_ACT)];
static ec_learner learner;
static ec_device device;

#if EC_FLASH_PAGES > 0
static const ec_flash flash = {
    .page_size = EC_FLASH_PAGE,
    .pages = EC_FLASH_PAGES,
    .erase = ec_port_flash_erase,
    .write = ec_port_flash_write,
    .read = ec_port_flash_read,
};
#define FLASH &flash
#else
#define FLASH NULL
#endif

int main(int argc, char **argv)
{
    ec_port_init(argc, argv);
    const ec_device_config config = {
        .board = EC_BOARD_NAME,
        .chip_id = ec_port_chip_id(),
        .firmware_version = EC_FIRMWARE_VERSION,
        .boot_count = ec_port_boot_count(),
        .reset_cause = ec_port_reset_cause(),
        .builtin = ec_policy_image,
        .builtin_size = EC_POLICY_IMAGE_SIZE,
        .load = EC_POLICY_LOAD,
        .max_payload = EC_MAX_PAYLOAD,
        .max_obs = EC_MAX_OBS,
        .max_act = EC_MAX_ACT,
        .max_neurons = EC_MAX_NEURONS,
        .policy_ram = policy_ram,
        .policy_ram_size = EC_POLICY_RAM,
        .net_memory = net_memory,
        .net_memory_size = sizeof net_memory,
        .raw = raw,
        .outputs = outputs,
        .limits = limits,
        .request = request,
        .reply = reply,
        .can_baud = ec_port_can_baud,
        .evolve = EC_POLICY_RAM >= EC_EVOLVE_ROOM ? ec_device_evolve : NULL,
        .learner = EC_POLICY_RAM >= EC_EVOLVE_ROOM ? &learner : NULL,
        .flash = FLASH,
        .ticks = ec_port_ticks,
        .tick_hz = ec_port_tick_hz(),
        .rig = ec_rig_open(),
    };
    if (ec_device_init(&device, &config) != 0)
        return 1; /* the rig is safe */

    for (;;) {
        uint8_t bytes[16];
        ec_device_poll(&device, ec_port_milliseconds());
        ec_port_set_baud(device.baud);
        uint32_t wait = ec_device_clock(&device);
        uint32_t count = ec_port_read(bytes, sizeof bytes);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t size = ec_device_receive(&device, bytes[i]);
            if (size > 0) {
                /* A step may have taken long, and the write may block: silence is judged between. */
                ec_device_poll(&device, ec_port_milliseconds());
                ec_port_write(device.reply, size);
            }
        }
        if (count == 0)
            ec_port_idle(wait);
    }
}
