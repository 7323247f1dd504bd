//! A body that goes to the client and into a file. A client that goes away, or wants a part alone, is no reason not to get the rest.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use daemun_server::limits::READ_BYTES;
use daemun_server::response::{Body, BodyError, BodyPieces, BodyStream, Piece, ReadAhead, UpstreamMessage};

use crate::draft::Draft;
use crate::limits::COMPLETION_TIME;

/// Keeps `body` in `draft` as it is sent.
#[must_use]
pub fn keep(body: Body, mut draft: Draft) -> Body {
    match body {
        Body::Empty => {
            draft.finish();
            Body::Empty
        }
        Body::Bytes(octets) => {
            draft.write(&octets);
            draft.finish();
            Body::Bytes(octets)
        }
        body => {
            let rest = body.length();
            let tee = Tee { body: BodyPieces::from(body), draft: Some(draft), ahead: None, rest, is_over: false };
            Body::Stream(Box::new(Kept(Some(tee))))
        }
    }
}

struct Tee {
    body: BodyPieces,
    draft: Option<Draft>,
    /// A piece that is kept already and not sent, or what ends the body.
    ahead: Option<Result<Bytes, BodyError>>,
    /// Octets still to be sent, where that is known.
    rest: Option<u64>,
    is_over: bool,
}

impl Tee {
    /// The next piece, which is kept.
    fn pull(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let octets = match ready!(self.body.poll_next(context)) {
            Some(Ok(piece)) => self.octets_of(piece),
            Some(Err(error)) => Err(error),
            None => {
                self.is_over = true;
                if let Some(draft) = self.draft.take() {
                    draft.finish();
                }
                return Poll::Ready(None);
            }
        };
        match (&octets, &mut self.draft) {
            (Ok(octets), Some(draft)) => draft.write(octets),
            (Ok(_), None) => {}
            (Err(_), _) => {
                self.is_over = true;
                self.draft = None;
            }
        }
        Poll::Ready(Some(octets))
    }

    fn octets_of(&mut self, piece: Piece) -> Result<Bytes, BodyError> {
        match piece {
            Piece::Bytes(octets) => Ok(octets),
            Piece::Lease(lease) => Ok(Bytes::copy_from_slice(lease.octets())),
            Piece::File(mut part) => {
                let octets = part.read(READ_BYTES)?;
                self.body.put_back(Piece::File(part));
                Ok(octets.into())
            }
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let octets = match self.ahead.take() {
            Some(octets) => octets,
            None => match ready!(self.pull(context)) {
                Some(octets) => octets,
                None => return Poll::Ready(None),
            },
        };
        let octets = match octets {
            Ok(octets) => octets,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        // The file is in its place before the last octets are sent: whoever has them may ask for it.
        if let Poll::Ready(next) = self.pull(context) {
            self.ahead = next;
        }
        if let Some(rest) = &mut self.rest {
            *rest = rest.saturating_sub(octets.len() as u64);
        }
        Poll::Ready(Some(Ok(Piece::Bytes(octets))))
    }
}

/// A [`Tee`] that is there until it is dropped.
struct Kept(Option<Tee>);

impl BodyStream for Kept {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |tee| tee.poll_next(context))
    }

    fn length(&self) -> Option<u64> {
        self.0.as_ref().and_then(|tee| tee.rest)
    }

    fn read_ahead(&self) -> Option<ReadAhead> {
        // As nginx: an answer that is kept is not held up by its first client, whatever ..._max_temp_file_size says.
        let read_ahead = self.0.as_ref()?.body.read_ahead().unwrap_or_default();
        Some(ReadAhead { file_bytes: u64::MAX, ..read_ahead })
    }

    fn take_message(&mut self) -> Option<UpstreamMessage> {
        self.0.as_mut().and_then(|tee| tee.body.take_message())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(mut tee) = self.0.take().filter(|tee| tee.draft.is_some()) else { return };
        if tokio::runtime::Handle::try_current().is_err() {
            return; // The thread ends.
        }
        tokio::task::spawn_local(async move {
            let rest = async { while let Some(Ok(_)) = poll_fn(|context| tee.pull(context)).await {} };
            let _ = tokio::time::timeout(COMPLETION_TIME, rest).await;
        });
    }
}
