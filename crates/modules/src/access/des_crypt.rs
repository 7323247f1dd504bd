//! The oldest form of crypt(3): 25 times DES, with a salt of 12 bits that disturbs one of its tables.
//!
//! Nobody should keep passwords so any more: only eight characters of them count. User files still do.
//!
//! # Source
//!
//! FIPS 46-3 for the tables; crypt(3) for the rest. Bits are kept one to an octet: a look at a password is rare, and this way
//! the tables are those of the standard.

/// What crypt(3) makes of `password` with the first two characters of `setting`; `None` where those are no salt.
pub(super) fn des_crypt(password: &[u8], setting: &[u8]) -> Option<[u8; 13]> {
    let (Some(&first), Some(&second)) = (setting.first(), setting.get(1)) else { return None };
    let keys = schedule(password);
    let expansion = salted_expansion([value_of(first)?, value_of(second)?]);
    let mut block = [0_u8; 66];
    for _ in 0..25 {
        encrypt(&mut block, &keys, &expansion);
    }
    let mut text = [0_u8; 13];
    (text[0], text[1]) = (first, second);
    for (place, six) in text[2..].iter_mut().zip(block.chunks_exact(6)) {
        let value = six.iter().fold(0, |value, bit| value << 1 | usize::from(*bit));
        *place = ALPHABET[value];
    }
    Some(text)
}

/// Six bits that a character of a salt or a digest stands for.
fn value_of(character: u8) -> Option<u8> {
    ALPHABET.iter().position(|known| *known == character).map(|at| at as u8)
}

/// The sixteen round keys of a password: seven bits of each of its first eight characters.
fn schedule(password: &[u8]) -> [[u8; 48]; 16] {
    let mut key = [0_u8; 64];
    for (bits, character) in key.chunks_exact_mut(8).zip(password.iter().take_while(|octet| **octet != 0)) {
        for (place, bit) in bits.iter_mut().take(7).enumerate() {
            *bit = character >> (6 - place) & 1;
        }
    }
    let mut halves = permute(&key, &KEY_PERMUTATION);
    let mut keys = [[0; 48]; 16];
    for (round, shift) in keys.iter_mut().zip(KEY_SHIFTS) {
        let (left, right) = halves.split_at_mut(28);
        left.rotate_left(shift);
        right.rotate_left(shift);
        *round = permute(&halves, &KEY_CHOICE);
    }
    keys
}

/// The table E, in which each bit of the salt that is set exchanges two places.
fn salted_expansion(salt: [u8; 2]) -> [u8; 48] {
    let mut expansion = EXPANSION;
    for (number, value) in salt.into_iter().enumerate() {
        for bit in (0..6).filter(|bit| value >> bit & 1 == 1) {
            expansion.swap(6 * number + bit, 6 * number + bit + 24);
        }
    }
    expansion
}

/// One DES of the first 64 bits of `block`.
fn encrypt(block: &mut [u8; 66], keys: &[[u8; 48]; 16], expansion: &[u8; 48]) {
    let permuted: [u8; 64] = permute(block.as_slice(), &INITIAL_PERMUTATION);
    let (mut left, mut right) = ([0_u8; 32], [0_u8; 32]);
    left.copy_from_slice(&permuted[..32]);
    right.copy_from_slice(&permuted[32..]);
    for key in keys {
        let mut mixed: [u8; 48] = permute(&right, expansion);
        mixed.iter_mut().zip(key).for_each(|(bit, key)| *bit ^= key);
        let mut substituted = [0_u8; 32];
        for ((six, four), table) in mixed.chunks_exact(6).zip(substituted.chunks_exact_mut(4)).zip(&SUBSTITUTIONS) {
            let row = six[0] << 1 | six[5];
            let column = six[1] << 3 | six[2] << 2 | six[3] << 1 | six[4];
            let value = table[usize::from(row) * 16 + usize::from(column)];
            four.iter_mut().enumerate().for_each(|(place, bit)| *bit = value >> (3 - place) & 1);
        }
        let mut next: [u8; 32] = permute(&substituted, &ROUND_PERMUTATION);
        next.iter_mut().zip(left).for_each(|(bit, left)| *bit ^= left);
        left = right;
        right = next;
    }
    // The halves of the last round are not exchanged.
    let mut joined = [0_u8; 64];
    joined[..32].copy_from_slice(&right);
    joined[32..].copy_from_slice(&left);
    block[..64].copy_from_slice(&inverse_of_initial(&joined));
}

/// The bits that `table` names, counted from 1.
fn permute<const N: usize>(bits: &[u8], table: &[u8; N]) -> [u8; N] {
    std::array::from_fn(|at| bits[usize::from(table[at]) - 1])
}

fn inverse_of_initial(bits: &[u8; 64]) -> [u8; 64] {
    let mut out = [0; 64];
    for (bit, place) in bits.iter().zip(INITIAL_PERMUTATION) {
        out[usize::from(place) - 1] = *bit;
    }
    out
}

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[rustfmt::skip]
const INITIAL_PERMUTATION: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4,
    62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
    57, 49, 41, 33, 25, 17,  9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
    61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];

#[rustfmt::skip]
const EXPANSION: [u8; 48] = [
    32,  1,  2,  3,  4,  5,  4,  5,  6,  7,  8,  9,  8,  9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
    16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32,  1,
];

#[rustfmt::skip]
const ROUND_PERMUTATION: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
    2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
];

#[rustfmt::skip]
const KEY_PERMUTATION: [u8; 56] = [
    57, 49, 41, 33, 25, 17,  9,  1, 58, 50, 42, 34, 26, 18, 10,  2, 59, 51, 43, 35, 27, 19, 11,  3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15,  7, 62, 54, 46, 38, 30, 22, 14,  6, 61, 53, 45, 37, 29, 21, 13,  5, 28, 20, 12,  4,
];

#[rustfmt::skip]
const KEY_CHOICE: [u8; 48] = [
    14, 17, 11, 24,  1,  5,  3, 28, 15,  6, 21, 10, 23, 19, 12,  4, 26,  8, 16,  7, 27, 20, 13,  2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

const KEY_SHIFTS: [usize; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

#[rustfmt::skip]
const SUBSTITUTIONS: [[u8; 64]; 8] = [
    [
        14,  4, 13,  1,  2, 15, 11,  8,  3, 10,  6, 12,  5,  9,  0,  7,
         0, 15,  7,  4, 14,  2, 13,  1, 10,  6, 12, 11,  9,  5,  3,  8,
         4,  1, 14,  8, 13,  6,  2, 11, 15, 12,  9,  7,  3, 10,  5,  0,
        15, 12,  8,  2,  4,  9,  1,  7,  5, 11,  3, 14, 10,  0,  6, 13,
    ],
    [
        15,  1,  8, 14,  6, 11,  3,  4,  9,  7,  2, 13, 12,  0,  5, 10,
         3, 13,  4,  7, 15,  2,  8, 14, 12,  0,  1, 10,  6,  9, 11,  5,
         0, 14,  7, 11, 10,  4, 13,  1,  5,  8, 12,  6,  9,  3,  2, 15,
        13,  8, 10,  1,  3, 15,  4,  2, 11,  6,  7, 12,  0,  5, 14,  9,
    ],
    [
        10,  0,  9, 14,  6,  3, 15,  5,  1, 13, 12,  7, 11,  4,  2,  8,
        13,  7,  0,  9,  3,  4,  6, 10,  2,  8,  5, 14, 12, 11, 15,  1,
        13,  6,  4,  9,  8, 15,  3,  0, 11,  1,  2, 12,  5, 10, 14,  7,
         1, 10, 13,  0,  6,  9,  8,  7,  4, 15, 14,  3, 11,  5,  2, 12,
    ],
    [
         7, 13, 14,  3,  0,  6,  9, 10,  1,  2,  8,  5, 11, 12,  4, 15,
        13,  8, 11,  5,  6, 15,  0,  3,  4,  7,  2, 12,  1, 10, 14,  9,
        10,  6,  9,  0, 12, 11,  7, 13, 15,  1,  3, 14,  5,  2,  8,  4,
         3, 15,  0,  6, 10,  1, 13,  8,  9,  4,  5, 11, 12,  7,  2, 14,
    ],
    [
         2, 12,  4,  1,  7, 10, 11,  6,  8,  5,  3, 15, 13,  0, 14,  9,
        14, 11,  2, 12,  4,  7, 13,  1,  5,  0, 15, 10,  3,  9,  8,  6,
         4,  2,  1, 11, 10, 13,  7,  8, 15,  9, 12,  5,  6,  3,  0, 14,
        11,  8, 12,  7,  1, 14,  2, 13,  6, 15,  0,  9, 10,  4,  5,  3,
    ],
    [
        12,  1, 10, 15,  9,  2,  6,  8,  0, 13,  3,  4, 14,  7,  5, 11,
        10, 15,  4,  2,  7, 12,  9,  5,  6,  1, 13, 14,  0, 11,  3,  8,
         9, 14, 15,  5,  2,  8, 12,  3,  7,  0,  4, 10,  1, 13, 11,  6,
         4,  3,  2, 12,  9,  5, 15, 10, 11, 14,  1,  7,  6,  0,  8, 13,
    ],
    [
         4, 11,  2, 14, 15,  0,  8, 13,  3, 12,  9,  7,  5, 10,  6,  1,
        13,  0, 11,  7,  4,  9,  1, 10, 14,  3,  5, 12,  2, 15,  8,  6,
         1,  4, 11, 13, 12,  3,  7, 14, 10, 15,  6,  8,  0,  5,  9,  2,
         6, 11, 13,  8,  1,  4, 10,  7,  9,  5,  0, 15, 14,  2,  3, 12,
    ],
    [
        13,  2,  8,  4,  6, 15, 11,  1, 10,  9,  3, 14,  5,  0, 12,  7,
         1, 15, 13,  8, 10,  3,  7,  4, 12,  5,  6, 11,  0, 14,  9,  2,
         7, 11,  4,  1,  9, 12, 14,  2,  0,  6, 10, 13, 15,  3,  5,  8,
         2,  1, 14,  7,  4, 10,  8, 13, 15, 12,  9,  0,  3,  5,  6, 11,
    ],
];

#[cfg(test)]
mod tests {
    use super::des_crypt;

    #[test]
    fn passwords_become_what_crypt_makes_of_them() {
        for (password, expected) in [
            (&b"password"[..], "sa3tHJ3/KuYvI"),
            (b"passwordand more", "sa3tHJ3/KuYvI"),
            (b"", "abmF1QH4PEr.E"),
            (b"a", "./xT2u5QYaHcU"),
            (b"Zz9longerthaneight", "zZc3B.stRS3IU"),
            (b"\x7f~", "9Qp67I0kLSSEc"),
        ] {
            let text = des_crypt(password, expected.as_bytes()).expect("a salt");
            assert_eq!(std::str::from_utf8(&text), Ok(expected));
        }
        assert_eq!(des_crypt(b"password", b"$1"), None);
        assert_eq!(des_crypt(b"password", b"a"), None);
    }
}
