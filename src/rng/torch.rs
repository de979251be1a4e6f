//! `torch.Generator` on the CPU (PyTorch 2.13): seeding and `randperm`, for which tch has no generator argument.
//! libtorch's global generator is in [`crate::libtorch::generator`].

use rand_mt::Mt;

/// `torch.Generator(device="cpu")`: the type of generator that `torch.manual_seed` seeds.
#[derive(Debug, Clone)]
pub struct Generator(Mt);

impl Generator {
    /// `torch.Generator().manual_seed(seed)`. As in PyTorch, only the low 32 bits of the seed are used, so `seed` and
    /// `seed + 2**32` give the same sequence.
    pub fn new(seed: u64) -> Self {
        Self(Mt::new(seed as u32))
    }

    /// `randperm(n)` for `n < (2**32 - 1) / 20`: Fisher-Yates from the first index up; `i` is swapped with
    /// `i + draw % (n - i)`.
    pub fn randperm(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for i in 0..n.saturating_sub(1) {
            let partner = i + self.0.next_u32() % (n - i);
            order.swap(i as usize, partner as usize);
        }
        order
    }
}
