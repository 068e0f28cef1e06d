// Runs an emulator over its test vectors: example FOLDER NAME VERSION. Exit code 0 if every bit is as expected.
#include "qap_emulator.hpp"

#include <exception>
#include <fstream>
#include <iostream>

namespace {
std::vector<double> numbers(const std::string &path) {
    std::ifstream file(path);
    if (!file)
        throw std::runtime_error(path + ": cannot be read");
    std::vector<double> values;
    for (std::string word; file >> word;)
        values.push_back(std::stod(word));
    return values;
}
} // namespace

int main(int argc, char **argv) {
    if (argc != 4) {
        std::cerr << "usage: example FOLDER NAME VERSION\n";
        return 2;
    }
    try {
        const std::string folder = argv[1];
        const qap::Emulator emulator(folder, argv[2], argv[3]);
        const auto inputs = numbers(folder + "/vectors/inputs.txt");
        const auto expected = numbers(folder + "/vectors/expected.txt");
        const size_t events = inputs.size() / emulator.inputs();
        if (expected.size() != events * emulator.outputs())
            throw std::runtime_error("inputs.txt and expected.txt hold different numbers of events");
        const auto outputs = emulator.run(inputs);
        size_t exact = 0, first = events;
        for (size_t event = 0; event < events; ++event) {
            bool same = true;
            for (size_t i = event * emulator.outputs(); i < (event + 1) * emulator.outputs(); ++i)
                same = same && outputs[i] == expected[i];
            exact += same;
            if (!same && first == events)
                first = event;
        }
        std::cout << argv[2] << " " << emulator.version() << ": " << exact << " of " << events << " events bit-exact\n";
        if (first != events)
            std::cerr << "the first that differs is event " << first << "\n";
        return exact == events ? 0 : 1;
    } catch (const std::exception &error) {
        std::cerr << error.what() << "\n";
        return 2;
    }
}
