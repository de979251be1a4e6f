//! The instruction set of libtorch's kernels.

/// `torch.backends.cpu.get_cpu_capability()`: the instruction set for which libtorch chooses its kernels;
/// `ATEN_CPU_CAPABILITY` can lower it. `None` on architectures other than x86-64.
pub fn cpu_capability() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        let lowered = std::env::var("ATEN_CPU_CAPABILITY").unwrap_or_default();
        Some(match lowered.as_str() {
            "default" => "DEFAULT".into(),
            "avx2" if avx2 => "AVX2".into(),
            _ if avx512 => "AVX512".into(),
            _ if avx2 => "AVX2".into(),
            _ => "DEFAULT".into(),
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
