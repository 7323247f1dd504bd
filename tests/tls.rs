//! `listen ... ssl` and its neighbours, beside Debian's nginx where that has the feature.

use std::process::Command;

use harness::tls::{issued, openssl, self_signed, self_signed_with};
use harness::{Address, Beside, Connection, Curl, Port, Process, Request, Scratch, servers, wait_until};

/// `daemun web` on `http`, in which `LISTEN` stands for the address.
fn alone(scratch: &Scratch, http: &str) -> (Process, Port) {
    let port = Port::reserve();
    scratch.write("web.conf", servers::nginx_conf(&http.replace("LISTEN", &port.address().to_string())));
    (servers::daemun_web(scratch, "web.conf", &port.address()), port)
}

const NAMED: &str = "
    server {
        listen LISTEN ssl;
        server_name one.test;
        ssl_certificate one.test.crt;
        ssl_certificate_key one.test.key;
        location / { return 200 \"one $scheme $https $ssl_server_name $ssl_session_reused\"; }
        location /cipher { return 200 \"$ssl_protocol $ssl_cipher $ssl_curve\"; }
        location /files/ { alias SCRATCH/; }
    }
    server {
        listen LISTEN ssl;
        server_name two.test;
        ssl_certificate two.test.crt;
        ssl_certificate_key two.test.key;
        ssl_protocols TLSv1.2;
        location / { return 200 \"two $ssl_protocol\"; }
    }
    server {
        listen LISTEN ssl;
        server_name none.test;
        ssl_reject_handshake on;
    }
";

fn named(scratch: &Scratch) {
    self_signed(scratch, "one.test");
    self_signed_with(scratch, "two.test", &["-newkey", "rsa:2048", "-nodes"]);
    scratch.write("large", pattern(3_000_000));
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 % 251) as u8).collect()
}

#[test]
fn nginx_agrees_on_names_protocols_and_bodies() {
    let servers = Beside::start(NAMED, named);
    for (name, target, expected) in [
        ("one.test", "/", "one https on one.test ."),
        ("three.test", "/", "one https on three.test ."),
        ("none.test", "/", "curl 35"),
    ] {
        let seen = servers.agreed(name, |address| Curl::new(address, name, target).text());
        assert_eq!(seen, expected, "{name}{target}");
    }
    let cipher = servers.agreed("TLS 1.2", |address| Curl::new(address, "one.test", "/cipher").at_most("1.2").text());
    assert_eq!(cipher, "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 X25519");
    let file = servers.agreed("a file", |address| Curl::new(address, "one.test", "/files/large").body());
    assert_eq!(file.as_deref(), Ok(pattern(3_000_000).as_slice()));
}

/// nginx before 1.27 takes the versions of the default server.
#[test]
fn versions_are_those_of_the_server_that_is_asked_for() {
    let scratch = Scratch::new();
    named(&scratch);
    let (_web, port) = alone(&scratch, NAMED);
    assert_eq!(Curl::new(&port.address(), "two.test", "/").text(), "two TLSv1.2");
}

#[test]
fn plain_http_is_told_so() {
    let servers = Beside::start(NAMED, named);
    let status = servers.agreed("plain", |address| Connection::to(address).exchange(Request::get("/").octets()).status);
    assert_eq!(status, 400);
}

/// What `answer` of a connection of openssl's s_client says of its session.
fn reused(address: &Address, version: &str, sessions: &Scratch, file: &str, is_first: bool) -> bool {
    let session = sessions.path(file);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-servername", "one.test", version, "-ign_eof"]);
    command.arg(if is_first { "-sess_out" } else { "-sess_in" }).arg(session);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl is not installed: run scripts/install-peers");
    let request = b"GET / HTTP/1.0\r\nHost: one.test\r\n\r\n";
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), request).expect("openssl reads");
    let output = child.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&output.stdout).contains("one https on one.test r")
}

#[test]
fn sessions_go_on_by_tickets_and_by_the_cache_and_after_a_reload() {
    for setting in ["", "ssl_session_tickets off; ssl_session_cache shared:SSL:1m;"] {
        let scratch = Scratch::new();
        named(&scratch);
        let (web, port) = alone(&scratch, &format!("{setting} {NAMED}"));
        for version in ["-tls1_2", "-tls1_3"] {
            let file = format!("session{version}");
            assert!(!reused(&port.address(), version, &scratch, &file, true), "{setting} {version}");
        }
        assert!(reused(&port.address(), "-tls1_3", &scratch, "session-tls1_3", false), "{setting}");
        web.signal(rustix::process::Signal::HUP);
        wait_until("the new configuration is in force", || scratch.read("error.log").contains("exited with code 0"));
        assert!(reused(&port.address(), "-tls1_2", &scratch, "session-tls1_2", false), "{setting}, after a reload");
    }
}

const CLIENTS: &str = "
    ssl_certificate one.test.crt;
    ssl_certificate_key one.test.key;
    ssl_client_certificate authority.crt;
    server {
        listen LISTEN ssl;
        server_name on.test;
        ssl_verify_client on;
        location / { return 200 \"$ssl_client_verify $ssl_client_s_dn $ssl_client_i_dn_legacy\"; }
    }
    server {
        listen LISTEN ssl;
        server_name optional.test;
        ssl_verify_client optional;
        location / { return 200 \"$ssl_client_verify\"; }
    }
    server {
        listen LISTEN ssl;
        server_name any.test;
        ssl_verify_client optional_no_ca;
        location / { return 200 \"$ssl_client_verify\"; }
    }
    server {
        listen LISTEN ssl;
        server_name revoked.test;
        ssl_verify_client on;
        ssl_crl revoked.pem;
        location / { return 200 \"$ssl_client_verify\"; }
        error_page 495 = /failed;
        location /failed { return 200 \"$ssl_client_verify\"; }
    }
";

fn clients(scratch: &Scratch) {
    self_signed(scratch, "one.test");
    self_signed(scratch, "authority");
    self_signed(scratch, "stranger");
    issued(scratch, "client", "authority", "");
    issued(scratch, "server", "authority", "extendedKeyUsage=serverAuth");
    scratch.write("index.txt", "");
    scratch.write("serial", "01");
    scratch.write("ca.conf", "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\n");
    let by = ["-config", "ca.conf", "-keyfile", "authority.key", "-cert", "authority.crt"];
    openssl(scratch, &[&["ca", "-revoke", "client.crt"][..], &by].concat());
    openssl(scratch, &[&["ca", "-gencrl", "-out", "revoked.pem"][..], &by].concat());
}

#[test]
fn nginx_agrees_on_clients_certificates() {
    let servers = Beside::start(CLIENTS, clients);
    for (name, certificate, expected) in [
        ("on.test", Some("client"), "SUCCESS CN=client /CN=authority"),
        ("on.test", Some("stranger"), "The SSL certificate error"),
        ("on.test", Some("server"), "The SSL certificate error"),
        ("on.test", None, "No required SSL certificate was sent"),
        ("optional.test", Some("client"), "SUCCESS"),
        ("optional.test", None, "NONE"),
        ("optional.test", Some("stranger"), "The SSL certificate error"),
        ("any.test", Some("stranger"), "FAILED:self-signed certificate"),
        ("revoked.test", Some("client"), "FAILED:certificate revoked"),
    ] {
        let what = format!("{name} {certificate:?}");
        let folder = servers.folders().0;
        // Each has its own authority: both are asked with certificates of the first one's.
        let answer = |address: &Address, folder: &Scratch| {
            let request = Curl::new(address, name, "/");
            let text = match certificate {
                Some(certificate) => request.with_certificate(folder, certificate).text(),
                None => request.text(),
            };
            text.lines()
                .find(|line| line.contains("<center>T") || line.contains("<center>N") || !line.contains('<'))
                .map(str::to_owned)
        };
        let (ours, nginx) = (answer(&servers.ours, folder), answer(&servers.nginx, servers.folders().1));
        assert_eq!(ours, nginx, "{what}: ours on the left, nginx's on the right");
        assert!(ours.as_deref().unwrap_or_default().contains(expected), "{what}: {ours:?}");
    }
}

#[test]
fn keys_in_every_form() {
    let scratch = Scratch::new();
    self_signed_with(&scratch, "one.test", &["-newkey", "rsa:2048", "-nodes"]);
    scratch.write("passwords", "wrong\nright\n");
    openssl(&scratch, &["rsa", "-in", "one.test.key", "-traditional", "-out", "traditional.key"]);
    let encrypt = ["-aes256", "-passout", "pass:right"];
    openssl(&scratch, &[&["rsa", "-in", "one.test.key", "-out", "pkcs8.key"][..], &encrypt].concat());
    openssl(&scratch, &[&["rsa", "-in", "one.test.key", "-traditional", "-out", "legacy.key"][..], &encrypt].concat());
    for key in ["one.test.key", "traditional.key", "pkcs8.key", "legacy.key"] {
        let (_web, port) = alone(
            &scratch,
            &format!(
                "ssl_password_file passwords; ssl_certificate one.test.crt; ssl_certificate_key {key};
                 server {{ listen LISTEN ssl; return 200 served; }}"
            ),
        );
        assert_eq!(Curl::new(&port.address(), "one.test", "/").text(), "served", "{key}");
    }
}

#[test]
fn certificates_by_the_name_that_is_asked_for() {
    let scratch = Scratch::new();
    self_signed(&scratch, "one.test");
    self_signed(&scratch, "two.test");
    let (_web, port) = alone(
        &scratch,
        "ssl_certificate $ssl_server_name.crt; ssl_certificate_key $ssl_server_name.key;
         server { listen LISTEN ssl; return 200 $ssl_server_name; }",
    );
    for name in ["one.test", "two.test"] {
        let checked = Curl::new(&port.address(), name, "/").arg("--cacert").arg(scratch.path(&format!("{name}.crt")));
        assert_eq!(checked.text(), name);
    }
    assert_eq!(Curl::new(&port.address(), "three.test", "/").text(), "curl 35");
}

#[test]
fn what_cannot_be_offered_is_said() {
    let scratch = Scratch::new();
    self_signed(&scratch, "one.test");
    let (web, _port) = alone(
        &scratch,
        "ssl_certificate one.test.crt; ssl_certificate_key one.test.key; ssl_protocols TLSv1 TLSv1.2;
         ssl_ciphers AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256; ssl_ecdh_curve secp521r1:X25519;
         server { listen LISTEN ssl; return 200 served; }",
    );
    let said = web.output();
    for text in
        ["TLSv1 is not spoken", "cipher \"AES256-SHA\" cannot be offered", "curve \"secp521r1\" cannot be offered"]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
}

/// A responder of openssl's for what `authority` has issued; its list says what is revoked.
struct StatusResponder(std::process::Child);

impl StatusResponder {
    fn start(scratch: &Scratch, port: &Port) -> Self {
        let number = port.address().port();
        let arguments =
            ["ocsp", "-index", "index.txt", "-port", &number, "-rsigner", "authority.crt", "-rkey", "authority.key"];
        let mut command = Command::new("openssl");
        command.args(arguments).args(["-CA", "authority.crt", "-ndays", "1"]).current_dir(scratch.folder());
        let quiet = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        // Nobody waits for it: it ends with a connection on which nothing is asked, and who needs it asks again.
        Self(quiet.spawn().expect("openssl is not installed: run scripts/install-peers"))
    }
}

impl Drop for StatusResponder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority of openssl's with a list, one certificate in it, and one of them revoked.
fn listed(scratch: &Scratch) {
    self_signed(scratch, "authority");
    scratch.write("index.txt", "");
    scratch.write("serial", "1000");
    let conf = "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n\
                default_days=30\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n";
    scratch.write("ca.conf", conf);
    for name in ["good", "bad"] {
        let (subject, request, key, certificate) =
            (format!("/CN={name}"), format!("{name}.csr"), format!("{name}.key"), format!("{name}.crt"));
        let made = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", &subject];
        openssl(scratch, &[&made[..], &["-out", &request, "-keyout", &key]].concat());
        let by = ["ca", "-batch", "-config", "ca.conf", "-keyfile", "authority.key", "-cert", "authority.crt"];
        openssl(scratch, &[&by[..], &["-in", &request, "-out", &certificate]].concat());
    }
    let revoke =
        ["ca", "-config", "ca.conf", "-keyfile", "authority.key", "-cert", "authority.crt", "-revoke", "bad.crt"];
    openssl(scratch, &revoke);
}

#[test]
fn statuses_are_stapled_and_asked_for() {
    let (scratch, port) = (Scratch::new(), Port::reserve());
    listed(&scratch);
    let _responder = StatusResponder::start(&scratch, &port);
    let url = format!("http://{}/", port.address());
    let (_web, port) = alone(
        &scratch,
        &format!(
            "ssl_certificate good.crt; ssl_certificate_key good.key;
             server {{
                 listen LISTEN ssl;
                 server_name stapled.test;
                 ssl_stapling on;
                 ssl_stapling_verify on;
                 ssl_stapling_responder {url};
                 ssl_trusted_certificate authority.crt;
                 return 200 stapled;
             }}
             server {{
                 listen LISTEN ssl;
                 server_name asked.test;
                 ssl_verify_client on;
                 ssl_client_certificate authority.crt;
                 ssl_ocsp on;
                 ssl_ocsp_responder {url};
                 ssl_ocsp_cache shared:statuses:64k;
                 location / {{ return 200 $ssl_client_verify; }}
                 error_page 495 = /failed;
                 location /failed {{ return 200 $ssl_client_verify; }}
             }}"
        ),
    );
    let address = port.address();
    wait_until("a status is stapled", || {
        let connect =
            ["s_client", "-connect", &address.to_string(), "-servername", "stapled.test", "-status"].map(str::to_owned);
        let run =
            Command::new("openssl").args(connect).stdin(std::process::Stdio::null()).output().expect("openssl runs");
        String::from_utf8_lossy(&run.stdout).contains("Cert Status: good")
    });
    for (certificate, expected) in [("good", "SUCCESS"), ("bad", "FAILED:certificate revoked"), ("good", "SUCCESS")] {
        let seen = Curl::new(&address, "asked.test", "/").with_certificate(&scratch, certificate).text();
        assert_eq!(seen, expected, "{certificate}");
    }
}

#[test]
fn certificates_for_development_are_made_and_graded() {
    let scratch = Scratch::new();
    let folder = scratch.folder().to_owned();
    let run = |arguments: &[&str]| {
        let output = Command::new(harness::programs::daemun())
            .args(arguments)
            .current_dir(&folder)
            .output()
            .expect("daemun runs");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    };
    assert!(run(&["cert", "site.test", "127.0.0.1"]).contains("ssl_certificate site.test.crt;"));
    assert!(run(&["cert", "other.test"]).contains("ssl_certificate_key other.test.key;"));
    let (_web, port) = alone(
        &scratch,
        "ssl_certificate site.test.crt; ssl_certificate_key site.test.key;
         server { listen LISTEN ssl; server_name site.test; return 200 served; }",
    );
    let address = port.address();
    let mut curl = Command::new("curl");
    let url = format!("https://{address}/");
    let believed = curl.args(["--silent", "--cacert", "daemun-authority.crt", &url]).current_dir(&folder).output();
    assert_eq!(believed.expect("curl runs").stdout, b"served");
    let checked = |http: &str| {
        scratch.write("checked.conf", servers::nginx_conf(http));
        run(&["check", "-c", &scratch.text_path("checked.conf")])
    };
    let good = "ssl_certificate site.test.crt; ssl_certificate_key site.test.key;";
    let wrong = checked(&format!("server {{ listen 127.0.0.1:1 ssl; server_name elsewhere.test; {good} }}"));
    assert!(wrong.contains("the certificate is not for \"elsewhere.test\""), "{wrong}");
    assert!(wrong.contains("issuer is missing from the chain"), "{wrong}");
    let right = checked(&format!("server {{ listen 127.0.0.1:1 ssl; server_name site.test; {good} }}"));
    assert!(!right.contains("not for"), "{right}");
}

#[test]
fn certificates_are_read_anew_when_their_files_change() {
    let scratch = Scratch::new();
    self_signed(&scratch, "one.test");
    let first = scratch.read("one.test.crt");
    let (_web, port) = alone(
        &scratch,
        "ssl_certificate one.test.crt; ssl_certificate_key one.test.key; server { listen LISTEN ssl; return 200 served; }",
    );
    scratch.write("first.pem", &first);
    let believed = |file: &str| {
        let certificate = scratch.path(file);
        let mut curl = Command::new("curl");
        let port = port.address().port();
        curl.args(["--silent", "--connect-to", &format!("one.test:{port}:127.0.0.1:{port}"), "--cacert"])
            .arg(certificate);
        curl.arg(format!("https://one.test:{port}/")).output().expect("curl runs").stdout == b"served"
    };
    assert!(believed("first.pem"));
    // What else is in the configuration by now is not for this.
    scratch.write("web.conf", "nonsense;");
    self_signed(&scratch, "one.test");
    wait_until("the new certificate is shown", || believed("one.test.crt"));
    assert!(!believed("first.pem"));
}

/// By the protocols of gateways, too, a client's certificate is asked for, and nobody is served in the clear.
#[test]
fn gateways_clients_are_judged_as_well() {
    let scratch = Scratch::new();
    clients(&scratch);
    let (_web, port) = alone(
        &scratch,
        "ssl_certificate one.test.crt; ssl_certificate_key one.test.key; ssl_client_certificate authority.crt;
         server { listen LISTEN ssl scgi; ssl_verify_client on; return 200 served; }",
    );
    let variables = b"CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0REQUEST_URI\0/\0PATH_INFO\0/\0SERVER_PROTOCOL\0HTTP/1.1\0";
    let request = [format!("{}:", variables.len()).as_bytes(), variables, b","].concat();
    let mut plain = Connection::to(&port.address());
    plain.send(&request);
    let answered = String::from_utf8_lossy(&plain.rest()).into_owned();
    assert!(answered.contains("400") && !answered.contains("served"), "{answered}");
    for (certificate, expected) in [(None, "No required SSL certificate"), (Some("client"), "served")] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &port.address().to_string()]).current_dir(scratch.folder());
        if let Some(name) = certificate {
            command.args(["-cert", &format!("{name}.crt"), "-key", &format!("{name}.key")]);
        }
        let piped = std::process::Stdio::piped;
        let child =
            command.stdin(piped()).stdout(piped()).stderr(std::process::Stdio::null()).spawn().expect("openssl runs");
        std::io::Write::write_all(&mut child.stdin.as_ref().expect("piped"), &request).expect("openssl reads");
        let seen = child.wait_with_output().expect("openssl ends").stdout;
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.contains(expected), "{certificate:?}: {seen}");
    }
}
