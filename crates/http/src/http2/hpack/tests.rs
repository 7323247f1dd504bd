use super::*;
use crate::{HeaderId, StatusCode};

const LIMITS: BlockLimits = BlockLimits { text_bytes: 8_192, total_bytes: 32_768 };

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, LIMITS, |name, value| {
        fields.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    })?;
    Ok(fields)
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits")).collect()
}

/// RFC 7541, C.4: three requests of one connection, Huffman coded.
#[test]
fn the_requests_of_the_rfc() {
    let mut decoder = Decoder::default();
    let first = decoded(&mut decoder, &octets("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"));
    let base = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
    assert_eq!(first.expect("a block"), base);
    let second = decoded(&mut decoder, &octets("8286 84be 5886 a8eb 1064 9cbf"));
    assert_eq!(second.expect("a block"), [&base[..], &["cache-control: no-cache"]].concat());
    let third = decoded(&mut decoder, &octets("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"));
    let expected = [
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ];
    assert_eq!(third.expect("a block"), expected);
}

/// RFC 7541, C.6: with a table of 256 octets, which the third answer overflows.
#[test]
fn entries_are_evicted() {
    let mut decoder = Decoder::default();
    let first = "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
    assert_eq!(decoded(&mut decoder, &octets(first)).expect("a block")[3], "location: https://www.example.com");
    assert_eq!(decoded(&mut decoder, &octets("4883 640e ffc1 c0bf")).expect("a block")[0], ":status: 307");
    let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
    let third = decoded(&mut decoder, &octets(third)).expect("a block");
    assert_eq!(third[2], "date: Mon, 21 Oct 2013 20:13:22 GMT");
    assert_eq!(third[5], "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
}

#[test]
fn what_is_written_can_be_read() {
    let long = "x".repeat(300);
    let mut block = Vec::new();
    write_size_update(&mut block);
    write_status(StatusCode::NOT_FOUND, &mut block);
    write_status(StatusCode::new(418).expect("a status"), &mut block);
    write_known_field(HeaderId::ContentType, b"text/html", &mut block);
    write_field(HeaderId::Other, b"X-Long", long.as_bytes(), &mut block);
    write_field(HeaderId::Other, b"X-Odd", &[0xff, b'\r', b'\n', 0x7f], &mut block);
    write_field(HeaderId::Other, b"X:", b"left out", &mut block);
    let fields = decoded(&mut Decoder::default(), &block).expect("a block");
    assert_eq!(fields[..3], [":status: 404", ":status: 418", "content-type: text/html"]);
    assert_eq!(fields[3], format!("x-long: {long}"));
    assert_eq!(fields[4], "x-odd: \u{fffd}  \u{7f}");
    assert_eq!(fields.len(), 5);
}

#[test]
fn every_octet_survives_the_code() {
    let all: Vec<u8> = (0..=255).collect();
    for text in all.windows(3).chain([&all[..]]) {
        let (mut coded, mut back) = (Vec::new(), Vec::new());
        huffman::encode(text, &mut coded);
        assert_eq!(coded.len(), huffman::coded_length(text));
        huffman::decode(&coded, &mut back).expect("just encoded");
        assert_eq!(back, text);
    }
}

#[test]
fn wrong_blocks_are_told_apart() {
    for (block, error) in [
        ("ff", HpackError::CutInteger),
        ("42ff", HpackError::CutInteger),
        ("ffffffff", HpackError::Integer),
        ("40", HpackError::CutField),
        ("000561", HpackError::CutField),
        ("80", HpackError::Index(0)),
        ("be", HpackError::Index(62)),
        ("0000", HpackError::NoName),
        ("3fe21f", HpackError::TableSize(4097)),
        ("8220", HpackError::TableSize(0)),
        ("0081ff0161", HpackError::NoName),
        ("0082ffff0161", HpackError::Huffman),
        ("0084ffffffff0161", HpackError::Huffman),
        ("007fc23f", HpackError::FieldTooLarge),
    ] {
        assert_eq!(decoded(&mut Decoder::default(), &octets(block)), Err(error), "{block}");
    }
}

#[test]
fn a_small_block_cannot_become_a_large_one() {
    let mut decoder = Decoder::default();
    let mut block = octets("4001617fa11e");
    block.extend_from_slice(&[b'v'; 4_000]);
    block.extend_from_slice(&[0xbe; 100]);
    assert_eq!(decoded(&mut decoder, &block), Err(HpackError::TooLarge));
}

#[test]
fn a_block_is_judged_while_it_arrives() {
    let mut scan = BlockScan::default();
    let block = octets("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff 42 ffff ff");
    for end in 0..block.len() {
        scan.look(&block[..end], LIMITS).expect("not wrong yet");
    }
    assert_eq!(scan.look(&[&block[..], &[0xff]].concat(), LIMITS), Err(HpackError::Integer));
}
