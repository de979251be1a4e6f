// The versions of the libraries that libtorch computes with.

#include <cstring>
#include <string>

#include <ATen/Version.h>

// The version of a library in libtorch, or the instruction set of ATen's kernels: a string that the caller frees. `which` is
// the index of a name in `versions.rs`.
extern "C" char *stitch_version(int which) {
    std::string version;
    switch (which) {
    case 0: version = at::get_cpu_capability(); break;
    case 1: version = at::get_mkldnn_version(); break;
    case 2: version = at::get_mkl_version(); break;
    case 3: version = at::get_openmp_version(); break;
    }
    return strdup(version.c_str());
}
