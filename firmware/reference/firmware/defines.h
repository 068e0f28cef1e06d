#ifndef DEFINES_H_
#define DEFINES_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "nnet_utils/nnet_types.h"
#include <array>
#include <cstddef>
#include <cstdio>
#include <tuple>
#include <tuple>


// hls-fpga-machine-learning insert numbers

// hls-fpga-machine-learning insert layer-precision
typedef ap_fixed<10,4,AP_RND_CONV,AP_SAT,0> input_t;
typedef ap_fixed<18,7> fc1_accum_t;
typedef ap_fixed<18,7> layer2_t;
typedef ap_fixed<6,1> fc1_weight_t;
typedef ap_fixed<7,2> fc1_bias_t;
typedef ap_uint<1> layer2_index;
typedef ap_ufixed<6,2,AP_RND_CONV,AP_SAT,0> layer4_t;
typedef ap_fixed<18,8> relu1_table_t;
typedef ap_fixed<14,5> output_accum_t;
typedef ap_fixed<14,5> result_t;
typedef ap_fixed<6,1> output_weight_t;
typedef ap_fixed<7,2> output_bias_t;
typedef ap_uint<1> layer5_index;

// hls-fpga-machine-learning insert emulator-defines


#endif
