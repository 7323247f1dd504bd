//! The code of RFC 7541, Appendix B. It is canonical: the lengths say everything.

use super::HpackError;

/// Appends the text that `coded` stands for.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    out.reserve(coded.len() * 8 / 5);
    let mut state = 0;
    let mut flags = MAY_END;
    for octet in coded {
        for nibble in [octet >> 4, octet & 0xf] {
            let step = STEPS[usize::from(state)][usize::from(nibble)];
            flags = step.flags;
            if flags & FAILS != 0 {
                return Err(HpackError::Huffman);
            }
            if flags & EMITS != 0 {
                out.push(step.symbol);
            }
            state = step.next;
        }
    }
    if flags & MAY_END == 0 { Err(HpackError::Huffman) } else { Ok(()) }
}

/// Octets that `text` takes in the code.
pub(super) fn coded_length(text: &[u8]) -> usize {
    text.iter().map(|octet| usize::from(LENGTHS[usize::from(*octet)])).sum::<usize>().div_ceil(8)
}

/// Appends `text` in the code, the last octet filled up with ones.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0_u64, 0_u32);
    for octet in text {
        let length = u32::from(LENGTHS[usize::from(*octet)]);
        bits = bits << length | u64::from(CODES[usize::from(*octet)]);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | 0xff >> count);
    }
}

/// One step of the decoder: what half an octet does to a state.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    flags: u8,
    symbol: u8,
}

/// A symbol is complete.
const EMITS: u8 = 1;
/// What follows the last symbol may be padding: ones, and fewer than nine. RFC 7541 §5.2 says eight; nginx takes an octet of them,
/// and there are clients that send one where none is needed.
const MAY_END: u8 = 2;
/// No text has these bits.
const FAILS: u8 = 4;

const EOS: usize = 256;

/// Length of each symbol's code in bits; the last is the end of a text, which must not come.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

/// The codes, right-aligned.
static CODES: [u32; 257] = codes();

/// What each half octet does in each inner node of the code's tree.
static STEPS: [[Step; 16]; 256] = steps();

const fn codes() -> [u32; 257] {
    let mut codes = [0; 257];
    let (mut code, mut length) = (0_u32, 1_u8);
    while length <= 30 {
        code <<= 1;
        let mut symbol = 0;
        while symbol < codes.len() {
            if LENGTHS[symbol] == length {
                codes[symbol] = code;
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
}

/// A place in the tree: an inner node, or a symbol plus [`LEAF`].
const LEAF: u16 = 0x200;

const fn tree() -> [[u16; 2]; 256] {
    let codes = codes();
    let mut nodes = [[0_u16; 2]; 256]; // 0 is the root, to which no branch leads: a branch that is still to grow.
    let mut used = 1_u16;
    let mut symbol = 0;
    while symbol < codes.len() {
        let (mut at, mut bit) = (0_usize, LENGTHS[symbol]);
        while bit > 1 {
            bit -= 1;
            let side = (codes[symbol] >> bit & 1) as usize;
            if nodes[at][side] == 0 {
                nodes[at][side] = used;
                used += 1;
            }
            at = nodes[at][side] as usize;
        }
        nodes[at][(codes[symbol] & 1) as usize] = LEAF + symbol as u16;
        symbol += 1;
    }
    nodes
}

const fn steps() -> [[Step; 16]; 256] {
    let tree = tree();
    // Nodes that fewer than nine ones lead to.
    let mut may_end = [false; 256];
    let (mut at, mut depth) = (0_usize, 0);
    while depth < 9 {
        may_end[at] = true;
        at = tree[at][1] as usize;
        depth += 1;
    }
    let mut steps = [[Step { next: 0, flags: 0, symbol: 0 }; 16]; 256];
    let mut node = 0;
    while node < 256 {
        let mut nibble = 0;
        while nibble < 16 {
            steps[node][nibble] = step(&tree, node, nibble, &may_end);
            nibble += 1;
        }
        node += 1;
    }
    steps
}

const fn step(tree: &[[u16; 2]; 256], node: usize, nibble: usize, may_end: &[bool; 256]) -> Step {
    let mut step = Step { next: 0, flags: 0, symbol: 0 };
    let (mut at, mut bit) = (node, 4);
    while bit > 0 {
        bit -= 1;
        let to = tree[at][nibble >> bit & 1];
        if to >= LEAF {
            let symbol = (to - LEAF) as usize;
            if symbol == EOS {
                step.flags = FAILS;
                return step;
            }
            step.flags |= EMITS;
            step.symbol = symbol as u8;
            at = 0;
        } else {
            at = to as usize;
        }
    }
    step.next = at as u8;
    if may_end[at] {
        step.flags |= MAY_END;
    }
    step
}
