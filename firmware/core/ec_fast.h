/* The shifts and the gain of the network that this firmware is for: they are compiled in, or assembled.
 * Others run by the same code, slower. */
#ifndef EC_FAST_H
#define EC_FAST_H

#ifndef EC_FAST_CURRENT_SHIFT
#define EC_FAST_CURRENT_SHIFT 3
#endif
#ifndef EC_FAST_MEMBRANE_SHIFT
#define EC_FAST_MEMBRANE_SHIFT 3
#endif
#ifndef EC_FAST_RECURRENT_GAIN
#define EC_FAST_RECURRENT_GAIN 0
#endif

#if EC_FAST_RECURRENT_GAIN > 0
#error "EC_FAST_RECURRENT_GAIN is above 0: such gains saturate, and are not among the fast ones"
#endif

#endif
