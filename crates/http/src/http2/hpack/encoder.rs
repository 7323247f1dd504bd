//! Fields to header blocks. Nothing is remembered from one block to the next: what the peer allows its table to hold does not matter.

use super::table::{self, AUTHORITY, METHOD, PATH, SCHEME, STATUS};
use super::{huffman, write_integer};
use crate::octets::is_writable_name;
use crate::{HeaderId, StatusCode};

/// Appends `:status`.
pub fn write_status(status: StatusCode, out: &mut Vec<u8>) {
    let status = status.on_the_wire().as_u16();
    let known = [200, 204, 206, 304, 400, 404, 500].iter().position(|known| *known == status);
    match known {
        Some(place) => write_integer(STATUS + place, 7, 0x80, out),
        None => {
            write_integer(STATUS, 4, 0, out);
            write_text(status.to_string().as_bytes(), out);
        }
    }
}

/// Appends `:method`, `:scheme` and `:authority` of a request.
pub fn write_request_pseudo(method: &[u8], is_https: bool, authority: &[u8], out: &mut Vec<u8>) {
    match method {
        b"GET" => write_integer(METHOD, 7, 0x80, out),
        b"POST" => write_integer(METHOD + 1, 7, 0x80, out),
        method => write_indexed_name(METHOD, method, out),
    }
    write_integer(SCHEME + usize::from(is_https), 7, 0x80, out);
    if !authority.is_empty() {
        write_indexed_name(AUTHORITY, authority, out);
    }
}

/// Appends `:path`.
pub fn write_path(path: &[u8], out: &mut Vec<u8>) {
    match path {
        b"/" => write_integer(PATH, 7, 0x80, out),
        path => write_indexed_name(PATH, path, out),
    }
}

/// Appends a field, its name in lower case. Names that no field can have are left out, as in [`crate::write_header`].
pub fn write_field(id: HeaderId, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if let Some(index) = table::static_index(id) {
        write_indexed_name(index, value, out);
        return;
    }
    if !is_writable_name(name) {
        return;
    }
    out.push(0);
    if name.iter().any(u8::is_ascii_uppercase) {
        write_text(&name.to_ascii_lowercase(), out);
    } else {
        write_text(name, out);
    }
    write_value(value, out);
}

/// Appends a field with a known name.
pub fn write_known_field(id: HeaderId, value: &[u8], out: &mut Vec<u8>) {
    write_field(id, id.name().as_bytes(), value, out);
}

/// Appends the answer to a peer that changes the size of its table: that nothing of it is used.
pub fn write_size_update(out: &mut Vec<u8>) {
    write_integer(0, 5, 0x20, out);
}

fn write_indexed_name(index: usize, value: &[u8], out: &mut Vec<u8>) {
    write_integer(index, 4, 0, out);
    write_value(value, out);
}

/// What would end a line in HTTP/1 becomes a space.
fn write_value(value: &[u8], out: &mut Vec<u8>) {
    if value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        let replaced = |octet: &u8| if matches!(octet, b'\r' | b'\n' | 0) { b' ' } else { *octet };
        write_text(&value.iter().map(replaced).collect::<Vec<_>>(), out);
    } else {
        write_text(value, out);
    }
}

/// Coded where that is shorter.
fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let coded = huffman::coded_length(text);
    if coded < text.len() {
        write_integer(coded, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        write_integer(text.len(), 7, 0, out);
        out.extend_from_slice(text);
    }
}
