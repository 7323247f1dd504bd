//! The mapped memory.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::ChannelError;
use crate::layout::Layout;

#[derive(Debug)]
pub(crate) struct Segment {}

impl Segment {
    pub fn create(layout: &Layout) -> Result<OwnedFd, ChannelError> {
        let _ = layout;
        unimplemented!()
    }

    pub fn format(segment: BorrowedFd<'_>, layout: &Layout) -> Result<(), ChannelError> {
        let _ = (segment, layout);
        unimplemented!()
    }
}
