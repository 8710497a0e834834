/* Sums of few rows and the neurons that hear them are one pass here, ec_step_few.S. */
#ifndef EC_STEP_FEW_H
#define EC_STEP_FEW_H

#define EC_HAS_STEP_FEW 1

#endif
