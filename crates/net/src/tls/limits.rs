//! Every limit of TLS, in one place.

/// Octets in the clear that are encrypted at once: what is encrypted is held until the socket has it.
pub const OCTETS_ENCRYPTED: usize = 64 * 1024;

/// Octets of a file that are read at once to be encrypted.
pub const FILE_OCTETS_READ: usize = OCTETS_ENCRYPTED;

/// Octets of a record's header, which rustls counts into a fragment.
pub const RECORD_HEADER_OCTETS: usize = 5;

/// Fragments that rustls takes, in octets with their header.
pub const FRAGMENT_OCTETS: std::ops::RangeInclusive<usize> = 32..=16_384 + RECORD_HEADER_OCTETS;

/// Rounds of the function that makes a key of a password: more would stop the program for seconds.
pub const KEY_DERIVATION_ROUNDS_MAX: u32 = 10_000_000;

/// Octets of a client's hello: several times what the largest post-quantum keys need.
pub const HELLO_OCTETS_MAX: usize = 64 * 1024;

/// Certificates between a peer's and a root, whatever the configuration says.
pub const CHAIN_CERTIFICATES_MAX: usize = 32;

/// Sessions with servers that a location keeps.
pub const SESSIONS_OF_SERVERS_MAX: usize = 256;
