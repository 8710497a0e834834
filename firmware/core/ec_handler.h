/* What the handlers of requests share. A handler reads a request's payload and writes its reply's. It
 * returns the reply's length.
 */
#ifndef EC_HANDLER_H
#define EC_HANDLER_H

#include "ec_device.h"

EC_APART void clear(uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = 0;
}

EC_APART void copy(uint8_t *to, const uint8_t *from, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        to[i] = from[i];
}

EC_APART void put_values(uint8_t *p, const int16_t *values, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ec_put16(p + 2 * i, (uint16_t)values[i]);
}

EC_APART uint16_t told_spikes(const ec_net *net)
{
    return (uint16_t)(net->spike_count < 65535 ? net->spike_count : 65535);
}

EC_APART void get_values(int16_t *values, const uint8_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        values[i] = (int16_t)ec_signed16(ec_get16(p + 2 * i));
}

static inline uint32_t accept(uint8_t *reply, uint32_t length)
{
    clear(reply, length);
    return length;
}

EC_APART uint32_t accept_mode(const ec_device *device, uint8_t *reply, uint32_t length)
{
    clear(reply, length);
    reply[1] = device->mode;
    return length;
}

EC_APART uint32_t refuse(uint8_t *reply, uint8_t code, uint32_t detail)
{
    reply[0] = code;
    ec_put32(reply + 1, detail);
    return 5;
}

/* Whether a host may be silent for so long, and no longer. */
static inline bool is_silence(uint32_t ms)
{
    return ms >= EC_SILENCE_MS_LEAST && ms <= EC_SILENCE_MS_MOST;
}

/* Ends whatever runs, with the safe action: to where the device waits for an episode. */
void ec_device_rest(ec_device *device);

/* The same, to a mode. */
void ec_device_enter(ec_device *device, uint8_t mode);

/* RESET's handler, for who makes the policy ready first. */
uint32_t ec_device_reset(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply);

void ec_device_make_safe(const ec_device *device);

/* Before the memory of uploads changes: an upload that was on its way is over. */
void ec_device_leave_ram(ec_device *device);

/* Takes the image that lies there into use, without a proof: 0, or EC_ERR_..., and the built-in policy. */
int ec_device_adopt(ec_device *device, uint32_t size);

/* One step of the episode that runs by the clock; it may end with it. */
void ec_device_take_step(ec_device *device);

/* Of ec_device_evolve: refusal of what needs a policy that evolves and a generation that is not half
 * learned: 0, or the reply's length. */
uint32_t ec_device_refuse_evolution(const ec_device *device, uint8_t *reply);

/* Of ec_device_practice.c, for ec_device_evolve. `ec_device_practise` is the clock's turn. */
uint32_t ec_device_practice(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply);
uint32_t ec_device_progress(const ec_device *device, uint32_t length, uint8_t *reply);
uint32_t ec_device_record(const ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply);
uint32_t ec_device_practise(ec_device *device);

/* Of ec_device_snapshot.c. `ec_device_save` is 0, or the detail of EC_REFUSED_FLASH. */
uint32_t ec_device_snapshot(ec_device *device, const uint8_t *request, uint32_t length, uint8_t *reply);
uint32_t ec_device_save(const ec_device *device);

/* Carries out a request of tracks. firmware/kernels/small knows none. */
uint32_t ec_device_tracks(ec_device *device, const uint8_t *packet, uint32_t length, uint8_t *reply);

#endif
