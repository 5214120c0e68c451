//! Tokens that may come next, whatever the model thinks.

/// Tokens that may come next. The default allows all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed<'a> {
    /// A bit for each id, bit `id % 32` of word `id / 32`, set where the token may come; `None`: all may. Ids past its end may not.
    pub set: Option<&'a [u32]>,
    /// Tokens that may not come in any case, unless nothing else may.
    pub banned: &'a [u32],
}

impl Allowed<'_> {
    pub(super) fn is_everything(self) -> bool {
        self.set.is_none() && self.banned.is_empty()
    }

    /// Makes the logits of other tokens minus infinity. If only banned tokens are left, they stay.
    pub(super) fn apply(self, logits: &mut [f32]) {
        if let Some(set) = self.set {
            let mut words = set.iter();
            for block in logits.chunks_mut(32) {
                let word = words.next().copied().unwrap_or(0);
                if word == u32::MAX {
                    continue;
                }
                for (bit, logit) in block.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
        let is_banned = |id: usize| self.banned.contains(&(id as u32));
        let mut others = logits.iter().enumerate();
        let has_others = others.any(|(id, logit)| *logit > f32::NEG_INFINITY && !is_banned(id));
        if !has_others {
            return;
        }
        for &id in self.banned {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn possible(set: Option<&[u32]>, banned: &[u32]) -> Vec<usize> {
        let mut logits = vec![0.0; 40];
        Allowed { set, banned }.apply(&mut logits);
        let all = logits.iter().enumerate();
        all.filter(|(_, logit)| **logit == 0.0)
            .map(|(id, _)| id)
            .collect()
    }

    #[test]
    fn only_tokens_of_the_set_are_possible_and_banned_ones_are_not() {
        assert_eq!(possible(Some(&[0b1010, 0b10]), &[]), [1, 3, 33]);
        assert_eq!(possible(Some(&[0b1010]), &[3, 99]), [1]);
        assert_eq!(possible(None, &[0]).len(), 39);
    }

    #[test]
    fn banned_tokens_stay_where_nothing_else_is_possible() {
        assert_eq!(possible(Some(&[0b1000]), &[3]), [3]);
    }
}
