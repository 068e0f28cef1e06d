//Numpy array shape [5]
//Min -1.187500000000
//Max 0.500000000000
//Number of zeros 0

#ifndef B5_H_
#define B5_H_

#define b5_VALUES {0.37500, -0.59375, -1.18750, 0.25000, 0.50000}

#ifndef __SYNTHESIS__
static const double b5_values[5] = b5_VALUES;
output_bias_t b5[5];
#else
output_bias_t b5[5] = b5_VALUES;

#endif

#endif
