//! Inputs by number: a valid message with a few bytes changed, or fields made up.

/// The input of this number, reproducible.
pub(crate) fn generated(number: u64, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let seed = &seeds[dice.below(seeds.len())];
    let mut bytes = if dice.below(4) == 0 {
        made_up(&mut dice, 3)
    } else {
        seed.clone()
    };
    for _ in 0..dice.below(5) {
        change(&mut bytes, &mut dice);
    }
    bytes
}

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 8) as usize % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        // What sits at the edges of ranges comes oftener.
        const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
        let byte = (self.next() >> 16) as u8;
        if byte & 1 == 0 {
            byte
        } else {
            EDGES[self.below(EDGES.len())]
        }
    }
}

fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(4) {
        0 if at < bytes.len() => bytes[at] = dice.byte(),
        1 if at < bytes.len() => {
            bytes.remove(at);
        }
        2 => bytes.truncate(at),
        _ => bytes.insert(at, dice.byte()),
    }
}

/// Fields with small numbers, of any wire type, nested so deep at most.
fn made_up(dice: &mut Dice, depth: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..dice.below(6) {
        let field = (1 + dice.below(15)) as u8;
        match dice.below(4) {
            0 => {
                bytes.push(field << 3);
                bytes.extend((0..dice.below(10)).map(|_| dice.byte() | 0x80));
                bytes.push(dice.byte() & 0x7f);
            }
            1 => {
                bytes.push(field << 3 | 1);
                bytes.extend((0..8).map(|_| dice.byte()));
            }
            2 => {
                bytes.push(field << 3 | 5);
                bytes.extend((0..4).map(|_| dice.byte()));
            }
            _ => {
                let inner = if depth > 0 && dice.below(2) == 0 {
                    made_up(dice, depth - 1)
                } else {
                    (0..dice.below(40)).map(|_| dice.byte()).collect()
                };
                if let Ok(length) = u8::try_from(inner.len())
                    && length < 0x80
                {
                    bytes.extend([field << 3 | 2, length]);
                    bytes.extend(inner);
                }
            }
        }
    }
    bytes
}
