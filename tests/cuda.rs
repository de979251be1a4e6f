//! libtorch's CUDA half. A binary of its own: libtorch asks for it once in a process.

#![cfg(target_os = "linux")]

#[test]
fn libtorchs_cuda_half_answers_once_it_is_loaded() {
    stitch::libtorch::cuda::load().unwrap();
    // It is libtorch's CUDA half that answers, on a machine without a GPU too; without it, libtorch
    // has an error for an answer.
    assert!(tch::utils::version_cudart() >= 12_000);
}
