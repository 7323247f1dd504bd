//! No protocol at all: a connection is handed through as it is.

use bytes::BytesMut;
use daemun_http::{AnswerLimits, ResponseHead};
use daemun_server::{Outcome, Request};

use super::{AnswerCodec, BodyAhead, BodyExtent, BodyStep, HeadFault, HeadStep, Transport, Written, take};

/// The tunnel that `CONNECT` asks for.
pub struct Tunnel;

impl Transport for Tunnel {
    fn scheme(&self) -> &'static str {
        ""
    }

    fn write_request(&self, _: &mut Request, _: BodyAhead, _: &mut Vec<u8>) -> Result<Written, Outcome> {
        Ok(Written::default())
    }

    fn codec(&self, _: &Request) -> Box<dyn AnswerCodec> {
        Box::new(Self)
    }
}

impl AnswerCodec for Tunnel {
    fn is_tunnel(&self) -> bool {
        true
    }

    fn read_head(&mut self, _: &mut BytesMut, _: &AnswerLimits, _: &mut ResponseHead) -> Result<HeadStep, HeadFault> {
        Ok(HeadStep::Complete)
    }

    fn begin_body(&mut self, _: &ResponseHead, _: bool) -> BodyExtent {
        BodyExtent::Unknown
    }

    fn read_body(&mut self, input: &mut BytesMut) -> Result<BodyStep, &'static str> {
        match input.len() {
            0 => Ok(BodyStep::NeedMore),
            length => Ok(BodyStep::Data(take(input, length))),
        }
    }

    fn may_end_here(&self) -> bool {
        true
    }
}
