//! Edit distance between byte strings with its scratch kept from call to call, so that a cell of the
//! warping matrix allocates nothing.

/// Evaluates distances; holds one row of the matrix.
#[derive(Default)]
pub(super) struct Levenshtein {
    row: Vec<u32>,
}

impl Levenshtein {
    /// The least number of bytes to insert, delete or replace that turns `a` into `b` (Levenshtein,
    /// 1966). O(|a|·|b|) after common ends are cut off.
    pub(super) fn between(&mut self, a: &[u8], b: &[u8]) -> u64 {
        let (a, b) = without_common_ends(a, b);
        if a.is_empty() || b.is_empty() {
            return a.len().max(b.len()) as u64;
        }
        self.row.clear();
        self.row.extend(1..=b.len() as u32);
        let mut distance = 0;
        for (i, byte) in a.iter().enumerate() {
            // `diagonal` is the cell up and left, `distance` the one to the left.
            let mut diagonal = i as u32;
            distance = diagonal + 1;
            for (above, other) in self.row.iter_mut().zip(b) {
                let replaced = diagonal + u32::from(byte != other);
                distance = replaced.min(distance + 1).min(*above + 1);
                diagonal = std::mem::replace(above, distance);
            }
        }
        u64::from(distance)
    }
}

fn without_common_ends<'a>(a: &'a [u8], b: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let ahead = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[ahead..], &b[ahead..]);
    let pairs = a.iter().rev().zip(b.iter().rev());
    let behind = pairs.take_while(|(x, y)| x == y).count();
    (&a[..a.len() - behind], &b[..b.len() - behind])
}
