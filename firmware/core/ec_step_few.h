/* Whether the sums of few rows and the neurons that hear them are one pass here, ec_step_few: a folder
 * of firmware/kernels that has one replaces this file too.
 */
#ifndef EC_STEP_FEW_H
#define EC_STEP_FEW_H

#define EC_HAS_STEP_FEW 0

#endif
