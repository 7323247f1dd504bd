//! `modern_browser`, `ancient_browser`, `$msie`. The table is true of nginx too.

use harness::{Address, Beside, Request};

const HTTP: &str = r#"
    server {
        listen LISTEN;
        location /listed {
            modern_browser msie 5.5;
            modern_browser gecko 1.0.0;
            modern_browser safari 200;
            modern_browser konqueror 3.4;
            ancient_browser netscape4 Lynx;
            modern_browser_value new;
            ancient_browser_value old;
            return 200 "$modern_browser/$ancient_browser/$msie";
        }
        location /opera { modern_browser opera 9.0; modern_browser msie 5.0; return 200 "$modern_browser/$ancient_browser/$msie"; }
        location /unlisted {
            modern_browser unlisted;
            ancient_browser netscape4 Links Lynx;
            return 200 "$modern_browser/$ancient_browser/$msie";
        }
        location /both { modern_browser msie 6.0; modern_browser unlisted; return 200 "$modern_browser/$ancient_browser/$msie"; }
        location /nothing { return 200 "$modern_browser/$ancient_browser/$msie"; }
    }
"#;

const AGENTS: &[&str] = &[
    "",
    "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)",
    "Mozilla/4.0 (compatible; MSIE 5.0; Windows 98)",
    "Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)",
    "Mozilla/4.0 (compatible; MSIE 10.0; Windows 98)",
    "Mozilla/4.0 (compatible; MSIE 6.0; X11; FreeBSD i386) Opera 7.50  [en]",
    "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0; en) Opera 9.0",
    "Opera/9.01 (X11; FreeBSD 6 i386; U; en)",
    "Opera/8.0 (Windows NT 5.1; U; ru)",
    "Opera",
    "Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.0.0) Gecko/20020610",
    "Mozilla/5.0 (X11; U; Linux i686; en-US; rv:0.9.9) Gecko/20020610",
    "Mozilla/5.0 (Windows; U; Windows NT 5.1; ru-RU; rv:1.7.8) Gecko/20050511 Firefox/1.0.4",
    "Mozilla/5.0 (Macintosh; U; PPC Mac OS X; ru-ru) AppleWebKit/125.2 (KHTML, like Gecko) Safari/125.7",
    "Mozilla/5.0 (Macintosh; U; PPC Mac OS X; en) AppleWebKit/418 (KHTML, like Gecko) Safari/417.9.3",
    "Mozilla/5.0 (compatible; Konqueror/3.1; Linux)",
    "Mozilla/5.0 (compatible; Konqueror/3.5; FreeBSD) KHTML/3.5.1 (like Gecko)",
    "Mozilla/4.72 [en] (X11)",
    "Mozilla/4.72 ",
    "Lynx/2.8",
    "Links (2.1; Linux)",
    "curl/8",
    "MSIE ",
    "MSIE 6.",
    "MSIE 6.0",
];

#[test]
fn nginx_agrees() {
    let servers = Beside::start(HTTP, |_| {});
    let mut seen = Vec::new();
    for target in ["/listed", "/opera", "/unlisted", "/both", "/nothing"] {
        for agent in AGENTS {
            let ask = |address: &Address| {
                let request = Request::get(target);
                let request = if agent.is_empty() { request } else { request.header("User-Agent", agent) };
                request.send(address).text()
            };
            seen.push(servers.agreed(&format!("{target} {agent}"), ask));
        }
    }
    for expected in ["new//1", "/old/1", "new//", "/old/", "1//", "/1/", "1//1", "/1/1"] {
        assert!(seen.iter().any(|seen| seen == expected), "the table has no {expected}");
    }
}
