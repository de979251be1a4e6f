//! A TorchScript module, run by libtorch. Loading one runs code of its file: check it first.

use std::ffi::{CStr, c_char};
use std::sync::Mutex;
use std::{fmt, ptr, slice};

use tch::Tensor;
use torch_sys::C_tensor;

use super::{LibtorchError, result};

/// `Script` in `script.cpp`.
#[repr(C)]
struct CScript {
    _private: [u8; 0],
}

// In `script.cpp`.
unsafe extern "C" {
    fn stitch_script_load(
        bytes: *const c_char,
        length: usize,
        out: *mut *mut CScript,
    ) -> *mut c_char;
    fn stitch_script_free(script: *mut CScript);
    fn stitch_script_class(script: *const CScript) -> *const c_char;
    fn stitch_script_length(script: *const CScript) -> usize;
    fn stitch_script_slot(
        script: *const CScript,
        index: usize,
        name: *mut *const c_char,
        is_parameter: *mut bool,
    ) -> *mut C_tensor;
    fn stitch_script_forward(
        script: *mut CScript,
        input: *const C_tensor,
        tensors: *const *const C_tensor,
        train: bool,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn stitch_script_update(script: *mut CScript) -> *mut c_char;
    fn stitch_script_save(
        script: *mut CScript,
        tensors: *const *const C_tensor,
        bytes: *mut *mut c_char,
        length: *mut usize,
    ) -> *mut c_char;
}

/// A parameter or buffer of a module.
#[derive(Debug)]
pub struct Slot {
    /// Its key in the state_dict.
    pub name: String,
    /// Whether it is a parameter.
    pub is_parameter: bool,
    /// The tensor that the file holds.
    pub tensor: Tensor,
}

/// A module of `torch.jit.load`, as a function of its input, parameters and buffers.
pub struct Script {
    /// Held during each call, because a call sets the module's attributes.
    module: Mutex<ptr::NonNull<CScript>>,
    class: String,
    slots: Vec<Slot>,
}

// SAFETY: the module is only used by the thread that holds the lock.
unsafe impl Send for Script {}
// SAFETY: as above; the other fields are not changed, and tensors may be read by several threads.
unsafe impl Sync for Script {}

impl Script {
    /// Loads an archive whose code was checked.
    ///
    /// # Errors
    /// libtorch's message.
    pub fn load(bytes: &[u8]) -> Result<Self, LibtorchError> {
        let mut module = ptr::null_mut();
        // SAFETY: the bytes are valid throughout the call, which copies them.
        unsafe { result(stitch_script_load(bytes.as_ptr().cast(), bytes.len(), &mut module))? };
        let module = ptr::NonNull::new(module).expect("a module was loaded");
        // SAFETY: the names are strings of the module; each tensor is a new one, which this crate owns.
        let (class, slots) = unsafe {
            let text = |text: *const c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
            let slot = |index| {
                let (mut name, mut is_parameter) = (ptr::null(), false);
                let tensor =
                    stitch_script_slot(module.as_ptr(), index, &mut name, &mut is_parameter);
                Slot { name: text(name), is_parameter, tensor: Tensor::from_ptr(tensor) }
            };
            let slots = (0..stitch_script_length(module.as_ptr())).map(slot).collect();
            (text(stitch_script_class(module.as_ptr())), slots)
        };
        Ok(Self { module: Mutex::new(module), class, slots })
    }

    /// The name of its class in Python.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// Its parameters and buffers, in the order of Python's state_dict.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Its output in training or evaluation mode, with `tensors` in place of [`Script::slots`]: parameters are leaves of
    /// autograd, and buffers are updated in place; those that the module replaces by other tensors not before
    /// [`Script::update_buffers`] or the next call, if gradients are enabled.
    ///
    /// # Errors
    /// The message of libtorch or of the network.
    pub fn forward(
        &self,
        input: &Tensor,
        tensors: &[&Tensor],
        train: bool,
    ) -> Result<Tensor, LibtorchError> {
        let tensors = self.pointers(tensors);
        let module = self.module.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = ptr::null_mut();
        // SAFETY: all tensors are valid throughout the call, and there is one for each slot; the result is a new tensor.
        unsafe {
            let (input, tensors) = (input.as_ptr(), tensors.as_ptr());
            result(stitch_script_forward(module.as_ptr(), input, tensors, train, &mut out))?;
            Ok(Tensor::from_ptr(out))
        }
    }

    /// Updates the buffers of the last call after its backward pass, which may need their old values.
    ///
    /// # Errors
    /// libtorch's message.
    pub fn update_buffers(&self) -> Result<(), LibtorchError> {
        let module = self.module.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: the module is valid, and keeps the tensors of the last call.
        unsafe { result(stitch_script_update(module.as_ptr())) }
    }

    /// The archive of `torch.jit.save` in evaluation mode, with `tensors` in place of [`Script::slots`].
    ///
    /// # Errors
    /// libtorch's message.
    pub fn save(&self, tensors: &[&Tensor]) -> Result<Vec<u8>, LibtorchError> {
        let tensors = self.pointers(tensors);
        let module = self.module.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut bytes, mut length) = (ptr::null_mut(), 0);
        // SAFETY: as above; the bytes were allocated with malloc, and are freed here.
        unsafe {
            let tensors = tensors.as_ptr();
            result(stitch_script_save(module.as_ptr(), tensors, &mut bytes, &mut length))?;
            let saved = slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec();
            libc::free(bytes.cast());
            Ok(saved)
        }
    }

    fn pointers(&self, tensors: &[&Tensor]) -> Vec<*const C_tensor> {
        assert_eq!(tensors.len(), self.slots.len(), "one tensor for each parameter and buffer");
        tensors.iter().map(|tensor| tensor.as_ptr()).collect()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let module = self.module.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: nobody else has the pointer.
        unsafe { stitch_script_free(module.as_ptr()) }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("class", &self.class).finish_non_exhaustive()
    }
}
