//Numpy array shape [8]
//Min -1.031250000000
//Max 1.125000000000
//Number of zeros 0

#ifndef B2_H_
#define B2_H_

#define b2_VALUES {-0.53125, 0.15625, 0.12500, 0.62500, 1.12500, -0.25000, -1.03125, -0.75000}

#ifndef __SYNTHESIS__
static const double b2_values[8] = b2_VALUES;
fc1_bias_t b2[8];
#else
fc1_bias_t b2[8] = b2_VALUES;

#endif

#endif
