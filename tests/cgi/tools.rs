//! Programs that people run by CGI: git's own server, gitweb.

use std::fs;
use std::path::Path;

use harness::{Ended, Launch, Request, Scratch, Web};

fn git(scratch: &Scratch, folder: &Path, arguments: &[&str]) -> Ended {
    let launch = Launch::new(scratch, "git", "git").working_folder(folder).args(arguments);
    let launch = launch.env("HOME", scratch.folder()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    let launch = launch.env("GIT_AUTHOR_NAME", "a").env("GIT_AUTHOR_EMAIL", "a@example.test");
    launch.env("GIT_COMMITTER_NAME", "a").env("GIT_COMMITTER_EMAIL", "a@example.test").run()
}

#[track_caller]
fn must(ended: Ended) -> String {
    assert!(ended.status.success(), "{}", ended.output);
    ended.output
}

/// A bare repository `repositories/site.git` with one commit.
fn repository(scratch: &Scratch) {
    let folder = scratch.make_folder("repositories");
    must(git(scratch, &folder, &["init", "--bare", "--initial-branch=main", "site.git"]));
    fs::write(folder.join("site.git/description"), "a description of the site\n").expect("a file");
    let work = scratch.make_folder("work");
    must(git(scratch, &work, &["init", "--initial-branch=main"]));
    fs::write(
        work.join("large.bin"),
        (0..2_000_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect::<Vec<_>>(),
    )
    .expect("a file");
    must(git(scratch, &work, &["add", "."]));
    must(git(scratch, &work, &["commit", "-m", "the first commit"]));
    must(git(scratch, &work, &["push", "../repositories/site.git", "main"]));
}

#[test]
fn a_repository_is_cloned_and_pushed_to() {
    let scratch = Scratch::new();
    repository(&scratch);
    scratch.write("users", "writer:{PLAIN}secret\n");
    let locations = "client_max_body_size 100m;
        location /git/ {
            auth_basic git;
            auth_basic_user_file SCRATCH/users;
            cgi_pass /usr/lib/git-core/git-http-backend;
            cgi_param GIT_PROJECT_ROOT SCRATCH/repositories;
            cgi_param GIT_HTTP_EXPORT_ALL 1;
            cgi_param HOME SCRATCH;
        }";
    let web = Web::start(&scratch, locations);
    let folder = scratch.folder();
    let url = format!("http://writer:secret@{}/git/site.git", web.address);
    let without = format!("http://{}/git/site.git", web.address);
    assert!(!git(&scratch, folder, &["clone", &without, "nothing"]).status.success(), "a password is needed");
    must(git(&scratch, folder, &["clone", &url, "clone"]));
    let clone = scratch.path("clone");
    assert_eq!(
        fs::read(clone.join("large.bin")).expect("cloned"),
        fs::read(scratch.path("work/large.bin")).expect("ours")
    );

    // Larger than what is kept in memory, so that it comes by a file.
    fs::write(
        clone.join("more.bin"),
        (0..3_000_000_u32).map(|at| (at.wrapping_mul(at) >> 9) as u8).collect::<Vec<_>>(),
    )
    .expect("a file");
    must(git(&scratch, &clone, &["add", "."]));
    must(git(&scratch, &clone, &["commit", "-m", "a commit by HTTP"]));
    must(git(&scratch, &clone, &["-c", "http.postBuffer=10000", "push"]));
    let log = must(git(&scratch, &scratch.path("repositories/site.git"), &["log", "--format=%s"]));
    assert_eq!(log, "a commit by HTTP\nthe first commit\n");
    assert_eq!(
        Request::get("/git/absent.git/info/refs?service=git-upload-pack")
            .header("Authorization", "Basic d3JpdGVyOnNlY3JldA==")
            .send(&web.address)
            .status,
        404
    );
}

#[test]
fn gitweb_shows_it() {
    let scratch = Scratch::new();
    repository(&scratch);
    scratch.write("gitweb.conf", "$projectroot = 'SCRATCH/repositories';\n");
    let locations = "location /gitweb/ {
            cgi_pass /usr/lib/cgi-bin/gitweb.cgi;
            cgi_param GITWEB_CONFIG SCRATCH/gitweb.conf;
            cgi_param HOME SCRATCH;
        }
        location /gitweb/static/ { alias /usr/share/gitweb/static/; }";
    let web = Web::start(&scratch, locations);
    let list = Request::get("/gitweb/").send(&web.address);
    assert_eq!(list.status, 200, "{}", scratch.read("error.log"));
    assert!(list.text().contains("a description of the site"), "{}", list.text());
    let summary = Request::get("/gitweb/?p=site.git;a=log").send(&web.address);
    assert!(summary.text().contains("the first commit"), "{}", summary.text());
    assert_eq!(Request::get("/gitweb/static/gitweb.css").send(&web.address).header("content-type"), Some("text/plain"));
    assert_eq!(Request::get("/gitweb/?p=absent.git").send(&web.address).status, 404);
}
