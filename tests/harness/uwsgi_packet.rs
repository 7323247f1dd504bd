//! The uwsgi protocol as a client of it writes it, octet by octet, independent of daemun's own codec.

/// A request packet: modifiers 0, the variables, then `body`.
pub fn packet(variables: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in variables {
        for text in [name, value] {
            block.extend_from_slice(&u16::try_from(text.len()).expect("a short text").to_le_bytes());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let size = u16::try_from(block.len()).expect("a small block").to_le_bytes();
    let mut packet = vec![0, size[0], size[1], 0];
    packet.extend_from_slice(&block);
    packet.extend_from_slice(body);
    packet
}

/// The variables of a GET as a web server sends them.
pub fn get_variables<'a>(path: &'a str, query: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("QUERY_STRING", query),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("REQUEST_URI", path),
        ("PATH_INFO", path),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_SCHEME", "http"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "4711"),
        ("SERVER_PORT", "80"),
        ("SERVER_NAME", "example.test"),
        ("HTTP_HOST", "example.test"),
    ]
}
