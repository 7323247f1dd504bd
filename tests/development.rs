//! `daemun run --dev`, and applications that are found without a configuration.

use std::fs;

use harness::{Address, Launch, Port, Process, Request, Scratch, programs, servers, wait_until};

/// `daemun run` on a folder, with its port in the environment.
#[track_caller]
fn run(scratch: &Scratch, arguments: &[&str]) -> (Process, Address, Port) {
    let port = Port::reserve();
    let launch = Launch::new(scratch, "daemun", programs::daemun()).arg("run").args(arguments);
    let number = port.address().to_string().rsplit(':').next().expect("a port").to_owned();
    let mut process = launch.env("PORT", number).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "").start();
    process.wait_for(&port.address());
    (process, port.address(), port)
}

fn text(address: &Address) -> String {
    Request::get("/").try_send(address).map(|page| page.text()).unwrap_or_default()
}

fn says(word: &str) -> String {
    format!("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{word}']\n")
}

/// Whatever is saved is in force a moment later: a new text, a mistake with its page, what puts it right, a module of its own.
#[test]
fn a_change_of_source_is_in_force_at_once() {
    let scratch = Scratch::new();
    scratch.write("site/wsgi.py", says("first"));
    scratch.write("site/venv/pyvenv.cfg", "");
    let (process, address, _port) = run(&scratch, &["--dev", "site"]);
    assert_eq!(text(&address), "first");
    scratch.write("site/wsgi.py", says("second"));
    wait_until("the change is in force", || text(&address) == "second");
    assert!(process.output().contains("site/wsgi.py has changed"), "{}", process.output());

    scratch.write("site/wsgi.py", "import word\ndef application(:\n");
    wait_until("the mistake is shown", || {
        let page = Request::get("/").try_send(&address);
        page.is_ok_and(|page| page.status == 500 && page.text().contains("SyntaxError"))
    });
    scratch.write("site/wsgi.py", format!("import word\n{}", says("%s").replace("[b'%s']", "[word.WORD]")));
    wait_until("what is missing is shown", || text(&address).contains("ModuleNotFoundError"));
    scratch.write("site/word.py", "WORD = b'third'\n");
    wait_until("it is there", || text(&address) == "third");
    scratch.write("site/word.py", "WORD = b'fourth, and longer'\n");
    wait_until("an imported module is watched", || text(&address) == "fourth, and longer");
    let times = process.output().matches("has changed").count();
    scratch.write("site/venv/library.py", "");
    scratch.write("site/notes.txt", "");
    assert_eq!(text(&address), "fourth, and longer");
    assert_eq!(process.output().matches("has changed").count(), times, "{}", process.output());
}

#[test]
fn an_exception_is_a_page_and_a_request_a_line() {
    let scratch = Scratch::new();
    let source = "def create_app():\n    def app(environ, start_response):\n        if environ['PATH_INFO'] == '/fail':\n            \
                  raise LookupError('no <such> thing')\n        start_response('302 Found', [('Location', '/')])\n        \
                  return [b'x']\n    return app\n";
    scratch.write("site/app.py", source);
    let (process, address, _port) = run(&scratch, &["--dev", "site"]);
    let page = Request::get("/fail?a=%3Cb").send(&address);
    assert_eq!((page.status, page.header("Content-Type")), (500, Some("text/html; charset=utf-8")));
    for part in ["LookupError: no &lt;such&gt; thing", "app.py&quot;, line 4", "QUERY_STRING"] {
        assert!(page.text().contains(part), "{part} is not in:\n{}", page.text());
    }
    assert_eq!(Request::get("/x%1b").send(&address).status, 302);
    // A line is written when its answer has gone.
    for line in ["\u{1b}[31mGET /fail?a=%3Cb 500\u{1b}[0m ", "\u{1b}[36mGET /x%1b 302\u{1b}[0m 1 octets in "] {
        wait_until("the request is told", || process.output().contains(line));
    }
}

/// Without --dev: the same application, without anything of that.
#[test]
fn an_application_is_found() {
    for (file, source) in [
        ("app.py", says("found").replace("application", "app")),
        ("main.py", format!("{}app = inner\n", says("found").replace("application", "inner"))),
        ("wsgi.py", says("found")),
    ] {
        let scratch = Scratch::new();
        scratch.write(&format!("site/{file}"), source);
        let (process, address, _port) = run(&scratch, &["site"]);
        assert_eq!(text(&address), "found", "{file}");
        assert!(!process.output().contains("GET /"), "{}", process.output());
    }
    let scratch = Scratch::new();
    scratch.write("site/notes.py", "def application(): pass\n");
    let ended = servers::daemun(&scratch).arg("run").arg("site").run();
    assert!(!ended.status.success() && ended.output.contains("no application either"), "{}", ended.output);
}

/// Django as `startproject` leaves it: found by manage.py, its admin with the files that staticfiles finds, and not without --dev.
#[test]
fn django_has_its_files() {
    let scratch = Scratch::new();
    scratch.make_folder("site");
    let python = programs::applications_virtualenv().join("bin/python");
    let launch = Launch::new(&scratch, "django", &python).args(["-m", "django", "startproject", "shop", "site"]);
    let ended = launch.run();
    assert!(ended.status.success(), "{}", ended.output);
    std::os::unix::fs::symlink(programs::applications_virtualenv(), scratch.path("site/.venv")).expect("a link");
    let (process, address, port) = run(&scratch, &["--dev", "site"]);
    let style = Request::get("/static/admin/css/base.css").host("localhost").send(&address);
    assert_eq!((style.status, style.header("Content-Type")), (200, Some("text/css")), "{}", process.output());
    let login = Request::get("/admin/login/").host("localhost").send(&address);
    assert!(login.status == 200 && login.text().contains("Django administration"), "{}", login.text());
    drop((process, port));
    let (_process, address, _port) = run(&scratch, &["site"]);
    assert_eq!(Request::get("/static/admin/css/base.css").host("localhost").send(&address).status, 404);
}

/// uWSGI's own option for the same wish: what does not load takes nobody's place.
#[test]
fn py_autoreload_keeps_what_works() {
    let scratch = Scratch::new();
    scratch.write("app/shop.py", format!("import ignored\n{}", says("first")));
    scratch.write("app/ignored.py", "");
    let port = Port::reserve();
    let options = format!(
        "[uwsgi]\nhttp = {}\nchdir = SCRATCH/app\nmodule = shop\nmaster = true\npy-autoreload = 1\npy-auto-reload-ignore = ignored\n",
        port.address()
    );
    scratch.write("app.ini", options);
    let process = servers::daemun_app(&scratch, "app.ini", &port.address());
    let address = port.address();
    assert_eq!(text(&address), "first");
    fs::write(scratch.path("app/ignored.py"), "# changed\n").expect("the file is ours");
    scratch.write("app/shop.py", "raise RuntimeError('broken for now')\n");
    wait_until("it is said", || process.output().contains("broken for now"));
    assert_eq!(text(&address), "first");
    scratch.write("app/shop.py", says("second"));
    wait_until("the change is in force", || text(&address) == "second");
    assert!(!process.output().contains("ignored.py has changed"), "{}", process.output());
}
