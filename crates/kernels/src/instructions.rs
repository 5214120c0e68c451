//! Choice of the kernels by the instructions that the processor has.

#[cfg(target_arch = "x86_64")]
use crate::{avx2::Avx2, avx512::Vnni};

/// Instructions that a kernel uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable,
}

impl Instructions {
    /// Best ones of this processor.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let vnni = Vnni::detect().map(Self::Vnni);
            if let Some(vector) = vnni.or_else(|| Avx2::detect().map(Self::Avx2)) {
                return vector;
            }
        }
        Self::Portable
    }

    /// All that this processor has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::detect().map(Self::Avx2));
            all.extend(Vnni::detect().map(Self::Vnni));
        }
        all
    }
}

/// Name of the kernels in use, for logs and `Describe`.
pub fn kernels() -> &'static str {
    match Instructions::detect() {
        #[cfg(target_arch = "x86_64")]
        Instructions::Vnni(_) => "avx512-vnni",
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2(_) => "avx2",
        Instructions::Portable => "portable",
    }
}
