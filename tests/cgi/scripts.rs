//! Which file is a program, and which never is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Request, Scratch, Web, servers};

use super::{script, site};

const NAMES: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho \"$SCRIPT_NAME|$PATH_INFO\"\n";

fn get(web: &Web, path: &str) -> (u16, String) {
    let response = Request::get(path).send(&web.address);
    (response.status, response.text().trim_end().to_owned())
}

#[test]
fn the_path_is_split_where_the_file_is() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/a.cgi", NAMES);
    script(&scratch, "cgi/deep/er/b", NAMES);
    script(&scratch, "cgi/deep/index.cgi", NAMES);
    let web = site(&scratch, "cgi_index none index.cgi;");
    assert_eq!(get(&web, "/cgi/a.cgi"), (200, "/cgi/a.cgi|".to_owned()));
    assert_eq!(get(&web, "/cgi/a.cgi/"), (200, "/cgi/a.cgi|/".to_owned()));
    assert_eq!(get(&web, "/cgi/a.cgi/x/y.cgi"), (200, "/cgi/a.cgi|/x/y.cgi".to_owned()));
    assert_eq!(get(&web, "/cgi/deep/er/b/x"), (200, "/cgi/deep/er/b|/x".to_owned()));
    assert_eq!(get(&web, "/cgi/deep/"), (200, "/cgi/deep/index.cgi|".to_owned()));
    assert_eq!(get(&web, "/cgi/x/../a.cgi/%2e%2e/deep/er/b").1, "/cgi/deep/er/b|");
    assert_eq!(get(&web, "/cgi/absent").0, 404);
    assert_eq!(get(&web, "/cgi/deep/er/absent/b").0, 404);
    assert_eq!(get(&web, "/cgi/deep/er/").0, 403);
    let redirect = Request::get("/cgi/deep?x=1").send(&web.address);
    assert_eq!(redirect.status, 301);
    assert!(redirect.header("location").is_some_and(|to| to.ends_with("/cgi/deep/?x=1")));
}

#[test]
fn an_alias_and_a_fixed_program_are_split_too() {
    let scratch = Scratch::new();
    script(&scratch, "elsewhere/a", NAMES);
    let locations = "location /cgi/ { alias SCRATCH/root/elsewhere/; cgi_pass on; }
        location /tool/ { cgi_pass SCRATCH/root/elsewhere/a; }
        location = /exact { cgi_pass SCRATCH/root/elsewhere/a; }
        location ~ ^/re/ { cgi_pass SCRATCH/root/elsewhere/$arg_name; cgi_split_path_info ^(/re/[^/]*)(.*)$; }
        location /off/ { root SCRATCH/root; cgi_pass off; }";
    let web = Web::start(&scratch, locations);
    assert_eq!(get(&web, "/cgi/a/x").1, "/cgi/a|/x");
    assert_eq!(get(&web, "/tool/x/y").1, "/tool|/x/y");
    assert_eq!(get(&web, "/exact").1, "/exact|");
    assert_eq!(get(&web, "/re/one/two?name=a").1, "/re/one|/two");
    assert_eq!(get(&web, "/re/one/two?name=absent").0, 404);
    assert_eq!(get(&web, "/off/x").0, 404);
}

#[test]
fn files_are_never_run_by_accident_nor_programs_shown() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/a.cgi", NAMES);
    script(&scratch, "cgi/a.txt", NAMES);
    scratch.write("root/cgi/plain.cgi", NAMES);
    script(&scratch, "files/a.cgi", NAMES);
    fs::set_permissions(scratch.path("root/cgi/plain.cgi"), fs::Permissions::from_mode(0o644)).expect("ours");
    let web = site(&scratch, "cgi_extension .cgi .pl;");
    assert_eq!(get(&web, "/cgi/a.cgi").0, 200);
    assert_eq!(get(&web, "/cgi/a.txt").0, 403, "the ending is not named");
    assert_eq!(get(&web, "/cgi/plain.cgi").0, 403, "not executable");
    assert!(scratch.read("error.log").contains("it is not executable"));
    let shown = Request::get("/files/a.cgi").send(&web.address);
    assert_eq!((shown.status, shown.text().as_str()), (200, NAMES), "elsewhere an executable file is a file");
}

#[test]
fn an_interpreter_runs_what_is_not_executable() {
    let scratch = Scratch::new();
    let path = scratch.write("root/cgi/a.sh", &NAMES["#!/bin/sh\n".len()..]);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("ours");
    let web = site(&scratch, "cgi_interpreter .sh /bin/sh -e;");
    assert_eq!(get(&web, "/cgi/a.sh/x"), (200, "/cgi/a.sh|/x".to_owned()));
}

/// No shell sees the query, and no program gets words of it as its arguments, as old servers passed them.
#[test]
fn a_query_is_no_command_line() {
    let scratch = Scratch::new();
    script(&scratch, "cgi/args", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho \"$# $QUERY_STRING\"\n");
    let web = site(&scratch, "");
    assert_eq!(get(&web, "/cgi/args?-s+;id+$(id)").1, "0 -s+;id+$(id)");
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    for (directives, message) in [
        ("cgi_pass on; cgi_pass off;", "\"cgi_pass\" directive is duplicate"),
        ("cgi_param HTTP_PROXY x;", "HTTP_PROXY tells programs"),
        ("cgi_param A b c;", "invalid parameter \"c\""),
        ("cgi_interpreter .pl perl;", "an interpreter needs its whole path"),
        ("cgi_max_processes 0;", "must be equal to or greater than 1"),
        ("cgi_split_path_info (;", "invalid regular expression"),
    ] {
        let scratch = Scratch::new();
        let http = format!("server {{ listen 127.0.0.1:1; location / {{ {directives} }} }}");
        scratch.write("web.conf", servers::nginx_conf(&http));
        let ended = servers::web(&scratch, "web.conf").arg("-t").run();
        assert!(!ended.status.success() && ended.output.contains(message), "{directives}: {}", ended.output);
    }
}
