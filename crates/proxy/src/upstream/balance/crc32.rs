//! CRC-32 as zlib and nginx compute it: polynomial 0x04c11db7, reflected.

/// A checksum that is being computed.
#[derive(Clone, Copy, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    /// Of nothing.
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    /// With `octets` behind what it had.
    #[must_use]
    pub fn with(self, octets: &[u8]) -> Self {
        let step = |sum: u32, octet: &u8| TABLE[((sum ^ u32::from(*octet)) & 0xff) as usize] ^ (sum >> 8);
        Self(octets.iter().fold(self.0, step))
    }

    /// The checksum.
    #[must_use]
    pub const fn sum(self) -> u32 {
        !self.0
    }
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let mut sum = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[octet] = sum;
        octet += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::Crc32;

    #[test]
    fn the_check_value_of_the_algorithm() {
        assert_eq!(Crc32::new().with(b"123456789").sum(), 0xcbf4_3926);
        assert_eq!(Crc32::new().with(b"1234").with(b"56789").sum(), 0xcbf4_3926);
    }
}
