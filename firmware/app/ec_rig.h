/* The rig: what the outputs move. Replace ec_rig.c by your own to drive a plant from the device.
 *
 * Both functions get outputs as docs/MODEL.md has them, 2048 for 1.0, not clamped: clamp them to what
 * the plant bears, and leave in `outputs` what was applied. They return within a fraction of a
 * control period.
 */
#ifndef EC_RIG_H
#define EC_RIG_H

#include <stdint.h>

/* Applies the n outputs of a control step. */
void ec_rig_apply(void *context, int16_t *outputs, unsigned n);

/* Brings the whole plant to safety, whatever n is: 0 while the device has no policy. The outputs are
 * zero; change them if rest is something else. Called before anything moves, when the host falls
 * silent, and again and again outside an episode; only a golden trace (power on, the end of an
 * upload) makes a longer pause. */
void ec_rig_safe(void *context, int16_t *outputs, unsigned n);

#endif
