// Loads a firmware emulator by name and version, as experiment software does it. Header only; link with -ldl.
#ifndef QAP_EMULATOR_HPP
#define QAP_EMULATOR_HPP

#include <cstddef>
#include <dlfcn.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace qap {

class Emulator {
  public:
    // Opens FOLDER/NAME_VERSION.so. Throws std::runtime_error if it is not there, or is another version.
    Emulator(const std::string &folder, const std::string &name, const std::string &version)
        : library_(open(folder + "/" + name + "_" + version + ".so"), dlclose) {
        const auto prefix = name + "_emulator_";
        run_ = symbol<int (*)(const double *, double *, size_t)>(prefix + "run_batch");
        version_ = symbol<const char *(*)()>(prefix + "version")();
        inputs_ = symbol<size_t (*)()>(prefix + "input_size")();
        outputs_ = symbol<size_t (*)()>(prefix + "output_size")();
        if (version_ != version)
            throw std::runtime_error(name + ": expected version " + version + ", the library is " + version_);
    }

    const std::string &version() const { return version_; }
    size_t inputs() const { return inputs_; }   // numbers per event
    size_t outputs() const { return outputs_; } // numbers per event

    // Runs one event, or several one after the other. Throws std::invalid_argument for another number of inputs, NaN
    // or infinity.
    std::vector<double> run(const std::vector<double> &values) const {
        if (values.empty() || values.size() % inputs_ != 0)
            throw std::invalid_argument("expected " + std::to_string(inputs_) + " inputs per event, received " +
                                        std::to_string(values.size()));
        std::vector<double> results(values.size() / inputs_ * outputs_);
        if (run_(values.data(), results.data(), values.size() / inputs_) != 0)
            throw std::invalid_argument("an input is NaN or infinite");
        return results;
    }

  private:
    static void *open(const std::string &path) {
        void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr)
            throw std::runtime_error(dlerror());
        return library;
    }

    template <class F> F symbol(const std::string &name) const {
        void *address = dlsym(library_.get(), name.c_str());
        if (address == nullptr)
            throw std::runtime_error(dlerror());
        return reinterpret_cast<F>(address);
    }

    std::unique_ptr<void, int (*)(void *)> library_;
    int (*run_)(const double *, double *, size_t);
    std::string version_;
    size_t inputs_, outputs_;
};

} // namespace qap

#endif
