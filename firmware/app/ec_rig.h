/* The rig: the device's side of a plant. Replace ec_rig.c by your own to drive motors from the
 * device, or to run whole episodes there: docs/PLANT.md.
 */
#ifndef EC_RIG_H
#define EC_RIG_H

#include "ec_device.h"

/* The hooks, as ec_device.h tells them; those left out are null. Called once, when the port is set
 * up and before anything moves: the place to set up pins. */
ec_rig ec_rig_open(void);

#endif
