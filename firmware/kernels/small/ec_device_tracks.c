#include "ec_handler.h"

/* A chip whose memory holds no second network: it does not know the requests. */
uint32_t ec_device_tracks(ec_device *device, const uint8_t *packet, uint32_t length, uint8_t *reply)
{
    (void)device;
    (void)length;
    return refuse(reply, EC_REFUSED_TYPE, packet[0]);
}
