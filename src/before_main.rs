//! Checks that must run before the constructors of shared libraries: if the working directory was removed, oneMKL's
//! constructor ends the process with an unrelated message; if memory is exhausted, libtorch's constructors abort.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

use crate::commands::REMOVED_DIRECTORY;

/// The dynamic loader calls the functions of this section before all constructors.
#[used]
#[unsafe(link_section = ".preinit_array")]
static CHECK: extern "C" fn(c_int, *const *const c_char) = check;

/// The exit code of usage and I/O errors.
const EXIT_CODE: c_int = 2;

extern "C" fn check(count: c_int, arguments: *const *const c_char) {
    let mut path = [0; libc::PATH_MAX as usize];
    // SAFETY: the buffer has the given size; errno is read before any other call.
    let is_gone = unsafe {
        libc::getcwd(path.as_mut_ptr(), path.len()).is_null()
            && *libc::__errno_location() == libc::ENOENT
    };
    if !is_gone {
        // The constructors allocate memory, which may fail.
        return stitch::memory::handle_aborts(crate::commands::OUT_OF_MEMORY);
    }
    // SAFETY: the C library passes main's arguments, `count` null-terminated strings.
    let is_json =
        (0..count as usize).any(|i| unsafe { CStr::from_ptr(*arguments.add(i)) } == c"--json");
    write(libc::STDERR_FILENO, &["error: ", REMOVED_DIRECTORY, "\n"]);
    if is_json {
        let parts = ["{\n  \"error\": \"", REMOVED_DIRECTORY, "\",\n  \"exit_code\": 2\n}\n"];
        write(libc::STDOUT_FILENO, &parts);
    }
    // SAFETY: no other code of the process has run yet.
    unsafe { libc::_exit(EXIT_CODE) }
}

/// Writes with a system call, because Rust's standard library is not initialized yet.
fn write(to: c_int, parts: &[&str]) {
    for part in parts {
        // SAFETY: the bytes live through the call.
        unsafe { libc::write(to, part.as_ptr().cast(), part.len()) };
    }
}
