//! `access_log`, `log_format`.

use crate::site::{Site, errors};

#[test]
fn without_a_word_requests_are_logged_in_the_combined_format() {
    let site = Site::start(&[("www/f", "text")], "server { listen 8080; root ROOT/www; }");
    site.get_with("/f?a=%22\"", "User-Agent: agent \"x\"\r\nReferer: http://r/\r\n");
    site.get("/missing");
    let lines = site.log_lines("logs/access.log", 2);
    let (start, rest) = lines[0].split_once(" [").expect("a time");
    let (time, rest) = rest.split_once("] ").expect("a time");
    assert_eq!(start, "127.0.0.1 - -");
    assert_eq!(time.len(), "21/Nov/2026:01:31:50 +0000".len());
    assert_eq!(rest, "\"GET /f?a=%22\\x22 HTTP/1.1\" 200 4 \"http://r/\" \"agent \\x22x\\x22\"");
    assert!(lines[1].contains("\"GET /missing HTTP/1.1\" 404 ") && lines[1].ends_with("\"-\" \"-\""), "{}", lines[1]);
}

#[test]
fn formats_and_files_are_those_of_the_block() {
    let site = Site::start(
        &[("www/f", "text"), ("www/index.html", "home")],
        "log_format main '$request_method $uri ' \"$status\";
         log_format json escape=json '{\"uri\":\"$uri\",\"agent\":\"$http_user_agent\",\"none\":\"$arg_none\"}';
         log_format none escape=none $http_user_agent;
         access_log logs/main.log main;
         server {
             listen 8080; root ROOT/www;
             location /off/ { access_log off; alias ROOT/www/; }
             location /json/ { access_log logs/json.log json; access_log logs/none.log none buffer=32k flush=1ms; alias ROOT/www/; }
             location /if/ { access_log logs/if.log Main if=$arg_log; alias ROOT/www/; }
         }",
    );
    let agent = "User-Agent: a\"b\\\r\n";
    site.get_with("/off/f", agent);
    site.get_with("/json/f", agent);
    site.get("/if/f?log=0");
    site.get("/if/f");
    site.get("/if/f?log=1");
    site.get("/");
    site.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n");
    assert_eq!(site.log_lines("logs/main.log", 2)[0], "GET /index.html 200");
    assert_eq!(site.log_lines("logs/main.log", 2).len(), 2);
    assert_eq!(site.log_lines("logs/json.log", 1), [r#"{"uri":"/json/f","agent":"a\"b\\","none":""}"#]);
    assert_eq!(site.log_lines("logs/none.log", 1), [r#"a"b\"#]);
    assert_eq!(site.log_lines("logs/if.log", 1), ["GET /if/f 200"]);
    assert!(!site.path("logs/access.log").exists(), "nobody asked for it");
}

#[test]
fn wrong_arguments_are_told() {
    let within = |text: &str| errors(&format!("{text} server {{ listen 8080; location / {{ }} location /a {{ }} }}"));
    assert_eq!(within("access_log logs/a nothing;"), ["unknown log format \"nothing\""]);
    assert_eq!(within("access_log off main;"), ["invalid parameter \"main\""]);
    assert_eq!(within("access_log logs/a combined buffer=0;"), ["invalid buffer size \"0\""]);
    assert_eq!(within("access_log logs/a combined flush=1s;"), ["no buffer is defined for access_log \"logs/a\""]);
    assert_eq!(within("log_format a escape=x y;"), ["unknown log format escaping \"x\""]);
    assert_eq!(within("log_format a x; log_format a y;"), ["duplicate \"log_format\" name \"a\""]);
    assert_eq!(within("log_format a $nothing;"), ["unknown \"nothing\" variable"]);
    let unwritable = within("access_log nowhere/a;");
    assert_eq!(unwritable.len(), 1, "{unwritable:?}");
    assert!(unwritable[0].contains("nowhere/a\" failed"), "{unwritable:?}");
}
