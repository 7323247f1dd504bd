//! Files of options: what they come to is what uWSGI itself makes of them, in whatever form they are written.
//!
//! What uWSGI 2.0 does not know yet (`else`, `$(NAME:-default)`) or does not follow (a placeholder whose own placeholder stands
//! behind it) is in the unit tests.

use harness::{Launch, Port, Request, Scratch, programs, servers};

/// Everything that takes the place of something else, and every condition and loop.
const SITE: &str = "\
[other]
processes = 99
[uwsgi]
strict = false
no-server = true
show-config = true
letters = %o|%p|%s|%d|%c|%e|%n|%x|%0|%1|%i|%j|%v|%h|%k|%u|%U|%g|%G|%%|
upper = %O|%P|%S|%D|%C|%E|%N|%X|%I|%J
name = shop
root = /srv/%(name)
late = %(afterwards)/x
afterwards = /behind
sum = %(three 4 + 2 * 1 -)
three = 3
counted = %(three ++)
together = %(name three)
from-environment = $(COLOUR)
from-file = @(SCRATCH/words)
quoted = \"as it is\"
equals = a=b=c
; a comment
# another
bare
empty =
for = a b  c
each = <%(_)>
endfor =
for-times = 3
nth = %(_)
endfor =
for-glob = parts/*.ini
part = %(_)
endfor =
for-glob = nothing/*.ini
unmatched = %(_)
endfor =
for-readline = words
word = %(_)
endfor =
if-env = COLOUR
has-colour = %(_)
endif =
if-env = COLOUR=red
is-red = yes
endif =
if-not-env = NO_SUCH_VARIABLE
has-none = yes
endif =
ifenv = COLOUR=blue
is-blue = yes
end =
if-exists = words
words-are-there = %(_)
endif =
if-not-exists = words
words-are-not-there = 1
end-if =
ifexists = parts
parts-are-there = 1
endif =
if-file = parts
parts-is-a-file = 1
endif =
if-dir = parts
parts-is-a-folder = %(_)
endif =
ifdir = words
words-is-a-folder = 1
endif =
if-directory = parts
again = 1
endif =
if-not-dir = parts
wrong = 1
endif =
if-opt = name
has-name = %(_)
endif =
if-opt = name=shop
is-shop = 1
endif =
if-not-opt = nobody
nobody-is-there = 1
endif =
if-reload =
reloads = 1
endif =
if-not-reload =
starts-again = 1
endif =
if-hostname-match = ^.+$
has-host-name = 1
endif =
if-not-hostname = no.such.host
elsewhere = %(_)
endif =
if-plugin = python
python-is-there = 1
endif =
set = processes=3
set-placeholder = hidden=4
set-ph = hidden-too = 5
hidden-values = %(hidden) %(hidden-too)
ini = :more
include = parts/one.ini
ini = parts/two.ini:chosen
[more]
of-the-same-file = %x %n %N
";

fn prepared() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("words", "first\nsecond\n");
    scratch.write("site.ini", SITE);
    scratch.write("parts/one.ini", "[uwsgi]\none-here = %n %s %x %c\none-above = %N %S %X %C\n");
    scratch.write("parts/two.ini", "[chosen]\ntwo = %x\n[uwsgi]\ntwo = wrong\n");
    scratch
}

/// The settings that uWSGI and daemun print for the same words.
#[track_caller]
fn compare(scratch: &Scratch, arguments: &[&str]) -> String {
    let ours = settings(Launch::new(scratch, "daemun", programs::daemun()).arg("app"), arguments);
    let theirs = settings(Launch::new(scratch, "uwsgi", programs::peer("uwsgi")), arguments);
    // uWSGI forgets the element that was asked for in its own words, and keeps a name for what is a mount by now.
    let theirs = theirs.replace("xml = many.xml\n", "xml = many.xml:b\n").replace("app = \n", "");
    assert!(!theirs.is_empty());
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert_eq!(ours, theirs, "{arguments:?}");
    }
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{arguments:?}:\n{ours}\n--------\n{theirs}");
    ours
}

#[track_caller]
fn settings(launch: Launch, arguments: &[&str]) -> String {
    let launch = launch.env("COLOUR", "blue").env("UWSGI_LISTEN", "64").env("UWSGI_PYTHONPATH", "/env/%d");
    let ended = launch.args(arguments).run();
    let behind = ended.output.split_once(";uWSGI instance configuration\n[uwsgi]\n");
    let shown = behind.and_then(|(_, rest)| rest.split_once(";end of configuration"));
    shown.unwrap_or_else(|| panic!("{arguments:?}:\n{}", ended.output)).0.to_owned()
}

#[test]
fn files_come_to_what_uwsgi_makes_of_them() {
    let scratch = prepared();
    let shown = compare(&scratch, &["--ini", "site.ini"]);
    for line in ["late = /behind/x", "sum = 36", "part = parts/one.ini", "is-blue = yes", "two = chosen"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in:\n{shown}");
    }
    let path = scratch.text_path("site.ini");
    compare(&scratch, &["-M", "--ini", &path, "--set", "last=1", "-p", "4", "--need-app", "--chmod-socket=660"]);
    compare(&scratch, &["--show-config", "--no-server", "--ini", "parts/two.ini:chosen", "--include", "parts/one.ini"]);
}

#[test]
fn other_forms_say_the_same() {
    let scratch = prepared();
    scratch.write("flat.yaml", "# comment\nother:\n  a: 1\nuwsgi:\n  no-server: true\n  show-config: true\n  name: %n\n  b: x:y\n  again: %(name)/%(b)\n");
    compare(&scratch, &["--yaml", "flat.yaml"]);
    scratch.write(
        "site.xml",
        "<uwsgi>\n<no-server/>\n<show-config/>\n<name>%n</name>\n<value>a &lt; b</value>\n<again>%(name)</again>\n</uwsgi>",
    );
    compare(&scratch, &["--xml", "site.xml"]);
    let many = "<all><uwsgi id=\"a\"><no-server/><show-config/><x>1</x></uwsgi><uwsgi id=\"b\"><no-server/><show-config/>\
                <x>2</x><y id=\"a\">3</y><app mountpoint=\"/shop\"> <script>shop.wsgi</script> </app></uwsgi></all>";
    scratch.write("many.xml", many);
    compare(&scratch, &["--xml", "many.xml:b"]);

    // uWSGI as PyPI builds it has neither lists in YAML nor JSON.
    let ini =
        "[uwsgi]\nno-server = true\nshow-config = true\nmaster = 1\nprocesses = 2\nenv = A=1\nenv = B=%n\nstrict = 0\n";
    let yaml = "uwsgi:\n  no-server: true\n  show-config: true\n  master: 1\n  processes: 2\n  env:\n    - A=1\n    - \"B=%n\"\n  strict: 0\n";
    let json = "{\"other\": {\"x\": [{}]}, \"uwsgi\": {\"no-server\": \"true\", \"show-config\": \"true\", \"master\": true,\n\
                \"processes\": 2, \"env\": [\"A=1\", \"B=%n\"], \"strict\": null}}";
    let shown = |name: &str, text: &str| {
        scratch.write(name, text);
        let launch = Launch::new(&scratch, "daemun", programs::daemun()).arg("app");
        settings(launch, &[name]).replace(&name[name.find('.').expect("an ending") + 1..], "FORM")
    };
    let expected = shown("same.ini", ini);
    assert!(expected.contains("env = B=same\n"), "{expected}");
    for (name, text) in [("same.yaml", yaml), ("same.yml", yaml), ("same.json", json), ("same.js", json)] {
        assert_eq!(shown(name, text), expected, "{name}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_place() {
    for (name, text, said) in [
        ("a.yaml", "uwsgi:\n  master: [1\n  x: 2\n", "a.yaml:"),
        ("a.yaml", "uwsgi:\n  http:\n    port: 80\n", "a.yaml:3"),
        ("a.yaml", "uwsgi: 3\n", "there is no section \"uwsgi\""),
        ("a.yaml", "uwsgi:\n  proceses: 3\n", "a.yaml:2"),
        ("a.json", "{\"uwsgi\": {\n\"processes\": 2,}}", "a.json:2"),
        ("a.json", "{\"uwsgi\": {\n  \"processes\": \"many\"}}", "2:17 |"),
        ("a.json", "{\"uwsgi\": {\"processes\": {}}}", "nothing deeper"),
        ("a.json", "[]", "must hold an object"),
        ("a.xml", "<uwsgi>\n<processes>2</process></uwsgi>", "a.xml:2"),
        ("a.xml", "<uwsgi>\n<processes>many</processes></uwsgi>", "2:12 |"),
        ("a.xml", "<nothing/>", "there is no section \"uwsgi\""),
        ("a.ini", "[uwsgi]\nif-env = HOME\nfor = a b\nendfor =\nendif =\n", "stands inside of another"),
        ("a.ini", "[uwsgi]\nname = @(exec://date)\n", "\"exec://\" is not supported"),
        ("a.ini", "[uwsgi]\nini = http://127.0.0.1/x.ini\n", "\"http://\" is not supported"),
        ("a.ini", "[uwsgi]\nif-hostname-match = (\nendif =\n", "a.ini:2"),
        ("a.ini", "[uwsgi]\nproceses = 3\n", "\"processes\""),
        ("a.ini", "[uwsgi]\nprocesses = 3 # three\n", "the comment \"# three\" is taken off"),
    ] {
        let scratch = Scratch::new();
        let text = format!("{text}{}", if name == "a.ini" { "strict = true\n" } else { "" });
        scratch.write(name, &text);
        let launch = servers::daemun(&scratch).arg("check").arg("-p").arg(scratch.folder()).arg("--ini").arg(name);
        let ended = launch.run();
        assert!(ended.output.contains(said), "{text}: {said} is not in:\n{}", ended.output);
    }
}

#[test]
fn settings_are_asked_for_by_name() {
    let scratch = Scratch::new();
    scratch.write("a.ini", "[uwsgi]\nbase = /srv\nchdir = %(base)/x\nprocesses = 3\n");
    let run = |arguments: &[&str]| {
        let ended = Launch::new(&scratch, "daemun", programs::daemun()).arg("app").args(arguments).run();
        assert!(ended.status.success(), "{}", ended.output);
        ended.output
    };
    assert_eq!(run(&["--ini", "a.ini", "--get", "chdir", "--get", "processes", "--get", "nothing"]), "/srv/x\n3\n");
    let names = run(&["--dump-options"]);
    assert!(names.lines().any(|name| name == "chdir") && names.lines().any(|name| name == "workers"), "{names}");
    let help = run(&["--help"]);
    assert!(help.contains("--chdir VALUE") && help.contains("folder to go to before"), "{help}");
}

/// The environment speaks for the only application of `daemun run`; `if-reload` holds when the file is read again.
#[test]
fn an_application_is_configured_by_its_environment_and_anew() {
    let scratch = Scratch::new();
    let port = Port::reserve();
    scratch.add_application("pep3333.py");
    let options = format!(
        "[uwsgi]\nhttp = {}\nchdir = SCRATCH/app\nif-reload =\nenv = WHEN=again\nelse =\nenv = WHEN=first\nendif =\n",
        port.address()
    );
    scratch.write("app.ini", options);
    let launch = servers::daemun(&scratch).arg("run").arg("-p").arg(scratch.folder()).arg("--ini").arg("app.ini");
    let mut process = launch.env("UWSGI_MODULE", "pep3333").env("UWSGI_THREADS", "2").start();
    process.wait_for(&port.address());
    let when = || {
        let page: serde_json::Value =
            serde_json::from_slice(&Request::get("/settings").send(&port.address()).body).expect("JSON");
        page["environment"]["WHEN"].as_str().expect("a text").to_owned()
    };
    assert_eq!(when(), "first");
    process.signal(rustix::process::Signal::HUP);
    harness::wait_until("the file is read again", || when() == "again");
}
