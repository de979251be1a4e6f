//! Compiles the calls into libtorch that tch does not bind, lets the binary find libtorch at run
//! time without LD_LIBRARY_PATH, passes libtorch's location to dependents, and records the version of
//! libtorch that the crate is built against.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    // Set by torch-sys (`links = "tch"`); absent only in builds that do not link, such as docs.
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo::rustc-env=STITCH_LIBTORCH_VERSION=unknown");
        return;
    };
    // Their build.rs reads it as DEP_STITCH_LIBTORCH_LIB: link arguments do not reach dependents.
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

/// `src/libtorch/*.cpp`, against libtorch's headers.
fn compile_bindings(include: &Path) {
    let files = ["autograd", "convolution", "generator", "memory", "parallel"]
        .map(|name| format!("src/libtorch/{name}.cpp"));
    files.iter().for_each(|file| println!("cargo::rerun-if-changed={file}"));
    let mut build = cc::Build::new();
    // libtorch's threads are OpenMP's, where its headers were made so.
    build.flag_if_supported("-fopenmp");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-lib=gomp");
    }
    build
        .cpp(true)
        .std("c++20")
        .files(&files)
        // As system headers: their warnings are not ours.
        .flag("-isystem")
        .flag(include.display().to_string())
        .compile("stitch_bindings");
}

/// `2.13.0` out of the lines `#define TORCH_VERSION_MAJOR 2` and so on.
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
