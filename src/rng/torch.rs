//! `torch.Generator` on the CPU (PyTorch 2.13): seeding, `random_` in int64, `randperm`, and the
//! order in which a `DataLoader` draws from it.

use rand_mt::Mt;

/// Ports `torch.Generator(device="cpu")`: the engine behind `torch.manual_seed`.
#[derive(Debug, Clone)]
pub struct Generator(Mt);

impl Generator {
    /// `torch.Generator().manual_seed(seed)`. The engine takes the low 32 bits of the seed, so
    /// `seed` and `seed + 2**32` give one sequence, in PyTorch and here.
    pub fn new(seed: u64) -> Self {
        Self(Mt::new(seed as u32))
    }

    /// Passes over `draws` 32-bit draws. `uniform_` on a float32 tensor takes one for each element.
    ///
    /// Only the draws are ported here: whether `uniform_` then rounds once or twice depends on the
    /// CPU kernel that libtorch picks (with or without fused multiply-add), so
    /// [`crate::models::init`] lets libtorch itself do that arithmetic.
    pub fn skip(&mut self, draws: usize) {
        (0..draws).for_each(|_| {
            self.0.next_u32();
        });
    }

    /// `empty((), dtype=int64).random_()`: an integer in `0..=i64::MAX` from two draws, the first
    /// the high half.
    pub fn random(&mut self) -> i64 {
        let high = u64::from(self.0.next_u32());
        let low = u64::from(self.0.next_u32());
        (((high << 32) | low) & i64::MAX as u64) as i64
    }

    /// `randperm(n)` for `n < (2**32 - 1) / 20`: Fisher-Yates from the bottom up, the partner of
    /// `i` at `i + draw % (n - i)`.
    pub fn randperm(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for i in 0..n.saturating_sub(1) {
            let partner = i + self.0.next_u32() % (n - i);
            order.swap(i as usize, partner as usize);
        }
        order
    }

    /// What one pass over a `DataLoader(shuffle=True)` of `n` samples draws: a base seed for
    /// workers (unused without them), then the seed of the `RandomSampler`'s own generator, whose
    /// `randperm` is the order.
    pub fn data_loader_order(&mut self, n: u32) -> Vec<u32> {
        let _base_seed = self.random();
        let sampler_seed = self.random();
        Generator::new(sampler_seed as u64).randperm(n)
    }
}
