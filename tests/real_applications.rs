//! Applications as people run them, visited by a script: Flask, Pyramid, Bottle, Falcon, Wagtail, Werkzeug's debugger and
//! Flask-SocketIO. Django has its own, in `example_site`.

use harness::{Address, Browser, Connection, Launch, Port, Process, Request, Response, Scratch, programs, servers};
use serde_json::{Value, json};

/// `daemun app` on the virtualenv of `scripts/applications.txt`.
struct Running {
    process: Process,
    address: Address,
    _port: Port,
}

impl Running {
    #[track_caller]
    fn start(scratch: &Scratch, site: &str, options: &str) -> Self {
        let port = Port::reserve();
        scratch.add_application(&format!("{site}.py"));
        let home = programs::applications_virtualenv();
        let text = format!(
            "[uwsgi]\nhttp = {}\nchdir = SCRATCH/app\nhome = {}\nmaster = true\nenable-threads = true\n{options}\n",
            port.address(),
            home.display()
        );
        scratch.write("app/uwsgi.ini", text);
        let launch = Launch::new(scratch, "daemun", programs::daemun()).args(["app", "app/uwsgi.ini"]);
        let mut process = launch.start();
        process.wait_for(&port.address());
        Self { process, address: port.address(), _port: port }
    }

    fn visitor(&self) -> Browser {
        Browser::new(&self.address)
    }

    #[track_caller]
    fn get(&self, target: &str) -> Response {
        Request::get(target).send(&self.address)
    }
}

fn form(target: &str, body: &str) -> Request {
    Request::post(target, "application/x-www-form-urlencoded", body)
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

#[test]
fn flask() {
    let scratch = Scratch::new();
    let site = Running::start(&scratch, "flask_site", "module = flask_site\nprocesses = 2\nthreads = 2");
    let mut visitor = site.visitor();
    let page = visitor.get("/").text();
    assert!(page.contains("<title>Front &lt;&amp;&gt;</title>") && page.contains("Hello stranger"), "{page}");
    let sent = visitor.send(form("/name", "name=Ann+%C3%84"));
    assert_eq!((sent.status, sent.header("Location")), (302, Some("/")));
    let page = visitor.get("/").text();
    assert!(page.contains("You are Ann Ä now") && page.contains("Hello Ann Ä"), "{page}");
    assert!(!visitor.get("/").text().contains("now"), "a flash is shown once");

    let item = json(&visitor.get("/shop/7?x=1"));
    let port = site.address.port();
    assert_eq!(item["url"], format!("http://localhost:{port}/shop/7?x=1"));
    assert_eq!((&item["number"], &item["root"], &item["address"]), (&json!(7), &json!(""), &json!("127.0.0.1")));
    assert_eq!(
        json(&Request::post("/json", "application/json", "{\"list\": [1, 2]}").send(&site.address)),
        json!([2, 1])
    );
    let content = vec![b'x'; 2_000_000];
    let mut body = b"--edge\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nlarge\r\n--edge\r\n\
                     Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n"
        .to_vec();
    body.extend(&content);
    body.extend(b"\r\n--edge--\r\n");
    let sent = Request::post("/upload", "multipart/form-data; boundary=edge", body).send(&site.address);
    assert_eq!(json(&sent), json!({"name": "a.bin", "octets": 2_000_000, "note": "large"}));

    assert_eq!(site.get("/stream?word=x").text(), "0 x\n1 x\n2 x\n");
    let part = Request::get("/file").header("Range", "bytes=250-259").send(&site.address);
    assert_eq!((part.status, part.body), (206, vec![250, 251, 252, 253, 254, 255, 0, 1, 2, 3]));
    let again = Request::get("/file").header("If-None-Match", "\"own\"").send(&site.address);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!((site.get("/none").status, site.get("/none").text()), (404, "nothing at /none".to_owned()));
    assert_eq!((site.get("/gone").status, site.get("/broken").status), (410, 500));
    assert!(site.process.output().contains("LookupError: broken as it should be"));
    assert_eq!(Request::new("HEAD", "/").send(&site.address).body.len(), 0);
}

/// `mount` tells Flask where it is, and its links lead back there.
#[test]
fn flask_below_a_path() {
    let scratch = Scratch::new();
    let site = Running::start(&scratch, "flask_site", "mount = /a=flask_site\nmanage-script-name = true");
    let page = site.get("/a/");
    assert!(page.text().contains("href=\"/a/shop/7\""), "{}", page.text());
    let item = json(&site.get("/a/shop/7"));
    assert_eq!(
        (&item["root"], item["url"].as_str().is_some_and(|url| url.ends_with("/a/shop/7"))),
        (&json!("/a"), true)
    );
}

#[test]
fn pyramid() {
    let scratch = Scratch::new();
    let paste = "[app:main]\nuse = call:pyramid_site:main\ngreeting = Good day\n\n[loggers]\nkeys = root\n[handlers]\nkeys = console\n\
                 [formatters]\nkeys = plain\n[logger_root]\nlevel = INFO\nhandlers = console\n[handler_console]\nclass = StreamHandler\n\
                 args = (sys.stderr,)\nformatter = plain\n[formatter_plain]\nformat = %(levelname)s %(message)s\n";
    scratch.write("app/production.ini", paste);
    let options = "ini-paste-logged = SCRATCH/app/production.ini\nprocesses = 2\n";
    let site = Running::start(&scratch, "pyramid_site", options);
    let mut visitor = site.visitor();
    let page = visitor.get("/").text();
    let token = page.split("; ").nth(1).expect("a token").to_owned();
    assert!(page.starts_with("Good day, stranger, from 127.0.0.1"), "{page}");
    assert_eq!(visitor.send(form("/name", "name=Ann")).status, 400, "without the token");
    let sent = visitor.send(form("/name", &format!("name=Ann&csrf_token={token}")));
    let home = format!("http://localhost:{}/", site.address.port());
    assert_eq!((sent.status, sent.header("Location")), (302, Some(home.as_str())));
    assert!(visitor.get("/").text().starts_with("Good day, Ann"));
    let item = json(&visitor.get("/item/7?a=%C3%A9"));
    assert_eq!(item, json!({"number": 7, "path": "/item/7", "query": {"a": "é"}}));
    let broken = site.get("/broken");
    assert_eq!((broken.status, broken.text().as_str()), (500, "caught: broken as it should be"));
    assert_eq!(site.get("/nothing").status, 404);
}

#[test]
fn bottle() {
    let scratch = Scratch::new();
    scratch.write("files/a.txt", "0123456789");
    let site =
        Running::start(&scratch, "bottle_site", "wsgi-file = bottle_site.py\nenv = FILES=SCRATCH/files\nthreads = 4");
    let mut visitor = site.visitor();
    assert_eq!(visitor.get("/").text(), "Hello stranger, <b>");
    assert_eq!(visitor.send(form("/name", "name=%3CAnn%3E")).status, 303);
    assert_eq!(visitor.get("/").text(), "Hello &lt;Ann&gt;, <b>");
    assert_eq!(json(&site.get("/item/3?q=%E2%82%AC")), json!({"number": 3, "query": "€"}));
    let part = Request::get("/files/a.txt").header("Range", "bytes=2-4").send(&site.address);
    assert_eq!((part.status, part.text()), (206, "234".to_owned()));
    assert_eq!(site.get("/files/a.txt").text(), "0123456789");
    assert_eq!(site.get("/lines").text(), "0\n1\n2\n");
    assert_eq!((site.get("/none").status, site.get("/none").text()), (404, "nothing at /none".to_owned()));
    assert_eq!(site.get("/broken").status, 500);
    assert!(site.process.output().contains("LookupError: broken as it should be"));
}

#[test]
fn falcon() {
    let scratch = Scratch::new();
    let site = Running::start(&scratch, "falcon_site", "module = falcon_site:application\nthreads = 4");
    let put = |body: &str| {
        let body = body.as_bytes().to_vec();
        let octets = format!(
            "PUT /items/1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Connection::to(&site.address).exchange([octets.into_bytes(), body].concat())
    };
    let missing = site.get("/items/1");
    assert_eq!((missing.status, &json(&missing)["title"]), (404, &json!("no such item")));
    let made = put("{\"name\": \"é\"}");
    assert_eq!((made.status, made.header("Location")), (201, Some("/items/1")));
    assert_eq!(json(&site.get("/items/1")), json!({"name": "é"}));
    assert_eq!(put("{wrong").status, 400);
    assert_eq!(Request::new("DELETE", "/items/1").send(&site.address).status, 204);
    assert_eq!(Request::new("PATCH", "/items/1").send(&site.address).status, 405);
    assert_eq!(site.get("/stream").body, b"0123456789".repeat(10_000));
    let sent = Request::post("/stream", "application/octet-stream", vec![1; 300_000]).send(&site.address);
    assert_eq!(sent.text(), "300000 of 300000");
    let broken = site.get("/broken");
    assert_eq!((broken.status, broken.header("Retry-After")), (503, Some("7")));
}

/// The debugger's page, its files, and a word of Python evaluated in the frame that failed.
#[test]
fn the_debugger_of_werkzeug() {
    let scratch = Scratch::new();
    let site = Running::start(&scratch, "debugger_site", "module = debugger_site\nthreads = 2");
    // It evaluates for those alone who call the site by a local name.
    let mut visitor = site.visitor();
    let page = visitor.get("/");
    let text = page.text();
    assert_eq!(page.status, 500);
    assert!(text.contains("LookupError: broken with 41") && text.contains("EVALEX = true"), "{text}");
    let between =
        |from: &str, to: &str| text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(part, _)| part);
    let secret = between("SECRET = \"", "\"").expect("the page has a secret");
    let frame = text.rsplit("id=\"frame-").next().and_then(|rest| rest.split_once('"')).expect("a frame").0;
    let style = site.get("/?__debugger__=yes&cmd=resource&f=style.css");
    assert_eq!((style.status, style.header("Content-Type")), (200, Some("text/css; charset=utf-8")));
    let evaluated = visitor.get(&format!("/?__debugger__=yes&cmd=answer%2B1&frm={frame}&s={secret}"));
    assert!(evaluated.text().contains("42"), "{} {}", evaluated.status, evaluated.text());
    assert!(site.get("/late").text().starts_with("begun "));
}

/// Engine.IO over long polling: one thread waits for news while another brings them.
#[test]
fn flask_socketio_by_polling() {
    let scratch = Scratch::new();
    let site = Running::start(&scratch, "socketio_site", "module = socketio_site\nthreads = 4");
    assert_eq!(site.get("/").text(), "front");
    let opened = site.get("/socket.io/?EIO=4&transport=polling").text();
    let facts: Value = serde_json::from_str(opened.strip_prefix('0').expect("an open packet")).expect("JSON");
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", facts["sid"].as_str().expect("a session"));
    let post = |packet: &str| Request::post(&target, "text/plain", packet).send(&site.address).text();
    assert_eq!(post("40"), "OK");
    assert!(site.get(&target).text().starts_with("40{"));
    let mut waiting = Connection::to(&site.address);
    waiting.send(Request::get(&target).octets());
    assert_eq!(post("420[\"say\",\"hello\"]"), "OK");
    let mut said = waiting.response().text();
    while !(said.contains("42[\"said\",\"HELLO\"]") && said.contains("430[\"heard\"]")) {
        said.push_str(&site.get(&target).text());
    }
}

/// Wagtail's own beginning of a site: its welcome, its admin, a page written and published there.
#[test]
fn wagtail() {
    let scratch = Scratch::new();
    scratch.copy_folder(&programs::applications_virtualenv().with_file_name("wagtail"), "app", &[]);
    let port = Port::reserve();
    let text = format!(
        "[uwsgi]\nhttp = {}\nchdir = SCRATCH/app\nhome = {}\nmodule = demo.wsgi\nenv = DJANGO_SETTINGS_MODULE=demo.settings.dev\n\
         master = true\nprocesses = 2\nthreads = 2\nstatic-map = /static=SCRATCH/app/static\n",
        port.address(),
        programs::applications_virtualenv().display()
    );
    scratch.write("site.ini", text);
    let _process = servers::daemun_app(&scratch, "site.ini", &port.address());
    let mut visitor = Browser::new(&port.address());
    let front = visitor.get("/");
    assert!(front.status == 200 && front.text().contains("Welcome to your new Wagtail site"), "{}", front.text());
    assert_eq!(visitor.get("/admin/").status, 302);
    let entered =
        visitor.submit("/admin/login/", &[("username", "ann"), ("password", "mind the gap"), ("next", "/admin/")]);
    assert_eq!((entered.status, entered.header("Location")), (302, Some("/admin/")), "{}", entered.text());
    let home = visitor.get("/admin/");
    assert!(home.status == 200 && home.text().contains("ann"), "{}", home.text());
    let page = [
        ("title", "News of today"),
        ("slug", "news"),
        ("action-publish", "1"),
        ("comments-TOTAL_FORMS", "0"),
        ("comments-INITIAL_FORMS", "0"),
        ("comments-MIN_NUM_FORMS", "0"),
        ("comments-MAX_NUM_FORMS", ""),
    ];
    let made = visitor.submit("/admin/pages/add/home/homepage/3/", &page);
    assert_eq!(made.status, 302, "{}", made.text());
    assert_eq!(Browser::new(&port.address()).get("/news/").status, 200);
    assert!(visitor.get("/search/?query=News").text().contains("News of today"));
    let style = visitor.get("/static/wagtailadmin/css/core.css");
    assert_eq!((style.status, style.header("Content-Type")), (200, Some("text/css")));
}
