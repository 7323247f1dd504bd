//! What is loaded as an application, from where, and what is said of it; files that stand before it.

use std::net::TcpListener;

use harness::{Address, Launch, Port, Process, Request, Response, Scratch, programs, servers};

/// `daemun app` with these lines and an `http-socket`.
struct Running {
    process: Process,
    address: Address,
    _port: Port,
}

impl Running {
    #[track_caller]
    fn start(scratch: &Scratch, options: &str) -> Self {
        let port = Port::reserve();
        scratch.write("app.ini", format!("[uwsgi]\nmaster = true\nhttp-socket = {}\n{options}\n", port.address()));
        let mut process = servers::app(scratch, "app.ini").start();
        process.wait_for(&port.address());
        Self { process, address: port.address(), _port: port }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Response {
        Request::get(path).send(&self.address)
    }
}

/// An application that answers with its name, SCRIPT_NAME and PATH_INFO.
fn named(name: &str, callable: &str) -> String {
    format!(
        "def {callable}(environ, start_response):\n    start_response('200 OK', [])\n    \
         text = '%s %s %s' % ({name:?}, environ.get('SCRIPT_NAME', ''), environ['PATH_INFO'])\n    return [text.encode('latin-1')]\n"
    )
}

/// The same lines for daemun and for uWSGI, asked for the same paths.
#[track_caller]
fn compare(scratch: &Scratch, options: &str, paths: &[&str]) -> Vec<String> {
    let ours = Running::start(scratch, options);
    let port = Port::reserve();
    let lines = format!("[uwsgi]\nmaster = true\nhttp-socket = {}\n{options}\n", port.address());
    scratch.write("peer.ini", lines);
    let _theirs = servers::uwsgi(scratch, "peer.ini", &port.address());
    let ask = |path: &&str| {
        let (ours, theirs) = (ours.get(path), Request::get(path).send(&port.address()));
        assert_eq!((ours.status, ours.text()), (theirs.status, theirs.text()), "{options}\n{path}");
        format!("{} {}", ours.status, ours.text())
    };
    paths.iter().map(ask).collect()
}

#[test]
fn applications_are_mounted_as_in_uwsgi() {
    let scratch = Scratch::new();
    scratch.write("app/main.py", named("main", "application"));
    scratch.write("app/shop.py", named("shop", "app"));
    scratch.write("app/blog.py", named("blog", "application"));
    let options =
        "chdir = SCRATCH/app\nmount = /shop=shop:app\nmount = /shop/blog=blog.py\nmanage-script-name = true\n";
    let paths = ["/", "/shop", "/shop/", "/shop/x", "/shopping", "/shop/blog/y", "/other", "/shop/blogs"];
    let with_main = compare(&scratch, &format!("{options}module = main\n"), &paths);
    assert_eq!(with_main[3], "200 shop /shop /x");
    assert_eq!(with_main[4], "200 main  /shopping");
    assert_eq!(with_main[5], "200 blog /shop/blog /y");
    compare(&scratch, &format!("{options}single-interpreter = true\n"), &["/shop/x", "/shop/blog"]);
    // Without manage-script-name it is the web server who says SCRIPT_NAME, and here nobody does.
    compare(&scratch, "chdir = SCRATCH/app\nmount = /shop=shop:app\nmodule = main\n", &["/shop/x", "/"]);
}

#[test]
fn a_mount_that_is_not_ascii_is_one_octet_by_octet() {
    let scratch = Scratch::new();
    scratch.write("app/shop.py", named("shop", "app"));
    let running = Running::start(
        &scratch,
        "chdir = SCRATCH/app\nmount = /büro=shop:app\nmanage-script-name = true\nneed-app = true",
    );
    let page = running.get("/b%C3%BCro/x");
    assert_eq!((page.status, page.body.as_slice()), (200, "shop /büro /x".as_bytes()));
    assert_eq!(running.get("/").status, 500);
}

#[test]
fn whatever_makes_an_application_is_loaded() {
    let scratch = Scratch::new();
    scratch.write("app/plain.py", named("plain", "application"));
    scratch.write("app/factory.py", format!("{}def create():\n    return made\n", named("made", "made")));
    scratch.write(
        "app/nested.py",
        format!("class Holder:\n    pass\n{}Holder.application = inner\n", named("nested", "inner")),
    );
    scratch.write("app/odd-name.wsgi", named("odd", "application"));
    scratch.write("app/package/__init__.py", "");
    scratch.write("app/package/deep.py", named("deep", "application"));
    let several = format!("{}{}applications = {{'/': a, '/b': 'b'}}\n", named("a", "a"), named("b", "b"));
    scratch.write("app/several.py", several);
    for (options, expected) in [
        ("module = plain", "plain  /"),
        ("module = plain:application", "plain  /"),
        ("wsgi-file = plain.py", "plain  /"),
        ("module = factory:create()", "made  /"),
        ("module = factory\ncallable = create()", "made  /"),
        ("module = nested:Holder.application", "nested  /"),
        ("wsgi-file = odd-name.wsgi", "odd  /"),
        ("wsgi-file = SCRATCH/app/odd-name.wsgi", "odd  /"),
        ("module = package.deep", "deep  /"),
        ("wsgi = several", "a  /"),
        ("mount = /=plain.py", "plain  /"),
        ("eval = application = __import__('plain').application", "plain  /"),
        ("module = plain\nlazy = true", "plain  /"),
        ("module = plain\nlazy-apps = true\nprocesses = 2\nthreads = 2", "plain  /"),
        ("module = plain\nsingle-interpreter = true\nneed-app = true", "plain  /"),
    ] {
        let running = Running::start(&scratch, &format!("chdir = SCRATCH/app\n{options}"));
        let page = running.get("/");
        assert_eq!((page.status, page.text()), (200, expected.to_owned()), "{options}\n{}", running.process.output());
    }
    let running = Running::start(&scratch, "chdir = SCRATCH/app\nmodule = several\nmanage-script-name = true");
    assert_eq!(running.get("/b/c").text(), "b /b /c");
}

/// A PasteDeploy that does what the real one does with such a file, as far as this file goes.
#[test]
fn a_file_of_paste_deploy_has_options_and_application() {
    let scratch = Scratch::new();
    let fake = "import configparser\n\ndef loadapp(uri, name=None):\n    parser = configparser.ConfigParser()\n    \
                assert parser.read(uri[len('config:'):]) and uri.startswith('config:/'), uri\n    \
                module, callable = parser['app:' + (name or 'main')]['use'].split(':')\n    \
                return getattr(__import__(module), callable)\n";
    scratch.write("app/paste/__init__.py", "");
    scratch.write("app/paste/deploy.py", fake);
    scratch.write("app/plain.py", named("plain", "application"));
    scratch.write("app/other.py", named("other", "application"));
    let port = Port::reserve();
    let own = format!("[uwsgi]\nhttp-socket = {}\npythonpath = SCRATCH/app\nmaster = true\n", port.address());
    let paste = "[app:main]\nuse = plain:application\n[app:second]\nuse = other:application\n";
    scratch.write("production.ini", format!("{own}{paste}"));
    let mut process =
        Launch::new(&scratch, "daemun", programs::daemun()).args(["app", "--ini-paste", "production.ini"]).start();
    process.wait_for(&port.address());
    assert_eq!(Request::get("/").send(&port.address()).text(), "plain  /");
    drop(process);
    let running = Running::start(
        &scratch,
        "paste = config:SCRATCH/production.ini\npaste-name = second\npythonpath = SCRATCH/app",
    );
    assert_eq!(running.get("/").text(), "other  /");
}

#[test]
fn the_surroundings_of_an_application_are_as_configured() {
    let scratch = Scratch::new();
    let text = "import os, sys, json\nimport early, by_file_marker\n\ndef application(environ, start_response):\n    \
                start_response('200 OK', [('Content-Type', 'application/json')])\n    \
                facts = dict(argv=sys.argv[1:], folder=os.getcwd(), path=sys.path[:4], early=early.WHEN,\n        \
                a=os.environ.get('A'), home='HOME' in os.environ, marked=by_file_marker.MARKED)\n    \
                return [json.dumps(facts).encode()]\n";
    scratch.write("app/site_module.py", text);
    scratch.write("app/early.py", "import sys\nWHEN = 'site_module' not in sys.modules\n");
    scratch.write("app/by_file_marker.py", "MARKED = False\n");
    scratch.write("app/by_file.py", "import by_file_marker\nby_file_marker.MARKED = True\n");
    for folder in ["library/one", "library/two", "single"] {
        scratch.make_folder(folder);
    }
    let options = "chdir = SCRATCH/app\nmodule = site_module\nimport = early\nshared-pyimport = SCRATCH/app/by_file.py\n\
                   pyargv = --flag value\nenv = A=first\nenv = A=last\nunenv = HOME\npythonpath = SCRATCH/single\n\
                   pythonpath = SCRATCH/library/*\n";
    let running = Running::start(&scratch, options);
    let page = running.get("/");
    let facts: serde_json::Value = serde_json::from_slice(&page.body).expect("JSON");
    assert_eq!(facts["argv"], serde_json::json!(["--flag", "value"]));
    assert_eq!((facts["a"].as_str(), facts["home"].as_bool()), (Some("last"), Some(false)));
    assert_eq!((facts["early"].as_bool(), facts["marked"].as_bool()), (Some(true), Some(true)));
    let path: Vec<&str> = facts["path"].as_array().expect("a list").iter().filter_map(|one| one.as_str()).collect();
    let mut library = [path[0].to_owned(), path[1].to_owned()];
    library.sort();
    assert_eq!(library, [scratch.text_path("library/one"), scratch.text_path("library/two")]);
    assert_eq!(path[2..], [scratch.text_path("single"), scratch.text_path("app")]);
}

/// What two workers would share by accident is named when the application has been loaded, and not when each loads its own.
#[test]
fn what_is_open_at_the_fork_is_said() {
    let scratch = Scratch::new();
    let peer = TcpListener::bind("127.0.0.1:0").expect("a port");
    let text = format!(
        "import socket, threading, time, sqlite3\nfrom plain import application\n\
         database = socket.create_connection(('127.0.0.1', {}))\n\
         log = open('own.log', 'a')\nstore = sqlite3.connect('store.sqlite3')\nstore.execute('create table t (x)')\nstore.commit()\n\
         threading.Thread(target=time.sleep, args=(60,), name='ticker', daemon=True).start()\n",
        peer.local_addr().expect("an address").port()
    );
    scratch.write("app/plain.py", named("plain", "application"));
    scratch.write("app/holder.py", &text);
    let running = Running::start(&scratch, "chdir = SCRATCH/app\nmodule = holder\nprocesses = 2");
    assert_eq!(running.get("/").status, 200);
    let said = running.process.output();
    let connection = format!("a connection to {}", peer.local_addr().expect("an address"));
    for text in
        [connection.as_str(), "store.sqlite3 (descriptor", "threads started while loading (ticker)", "lazy-apps"]
    {
        assert!(said.contains(text), "{text} is not in:\n{said}");
    }
    assert!(!said.contains("own.log"), "what is written at its end is safe:\n{said}");
    drop(running);

    let scratch = Scratch::new();
    scratch.write("app/plain.py", named("plain", "application"));
    scratch.write("app/holder.py", text);
    let running = Running::start(&scratch, "chdir = SCRATCH/app\nmodule = holder\nlazy-apps = true");
    assert_eq!(running.get("/").status, 200);
    let said = running.process.output();
    assert!(!said.contains("while loading"), "{said}");
}

#[test]
fn an_exception_is_the_answer_where_that_is_wanted() {
    let scratch = Scratch::new();
    let text = "def application(environ, start_response):\n    if environ['PATH_INFO'] == '/late':\n        \
                start_response('200 OK', [])\n        return late()\n    raise LookupError('no <such> thing')\n\n\
                def late():\n    yield b'begun'\n    raise LookupError('too late')\n";
    scratch.write("app/failing.py", text);
    let running = Running::start(&scratch, "chdir = SCRATCH/app\nmodule = failing\ncatch-exceptions = true");
    let page = running.get("/x?y=1");
    assert_eq!((page.status, page.header("Content-Type")), (500, Some("text/plain; charset=utf-8")));
    for text in ["failing.py\", line 5", "LookupError: no <such> thing", "QUERY_STRING = 'y=1'"] {
        assert!(page.text().contains(text), "{text} is not in:\n{}", page.text());
    }
    assert!(Request::get("/late").try_send(&running.address).is_err(), "an answer that has begun is cut off");
    drop(running);
    let running = Running::start(&scratch, "chdir = SCRATCH/app\nmodule = failing");
    assert_eq!(running.get("/").text(), "Internal Server Error");
}

/// `static-map` and its like, beside uWSGI; and behind `uwsgi_pass`, which reaches the same pool.
#[test]
fn files_stand_before_the_application() {
    let scratch = Scratch::new();
    scratch.write("app/plain.py", named("plain", "application"));
    for (path, text) in [
        ("files/style.css", "body{}"),
        ("files/deep/page.html", "<p>"),
        ("files/deep/index.html", "index"),
        ("files/script.php", "<?php"),
        ("whole/static/a.txt", "whole"),
        ("secret.txt", "secret"),
        ("shared/b.txt", "shared"),
        ("icon.ico", "icon"),
    ] {
        scratch.write(path, text);
    }
    std::os::unix::fs::symlink(scratch.path("secret.txt"), scratch.path("files/out.txt")).expect("a link");
    std::os::unix::fs::symlink(scratch.path("shared/b.txt"), scratch.path("files/safe.txt")).expect("a link");
    let options = "chdir = SCRATCH/app\nmodule = plain\nstatic-map = /static=SCRATCH/files\nstatic-map = /favicon.ico=SCRATCH/icon.ico\n\
                   static-map2 = /static=SCRATCH/whole\nstatic-index = index.html\nstatic-skip-ext = .php\n\
                   static-safe = SCRATCH/shared\nstatic-map = /nowhere=SCRATCH/nowhere\n";
    let paths = [
        "/static/style.css",
        "/static/deep/page.html",
        "/static/deep/",
        "/static/script.php",
        "/static/a.txt",
        "/static/out.txt",
        "/static/safe.txt",
        "/static/none",
        "/favicon.ico",
        "/nowhere/x",
        "/",
    ];
    let answers = compare(&scratch, options, &paths);
    assert_eq!((answers[0].as_str(), answers[2].as_str()), ("200 body{}", "200 index"));
    assert_eq!(answers[5], "200 plain  /static/out.txt");

    let running = Running::start(&scratch, options);
    let page = running.get("/static/style.css");
    assert_eq!(page.header("Content-Type"), Some("text/css"));
    let modified = page.header("Last-Modified").expect("a date").to_owned();
    let again = Request::get("/static/style.css").header("If-Modified-Since", &modified).send(&running.address);
    assert_eq!(again.status, 304);
    let part = Request::get("/static/style.css").header("Range", "bytes=0-3").send(&running.address);
    assert_eq!((part.status, part.text()), (206, "body".to_owned()));
    for path in ["/static/%2e%2e/secret.txt", "/static/../secret.txt", "/static/deep/%2e%2e/../../secret.txt"] {
        let page = running.get(path);
        assert!(page.status == 400 || page.text().starts_with("plain"), "{path}: {}", page.text());
    }
    let posted = Request::new("POST", "/static/style.css").send(&running.address);
    assert_eq!(posted.text(), "plain  /static/style.css");
    drop(running);

    let port = Port::reserve();
    scratch.write("site.conf", harness::site::conf(&port, ""));
    scratch.write("site.ini", format!("[uwsgi]\nsocket = SCRATCH/site.sock\n{options}"));
    let _process = servers::daemun_run(&scratch, "site.conf", "site.ini", &port.address());
    assert_eq!(Request::get("/static/style.css").send(&port.address()).text(), "body{}");
    assert_eq!(Request::get("/x").send(&port.address()).text(), "plain  /x");
}
