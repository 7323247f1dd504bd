//! Every limit of what is read from a socket here, in one place.

/// Octets of a PROXY protocol header of version 1, its line end included: the longest that the protocol allows.
pub const PROXY_LINE_BYTES_MAX: usize = 107;

/// Octets of a PROXY protocol header of version 2, its TLVs included, as nginx has it.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

const _: () = assert!(PROXY_LINE_BYTES_MAX <= PROXY_HEADER_BYTES_MAX);
