//! Checks that must run before the constructors of shared libraries: oneMKL's ends the process with an unrelated
//! message when the working directory was removed, and libtorch's abort when memory is exhausted.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

/// The system's loader calls it first.
#[used]
#[unsafe(link_section = ".preinit_array")]
static CHECK: extern "C" fn(c_int, *const *const c_char) = check;

const SENTENCE: &str =
    "the working directory was removed. Change to one that exists, and start again";
/// The exit code of input that cannot be read.
const CODE: c_int = 2;

extern "C" fn check(count: c_int, arguments: *const *const c_char) {
    let mut room = [0; libc::PATH_MAX as usize];
    // SAFETY: the buffer has the size that is given; errno is read before another call.
    let is_gone = unsafe {
        libc::getcwd(room.as_mut_ptr(), room.len()).is_null()
            && *libc::__errno_location() == libc::ENOENT
    };
    if !is_gone {
        // The constructors allocate.
        return stitch::memory::end_well_when_exhausted();
    }
    // SAFETY: the C library passes main's arguments, `count` null-terminated strings.
    let is_json =
        (0..count as usize).any(|i| unsafe { CStr::from_ptr(*arguments.add(i)) } == c"--json");
    write(libc::STDERR_FILENO, &["error: ", SENTENCE, "\n"]);
    if is_json {
        let parts = ["{\n  \"error\": \"", SENTENCE, "\",\n  \"exit_code\": 2\n}\n"];
        write(libc::STDOUT_FILENO, &parts);
    }
    // SAFETY: nothing has been begun.
    unsafe { libc::_exit(CODE) }
}

/// By the system alone: Rust's library is not set up yet.
fn write(to: c_int, parts: &[&str]) {
    for part in parts {
        // SAFETY: the bytes live through the call.
        unsafe { libc::write(to, part.as_ptr().cast(), part.len()) };
    }
}
