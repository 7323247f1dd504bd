//! Responders are asked about certificates: for clients' while they wait, for our own beside requests.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemun_http::{AnswerForm, AnswerLimits, AnswerReader, HeaderId, Parsed, ResponseHead, StatusCode};
use daemun_net::tls::{
    Certificate, CertificateStatus, CertifiedKey, StatusAnswer, StatusQuestion, VerifyError, fingerprint, pem,
};
use daemun_net::{ConnectOptions, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::background::Background;
use crate::clock;
use crate::limits::{STATUS_ANSWER_OCTETS, STATUSES_KEPT_MAX};
use crate::log::{ErrorLog, Level};
use crate::phase::LocalFuture;

/// Where statuses are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    address: SocketAddr,
    host: String,
    path: String,
}

impl Responder {
    /// Reads a URL `http://host[:port][/path]`. Only with `looks_up` may the host be a name, which the system is asked for.
    ///
    /// # Errors
    /// In words.
    pub fn parse(url: &str, looks_up: bool) -> Result<Self, String> {
        let rest =
            url.strip_prefix("http://").ok_or_else(|| format!("invalid URL prefix in OCSP responder \"{url}\""))?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let with_port = if host.parse::<SocketAddr>().is_ok()
            || host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let found = match with_port.parse() {
            Ok(address) => Some(address),
            Err(_) if looks_up => with_port.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()),
            Err(_) => None,
        };
        let address = found.ok_or_else(|| format!("host not found in OCSP responder \"{url}\""))?;
        let slash = if path.ends_with('/') { "" } else { "/" };
        Ok(Self { address, host: host.to_owned(), path: format!("{path}{slash}") })
    }

    /// Asks, and gives the answer as it came.
    ///
    /// # Errors
    /// In words.
    pub async fn ask(&self, question: &[u8]) -> Result<Vec<u8>, String> {
        match tokio::time::timeout(TIMEOUT, self.exchange(question)).await {
            Ok(answer) => answer,
            Err(_) => Err("OCSP responder timed out".to_owned()),
        }
    }

    async fn exchange(&self, question: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |error: std::io::Error| format!("OCSP responder failed ({error})");
        let mut stream = Stream::connect_tcp(self.address, &ConnectOptions::default()).await.map_err(failed)?;
        let mut encoded = String::new();
        for octet in pem::encode_base64(question).bytes() {
            match octet {
                b'+' | b'/' | b'=' => drop(write!(encoded, "%{octet:02X}")),
                octet => encoded.push(char::from(octet)),
            }
        }
        let (path, host) = (&self.path, &self.host);
        let request = format!("GET {path}{encoded} HTTP/1.0\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let (mut octets, mut is_over) = (Vec::new(), false);
        while !is_over && octets.len() < STATUS_ANSWER_OCTETS {
            is_over = stream.read_buf(&mut octets).await.map_err(failed)? == 0;
            let mut head = ResponseHead::default();
            let parsed = AnswerReader::new(AnswerForm::Http).parse(&octets, &AnswerLimits::default(), &mut head);
            let Ok(Parsed::Complete { taken }) = parsed else { continue };
            if head.status != StatusCode::OK {
                return Err(format!("OCSP responder answered {}", head.status.as_u16()));
            }
            let body = octets.get(taken..).unwrap_or_default();
            let length = head.headers.first(HeaderId::ContentLength).and_then(|text| std::str::from_utf8(text).ok());
            let length = length.and_then(|text| text.trim().parse::<usize>().ok());
            if is_over || length.is_some_and(|length| body.len() >= length) {
                return Ok(body.to_vec());
            }
        }
        Err("OCSP responder sent invalid response".to_owned())
    }
}

/// `ssl_ocsp`: how the statuses of clients' certificates are asked for.
pub struct StatusCheck {
    /// Whether the client's own certificate alone is asked for.
    pub is_of_first: bool,
    /// Who is asked in place of those that certificates name.
    pub responder: Option<Responder>,
    /// What was answered earlier.
    pub cache: Option<Arc<StatusCache>>,
}

impl StatusCheck {
    /// Asks for the statuses of the certificates of `path`, a client's to a root.
    ///
    /// # Errors
    /// One is revoked, or nothing is known of it; the reason is in the log.
    pub async fn check(&self, path: &[Certificate], log: &ErrorLog) -> Result<(), VerifyError> {
        let most = if self.is_of_first { 1 } else { path.len() };
        for pair in path.windows(2).take(most) {
            let [certificate, issuer] = pair else { continue };
            let question = StatusQuestion { certificate, issuer };
            let status = match self.cache.as_ref().and_then(|cache| cache.get(certificate)) {
                Some(status) => status,
                None => self.ask(&question, log).await.ok_or(VerifyError::StatusUnknown)?,
            };
            match status {
                CertificateStatus::Good => {}
                CertificateStatus::Revoked => return Err(VerifyError::Revoked),
                CertificateStatus::Unknown => return Err(VerifyError::StatusUnknown),
            }
        }
        Ok(())
    }

    async fn ask(&self, question: &StatusQuestion<'_>, log: &ErrorLog) -> Option<CertificateStatus> {
        let named = || {
            let url = question.certificate.extensions.responders.first();
            Responder::parse(url.ok_or("no OCSP responder URL in the certificate")?, false)
        };
        let responder = self.responder.clone().map_or_else(named, Ok);
        let answer = match responder {
            Ok(responder) => ask_for(question, &responder, false).await,
            Err(reason) => Err(reason),
        };
        match answer {
            Ok((StatusAnswer { status, next_update }, _)) => {
                if let Some(cache) = &self.cache {
                    cache.put(question.certificate, status, next_update);
                }
                Some(status)
            }
            Err(reason) => {
                log.write(Level::Error, format_args!("{reason} while requesting certificate status"));
                None
            }
        }
    }
}

/// The answer, and as it came.
async fn ask_for(
    question: &StatusQuestion<'_>,
    responder: &Responder,
    is_signer_free: bool,
) -> Result<(StatusAnswer, Vec<u8>), String> {
    let encoded = question.encode().ok_or("the certificate cannot be asked for")?;
    let octets = responder.ask(&encoded).await?;
    let answer = question.read(&octets, is_signer_free, clock::unix_seconds()).map_err(|error| error.to_string())?;
    Ok((answer, octets))
}

/// Statuses by certificate, shared by all threads.
#[derive(Default)]
pub struct StatusCache(Mutex<HashMap<Vec<u8>, (CertificateStatus, i64)>>);

impl StatusCache {
    fn get(&self, certificate: &Certificate) -> Option<CertificateStatus> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, until) = kept.get(&fingerprint(certificate))?;
        (*until > clock::unix_seconds()).then_some(*status)
    }

    fn put(&self, certificate: &Certificate, status: CertificateStatus, until: Option<i64>) {
        let now = clock::unix_seconds();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= STATUSES_KEPT_MAX {
            kept.retain(|_, (_, until)| *until > now);
            if kept.len() >= STATUSES_KEPT_MAX {
                kept.clear();
            }
        }
        kept.insert(fingerprint(certificate), (status, until.unwrap_or(i64::MAX)));
    }
}

/// `ssl_stapling`: keeps the status of a certificate of ours at hand.
pub struct Stapling {
    /// The certificate and its key, to which the status is stapled.
    pub key: CertifiedKey,
    /// Its issuer.
    pub issuer: Certificate,
    /// Who is asked.
    pub responder: Responder,
    /// Whether it must be the issuer who answers, or whom that one has named.
    pub verifies: bool,
}

impl Background for Stapling {
    fn run(self: Arc<Self>, log: ErrorLog) -> LocalFuture<'static, ()> {
        Box::pin(async move {
            let mut pause = RETRY_FIRST;
            let mut valid_until = 0;
            loop {
                match self.renew().await {
                    Ok(until) => {
                        valid_until = until;
                        // As nginx: before it grows old, and at least every hour.
                        let left = u64::try_from(until - clock::unix_seconds()).unwrap_or(0);
                        pause = RETRY_LAST;
                        tokio::time::sleep(Duration::from_secs(left.saturating_sub(300).clamp(300, 3_600))).await;
                    }
                    Err(reason) => {
                        if valid_until < clock::unix_seconds() {
                            self.key.staple(None);
                        }
                        log.write(Level::Error, format_args!("{reason} while requesting certificate status"));
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(RETRY_LAST);
                    }
                }
            }
        })
    }
}

impl Stapling {
    /// Until when the status is valid.
    async fn renew(&self) -> Result<i64, String> {
        let certificate = self.key.chain().first().ok_or("there is no certificate")?;
        let question = StatusQuestion { certificate, issuer: &self.issuer };
        let (answer, octets) = ask_for(&question, &self.responder, !self.verifies).await?;
        match answer.status {
            CertificateStatus::Good => self.key.staple(Some(octets)),
            CertificateStatus::Revoked => return Err("certificate status \"revoked\" in the OCSP response".to_owned()),
            CertificateStatus::Unknown => return Err("certificate status \"unknown\" in the OCSP response".to_owned()),
        }
        Ok(answer.next_update.unwrap_or(i64::MAX))
    }
}

/// How long a responder may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Pauses after failures: short at first, since the responder may be starting as we are.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(300);
