//! A visitor: keeps cookies, follows no redirect by itself, fills in Django's forms.

use std::collections::BTreeMap;

use crate::{Address, Request, Response};

/// One visitor's session on a site.
#[derive(Debug)]
pub struct Browser {
    address: Address,
    host: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A visitor without cookies who calls the site `localhost`.
    pub fn new(address: &Address) -> Self {
        let port = address.to_string().rsplit(':').next().unwrap_or_default().to_owned();
        Self { address: address.clone(), host: format!("localhost:{port}"), cookies: BTreeMap::new() }
    }

    /// Opens a page.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.send(Request::get(target))
    }

    /// Opens a page that has a form, and sends the form with its token.
    #[track_caller]
    pub fn submit(&mut self, page: &str, fields: &[(&str, &str)]) -> Response {
        let token = self.token_of(page);
        let mut body = format!("csrfmiddlewaretoken={}", encoded(&token));
        for (name, value) in fields {
            body.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        self.send(Request::post(target_of(page), "application/x-www-form-urlencoded", body))
    }

    /// The same with a file, as multipart.
    #[track_caller]
    pub fn upload(
        &mut self,
        page: &str,
        fields: &[(&str, &str)],
        name: &str,
        file_name: &str,
        content: &[u8],
    ) -> Response {
        let token = self.token_of(page);
        let mut body = Vec::new();
        for (name, value) in fields.iter().copied().chain([("csrfmiddlewaretoken", token.as_str())]) {
            body.extend(
                format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        let head =
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n\r\n");
        body.extend(head.bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--edge--\r\n");
        self.send(Request::post(target_of(page), "multipart/form-data; boundary=edge", body))
    }

    /// Sends a request with the visitor's cookies, and keeps those that come back.
    #[track_caller]
    pub fn send(&mut self, request: Request) -> Response {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request.host(&self.host);
        if !cookies.is_empty() {
            request = request.header("Cookie", &cookies.join("; "));
        }
        let response = request.send(&self.address);
        for cookie in response.headers_named("Set-Cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    #[track_caller]
    fn token_of(&mut self, page: &str) -> String {
        let response = self.get(page);
        let text = response.text();
        let token = text.split_once("name=\"csrfmiddlewaretoken\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        token.unwrap_or_else(|| panic!("{page} has no form but ({}):\n{text}", response.status)).0.to_owned()
    }
}

fn target_of(page: &str) -> &str {
    page.split('#').next().unwrap_or(page)
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(char::from(octet)),
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}
