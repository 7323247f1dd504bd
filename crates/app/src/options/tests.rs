//! What uWSGI's files and command lines come to, and every message about them.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemun_conf::Loader;

use crate::options::{
    Application, Argument, Command, Known, LogTarget, OPTIONS, Owner, PoolOptions, Protocol, Reading, SocketAddress,
    Surroundings, known, known_names, read_arguments, read_file,
};

struct Files(BTreeMap<PathBuf, String>);

impl Loader for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or_else(|| io::Error::from_raw_os_error(2))?;
        Ok(text.clone().into_bytes())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let folder = pattern.parent().expect("a folder");
        Ok(self.0.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }
}

fn surroundings() -> Surroundings {
    let environment = [("HOME", "/home/reader"), ("EMPTY", "")];
    Surroundings {
        working_directory: "/srv".into(),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        host_name: "gate".to_owned(),
        processors: 4,
        user: Owner { id: 33, name: "www-data".to_owned() },
        group: Owner { id: 33, name: "www-data".to_owned() },
        now: Duration::from_millis(1_700_000_000_250),
        program: "/usr/bin/daemun".into(),
        is_reload: false,
    }
}

fn read_with(files: &[(&str, &str)], arguments: &[&str]) -> Reading {
    let files = Files(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect());
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    read_arguments(&files, &surroundings(), &arguments)
}

fn read_ini(text: &str) -> Reading {
    let files = Files([(PathBuf::from("/etc/uwsgi/sites/blog.ini"), text.to_owned())].into());
    read_file(&files, &surroundings(), "/etc/uwsgi/sites/blog.ini")
}

/// The pool, when there is nothing to say about it.
fn quiet(reading: Reading) -> PoolOptions {
    assert_eq!(reading.render(), "");
    reading.pool
}

fn check(name: &str, text: &str, reading: &Reading) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, format!("{}\n--------\n{}", text.trim_end(), reading.render()));
    });
}

#[test]
fn the_tutorials_file() {
    let text = "\
; What a reader of a Korean tutorial has in /etc/uwsgi/sites/server_dev.ini: comments behind values and all.
; BASE stands for the folder of the Django project server_dev.
[uwsgi]
base = BASE
home = %(base)/venv
chdir = %(base) #project folder
module = server_dev.wsgi:application #project path

socket = /tmp/django.sock
chmod-socket = 666 #mode of the socket file
master = true
enable-threads = true
pidfile = /tmp/django.pid
vacuum = true
logger = file:/tmp/uwsgi.log
";
    let reading = read_ini(text);
    assert!(!reading.has_errors());
    check("tutorial", text, &reading);
    let pool = reading.pool;
    let span = pool.sockets[0].span;
    assert_eq!((span.line, span.column, span.length), (9, 10, 16));
    let application = Application::Module { name: "server_dev.wsgi".into(), callable: "application".into() };
    assert_eq!(pool.application(), Some(application));
    assert_eq!(pool.virtualenv, Some("BASE/venv".into()));
    assert_eq!(pool.chdir, Some("BASE".into()));
    assert_eq!(pool.sockets[0].address, SocketAddress::Unix("/tmp/django.sock".into()));
    assert_eq!(pool.sockets[0].protocol, None);
    assert_eq!(pool.chmod_socket, Some(0o666));
    assert!(pool.master && pool.enable_threads && pool.vacuum);
    assert_eq!(pool.pidfile, Some("/tmp/django.pid".into()));
    assert_eq!(pool.loggers, [LogTarget::File("/tmp/uwsgi.log".into())]);
}

#[test]
fn values_of_every_kind() {
    let pool = quiet(read_ini(
        "[other]\nprocesses = 99\n[uwsgi]\n# comment\n  ; comment\nworkers=4\nthreads = 2\nmaster\nlazy-apps = 1\n\
         venv = /v\nwsgi-file = app.py\ncallable = app\npp = /a\npythonpath = /b\nenv = A=1\nenv = B=x=y\nchmod-socket\n\
         socket = :3031\nuwsgi-socket = 127.0.0.1:3032\nhttp = *:8000\nhttp-socket = [::1]:8001\nharakiri = 30\n\
         need-app = yes\ndie-on-term = on\nvacuum = off\nuid = 33\ngid = www-data\nlisten = 1024\nlogto = /l\n\
         daemonize = /l\nprocname-prefix = x-\nbuffer-size = 65535\numask = 022\npyargv = a  b\nimport = m\n\
         plugins = python3,http\nlogger = name file:/l\nprotocol = http\n",
    ));
    assert_eq!(pool.processes, NonZeroU32::new(4).expect("not 0"));
    assert_eq!(pool.threads, NonZeroU32::new(2).expect("not 0"));
    assert!(pool.master && pool.lazy_apps && pool.need_app && pool.die_on_term && !pool.vacuum);
    assert_eq!(pool.application(), Some(Application::File { path: "app.py".into(), callable: "app".into() }));
    assert_eq!(pool.pythonpath, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(pool.env, [("A".into(), "1".into()), ("B".into(), "x=y".into())]);
    assert_eq!(pool.chmod_socket, Some(0o666));
    let sockets: Vec<String> = pool.sockets.iter().map(|socket| socket.address.to_string()).collect();
    assert_eq!(sockets, [":3031", "127.0.0.1:3032", ":8000", "[::1]:8001"]);
    let protocols: Vec<Option<Protocol>> = pool.sockets.iter().map(|socket| socket.protocol).collect();
    assert_eq!(protocols, [None, Some(Protocol::Uwsgi), Some(Protocol::Http), Some(Protocol::Http)]);
    assert_eq!(pool.protocol, Protocol::Http);
    assert_eq!(pool.sockets[2].address.tcp(), Some(([0, 0, 0, 0], 8000).into()));
    assert_eq!(pool.harakiri, Some(Duration::from_secs(30)));
    assert_eq!((pool.uid.as_deref(), pool.gid.as_deref()), (Some("33"), Some("www-data")));
    assert_eq!((pool.listen, pool.buffer_size, pool.umask), (1024, Some(65535), Some(0o022)));
    assert_eq!((pool.logto, pool.daemonize), (Some("/l".into()), Some("/l".into())));
    assert_eq!((pool.argv, pool.import), (vec!["a".into(), "b".into()], vec!["m".into()]));
    assert_eq!(pool.loggers, [LogTarget::File("/l".into())]);
    assert_eq!(pool.procname_prefix.as_deref(), Some("x-"));
}

/// What is accepted and does nothing here, or less than it says, is told.
#[test]
fn nothing_is_taken_in_silence() {
    for (text, message) in [
        ("need-app = false\nenable-threads = false", "\"enable-threads\" has no effect"),
        ("master = false", "\"master\" has no effect"),
        ("die-on-term = false", "\"die-on-term\" has no effect"),
        ("logger = stdio\nlogger = file:/x", "a second logger is not supported"),
        ("logto = /l\nlogger = file:/x", "both logger \"file:/x\" and logto \"/l\": the log goes to the logger"),
        ("daemonize = /l\nlogger = file:/x", "both logger \"file:/x\" and daemonize \"/l\""),
    ] {
        let reading = read_ini(&format!("[uwsgi]\n{text}\n"));
        assert!(!reading.has_errors() && reading.render().contains(message), "{text}: {}", reading.render());
    }
    assert!(PoolOptions::default().need_app && !read_ini("[uwsgi]\nneed-app = no\n").pool.need_app);
}

#[test]
fn placeholders_and_letters() {
    let pool = quiet(read_ini(
        "[uwsgi]\nname = blog\nchdir = %(root)/%(name)\nroot = $(HOME)/sites\nhome = %d%n-%e/%c/%1\n\
         socket = /run/%(name)-%(%(name)-x)%%.sock\nblog-x = 7\nprocesses = %(%k * 2 + 1)\n\
         env = A=$(MISSING:-none)$(EMPTY-set)$(EMPTY:-empty)\nenv = FORMAT=%(message)s\npidfile = %p.%U\n\
         logto = @(/etc/uwsgi/sites/nothing)\n"
            .replace("logto = @(/etc/uwsgi/sites/nothing)\n", "")
            .replace("%(%(name)-x)", "%(blog-x)")
            .as_str(),
    ));
    assert_eq!(pool.chdir, Some("/home/reader/sites/blog".into()));
    assert_eq!(pool.virtualenv, Some("/etc/uwsgi/sites/blog-ini/sites/uwsgi".into()));
    assert_eq!(pool.sockets[0].address.to_string(), "/run/blog-7%.sock");
    assert_eq!(pool.processes.get(), 9);
    assert_eq!(pool.env[0].1, "noneempty".to_owned());
    assert_eq!(pool.env[1].1, "%(message)s");
    assert_eq!(pool.pidfile, Some("/etc/uwsgi/sites/blog.ini.www-data".into()));
}

#[test]
fn mistakes() {
    let text = "\
processes = 1
[uwsgi]
process = 4
thread = 2
vaccum = true
chmod_socket = 666
base = /unused
processes = many
threads = 0
workers = 3x
harakiri = -1
master = maybe
chmod-socket = rw-rw-rw-
socket = /a b:c
socket = localhost:99999
socket = ::1:80
http = :8000,:9000
env = NOTHING
module
listen
chdir = %(bsae)/x
home = %z/venv
uid = $(NOBODY)
loop1 = %(loop2)
loop2 = %(loop1)
logto = %(loop1)
pidfile = @(/no/such)
touch-exec = /x y
static-map = /static=/srv
thunder-lock = true
single-interpreter = true
log-format = %(addr) - %(user) ; # not a comment
yaml = other.yml
plugins = psgi
logger = syslog
vacuum = false # comment ; more
vacuum = true
this is nothing
cheaper-rss-limit-soft = 1
lazy = false
name ; comment with = sign
";
    check("mistakes", text, &read_ini(text));
}

#[test]
fn strict() {
    let text =
        "[uwsgi]\nbase = /x\nchdir = %(base)\nvaccum = true\ntouch-exec = /x y\nthunder-lock = true\nstrict = true\n";
    let reading = read_ini(text);
    check("strict", text, &reading);
    assert!(reading.has_errors());
    quiet(read_ini("[uwsgi]\nstrict = true\nset-placeholder = base=/x\nchdir = %(base)\n"));
}

#[test]
fn sections() {
    let text = "[uwsig]\nmaster = true\n";
    check("section_names", text, &read_ini(text));
    let text = "[uwsgi\nmaster = true\n";
    check("section_not_closed", text, &read_ini(text));
    let files = [("/srv/a.ini", "[uwsgi]\nini = :more\n[more]\nprocesses = 3\n[alone]\nthreads = 5\n")];
    assert_eq!(quiet(read_with(&files, &["a.ini"])).processes.get(), 3);
    let pool = quiet(read_with(&files, &["--ini", "a.ini:alone"]));
    assert_eq!((pool.processes.get(), pool.threads.get()), (1, 5));
}

#[test]
fn command_lines() {
    let pool = quiet(read_with(
        &[],
        &[
            "-Mp4",
            "--http",
            ":8000",
            "--module=shop.wsgi",
            "-H",
            "/v",
            "-C660",
            "-s/tmp/x.sock",
            "-t",
            "20",
            "--env",
            "A=1",
            "--set",
            "threads=3",
            "--need-app",
            "--pp",
            ".",
            "-d",
            "/log",
            "--vacuum",
        ],
    ));
    assert_eq!((pool.processes.get(), pool.threads.get(), pool.master), (4, 3, true));
    assert_eq!(pool.module.as_deref(), Some("shop.wsgi"));
    assert_eq!(pool.virtualenv, Some("/v".into()));
    assert_eq!(pool.chmod_socket, Some(0o660));
    let sockets: Vec<String> = pool.sockets.iter().map(|socket| socket.address.to_string()).collect();
    assert_eq!(sockets, [":8000", "/tmp/x.sock"]);
    assert_eq!(pool.harakiri, Some(Duration::from_secs(20)));
    assert!(pool.need_app && pool.vacuum);
    assert_eq!(pool.daemonize, Some("/log".into()));

    let alone = |argument| quiet(read_with(&[], &[argument])).application();
    assert_eq!(alone("x/app.py:app"), Some(Application::File { path: "x/app.py".into(), callable: "app".into() }));
    assert_eq!(alone("a.b:c"), Some(Application::Module { name: "a.b".into(), callable: "c".into() }));
    assert_eq!(quiet(read_with(&[], &["-h"])).command, Some(Command::Help));
    assert_eq!(quiet(read_with(&[], &["--stop", "/x.pid"])).command, Some(Command::Stop("/x.pid".into())));
}

#[test]
fn command_line_mistakes() {
    let arguments = ["--proces", "4", "-Z", "--workers=x", "--http-socket", "nohost:port", "--socket"];
    check("command_line_mistakes", &arguments.join(" "), &read_with(&[], &arguments));
    check("missing_file", "nothing.ini", &read_with(&[], &["nothing.ini"]));
}

#[test]
fn what_comes_later_holds() {
    let files = [("/srv/a.ini", "[uwsgi]\nprocesses = 2\n")];
    let processes = |arguments: &[&str]| quiet(read_with(&files, arguments)).processes.get();
    assert_eq!(processes(&["--ini", "a.ini", "-p", "8"]), 8);
    assert_eq!(processes(&["-p", "8", "a.ini"]), 2, "a file that stands alone is read after all options");
}

#[test]
fn files_of_files() {
    let files = [
        ("/srv/a.ini", "[uwsgi]\nname = x\ninclude = conf/%(name).ini\ninherit = last.ini\n"),
        ("/srv/conf/x.ini", "[uwsgi]\nhome = %d|%D|%n|%N\n"),
        ("/srv/last.ini", "[uwsgi]\nprocesses = 7\n"),
        ("/srv/loop.ini", "[uwsgi]\ninclude = loop.ini\n"),
    ];
    let pool = quiet(read_with(&files, &["a.ini"]));
    assert_eq!(pool.virtualenv, Some("/srv/conf/|/srv/|x|a".into()));
    assert_eq!(pool.processes.get(), 7);
    check("loop", "loop.ini", &read_with(&files, &["loop.ini"]));
}

#[test]
fn logic() {
    let pool = quiet(read_ini(
        "[uwsgi]\nif-env = HOME\nchdir = %(_)/x\nendif =\nif-env = NOTHING\nprocesses = 9\nelse =\nprocesses = 3\nend =\n\
         if-not-env = HOME=/home/reader\nthreads = 9\nendif\nif-hostname = gate\nuid = 7\nendif\n\
         for = 3031 3032\nsocket = 127.0.0.1:%(_)\nendfor\nfor-times = 2\nenv = N%(_)=x\nendfor =\n\
         if-opt = uid=7\ngid = 8\nendif =\nif-exists = /no/such/file\nvacuum = true\nendif =\n",
    ));
    assert_eq!(pool.chdir, Some("/home/reader/x".into()));
    assert_eq!((pool.processes.get(), pool.threads.get()), (3, 1));
    assert_eq!((pool.uid.as_deref(), pool.gid.as_deref()), (Some("7"), Some("8")));
    assert_eq!(pool.sockets.len(), 2);
    assert_eq!(pool.env.len(), 2);
    assert!(!pool.vacuum);
}

#[test]
fn environment_variables() {
    let mut surroundings = surroundings();
    surroundings.environment.insert("UWSGI_CHMOD_SOCKET".into(), "600".into());
    surroundings.environment.insert("UWSGI_RELOADS".into(), "0".into());
    surroundings.environment.insert("UWSGI_PROCESSES".into(), "none".into());
    let reading = read_arguments(&Files(BTreeMap::new()), &surroundings, &[]);
    assert_eq!(reading.pool.chmod_socket, Some(0o600));
    check("environment", "UWSGI_PROCESSES=none", &reading);
}

#[test]
fn every_name_is_known() {
    assert_eq!(known_names().count(), 1087);
    for name in known_names() {
        assert!(known(name).is_some(), "{name}");
    }
    for option in OPTIONS {
        for name in std::iter::once(&option.name).chain(option.aliases) {
            assert!(known_names().any(|known| known == *name), "uWSGI has no option {name}");
            assert!(!option.help.is_empty());
        }
    }
    assert!(matches!(known("touch-exec"), Some(Known::NotYet)));
    assert!(matches!(known("chmod"), Some(Known::Entry(option)) if option.argument == Argument::Optional));
    assert!(known("base").is_none());
}

#[test]
fn hostile_texts() {
    for text in [
        "",
        "[",
        "]",
        "[]",
        "=",
        "[uwsgi]\n=x",
        "[uwsgi]\n %",
        "[uwsgi]\nx=%(",
        "[uwsgi]\nx=$()@()%()",
        "\0",
        "[uwsgi]\n#",
    ] {
        let _ = read_ini(text).render();
    }
    let text = format!("[uwsgi]\na={}\nb={}\n", "%(a)".repeat(1000), "(".repeat(10_000));
    assert!(read_ini(&text).has_errors());
    let doubling: String = (0..40).map(|n| format!("k{n}=%(k{0})%(k{0})\n", n + 1)).collect();
    assert!(read_ini(&format!("[uwsgi]\n{doubling}k40=x\n")).has_errors());
}
