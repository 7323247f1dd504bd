//! PHP pages: a session, an upload, complaints, the configuration that Debian ships.

use std::fs;

use harness::{Port, Process, Request, Scratch, Web, php_fpm, servers, wait_until};

const PAGE: &str = r#"<?php
session_start();
$_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
header('Content-Type: text/plain');
header('X-Own: ' . $_SERVER['REQUEST_METHOD']);
echo "visit {$_SESSION['count']}\n";
foreach ($_FILES as $file) {
    echo "{$file['name']} {$file['size']} ", hash_file('crc32b', $file['tmp_name']), "\n";
}
echo "{$_SERVER['SCRIPT_NAME']}|", $_SERVER['PATH_INFO'] ?? '', "|{$_SERVER['QUERY_STRING']}|", $_POST['field'] ?? '', "\n";
"#;

const LOCATION: &str = "root SCRATCH/root; client_max_body_size 20m;
    location / {
        fastcgi_pass unix:SCRATCH/php.sock;
        fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
        fastcgi_index index.php;
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param PATH_INFO $fastcgi_path_info;
    }";

/// PHP-FPM and daemun in front of it; `directives` stand in the server.
fn site(scratch: &Scratch, directives: &str) -> (Process, Web) {
    scratch.write("root/index.php", PAGE);
    let php = php_fpm::start(scratch, "");
    let web = Web::start(scratch, &format!("{directives} {LOCATION}"));
    (php, web)
}

fn multipart(content: &[u8]) -> Request {
    let mut body = b"--cut\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\na value\r\n--cut\r\n".to_vec();
    body.extend_from_slice(b"Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n");
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--cut--\r\n");
    Request::post("/index.php", "multipart/form-data; boundary=cut", body)
}

fn checksum(content: &[u8]) -> String {
    let mut checksum = flate2::Crc::new();
    checksum.update(content);
    format!("{:08x}", checksum.sum())
}

#[test]
fn a_session_is_kept() {
    let scratch = Scratch::new();
    let (_php, web) = site(&scratch, "");
    let first = Request::get("/").send(&web.address);
    assert_eq!((first.status, first.header("x-own")), (200, Some("GET")));
    assert!(first.text().starts_with("visit 1\n/index.php||"), "{}", first.text());
    let cookie =
        first.header("set-cookie").expect("a session has a cookie").split(';').next().expect("a pair").to_owned();
    let second = Request::get("/index.php/more/of%20it?a=b").header("Cookie", &cookie).send(&web.address);
    assert_eq!(second.text(), "visit 2\n/index.php|/more/of it|a=b|\n");
    assert!(Request::get("/absent.php").send(&web.address).text().contains("File not found."));
}

#[test]
fn uploads_arrive_whole_buffered_and_as_they_come() {
    for directives in ["", "fastcgi_request_buffering off;", "fastcgi_keep_conn on; fastcgi_buffering off;"] {
        let scratch = Scratch::new();
        let (_php, web) = site(&scratch, directives);
        for size in [0_u32, 1, 10_000, 65_535, 70_000, 3_000_000] {
            let content: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(at) >> 5) as u8).collect();
            let response = multipart(&content).send(&web.address);
            let expected = format!("a.bin {size} {}\n/index.php|||a value\n", checksum(&content));
            assert!(response.text().ends_with(&expected), "{directives}: {}", response.text());
        }
    }
}

#[test]
fn complaints_are_in_the_log() {
    let scratch = Scratch::new();
    scratch.write("root/complain.php", "<?php error_log('a reason to complain'); echo 'a page';");
    let (_php, web) = site(&scratch, "");
    assert_eq!(Request::get("/complain.php").send(&web.address).text(), "a page");
    wait_until("the complaint is in the log", || {
        let log = scratch.read("error.log");
        log.contains("FastCGI sent in stderr: \"PHP message: a reason to complain\"") && log.contains("fastcgi://unix:")
    });
}

/// What Debian's own snippet does: `try_files` and `set` by the names of FastCGI.
#[test]
fn debians_snippet_works_as_it_is() {
    let scratch = Scratch::new();
    for name in ["fastcgi.conf", "fastcgi_params", "snippets/fastcgi-php.conf"] {
        scratch.write(name, fs::read(format!("/etc/nginx/{name}")).expect("Debian's nginx is installed"));
    }
    scratch.write("root/index.php", PAGE);
    scratch.write("root/style.css", "a {}");
    let _php = php_fpm::start(&scratch, "");
    let server = "root SCRATCH/root; index index.php;
        location / { try_files $uri $uri/ =404; }
        location ~ \\.php { include snippets/fastcgi-php.conf; fastcgi_pass unix:SCRATCH/php.sock; }";
    let mut answers = Vec::new();
    for start in [servers::daemun_web, servers::nginx] {
        let port = Port::reserve();
        let http = format!("server {{ listen {}; {server} }}", port.address());
        scratch.write("web.conf", servers::nginx_conf(&http));
        let _web = start(&scratch, "web.conf", &port.address());
        let get = |path: &str| {
            let response = Request::get(path).send(&port.address());
            (
                response.status,
                response.header("x-own").map(str::to_owned),
                response.text().replace("nginx/1.22.1", "").replace("daemun/0.1.0", ""),
            )
        };
        let paths = ["/", "/index.php?x", "/index.php/info", "/absent.php", "/absent.php/info", "/style.css"];
        answers.push(paths.map(|path| (path, get(path))));
    }
    let [ours, theirs] = answers.as_slice() else { panic!("two") };
    assert_eq!(ours, theirs);
    assert_eq!(ours[2].1.2, "visit 1\n/index.php|/info||\n");
}

#[test]
fn a_php_that_is_not_there_is_a_502() {
    let scratch = Scratch::new();
    let web = Web::start(&scratch, LOCATION);
    assert_eq!(Request::get("/").send(&web.address).status, 502);
    let log = scratch.read("error.log");
    assert!(log.contains("connect() to unix:") && log.contains("while connecting to upstream"), "{log}");
}
