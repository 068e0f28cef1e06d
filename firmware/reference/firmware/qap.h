#ifndef QAP_H_
#define QAP_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"

#include "defines.h"


// Prototype of top level function for C-synthesis
void qap(
    input_t inputs[16],
    result_t layer5_out[5]
);

// hls-fpga-machine-learning insert emulator-defines


#endif
