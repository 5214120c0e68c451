//! Inputs: a valid message with a few bytes changed, or fields made up.

use arbitrary::{Result, Unstructured};

/// Bytes at the edges of ranges.
const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/// An input that begins with one of `seeds`, or with nothing.
pub(crate) fn input(u: &mut Unstructured<'_>, seeds: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut bytes = if u.ratio(1, 4)? {
        fields(u, 3)?
    } else {
        u.choose(seeds)?.clone()
    };
    for _ in 0..u.int_in_range(0..=4)? {
        change(u, &mut bytes)?;
    }
    Ok(bytes)
}

fn byte(u: &mut Unstructured<'_>) -> Result<u8> {
    if u.arbitrary()? {
        return u.arbitrary();
    }
    u.choose(&EDGES).copied()
}

fn bytes(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<u8>> {
    let length = u.int_in_range(0..=most)?;
    (0..length).map(|_| byte(u)).collect()
}

fn change(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    let at = u.int_in_range(0..=bytes.len())?;
    match u.int_in_range(0..=3)? {
        0 if at < bytes.len() => bytes[at] = byte(u)?,
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 => bytes.truncate(at),
        _ => bytes.insert(at, byte(u)?),
    }
    Ok(())
}

/// Fields with small numbers, of any wire type, nested at most `depth` deep.
fn fields(u: &mut Unstructured<'_>, depth: u32) -> Result<Vec<u8>> {
    let mut fields = Vec::new();
    for _ in 0..u.int_in_range(0..=5)? {
        let tag = u.int_in_range(1..=15_u8)? << 3;
        match u.int_in_range(0..=3)? {
            0 => {
                fields.push(tag);
                fields.extend(bytes(u, 9)?.iter().map(|byte| byte | 0x80));
                fields.push(byte(u)? & 0x7f);
            }
            1 => {
                fields.push(tag | 1);
                fields.extend(u.arbitrary::<[u8; 8]>()?);
            }
            2 => {
                fields.push(tag | 5);
                fields.extend(u.arbitrary::<[u8; 4]>()?);
            }
            _ => {
                let is_message = depth > 0 && u.arbitrary()?;
                let mut inner = if is_message {
                    self::fields(u, depth - 1)?
                } else {
                    bytes(u, 40)?
                };
                // The length takes one byte.
                inner.truncate(0x7f);
                fields.extend([tag | 2, inner.len() as u8]);
                fields.extend(inner);
            }
        }
    }
    Ok(fields)
}
