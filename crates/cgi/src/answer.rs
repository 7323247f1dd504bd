//! What a program says, as an answer: a document, a redirect, or a whole HTTP message (nph).

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use daemun_http::{
    AnswerError, AnswerForm, AnswerFraming, AnswerLimits, AnswerReader, HeaderId, Parsed, ResponseHead, StatusCode,
    target,
};
use daemun_server::body::RequestBodyError;
use daemun_server::response::{Body, BodyError, BodyStream, Piece};
use daemun_server::{Outcome, Request, Response};

use crate::conversation::{Conversation, ConversationError};
use crate::limits::READ_BYTES;
use crate::process::describe;

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerFailure {
    #[error("CGI script timed out while its response header was read")]
    TimedOut,
    #[error("reading from CGI script failed ({0})")]
    Read(std::io::Error),
    #[error("CGI script {0} before its response header was complete")]
    Ended(String),
    #[error("invalid response header of CGI script: {0}")]
    Head(AnswerError),
    #[error("CGI script sent status {0}, which is no final answer")]
    Interim(u16),
    #[error("CGI script redirects to an invalid path \"{0}\"")]
    Redirect(String),
    #[error("{0}")]
    RequestBody(RequestBodyError),
    #[error("CGI script sent its body in chunks, which no script needs to do")]
    Chunks,
}

impl AnswerFailure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Reads the answer's head, `head_bytes` at most, and says what the request ends with.
///
/// # Source
/// RFC 3875 §5 (nph), §6.2 (the four forms of a response).
pub(crate) async fn read(
    mut conversation: Conversation,
    is_nph: bool,
    head_bytes: usize,
    request: &mut Request,
) -> Result<Outcome, AnswerFailure> {
    let limits = AnswerLimits { head_bytes, ..AnswerLimits::default() };
    let mut reader = AnswerReader::new(if is_nph { AnswerForm::Http } else { AnswerForm::Gateway });
    let mut head = ResponseHead::new(StatusCode::OK);
    let mut octets = Vec::with_capacity(READ_BYTES);
    let taken = loop {
        match poll_fn(|context| conversation.poll_read(context, &mut octets)).await {
            Ok(0) => {
                let how = conversation.ending().await.map_or_else(|| "closed its output".to_owned(), describe);
                return Err(AnswerFailure::Ended(how));
            }
            Ok(_) => {}
            Err(ConversationError::TimedOut) => return Err(AnswerFailure::TimedOut),
            Err(ConversationError::Read(error)) => return Err(AnswerFailure::Read(error)),
            Err(ConversationError::Client(error)) => return Err(AnswerFailure::RequestBody(error)),
        }
        if let Parsed::Complete { taken } = reader.parse(&octets, &limits, &mut head).map_err(AnswerFailure::Head)? {
            break taken;
        }
    };
    if head.status.is_informational() {
        return Err(AnswerFailure::Interim(head.status.as_u16()));
    }
    let has_status = is_nph || says_status(octets.get(..taken).unwrap_or_default());
    if let Some(location) = head.headers.first(HeaderId::Location).filter(|_| !has_status)
        && is_local(location)
    {
        let outcome = redirect(location, request);
        conversation.let_go();
        return outcome;
    }
    let framing = reader.framing(&head, request.passes_head());
    octets.drain(..taken);
    conversation.begin_answer();
    // How a script sees its connection is not how ours is.
    head.headers.retain(|header| !header.id.is_hop_by_hop());
    let mut response = Response::of_origin(head);
    response.body = match framing {
        AnswerFraming::None => {
            conversation.let_go();
            Body::Empty
        }
        AnswerFraming::Chunked => return Err(AnswerFailure::Chunks),
        AnswerFraming::Length(length) => ScriptBody::body(conversation, octets, Some(length)),
        AnswerFraming::UntilClose => ScriptBody::body(conversation, octets, None),
    };
    Ok(Outcome::Respond(response))
}

/// Whether the head tells its status itself.
fn says_status(head: &[u8]) -> bool {
    let is_status = |line: &[u8]| line.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"status:"));
    head.starts_with(b"HTTP/") || head.split(|octet| *octet == b'\n').any(is_status)
}

/// Whether a `Location` is a path of this server. Two slashes begin another server's name.
fn is_local(location: &[u8]) -> bool {
    location.starts_with(b"/") && !location.starts_with(b"//")
}

/// The request begins again with another path, as a GET without a body (§6.2.2).
fn redirect(location: &[u8], request: &mut Request) -> Result<Outcome, AnswerFailure> {
    let parts = target::split(location);
    let mut uri = Vec::new();
    target::normalize(parts.path, request.core().merge_slashes(), &mut uri)
        .map_err(|_| AnswerFailure::Redirect(String::from_utf8_lossy(location).into_owned()))?;
    let args = parts.args.unwrap_or_default().to_vec();
    request.make_get();
    request.forget_body();
    Ok(Outcome::Redirect { uri, args: Some(args) })
}

/// What a program still has to say.
struct ScriptBody {
    conversation: Conversation,
    /// What came with the head.
    first: Vec<u8>,
    /// Octets still to come; `None` until the program's end.
    rest: Option<u64>,
}

impl ScriptBody {
    fn body(conversation: Conversation, first: Vec<u8>, rest: Option<u64>) -> Body {
        Body::Stream(Box::new(Self { conversation, first, rest }))
    }

    /// Hands `octets` over, less what is beyond the announced length.
    fn piece(&mut self, mut octets: Vec<u8>) -> Piece {
        if let Some(rest) = &mut self.rest {
            octets.truncate(usize::try_from(*rest).unwrap_or(usize::MAX));
            *rest -= octets.len() as u64;
        }
        Piece::Bytes(Bytes::from(octets))
    }
}

impl BodyStream for ScriptBody {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        if self.rest == Some(0) {
            self.conversation.let_go();
            return Poll::Ready(None);
        }
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(Ok(self.piece(first))));
        }
        let mut octets = Vec::new();
        Poll::Ready(match ready!(self.conversation.poll_read(context, &mut octets)) {
            Ok(0) if self.rest.is_none() => None,
            Ok(0) | Err(ConversationError::Read(_)) => Some(Err(BodyError::Truncated("CGI script".to_owned()))),
            Ok(_) => Some(Ok(self.piece(octets))),
            Err(ConversationError::TimedOut) => Some(Err(BodyError::TimedOut("CGI script".to_owned()))),
            Err(ConversationError::Client(error)) => Some(Err(BodyError::Request(error.to_string()))),
        })
    }

    fn length(&self) -> Option<u64> {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_seen_wherever_it_stands() {
        assert!(says_status(b"Status: 302 Found\r\nLocation: /a\r\n\r\n"));
        assert!(says_status(b"Location: /a\nstatus:302\n\n"));
        assert!(says_status(b"HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n"));
        assert!(!says_status(b"Location: /a\r\nX-Status: 302\r\n\r\n"));
    }

    #[test]
    fn local_paths_are_not_other_servers() {
        assert!(is_local(b"/a?b"));
        assert!(!is_local(b"//other.example/a"));
        assert!(!is_local(b"http://other.example/"));
        assert!(!is_local(b""));
    }
}
