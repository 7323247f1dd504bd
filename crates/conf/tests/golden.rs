//! Golden tests: configuration text above a line, the tree and the rendered messages below it.
//!
//! `INSTA_UPDATE=always cargo test -p daemun-conf` writes the files in `snapshots/` anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use daemun_conf::{Loader, Node, Parsed, Parser, parse, parse_text};

/// Files in memory. A text `!CODE` stands for a file that the system refuses with this error number.
struct Files(BTreeMap<PathBuf, String>);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    }
}

impl Loader for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or_else(|| io::Error::from_raw_os_error(2))?;
        match text.strip_prefix('!').and_then(|code| code.parse().ok()) {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(text.clone().into_bytes()),
        }
    }

    /// Knows one `*` in a pattern.
    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.display().to_string();
        if pattern.starts_with("/secret") {
            return Err(io::Error::from_raw_os_error(13));
        }
        let (before, behind) = pattern.split_once('*').expect("a pattern with a star");
        let is_match = |path: &&PathBuf| {
            let path = path.display().to_string();
            path.starts_with(before) && path.ends_with(behind)
        };
        Ok(self.0.keys().filter(is_match).cloned().collect())
    }
}

fn print_tree(nodes: &[Node], depth: usize, out: &mut String) {
    for node in nodes {
        let _ = write!(out, "{:width$}{}", "", node.name.text, width = depth * 2);
        for word in &node.args {
            let _ = write!(out, " {}{:?}", if word.quoted { "quoted " } else { "" }, word.text);
        }
        out.push_str(if node.block.is_some() { " {}\n" } else { "\n" });
        print_tree(node.children(), depth + 1, out);
    }
}

fn result(parsed: &Parsed) -> String {
    let mut out = String::new();
    print_tree(&parsed.tree, 0, &mut out);
    if !parsed.diagnostics.is_empty() {
        let _ = write!(out, "\n{}", parsed.render());
    }
    out
}

fn check(name: &str, input: &str, parsed: &Parsed) {
    let content = format!("{}\n--------\n{}", input.trim_end(), result(parsed));
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, content);
    });
}

fn check_text(name: &str, text: &str) {
    check(name, text, &parse_text("nginx.conf", text));
}

fn check_files(name: &str, files: &[(&str, &str)]) {
    let mut input = String::new();
    for (path, text) in files {
        let _ = writeln!(input, "==> {path}\n{text}");
    }
    check(name, &input, &parse(&Files::new(files), Path::new("/etc/nginx/nginx.conf"), Path::new("/etc/nginx")));
}

#[test]
fn words() {
    check_text(
        "words",
        r##"# a comment; { }
user  www-data	www-data ;	error_log "a b" 'c d' e"f'g# h\ i;
log_format main '$remote_addr "$request"'
                "it's";   # behind a directive
escapes "\t|\r|\n|\"|\'|\\|\d|\$" \"x a\;b \#c \{;
set $a ${b}c{ }
rewrite "^/(\d{2})$" /${1}x$2;
map $a $b{default "";~^x} y;}
if ($a = "b") { return 204; }
'quoted' "" ;
empty { }
한글 "값 하나" # 주석
;
"##,
    );
}

#[test]
fn brace_in_bare_word() {
    check_text("brace_in_bare_word", "server {\n  rewrite ^/(\\d{2})$ /x;\n}\n");
}

#[test]
fn unexpected_tokens() {
    check_text(
        "unexpected_tokens",
        r##"; a b;; {
  c d;
}
e "f"g "h"#;
i { j k }
} l m;
"##,
    );
}

#[test]
fn missing_semicolons() {
    check_text(
        "missing_semicolons",
        "http {\n\tserver {\n\t\tlisten 80\n\t}\n\tserver {\n\t\troot '/srv'}\n}\nuser nobody\n",
    );
}

#[test]
fn missing_brace() {
    check_text("missing_brace", "http {\n  server {\n    location / { }\n}\n");
}

#[test]
fn file_ends_in_directive_in_block() {
    check_text("file_ends_in_directive_in_block", "http {\n  server {\n    listen");
}

#[test]
fn unclosed_quote() {
    check_text("unclosed_quote", "http {\n  add_header X \"never closed;\n  root /srv;\n}\nuser 'x\n");
}

#[test]
fn quote_closed_by_the_next() {
    check_text("quote_closed_by_the_next", "add_header X \"never closed;\nadd_header Y \"value\";\nroot /srv;\n");
}

#[test]
fn too_long_parameters() {
    let long = "x".repeat(5000);
    let text = format!("a b {long} c;\nd '{long}\n';\ne f;\n");
    let parsed = parse_text("nginx.conf", &text);
    let messages: Vec<&str> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "too long parameter \"xxxxxxxxxx...\" started",
            "too long parameter, probably missing terminating \"'\" character",
            "unexpected end of file, expecting \";\" or \"}\"",
        ]
    );
    let longest = format!("a {};", "x".repeat(4095));
    assert!(!parse_text("nginx.conf", &longest).has_errors());
    let no_files = Files::new(&[]);
    let mut parser = Parser::new(&no_files, Path::new("/"));
    let tree = parser.parse_command_line(&format!("a {long};"));
    assert!(!parser.finish(tree).has_errors(), "-g has no limit on a word");
}

#[test]
fn invalid_utf8() {
    struct Latin;
    impl Loader for Latin {
        fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
            Ok(b"# caf\xe9 in a comment is fine\nroot /caf\xe9;\nuser x;\n".to_vec())
        }
        fn glob(&self, _pattern: &Path) -> io::Result<Vec<PathBuf>> {
            Ok(Vec::new())
        }
    }
    check("invalid_utf8", "root /caf\\xe9;", &parse(&Latin, Path::new("nginx.conf"), Path::new("")));
}

#[test]
fn byte_order_mark() {
    check_text("byte_order_mark_in_text", "\u{feff}user x;");
    check_files("byte_order_mark", &[("/etc/nginx/nginx.conf", "\u{feff}user x;")]);
}

#[test]
fn control_characters_and_wide_letters() {
    check_text("control_characters_and_wide_letters", "서버 { 이름 \u{1b}[31m }\n");
}

#[test]
fn deep_blocks() {
    let text = format!("{}{}", "a {".repeat(5000), "}".repeat(5000));
    let parsed = parse_text("nginx.conf", &text);
    let messages: Vec<&str> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(messages, ["more than 64 blocks in one another"]);
}

#[test]
fn includes() {
    check_files(
        "includes",
        &[
            ("/etc/nginx/nginx.conf", "include conf.d/*.conf;\nhttp { include /srv/mime; 'include' none/*; }\n"),
            ("/etc/nginx/conf.d/a.conf", "a 1;"),
            ("/etc/nginx/conf.d/b.conf", "b 2; include c.inc;"),
            ("/etc/nginx/c.inc", "c 3;"),
            ("/srv/mime", "types { text/html html; }"),
        ],
    );
}

#[test]
fn include_errors() {
    check_files(
        "include_errors",
        &[
            (
                "/etc/nginx/nginx.conf",
                "include missing.conf;\ninclude;\ninclude a b;\ninclude a { }\ninclude secret.conf;\n\
                 http {\n  include folder;\n  include /secret/*;\n  include odd.conf;\n  include\n  root /x;\n}\n",
            ),
            ("/etc/nginx/secret.conf", "!13"),
            ("/etc/nginx/folder", "!21"),
            ("/etc/nginx/odd.conf", "server { listen 80; } }\nroot"),
        ],
    );
}

#[test]
fn include_cycles() {
    check_files(
        "include_cycles",
        &[
            ("/etc/nginx/nginx.conf", "include a.conf; include nginx.conf;"),
            ("/etc/nginx/a.conf", "x 1; include b.conf;"),
            ("/etc/nginx/b.conf", "y 2;\ninclude *.conf;\nz 3;"),
        ],
    );
}

#[test]
fn include_depth_and_number() {
    /// Every file includes the next twice: two to the power of the depth, but for the limits.
    struct Bomb;
    impl Loader for Bomb {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let number: u32 = path.display().to_string().trim_start_matches('/').parse().expect("a number");
            Ok(format!("include /{0}; include /{0};", number + 1).into_bytes())
        }
        fn glob(&self, _pattern: &Path) -> io::Result<Vec<PathBuf>> {
            Ok(Vec::new())
        }
    }
    let parsed = parse(&Bomb, Path::new("/0"), Path::new("/"));
    let messages: Vec<&str> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert!(messages.contains(&"more than 32 files include one another"));
    assert_eq!(messages.iter().filter(|message| message.ends_with("files are included")).count(), 1);
}

#[test]
fn missing_main_file() {
    check_files("missing_main_file", &[]);
}

#[test]
fn command_line() {
    let files = Files::new(&[("/etc/nginx/x", "from file;"), ("/etc/nginx/nginx.conf", "user x }")]);
    let mut parser = Parser::new(&files, Path::new("/etc/nginx"));
    let text = "daemon off; include x; events { } pid '/run/x'y; error_log stderr";
    let mut tree = parser.parse_command_line(text);
    tree.extend(parser.parse_file(Path::new("/etc/nginx/nginx.conf")));
    check("command_line", &format!("-g \"{text}\""), &parser.finish(tree));
}

#[test]
fn tutorial() {
    let files = Files::new(&[
        ("/etc/nginx/nginx.conf", include_str!("tutorial/nginx.conf")),
        ("/etc/nginx/sites-enabled/server_dev", include_str!("tutorial/sites-enabled/server_dev")),
        ("/etc/nginx/mime.types", "types {\n    text/html html htm shtml;\n}\n"),
        ("/etc/nginx/uwsgi_params", "uwsgi_param QUERY_STRING $query_string;\n"),
    ]);
    let parsed = parse(&files, Path::new("/etc/nginx/nginx.conf"), Path::new("/etc/nginx"));
    assert!(!parsed.has_errors(), "{}", parsed.render());
    check("tutorial", include_str!("tutorial/nginx.conf"), &parsed);
    let names: Vec<&str> = parsed.sources.iter().map(daemun_conf::Source::name).collect();
    assert_eq!(names.len(), 4, "-T prints each file once: {names:?}");
}
