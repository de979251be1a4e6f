//! Compiles the C++ bindings to libtorch that tch lacks, sets the rpath so that the binary finds libtorch without
//! LD_LIBRARY_PATH, passes libtorch's location to dependent crates, and records libtorch's version.

#![cfg_attr(not(feature = "libtorch"), allow(unused))]

use std::path::Path;
use std::{env, fs};

#[cfg(not(feature = "libtorch"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}

#[cfg(feature = "libtorch")]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    // Set by torch-sys (`links = "tch"`); missing only in builds that do not link, such as documentation.
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo::rustc-env=STITCH_LIBTORCH_VERSION=unknown");
        return;
    };
    // Link arguments do not apply to dependent crates; their build.rs reads DEP_STITCH_LIBTORCH_LIB instead.
    println!("cargo::metadata=libtorch_lib={lib}");
    let lib = Path::new(&lib);
    compile_bindings(&lib.join("../include"));
    if env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("unix") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
    let header = lib.join("../include/torch/headeronly/version.h");
    println!("cargo::rerun-if-changed={}", header.display());
    let version = version_in(&fs::read_to_string(header).unwrap_or_default());
    println!("cargo::rustc-env=STITCH_LIBTORCH_VERSION={version}");
}

/// Compiles `src/libtorch/*.cpp` with libtorch's headers.
#[cfg(feature = "libtorch")]
fn compile_bindings(include: &Path) {
    let names = [
        "arithmetic",
        "autograd",
        "convolution",
        "cuda",
        "generator",
        "lstm",
        "memory",
        "parallel",
        "script",
        "versions",
    ];
    let files = names.map(|name| format!("src/libtorch/{name}.cpp"));
    files.iter().for_each(|file| println!("cargo::rerun-if-changed={file}"));
    // As one file: reading libtorch's headers takes most of the time.
    let folder = env::current_dir().expect("the package's folder");
    let includes = files.map(|file| format!("#include \"{}\"\n", folder.join(file).display()));
    let all = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.cpp");
    fs::write(&all, includes.concat()).expect("OUT_DIR can be written");
    let mut build = cc::Build::new();
    // libtorch's headers use OpenMP if libtorch was built with it.
    build.flag_if_supported("-fopenmp");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-lib=gomp");
    }
    build
        .cpp(true)
        .std("c++20")
        .file(all)
        // As system headers, so that the compiler does not print their warnings.
        .flag("-isystem")
        .flag(include.display().to_string())
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include").display().to_string())
        .compile("stitch_bindings");
}

/// Reads the version, such as `2.13.0`, from lines such as `#define TORCH_VERSION_MAJOR 2`.
fn version_in(header: &str) -> String {
    let part = |name: &str| {
        let start = format!("#define TORCH_VERSION_{name} ");
        header.lines().find_map(|line| line.strip_prefix(&start)).map(str::trim)
    };
    match (part("MAJOR"), part("MINOR"), part("PATCH")) {
        (Some(major), Some(minor), Some(patch)) => format!("{major}.{minor}.{patch}"),
        _ => "unknown".into(),
    }
}
