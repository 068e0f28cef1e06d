#include <algorithm>
#include <iostream>
#include <iterator>

#include "qap.h"
#include "parameters.h"


void qap(
    input_t inputs[16],
    result_t layer5_out[5]
) {

    // hls-fpga-machine-learning insert IO
    #pragma HLS ARRAY_RESHAPE variable=inputs complete dim=0
    #pragma HLS ARRAY_PARTITION variable=layer5_out complete dim=0
    #pragma HLS INTERFACE ap_vld port=inputs,layer5_out 
    #pragma HLS PIPELINE

    // hls-fpga-machine-learning insert load weights
#ifndef __SYNTHESIS__
    static bool loaded_weights = false;
    if (!loaded_weights) {
        std::copy(std::begin(w2_values), std::end(w2_values), w2);
        std::copy(std::begin(b2_values), std::end(b2_values), b2);
        std::copy(std::begin(w5_values), std::end(w5_values), w5);
        std::copy(std::begin(b5_values), std::end(b5_values), b5);
        loaded_weights = true;    }
#endif
    // ****************************************
    // NETWORK INSTANTIATION
    // ****************************************

    // hls-fpga-machine-learning insert layers

    layer2_t layer2_out[8];
    #pragma HLS ARRAY_PARTITION variable=layer2_out complete dim=0

    layer4_t layer4_out[8];
    #pragma HLS ARRAY_PARTITION variable=layer4_out complete dim=0

    nnet::dense<input_t, layer2_t, config2>(inputs, layer2_out, w2, b2); // fc1
#ifndef __SYNTHESIS__
    nnet::save_layer_output<layer2_t>(layer2_out, "fc1", 8);
#endif

    nnet::relu<layer2_t, layer4_t, relu_config4>(layer2_out, layer4_out); // relu1
#ifndef __SYNTHESIS__
    nnet::save_layer_output<layer4_t>(layer4_out, "relu1", 8);
#endif

    nnet::dense<layer4_t, result_t, config5>(layer4_out, layer5_out, w5, b5); // output
#ifndef __SYNTHESIS__
    nnet::save_layer_output<result_t>(layer5_out, "output", 5);
#endif

}

