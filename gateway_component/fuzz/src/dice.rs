//! Random choices from a seed (xorshift64*).

pub struct Dice(u64);

impl Dice {
    /// The dice of one case.
    pub fn new(seed: u64, case: u64) -> Dice {
        // Neighbouring numbers must not give neighbouring streams (splitmix64's finalizer).
        let mut state = seed.wrapping_add(case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Dice((state ^ (state >> 31)) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        (self.bits() >> 33) as usize % sides
    }

    /// True once in `sides`.
    pub fn once_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    pub fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.roll(options.len())]
    }
}
