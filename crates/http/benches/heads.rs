//! Time per head, beside httparse's, which only finds the pieces: `cargo bench -p daemun-http`.

use std::hint::black_box;
use std::time::Instant;

use daemun_http::{HEAD_END, HeadLimits, HeaderId, RequestHead, ResponseHead, StatusCode, Version, date, target};

const SMALL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const BROWSER: &[u8] = b"GET /shop/articles/4711?color=red&size=xl HTTP/1.1\r\n\
Host: www.example.org\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.example.org/shop/\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7\r\n\
Cookie: csrftoken=6c5f0e6bd4a34b8f9d7f3a1e2b4c6d8e; sessionid=0f1e2d3c4b5a69788796a5b4c3d2e1f0\r\n\r\n";

/// Rounds of a measurement; the best of 200 is told.
const ROUNDS: u32 = 5_000;

fn main() {
    for (name, input) in [("small", SMALL), ("browser", BROWSER)] {
        let mut head = RequestHead::new();
        let limits = HeadLimits::default();
        measure(&format!("{name}: RequestHead::parse"), || {
            black_box(head.parse(black_box(input), &limits)).expect("a right head");
        });
        measure(&format!("{name}: httparse alone"), || {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            black_box(request.parse(black_box(input))).expect("a right head");
        });
    }
    measure("HeaderId::of, six names", || {
        for name in ["Host", "user-agent", "Accept-Encoding", "sec-fetch-mode", "X-Unknown-Name", "Cookie"] {
            black_box(HeaderId::of(black_box(name.as_bytes())));
        }
    });
    let mut path = Vec::new();
    for raw in ["/shop/articles/4711", "/shop/%C3%A4pfel/../birnen/"] {
        measure(&format!("target::normalize {raw}"), || {
            path.clear();
            target::normalize(black_box(raw.as_bytes()), true, &mut path).expect("a right path");
        });
    }
    let mut out = Vec::new();
    let mut response = ResponseHead::new(StatusCode::OK);
    measure("ResponseHead of seven fields, filled and written", || {
        response.clear();
        response.headers.append_known(HeaderId::Server, b"daemun");
        response.headers.append_known(HeaderId::Date, b"Sat, 21 Nov 2026 01:31:50 GMT");
        response.headers.append_known(HeaderId::ContentType, b"text/html; charset=utf-8");
        response.headers.append_known(HeaderId::ContentLength, b"1024");
        response.headers.append_known(HeaderId::LastModified, b"Sat, 21 Nov 2026 01:31:50 GMT");
        response.headers.append_known(HeaderId::Connection, b"keep-alive");
        response.headers.append_known(HeaderId::ETag, b"\"67a1b2c3-400\"");
        out.clear();
        response.write(Version::Http11, &mut out);
        out.extend_from_slice(HEAD_END);
        black_box(&out);
    });
    measure("date::format_http_date", || {
        black_box(date::format_http_date(black_box(1_795_224_710)));
    });
}

fn measure(name: &str, mut run: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            run();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    println!("{best:8.1} ns  {name}");
}
